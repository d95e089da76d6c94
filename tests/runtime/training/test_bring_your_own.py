"""Modules of other libraries, functions and steps train to what a loop by hand gives."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import xlathe as xl
from xlathe import layers

random = np.random.default_rng(11)
X = random.normal(size=(26, 4)).astype("float32")
LABELS = random.integers(0, 3, 26).astype("int32")
ENTROPY = xl.losses.SparseCategoricalCrossentropy(from_logits=True)
OPTIONS: dict[str, Any] = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}


def batches():
    for start in [*range(0, 26, 8)] * 2:
        yield X[start : start + 8], LABELS[start : start + 8]


def entropy(logits, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def weights_of():
    draw = np.random.default_rng(4)
    return {
        "hidden": {"kernel": jnp.asarray(draw.normal(size=(4, 5)), jnp.float32)},
        "out": jnp.asarray(draw.normal(size=(5, 3)), jnp.float32),
        "version": jnp.asarray(7),
    }


def forward(params, x):
    return jnp.tanh(x @ params["hidden"]["kernel"]) @ params["out"]


def cost(params, x, y):
    loss = entropy(forward(params, x), y)
    return loss, {"twice": 2 * loss}


def by_hand(transformation):
    """Train the function's parameters by optax alone; return them, and the losses of epoch 2."""
    params: Any = weights_of()
    version = params.pop("version")
    state = transformation.init(params)
    losses = []
    for x, y in batches():
        loss, grads = jax.value_and_grad(lambda p, x=x, y=y: entropy(forward(p, x), y))(params)
        updates, state = transformation.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        losses.append(float(loss) * len(x))
    return {**params, "version": version}, sum(losses[4:]) / 26


def assert_close(first, second):
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    for mine, other in pairs:
        np.testing.assert_allclose(np.asarray(mine), np.asarray(other), rtol=2e-5, atol=2e-6)


def masked():
    """A transformation that knows the parameters' names."""
    return optax.multi_transform(
        {"slow": optax.sgd(0.01), "fast": optax.adam(0.02)},
        lambda params: {
            name: jax.tree.map(lambda _, name=name: "slow" if name == "out" else "fast", value)
            for name, value in params.items()
        },
    )


@pytest.mark.parametrize(
    "transformation",
    [pytest.param(optax.adam(0.02), id="adam", marks=pytest.mark.slow), masked()],
)
def test_a_function_of_parameters(transformation):
    expected, loss = by_hand(transformation)
    before = weights_of()
    options = {**OPTIONS, "metrics": ["accuracy"], "validation_data": (X, LABELS)}
    params, history = xl.fit(
        forward, X, LABELS, params=before, loss=ENTROPY, optimizer=transformation, **options
    )
    assert_close(params, expected)
    assert_close(before, weights_of())
    assert history.history["loss"][1] == pytest.approx(loss, rel=1e-5)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert_close(history.model.predict(X, verbose=0), forward(params, X))
    measured = history.model.evaluate(X, LABELS, verbose=0, return_dict=True)
    assert measured["loss"] == pytest.approx(float(entropy(forward(params, X), LABELS)), rel=1e-5)


@pytest.mark.parametrize("as_stream", [False, True])
def test_a_loss_function_with_logs(as_stream):
    expected, loss = by_hand(optax.adam(0.02))
    data = [(X[i : i + 8], LABELS[i : i + 8]) for i in range(0, 26, 8)]
    params, history = xl.fit(
        cost,
        *((data,) if as_stream else (X, LABELS)),
        params=weights_of(),
        optimizer=optax.adam(0.02),
        validation_data=(X, LABELS),
        **OPTIONS,
    )
    assert_close(params, expected)
    assert history.history["loss"][1] == pytest.approx(loss, rel=1e-5)
    assert history.history["twice"][1] == pytest.approx(2 * loss, rel=1e-5)
    assert history.history["val_twice"][1] == pytest.approx(2 * float(cost(params, X, LABELS)[0]))


