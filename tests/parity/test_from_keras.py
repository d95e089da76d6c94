"""Models go from Keras to here and back with their weights, their outputs and their training."""

from typing import Any

import jax
import keras
import numpy as np
import pytest
from keras import layers, ops

import xlathe as xl

from .check import Case, data, make, randomise
from .table import CORE, MORE

TOKENS = np.array([[3, 1, 4, 0, 0], [2, 2, 0, 0, 0], [1, 4, 3, 2, 1]], "int32")
ROWS = data((3, 4))
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def model_of(case: Case):
    """Return a functional model of one layer, and inputs for it."""
    x = data(case.shapes, case.integers)
    fixed = case.options.get("stateful") or any(
        hasattr(leaf, "shape") for leaf in jax.tree.leaves(case.call)
    )

    def like(leaf: np.ndarray):
        first = leaf.shape[0] if fixed else None
        return keras.Input(batch_shape=(first, *leaf.shape[1:]), dtype=str(leaf.dtype))

    inputs = jax.tree.map(like, x)
    model = keras.Model(inputs, make(layers, case)(inputs, **case.call))
    model.set_weights(randomise([np.asarray(w.value) for w in model.weights]))
    return model, x


def comparable(config):
    """Return a config with tuples as lists, and without `training`, which a model decides on."""
    if isinstance(config, dict):
        return {key: comparable(item) for key, item in config.items() if key != "training"}
    return [comparable(item) for item in config] if isinstance(config, list | tuple) else config


def there_and_back(model):
    """Return the model here and in Keras again, after a look at configs and weights."""
    ours = xl.from_keras(model)
    again = xl.to_keras(ours)
    assert ours.name == again.name == model.name
    expected = {w.path: np.asarray(w.value) for w in model.weights}
    for other in (ours, again):
        found = {w.path: np.asarray(w.value) for w in other.weights}
        assert found.keys() == expected.keys()
        for path, value in found.items():
            assert value.dtype == expected[path].dtype
            np.testing.assert_array_equal(value, expected[path])
        trained = {w.path for w in other.trainable_variables}
        assert trained == {w.path for w in model.trainable_variables}
    return ours, again


def same_outputs(model, ours, again, x):
    stateful = any(getattr(layer, "stateful", False) for layer in model.layers)
    compiled = (lambda function: function) if stateful else jax.jit
    expected = jax.tree.leaves(compiled(lambda x: model(x, training=False))(x))
    for other in (ours, again):
        received = jax.tree.leaves(compiled(lambda x, m=other: m(x, training=False))(x))
        assert len(received) == len(expected)
        for a, b in zip(received, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", CORE, ids=str)
def test_layer_goes_there_and_back(case: Case):
    model, _ = model_of(case)
    _, again = there_and_back(model)
    assert comparable(again.get_config()) == comparable(model.get_config())


@pytest.mark.slow
@pytest.mark.parametrize("case", CORE + MORE, ids=str)
def test_layer_computes_the_same_there_and_back(case: Case):
    model, x = model_of(case)
    ours, again = there_and_back(model)
    assert comparable(again.get_config()) == comparable(model.get_config())
    same_outputs(model, ours, again, x)


def test_the_table_has_every_layer_that_both_have():
    exempt = """Input InputLayer Layer Lambda Wrapper Identity Masking InputSpec StackedRNNCells
    LSTMCell GRUCell SimpleRNNCell RandomCrop ActivityRegularization AlphaDropout GaussianDropout
    SpatialDropout1D SpatialDropout2D SpatialDropout3D""".split()
    both = {
        getattr(layers, name)
        for name in dir(xl.layers)
        if name[0].isupper() and hasattr(layers, name) and name not in exempt
    }
    assert both <= {getattr(layers, case.layer) for case in CORE + MORE}


def rest():
    """The layers whose outputs are random or as their inputs."""
    x = keras.Input((8, 8, 3))
    y = layers.RandomCrop(8, 8, seed=1)(x)
    y = layers.SpatialDropout2D(0.1)(layers.Identity()(y))
    y = layers.Reshape((64, 3))(y)
    y = layers.Masking(0.5)(layers.SpatialDropout1D(0.2)(y))
    y = layers.AlphaDropout(0.1)(layers.GaussianDropout(0.1)(y))
    y = layers.RNN([layers.SimpleRNNCell(2), layers.LSTMCell(3, dropout=0.1)])(y)
    return keras.Model(x, layers.ActivityRegularization(l2=0.1)(y)), data((2, 8, 8, 3))


def sequential():
    model = keras.Sequential(name="image")
    model.add(keras.Input((8, 8, 1)))
    model.add(layers.Rescaling(1.0 / 255))
    model.add(layers.Conv2D(2, 3, activation="relu", kernel_regularizer="l2"))
    model.add(layers.BatchNormalization())
    model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(3, kernel_constraint="max_norm", activity_regularizer="l1"))
    return model, data((2, 8, 8, 1))


