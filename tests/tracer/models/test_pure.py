"""The pure face: weights as pytrees, calls as functions of them, nothing left behind."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import xlathe as xl
from xlathe import layers

X = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")


def network() -> xl.Sequential:
    return xl.Sequential(
        [
            layers.Dense(5, activation="relu", name="hidden"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.5, name="drop"),
            layers.Dense(2, name="out"),
        ]
    )


def test_params_are_the_trainable_weights_by_layer_name():
    model = network()
    params = model.init(jax.random.key(0), X)
    shapes = jax.tree.map(jnp.shape, params)
    assert shapes == {
        "hidden": {"kernel": (6, 5), "bias": (5,)},
        "norm": {"gamma": (5,), "beta": (5,)},
        "out": {"kernel": (5, 2), "bias": (2,)},
    }
    assert jax.tree.map(jnp.shape, model.get_state()) == {
        "norm": {"moving_mean": (5,), "moving_variance": (5,)}
    }


def test_init_depends_on_its_key_alone():
    model = network()
    first, again = model.init(jax.random.key(0), X), model.init(jax.random.key(0), X)
    other = model.init(jax.random.key(1))
    assert jnp.array_equal(first["out"]["kernel"], again["out"]["kernel"])
    assert not jnp.array_equal(first["out"]["kernel"], other["out"]["kernel"])
    assert not jnp.array_equal(first["out"]["kernel"], model.get_params()["out"]["kernel"])


def test_init_and_apply_work_under_jit_on_a_model_that_was_never_called():
    model = network()
    params = jax.jit(lambda key, x: model.init(key, x))(jax.random.key(0), X)
    y, _ = jax.jit(model.apply)(params, X)
    assert y.shape == (4, 2)
    np.testing.assert_allclose(y, model.apply(params, X)[0], rtol=1e-5, atol=1e-6)


def test_apply_leaves_the_model_as_it_was():
    model = network()
    params = model.init(jax.random.key(0), X)
    before = model.get_weights()
    _, state = model.apply(params, X, training=True, key=jax.random.key(1))
    assert not np.allclose(state["norm"]["moving_mean"], 0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_state_goes_in_and_comes_out():
    model = network()
    params = model.init(jax.random.key(0), X)
    _, first = model.apply(params, X, training=True, key=jax.random.key(1))
    _, second = model.apply(params, X, state=first, training=True, key=jax.random.key(1))
    mean = first["norm"]["moving_mean"]
    np.testing.assert_allclose(second["norm"]["moving_mean"], mean * 1.99, rtol=1e-5)


def test_the_stateful_call_is_the_pure_one():
    model = network()
    y = model(X)
    np.testing.assert_allclose(y, model.apply(model.get_params(), X)[0], rtol=1e-6)
    params = model.init(jax.random.key(3))
    model.set_params(params)
    np.testing.assert_allclose(model(X), model.apply(params, X)[0], rtol=1e-6)


def test_dropout_is_drawn_from_the_key():
    model = network()
    params = model.init(jax.random.key(0), X)
    run = jax.jit(lambda key: model.apply(params, X, training=True, key=key)[0])
    assert jnp.array_equal(run(jax.random.key(1)), run(jax.random.key(1)))
    assert not jnp.array_equal(run(jax.random.key(1)), run(jax.random.key(2)))
    with pytest.raises(ValueError, match=r"'drop' draws random numbers .* no key was given"):
        model.apply(params, X, training=True)


def test_two_layers_draw_differently_from_one_key():
    model = xl.Sequential([layers.Dropout(0.5), layers.Dropout(0.5)])
    ones = np.ones((1, 4000), "float32")
    y, _ = model.apply(model.init(jax.random.key(0), ones), ones, training=True, key=5)
    assert 0.2 < float(jnp.mean(y != 0)) < 0.3


@pytest.mark.parametrize("transform", [jax.jit, xl.compile])
def test_training_with_optax(transform):
    model = network()
    params = model.init(jax.random.key(0), X)
    state = model.get_state()
    optimizer = optax.adam(0.05)
    labels = jnp.array([0, 1, 0, 1])

    def loss(params, state, key):
        y, state = model.apply(params, X, state=state, training=True, key=key)
        return optax.softmax_cross_entropy_with_integer_labels(y, labels).mean(), state

    @transform
    def step(params, state, slots, key):
        (value, state), grads = jax.value_and_grad(loss, has_aux=True)(params, state, key)
        updates, slots = optimizer.update(grads, slots)
        return optax.apply_updates(params, updates), state, slots, value

    slots = optimizer.init(params)
    values = []
    for i in range(40):
        params, state, slots, value = step(params, state, slots, jax.random.key(i))
        values.append(float(value))
    assert np.mean(values[-5:]) < 0.6 * np.mean(values[:5])


def test_frozen_layers_move_from_params_to_state():
    model = network()
    model.build((None, 6))
    model.get_layer("hidden").trainable = False
    assert set(model.get_params()) == {"norm", "out"}
    assert set(model.get_state()["hidden"]) == {"kernel", "bias"}
    model.trainable = False
    assert model.get_params() == {}
    model.trainable = True
    assert set(model.get_params()) == {"hidden", "norm", "out"}


def test_frozen_batch_normalization_uses_its_averages():
    layer = layers.BatchNormalization()
    layer.build((None, 6))
    layer.trainable = False
    np.testing.assert_allclose(layer(X, training=True), layer(X), rtol=1e-6)


def test_params_that_do_not_fit_are_refused():
    model = network()
    params = model.init(jax.random.key(0), X)
    with pytest.raises(ValueError, match=r"missing \['out/bias', 'out/kernel'\]"):
        model.apply({name: params[name] for name in ("hidden", "norm")}, X)
    wrong = params | {"out": params["out"] | {"bias": jnp.zeros(3)}}
    with pytest.raises(ValueError, match=r"out/bias has shape \(3,\), expected \(2,\)"):
        model.set_params(wrong)


def test_stateless_call_advances_seeds_and_statistics():
    model = network()
    model(X)
    trainable = [v.value for v in model.trainable_variables]
    others = [v.value for v in model.non_trainable_variables]
    call = jax.jit(lambda t, n: model.stateless_call(t, n, X, training=True))
    y, new = call(trainable, others)
    z, _ = call(trainable, new)
    assert not jnp.array_equal(y, z)
    assert [jnp.shape(value) for value in new] == [value.shape for value in others]
    with pytest.raises(ValueError, match="must be a list of tensors corresponding 1:1"):
        model.stateless_call(trainable[1:], others, X)


def test_losses_of_regularizers_and_layers():
    class Penalised(layers.Layer):
        def call(self, x):
            self.add_loss(jnp.sum(x))
            return x

    model = xl.Sequential([layers.Dense(3, kernel_regularizer="l2"), Penalised()])
    params = model.init(jax.random.key(0), X)
    y, _, losses = model.apply(params, X, return_losses=True)
    expected = [jnp.sum(y), 0.01 * jnp.sum(params[model.layers[0].name]["kernel"] ** 2)]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    model(X)
    assert len(model.losses) == 2
    model(X)
    assert len(model.losses) == 2


def test_nothing_leaks_from_a_traced_call():
    model = network()
    with jax.checking_leaks():
        params = model.init(jax.random.key(0), X)
        jax.grad(lambda p: model.apply(p, X, training=True, key=1)[0].sum())(params)


def test_assigning_a_traced_value_says_what_to_use():
    model = network()
    model(X)
    with pytest.raises(ValueError, match=r"Use `layer\.apply`"):
        jax.jit(lambda x: model(x, training=True))(X)
