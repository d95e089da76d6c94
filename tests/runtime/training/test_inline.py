"""Predictions of small models on CPU, computed in the caller's thread."""

from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

import xlathe as xl
from xlathe import layers
from xlathe.runtime.training import inline

random = np.random.default_rng(0)
X = random.normal(size=(1, 5)).astype("float32")


def model_of(*more, units=4, **options):
    model = xl.Sequential([layers.Input((5,)), layers.Dense(units, activation="relu"), *more])
    model.compile("sgd", "mse", **options)
    return model


def is_inline(model) -> bool:
    found = model.__dict__["_predictor"]._inline
    return not found.off and bool(found._held[1])


def test_the_client_is_another_one_of_the_same_platform():
    device = inline.inline_device()
    assert device.platform == "cpu"
    assert device not in jax.devices()
    assert device.client is not jax.devices()[0].client
    assert inline.inline_device() is device


def test_predictions_are_bit_for_bit_those_of_many_rows_in_batches():
    model = model_of(layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(3))
    found = model.predict(X, verbose=0)
    assert is_inline(model)
    trainable = [v.stored for v in model.trainable_variables]
    others = [v.stored for v in model.non_trainable_variables]
    expected, _ = model.__dict__["_predictor"]._run(trainable, others, X)
    assert expected.devices() == {jax.devices()[0]}
    np.testing.assert_array_equal(found, expected)
    assert found.flags.writeable


def test_weights_are_those_of_now():
    model = model_of()
    model.predict(X, verbose=0)
    for _ in range(2):
        model.train_on_batch(X, np.ones((1, 4), "float32"))
        found = model.predict_on_batch(X)
        kernel, bias = model.get_weights()
        np.testing.assert_allclose(found, np.maximum(X @ kernel + bias, 0), rtol=1e-5, atol=1e-6)
        assert is_inline(model)
    model.set_weights([np.ones((5, 4)), np.full(4, 50.0)])
    np.testing.assert_allclose(model.predict(X, verbose=0), X.sum() + np.full((1, 4), 50), 1e-5)


def test_what_is_read_from_variables_stays_with_the_usual_client():
    model = model_of()
    model.predict(X, verbose=0)
    assert is_inline(model)
    assert all(v.value.devices() == {jax.devices()[0]} for v in model.variables)
    model.fit(X, np.ones((1, 4), "float32"), verbose=0)
    assert all(v.value.devices() == {jax.devices()[0]} for v in model.variables)


def test_weights_that_change_at_each_call_are_not_copied_for_long():
    model = model_of()
    for number in range(60):
        model.set_weights([np.zeros((5, 4)), np.full(4, float(number))])
        assert model.predict(X, verbose=0).tolist() == [[number] * 4]
    assert not is_inline(model)


def test_large_models_have_no_copies(monkeypatch):
    monkeypatch.setattr(inline, "_MAX_BYTES", 4 * 23)
    model = model_of()
    model.predict(X, verbose=0)
    assert not is_inline(model)


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"inline": False}], ids=str)
def test_who_says_where_and_how_is_obeyed(options):
    model = model_of(**options)
    assert model.predict(X, verbose=0).shape == (1, 4)
    assert not is_inline(model)


def test_with_a_device_of_ones_own_nothing_changes():
    model = model_of()
    with jax.default_device(jax.devices()[1]):
        model.predict(X, verbose=0)
        assert not is_inline(model)


def test_without_a_client_predictions_are_computed_as_usual(monkeypatch):
    monkeypatch.setattr(inline, "inline_device", lambda: None)
    model = model_of()
    assert model.predict(X, verbose=0).shape == (1, 4)
    assert not is_inline(model)


def test_states_that_a_prediction_writes_are_kept():
    recurrent = layers.LSTM(4, stateful=True)
    model = xl.Sequential([layers.Input((3, 5), batch_size=1), recurrent])
    x = random.normal(size=(1, 3, 5)).astype("float32")
    first, second = model.predict(x, verbose=0), model.predict(x, verbose=0)
    assert not np.allclose(first, second)
    assert not is_inline(model)
    recurrent.reset_states()
    np.testing.assert_allclose(model.predict(x, verbose=0), first, rtol=1e-6)


def test_models_without_weights_predict():
    model = xl.Sequential([layers.Input((5,)), layers.ReLU()])
    np.testing.assert_array_equal(model.predict(X, verbose=0), np.maximum(X, 0))


def test_several_inputs_and_outputs():
    a, b = layers.Input((5,)), layers.Input((5,))
    model = xl.Model([a, b], {"sum": layers.Add()([a, b]), "dense": layers.Dense(2)(a)})
    found = model.predict([X, X], verbose=0)
    np.testing.assert_allclose(found["sum"], 2 * X)
    one = xl.Model(a, [layers.Dense(2)(a), layers.ReLU()(a)])
    assert [output.shape for output in one.predict(X, verbose=0)] == [(1, 2), (1, 5)]


def test_arrays_and_callbacks_inside_of_a_model():
    here = jax.device_put(np.full(4, 2.0, "float32"), jax.devices()[0])
    seen = []

    def scaled(x):
        jax.debug.callback(lambda value: seen.append(float(value)), x.sum())
        return jax.pure_callback(np.sign, jax.typeof(x), x) * here

    model = model_of(layers.Lambda(scaled))
    hidden = np.maximum(X @ model.get_weights()[0], 0)
    found = model.predict(X, verbose=0)
    jax.effects_barrier()
    np.testing.assert_allclose(found, np.sign(hidden) * 2)
    np.testing.assert_allclose(seen, [hidden.sum()], rtol=1e-5)
    assert is_inline(model)


def test_several_threads_predict_at_once():
    model = model_of()
    expected = model.predict(X, verbose=0)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: model.predict_on_batch(X), range(50)))
    assert all((output == expected).all() for output in found)