def test_a_step_of_ones_own():
    transformation = optax.adam(0.02)

    def step(state, batch):
        params, moments = state
        x, y = batch
        (loss, logs), grads = jax.value_and_grad(cost, has_aux=True)(params, x, y)
        updates, moments = transformation.update(grads, moments, params)
        return (optax.apply_updates(params, updates), moments), {"loss": loss, **logs}

    def test_step(state, batch):
        return cost(state[0], *batch)[0]

    expected, loss = by_hand(transformation)
    start = weights_of()
    del expected["version"], start["version"]
    (params, moments), history = xl.fit(
        step,
        X,
        LABELS,
        state=(start, transformation.init(start)),
        test_step=test_step,
        validation_data=(X, LABELS),
        **OPTIONS,
    )
    assert_close(params, expected)
    assert int(moments[0].count) == 8
    assert history.history["loss"][1] == pytest.approx(loss, rel=1e-5)
    assert set(history.history) == {"loss", "twice", "val_loss"}
    assert history.history["val_loss"][1] == pytest.approx(float(cost(params, X, LABELS)[0]))


def test_a_step_takes_dicts_and_several_steps_a_dispatch():
    def step(state, batch):
        return state + batch["image"].sum() + batch["label"], {"seen": state}

    data = {"image": X[:8], "label": np.ones(8, "float32")}
    total, history = xl.fit(
        lambda state, batch: step(state, {**batch, "label": batch["label"].sum()}),
        data,
        state=jnp.zeros(()),
        **{**OPTIONS, "batch_size": 4},
    )
    assert float(total) == pytest.approx(2 * float(X[:8].sum()) + 16, rel=1e-5)
    assert list(history.history) == ["seen"]
    assert history.model.fit_state.programs["train"]._many


def test_a_step_keeps_keys_and_what_is_no_array():
    def step(state, batch):
        key, now = jax.random.split(state["key"])
        total = state["total"] + jax.random.normal(now, ()) + 0 * batch.sum()
        return {**state, "key": key, "total": total}, {"loss": total}

    start = {"key": jax.random.key(3), "total": 0.0, "apply": jnp.tanh, "name": "mine"}
    state, _ = xl.fit(step, X[:8], state=start, batch_size=4, epochs=1, verbose=0)
    key, expected = jax.random.key(3), 0.0
    for _ in range(2):
        key, now = jax.random.split(key)
        expected += float(jax.random.normal(now, ()))
    assert float(state["total"]) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(jax.random.key_data(state["key"]), jax.random.key_data(key))
    assert (state["apply"], state["name"]) == (jnp.tanh, "mine")