def branched():
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    shared = layers.Dense(3, activation="tanh", name="shared")
    a, b = shared(left), shared(right)
    joined = layers.Dense(1)(layers.concatenate([a, b]))
    return keras.Model([left, right], [joined, layers.dot([a, b], axes=1)]), [ROWS, 2 * ROWS]


def by_name():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    outputs = {"y": layers.Dense(2)(layers.add([a, b])), "z": layers.Dense(1)(a)}
    return keras.Model({"a": a, "b": b}, outputs), {"a": ROWS, "b": 2 * ROWS}


def nested():
    start = keras.Input((4,))
    inner = keras.Model(start, layers.BatchNormalization()(layers.Dense(4)(start)), name="inner")
    inner.trainable = False
    head = keras.Sequential([layers.Dense(4, activation="relu"), layers.Dropout(0.5)], name="head")
    x = keras.Input((4,))
    twice = inner(head(inner(x, training=False)))
    return keras.Model(x, layers.Dense(2)(twice)), ROWS


def functions():
    x: Any = keras.Input((4, 6))
    y: Any = ops.mean(x * 2 + 1, axis=1, keepdims=True)
    y = ops.concatenate([y, ops.max(x, axis=1, keepdims=True)], axis=-1)
    flat: Any = ops.reshape(y, (-1, 12))
    y = flat[:, 1:7]
    y = ops.where(y > 0, y, ops.zeros_like(y))
    return keras.Model(x, ops.softmax(layers.Dense(3)(-y), axis=-1)), data((2, 4, 6))


def masked():
    tokens = keras.Input((5,), dtype="int32")
    x = layers.Embedding(5, 4, mask_zero=True)(tokens)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x)
    x = layers.MultiHeadAttention(2, 2)(x, x, use_causal_mask=True)
    return keras.Model(tokens, layers.GRU(2)(x)), TOKENS


def wrapped():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.LayerNormalization()])
    x = keras.Input((5, 4))
    return keras.Model(x, layers.TimeDistributed(inner)(x)), data((2, 5, 4))


def mixed():
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(3, dtype="mixed_bfloat16")(x)), ROWS


MODELS = [rest, sequential, branched, by_name, nested, functions, masked, wrapped, mixed]


@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
def test_model_goes_there_and_back(build):
    model, x = build()
    model.set_weights(randomise([np.asarray(w.value) for w in model.weights]))
    ours, again = there_and_back(model)
    names = {layer.name for layer in model.layers}
    assert {layer.name for layer in ours.layers} >= names
    assert {layer.name for layer in again.layers} == names
    assert [t.shape for t in ours.inputs] == [t.shape for t in model.inputs]
    same_outputs(model, ours, again, x)


def test_models_that_are_not_built():
    model = keras.Sequential([layers.Dense(3), layers.Dense(2)])
    ours = xl.from_keras(model)
    again = xl.to_keras(ours)
    assert not ours.built
    assert not again.built
    assert [layer.units for layer in again.layers] == [3, 2]
    model(ROWS)
    assert ours is not xl.from_keras(model)
    ours, again = there_and_back(model)
    assert ours(data((7, 4))).shape == again(data((7, 4))).shape == (7, 2)


def compiled_as(kind):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(1, "sigmoid")])
    if kind == "names":
        model.compile("adam", "binary_crossentropy", metrics=["accuracy", "mse"])
    elif kind == "objects":
        schedule: Any = keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)
        optimizer = keras.optimizers.SGD(schedule, momentum=0.9, clipnorm=1.0)
        loss = keras.losses.BinaryCrossentropy(label_smoothing=0.1)
        metric = keras.metrics.Precision(thresholds=0.4)
        model.compile(optimizer, loss, metrics=[keras.metrics.AUC(50)], weighted_metrics=[metric])
    else:
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01))
        metric = keras.metrics.mean_absolute_error
        model.compile(optimizer, keras.losses.mean_squared_error, metrics=[metric])
    return model


@pytest.mark.parametrize("kind", ["names", "objects", "functions"])
def test_compile_settings_come_along(kind):
    model = compiled_as(kind)
    ours = xl.from_keras(model)
    again = xl.to_keras(ours)
    y = (ROWS[:, :1] > 0).astype("float32")
    options = {"epochs": 2, "batch_size": 2, "shuffle": False, "verbose": 0}
    expected, *others = (m.fit(ROWS, y, **options).history for m in (model, ours, again))
    for history in others:
        assert history.keys() == expected.keys()
        for name, values in history.items():
            np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-6)


QUIET: Any = {"verbose": 0}
OPTIMIZERS: dict[str, Any] = {
    "Adam": {},
    "SGD": {"momentum": 0.9},
    "RMSprop": {"centered": True, "momentum": 0.9},
    "Adadelta": {},
    "Nadam": {},
    "Lion": {},
    "AdamW": {"gradient_accumulation_steps": 2},
    "LossScaleOptimizer": {},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_with_the_optimizers_state(name):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(1)])
    options = OPTIMIZERS[name]
    inner = [keras.optimizers.Adam(0.01)] if name == "LossScaleOptimizer" else []
    model.compile(getattr(keras.optimizers, name)(*inner, **options), "mse")
    y = ROWS[:, :1]
    fit: Any = {"batch_size": 2, "epochs": 3, "shuffle": False} | QUIET
    model.fit(ROWS, y, **fit)
    ours = xl.from_keras(model)
    again = xl.to_keras(ours)
    for one, other in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    expected, *others = (m.fit(ROWS, y, **fit).history["loss"] for m in (model, ours, again))
    for losses in others:
        np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_averages_of_weights_come_along():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(use_ema=True), "mse")
    model.fit(ROWS, ROWS[:, :1], **QUIET)
    ours = xl.from_keras(model)
    averages = [variable.numpy() for variable in model.optimizer._model_variables_moving_average]
    assert np.abs(averages[0]).max() > 0
    for one, other in zip(averages, ours.optimizer.averages, strict=True):
        np.testing.assert_array_equal(one, other.numpy())


def test_a_state_of_another_kind_stays_behind():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile(keras.optimizers.Adafactor(), "mse")
    model.fit(ROWS, ROWS[:, :1], **QUIET)
    with pytest.warns(UserWarning, match="without the state of its optimizer Adafactor"):
        ours = xl.from_keras(model)
    assert ours.optimizer.iterations == 0


def test_compile_settings_without_a_name_are_left_out():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile("sgd", lambda y_true, y_pred: (y_true - y_pred) ** 2)
    with pytest.warns(UserWarning, match=r"'sequential.*' was converted without what it was comp"):
        ours = xl.from_keras(model)
    assert not ours.compiled
    ours.compile("sgd", lambda y_true, y_pred: (y_true - y_pred) ** 2)
    with pytest.warns(UserWarning, match="was converted without what it was compiled with"):
        assert not xl.to_keras(ours).compiled


def test_classes_of_your_own_are_given_by_name():
    def define(lib):
        class Double(lib.layers.Layer):
            def __init__(self, factor=2.0, **kwargs):
                super().__init__(**kwargs)
                self.factor = factor

            def build(self, input_shape):
                self.scale = self.add_weight(shape=(input_shape[-1],), name="scale")

            def call(self, x):
                return self.factor * x * self.scale

            def get_config(self):
                return {**super().get_config(), "factor": self.factor}

        return Double

    model = keras.Sequential([keras.Input((4,)), define(keras)(3.0), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"Layer 'double.*' \(Double\).*custom_objects=\{'Double'"):
        xl.from_keras(model)
    ours = xl.from_keras(model, custom_objects={"Double": define(xl)})
    with pytest.raises(ValueError, match=r"Layer 'double.*' \(Double\).*custom_objects=\{'Double'"):
        xl.to_keras(ours)
    again = xl.to_keras(ours, custom_objects={"Double": define(keras)})
    same_outputs(model, ours, again, ROWS)


class TheirModel(keras.Model):
    def call(self, x):
        return x


class OurModel(xl.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.Lambda(lambda x: x, name="inner"), r"\(Lambda\).*holds a Python function"),
        (layers.RandomBrightness(0.1, name="inner"), r"\(RandomBrightness\).*Unknown class"),
        (layers.BatchNormalization(renorm=True, name="inner"), "renorm=True is not available"),
        (TheirModel(name="inner"), "is a subclassed model.*set_weights"),
    ],
    ids=["lambda", "missing", "argument", "subclassed"],
)
def test_what_cannot_come_here_is_named(layer, message):
    model = keras.Sequential([keras.Input((4, 4, 3)), layer])
    with pytest.raises(ValueError, match=f"Layer 'inner'.*{message}"):
        xl.from_keras(model)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (xl.layers.Lambda(lambda x: x, name="inner"), r"\(Lambda\).*holds a Python function"),
        (OurModel(name="inner"), "is a subclassed model.*set_weights"),
    ],
    ids=["lambda", "subclassed"],
)
def test_what_cannot_go_there_is_named(layer, message):
    model = xl.Sequential([xl.Input((4,)), layer])
    with pytest.raises(ValueError, match=f"Layer 'inner'.*{message}"):
        xl.to_keras(model)


def test_only_models_are_converted():
    with pytest.raises(TypeError, match=r"takes a keras\.Model.*Dense"):
        xl.from_keras(layers.Dense(3))
    with pytest.raises(TypeError, match=r"takes an xlathe\.Model.*int"):
        xl.to_keras(3)