class Norms(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(4, 5, rngs=rngs)
        self.norm = nnx.BatchNorm(5, rngs=rngs)
        self.drop = nnx.Dropout(0.4, rngs=rngs)
        self.out = nnx.Linear(5, 3, rngs=rngs)

    def __call__(self, x):
        return self.out(self.drop(self.norm(nnx.relu(self.hidden(x)))))


def nnx_by_hand(module, transformation):
    module.train()
    optimizer = nnx.Optimizer(module, transformation, wrt=nnx.Param)
    for x, y in batches():
        grads = nnx.grad(lambda m, x=x, y=y: entropy(m(x), y))(module)
        optimizer.update(module, grads)
    module.eval()
    return module


@pytest.mark.parametrize("own_loss", [pytest.param(False, marks=pytest.mark.slow), True])
def test_an_nnx_module_in_place(own_loss):
    expected = nnx_by_hand(Norms(nnx.Rngs(0)), optax.adam(0.02))
    module = Norms(nnx.Rngs(0))
    loss = (
        {"loss_fn": lambda module, x, y: entropy(module(x), y)} if own_loss else {"loss": ENTROPY}
    )
    trained, history = xl.fit(
        module,
        X,
        LABELS,
        optimizer=optax.adam(0.02),
        validation_data=(X, LABELS),
        **loss,
        **OPTIONS,
    )
    assert trained is module
    module.eval()
    assert_close(nnx.state(module, nnx.Param), nnx.state(expected, nnx.Param))
    assert_close(nnx.state(module, nnx.BatchStat), nnx.state(expected, nnx.BatchStat))
    assert int(jax.tree.leaves(nnx.state(module, nnx.RngCount))[0]) == 8
    assert_close(module(X), expected(X))
    assert history.history["val_loss"][-1] == pytest.approx(float(entropy(module(X), LABELS)))
    assert_close(history.model.predict(X, verbose=0), module(X))


def test_an_nnx_module_keeps_what_was_reached_when_training_breaks_off():
    def broken():
        yield X[:8], LABELS[:8]
        raise RuntimeError("the disk is gone")

    module = Norms(nnx.Rngs(0))
    before = np.asarray(module.out.kernel[...])
    with pytest.raises(RuntimeError, match="the disk is gone"):
        xl.fit(module, broken(), loss=ENTROPY, verbose=0)
    assert not np.allclose(before, module.out.kernel[...])
    assert np.isfinite(module(X)).all()


class Noisy(eqx.Module):
    linear: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    drop: eqx.nn.Dropout

    def __init__(self, key):
        self.linear = eqx.nn.Linear(4, 3, key=key)
        self.norm = eqx.nn.BatchNorm(3, "batch", mode="ema")
        self.drop = eqx.nn.Dropout(0.3)

    def __call__(self, x, state, *, key=None):
        y, state = self.norm(self.linear(x), state)
        return self.drop(y, key=key), state


def equinox_by_hand(module, transformation, call):
    arrays = eqx.filter(module, eqx.is_inexact_array)
    moments = transformation.init(arrays)
    for step, (x, y) in enumerate(batches()):
        (_, _), grads = eqx.filter_value_and_grad(
            lambda m, x=x, y=y, step=step: call(m, x, y, step), has_aux=True
        )(module)
        updates, moments = transformation.update(grads, moments, module)
        module = eqx.apply_updates(module, updates)
    return module


@pytest.mark.parametrize("own_loss", [pytest.param(False, marks=pytest.mark.slow), True])
def test_an_equinox_module(own_loss):
    module = eqx.nn.MLP(4, 3, 5, 1, key=jax.random.key(3))
    expected = equinox_by_hand(
        module, optax.adam(0.02), lambda m, x, y, step: (entropy(jax.vmap(m)(x), y), None)
    )
    loss = (
        {"loss_fn": lambda module, batch: entropy(jax.vmap(module)(batch[0]), batch[1])}
        if own_loss
        else {"loss": ENTROPY}
    )
    trained, history = xl.fit(
        module, X, LABELS, optimizer=optax.adam(0.02), validation_split=0.0, **loss, **OPTIONS
    )
    assert trained is not module
    assert trained.activation is module.activation
    assert_close(eqx.filter(trained, eqx.is_array), eqx.filter(expected, eqx.is_array))
    assert_close(history.model.predict(X, verbose=0), jax.vmap(trained)(X))


def test_an_equinox_module_with_state_and_keys():
    module, state = eqx.nn.make_with_state(Noisy)(jax.random.key(0))
    states = [state]

    def call(module, x, y, step):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(5), step), len(x))
        outputs, states[0] = jax.vmap(
            lambda x, key: module(x, states[0], key=key), out_axes=(0, None), axis_name="batch"
        )(x, keys)
        states[0] = jax.lax.stop_gradient(states[0])
        return entropy(outputs, y), None

    data = list(batches())
    arrays, fixed = eqx.partition(module, eqx.is_inexact_array)
    transformation = optax.adam(0.02)
    moments = transformation.init(arrays)
    current = state
    for step, (x, y) in enumerate(data):

        def loss_of(arrays, x=x, y=y, step=step, current=current):
            states[0] = current
            loss, _ = call(eqx.combine(arrays, fixed), x, y, step)
            return loss, states[0]

        grads, current = jax.grad(loss_of, has_aux=True)(arrays)
        updates, moments = transformation.update(grads, moments, arrays)
        arrays = optax.apply_updates(arrays, updates)

    module, state = eqx.nn.make_with_state(Noisy)(jax.random.key(0))
    (trained, after), history = xl.fit(
        module, X, LABELS, state=state, seed=5, loss=ENTROPY, optimizer=optax.adam(0.02), **OPTIONS
    )
    assert_close(eqx.filter(trained, eqx.is_inexact_array), arrays)
    assert_close(after, current)
    settled = eqx.nn.inference_mode(trained)
    outputs, _ = jax.vmap(settled, in_axes=(0, None), out_axes=(0, None), axis_name="batch")(
        X, after
    )
    assert_close(history.model.predict(X, verbose=0), outputs)


def test_callbacks_and_options_apply(tmp_path):
    model = xl.as_model(Norms(nnx.Rngs(1)))
    model.compile("adam", ENTROPY, metrics=["accuracy"], numerics="strict")
    rates = xl.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    stop = xl.callbacks.EarlyStopping("loss", patience=0, min_delta=10.0)
    keep = xl.callbacks.ModelCheckpoint(tmp_path / "w.weights", save_weights_only=True)
    history = model.fit(X, LABELS, epochs=9, verbose=0, callbacks=[rates, stop, keep])
    assert history.history["learning_rate"] == pytest.approx([0.0005, 0.00025])
    other = xl.as_model(Norms(nnx.Rngs(2)))
    other.load_weights(tmp_path / "w.weights")
    assert_close(other.predict(X, verbose=0), model.predict(X, verbose=0))
    with pytest.raises(TypeError, match="Save its weights"):
        model.save(tmp_path / "m.xlathe")


def test_resuming_is_bit_identical_for_keys_and_states(tmp_path):
    def train(epochs, *callbacks):
        return xl.fit(
            Norms(nnx.Rngs(0)), X, LABELS, loss=ENTROPY, epochs=epochs, verbose=0,
            callbacks=list(callbacks), shuffle=False,
        )[0]  # fmt: skip

    class Crash(xl.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    whole = train(3)
    with pytest.raises(KeyboardInterrupt):
        train(3, xl.callbacks.BackupAndRestore(tmp_path / "backup"), Crash())
    resumed = train(3, xl.callbacks.BackupAndRestore(tmp_path / "backup"))
    for mine, other in zip(
        jax.tree.leaves(nnx.state(resumed, nnx.Param, nnx.BatchStat)),
        jax.tree.leaves(nnx.state(whole, nnx.Param, nnx.BatchStat)),
        strict=True,
    ):
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(other))


def test_a_model_of_a_module_is_trained_again_and_is_a_layer_too():
    model = xl.as_model(eqx.nn.MLP(4, 3, 5, 1, key=jax.random.key(3)))
    model.compile("adam", ENTROPY)
    model.fit(X, LABELS, verbose=0)
    first = model.unwrap()
    kept = np.array(first.layers[0].weight)
    model.fit(X, LABELS, verbose=0)
    np.testing.assert_array_equal(first.layers[0].weight, kept)
    assert not np.allclose(model.unwrap().layers[0].weight, kept)

    module = nnx.Linear(4, 5, rngs=nnx.Rngs(0))
    part = xl.as_model(module)
    whole = xl.Sequential([layers.Input((4,)), part, layers.Dense(3)])
    whole.compile("adam", ENTROPY)
    before = np.array(module.kernel[...])
    whole.fit(X, LABELS, verbose=0)
    assert part.unwrap() is module
    assert not np.allclose(module.kernel[...], before)


def test_what_is_trained_can_be_said():
    module = eqx.nn.MLP(4, 3, 5, 1, key=jax.random.key(3))
    chosen = eqx.tree_at(lambda m: m.layers[1].weight, jax.tree.map(lambda _: False, module), True)
    trained, _ = xl.fit(module, X, LABELS, loss=ENTROPY, trainable=chosen, verbose=0)
    assert_close(trained.layers[0].weight, module.layers[0].weight)
    assert not np.allclose(trained.layers[1].weight, module.layers[1].weight)
    params, _ = xl.fit(
        forward, X, LABELS, params=weights_of(), loss=ENTROPY, verbose=0,
        trainable={"hidden": False, "out": True, "version": False},
    )  # fmt: skip
    assert_close(params["hidden"], weights_of()["hidden"])
    assert not np.allclose(params["out"], weights_of()["out"])
    net = Norms(nnx.Rngs(0))
    before = np.array(net.hidden.kernel[...])
    xl.fit(net, X, LABELS, loss=ENTROPY, trainable=nnx.PathContains("out"), verbose=0)
    assert_close(net.hidden.kernel[...], before)


@pytest.mark.parametrize("features", [2, 20_000])
def test_large_convolutions_are_stepped_one_batch_at_a_time_on_the_cpu(features):
    kernel = jnp.ones((3, 1, features))

    def convolve(kernel, x, y):
        image = jax.lax.conv_general_dilated(
            x[..., None], kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
        )
        return ((image.sum((1, 2)) - y) ** 2).mean()

    _, history = xl.fit(convolve, X, LABELS, params=kernel, verbose=0)
    assert history.model.fit_state.loops == (features == 2 or jax.default_backend() != "cpu")


def step_of(state, batch):
    return state, {"loss": state.sum()}


STATE = jnp.zeros(3)
CASES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "nothing that trains": (object(), {}, "Expected a Flax NNX module"),
    "a function alone": (forward, {}, "Expected a Flax NNX module"),
    "a linen module": (linen.Dense(3), {}, "is a function of its parameters"),
    "parameters of a module": (nnx.Linear(4, 3, rngs=nnx.Rngs(0)), {"params": 1}, "`params`"),
    "integers": (forward, {"params": {"a": 1}, "loss": "mse"}, "no floating-point array"),
    "loss and loss_fn": (
        forward,
        {"params": weights_of(), "loss": "mse", "loss_fn": cost},
        "don't go with it",
    ),
    "no state": (step_of, {"state": {"name": "a"}}, "with arrays"),
    "an optimizer": (step_of, {"state": STATE, "optimizer": "sgd"}, "no `optimizer`"),
    "a loss": (step_of, {"state": STATE, "loss": "mse"}, "its own loss"),
    "no test step": (step_of, {"state": STATE, "validation_data": (X, LABELS)}, "`test_step`"),
    "no pair": (lambda state, batch: state, {"state": STATE}, r"return `\(state, logs\)`"),
    "another shape": (
        lambda state, batch: (state[:2], {"loss": 0.0}),
        {"state": STATE},
        r"was float32\[3\]. Received: float32\[2\]",
    ),
    "another structure": (
        lambda state, batch: ((state, state), {"loss": 0.0}),
        {"state": STATE},
        "keep its structure",
    ),
    "logs of vectors": (lambda state, batch: (state, {"x": state}), {"state": STATE}, r"\[3\]"),
    "a loss of vectors": (
        lambda params, x, y: x @ params,
        {"params": jnp.ones((4, 2))},
        "must return a number",
    ),
    "an unknown argument": (
        forward,
        {"params": weights_of(), "loss": "mse", "epoch": 3},
        "Did you mean 'epochs'",
    ),
    "an unknown loss": (forward, {"params": weights_of(), "loss": "mze"}, "Did you mean 'mse'"),
    "no loss": (nnx.Linear(4, 3, rngs=nnx.Rngs(0)), {}, "No loss to compute"),
    "another width": (
        lambda params, x: x @ params,
        {"params": jnp.ones((5, 3)), "loss": ENTROPY},
        "dot_general",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_before_training(name):
    module, options, message = CASES[name]
    with pytest.raises((TypeError, ValueError), match=message):
        xl.fit(module, X, LABELS, verbose=0, **options)


def test_a_call_that_would_lose_something_is_refused():
    class Writes(nnx.Module):
        def __init__(self):
            self.scale = nnx.Param(jnp.ones(4))

        def __call__(self, x):
            self.scale[...] = self.scale[...] + 1
            return x * self.scale[...]

    class Grows(nnx.Module):
        def __init__(self):
            self.scale = nnx.Param(jnp.ones(4))

        def __call__(self, x):
            self.cache = nnx.Cache(x)
            return x * self.scale[...]

    with pytest.raises(ValueError, match="assigns to a variable that is trained"):
        xl.fit(Writes(), X, X, loss="mse", verbose=0)
    with pytest.raises(ValueError, match="must keep its structure"):
        xl.fit(Grows(), X, X, loss="mse", verbose=0)
    module, _ = eqx.nn.make_with_state(Noisy)(jax.random.key(0))
    with pytest.raises(ValueError, match=r"pass `state=state`"):
        xl.fit(module, X, LABELS, loss=ENTROPY, verbose=0)
