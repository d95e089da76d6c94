"""Sequential, functional and subclassed models."""

import json
import re

import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl
from xlathe import layers

X = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")


def test_sequential_is_built_by_its_input_or_by_the_first_call():
    known = xl.Sequential([xl.Input((6,)), layers.Dense(3), layers.Dense(2)])
    assert known.built
    assert known.output_shape == (None, 2)
    late = xl.Sequential([layers.Dense(3), layers.Dense(2)])
    assert not late.built
    assert late.weights == []
    assert late(X).shape == (4, 2)
    assert late(X[:1]).shape == (1, 2)
    assert [w.shape for w in late.weights] == [(6, 3), (3,), (3, 2), (2,)]
    assert known.count_params() == 29


def test_add_and_pop():
    model = xl.Sequential()
    model.add(layers.Dense(3, input_shape=(6,)))
    model.add(layers.Dense(2, name="last"))
    assert model(X).shape == (4, 2)
    assert model.pop().name == "last"
    assert model(X).shape == (4, 3)
    with pytest.raises(ValueError, match="Only instances of `Layer`"):
        model.add("relu")
    with pytest.raises(ValueError, match="unique names"):
        xl.Sequential([layers.Dense(1, name="a"), layers.Dense(1, name="a")])


def test_several_inputs_and_outputs():
    text, price = xl.Input((6,), name="text"), xl.Input((1,), name="price")
    joined = layers.Concatenate()([layers.Dense(3)(text), price])
    model = xl.Model([text, price], {"score": layers.Dense(1)(joined), "joined": joined})
    prices = np.ones((4, 1), "float32")
    by_place = model([X, prices])
    by_name = model({"price": prices, "text": X})
    narrow = model([X, prices[:, 0]])
    for y in (by_name, narrow):
        np.testing.assert_array_equal(y["score"], by_place["score"])
    assert by_place["joined"].shape == (4, 4)
    assert model.input_names == ["text", "price"]
    with pytest.raises(ValueError, match=r"Missing data for input \['price'\]"):
        model({"text": X})
    with pytest.raises(ValueError, match=r"expects 2 input\(s\)"):
        model([X])


def test_shared_layers_and_nested_models():
    tower = xl.Sequential([xl.Input((6,)), layers.Dense(3)], name="tower")
    a, b = xl.Input((6,)), xl.Input((6,))
    model = xl.Model([a, b], layers.Subtract()([tower(a), tower(b)]))
    np.testing.assert_allclose(model([X, X]), np.zeros((4, 3)), atol=1e-6)
    assert len(model.weights) == 2
    assert list(model.get_params()) == ["tower"]


def test_operators_and_constants_on_symbolic_tensors():
    x = xl.Input((6,))
    model = xl.Model(x, 1.0 - (x[:, :2] * 2 + x[:, 2:4]) ** 2 / 4.0)
    expected = 1.0 - (X[:, :2] * 2 + X[:, 2:4]) ** 2 / 4.0
    np.testing.assert_allclose(model(X), expected, rtol=1e-5)


def test_a_part_of_a_model_is_a_model():
    model = xl.Sequential([xl.Input((6,)), layers.Dense(3, name="a"), layers.Dense(2)])
    features = xl.Model(model.inputs, model.get_layer("a").output)
    np.testing.assert_allclose(features(X), model.layers[0](X), rtol=1e-6)


def test_integers_are_cast_to_the_inputs_element_type():
    model = xl.Sequential([xl.Input((2, 2)), layers.Flatten()])
    assert model(np.ones((3, 2, 2), "uint8")).dtype == jnp.float32


class Classifier(xl.Model):
    """A model by subclassing, with layers in a list."""

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.blocks = []
        for _ in range(2):
            self.blocks.append(layers.Dense(units, activation="relu"))
        self.drop = layers.Dropout(0.9)
        self.scale = xl.Variable(2.0, name="scale")

    def call(self, x, training=False):
        for block in self.blocks:
            x = block(x)
        return self.drop(x, training=training) * self.scale


def test_subclassed_model():
    model = Classifier(4)
    y = model(X)
    assert y.shape == (4, 4)
    assert [w.name for w in model.weights] == ["scale", "kernel", "bias", "kernel", "bias"]
    assert not np.allclose(model(X, training=True), y)
    again = Classifier.from_config(json.loads(json.dumps(model.get_config())))
    again.build((None, 6))
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(again(X), y, rtol=1e-6)
    lines: list[str] = []
    again.summary(print_fn=lines.append)
    assert lines[0].count("(None, 4)") == 3


def test_functional_model_in_a_subclass():
    class Doubled(xl.Model):
        def train_step(self, state, data):
            return {}, state

    class Own(xl.Model):
        def __init__(self):
            x = xl.Input((6,))
            super().__init__(x, layers.Dense(2)(x))

    x = xl.Input((6,))
    model = Doubled(x, layers.Dense(2)(x))
    assert isinstance(model, Doubled)
    assert model(X).shape == (4, 2)
    config = json.loads(json.dumps(model.get_config()))
    assert isinstance(Doubled.from_config(config), Doubled)
    assert Own()(X).shape == (4, 2)


def test_custom_layer_is_traced_like_any_other():
    class Scaled(layers.Layer):
        def build(self, input_shape):
            self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")

        def call(self, inputs):
            return inputs * self.factor

    layer = Scaled(name="scaled")
    model = xl.Sequential([xl.Input((6,)), layer, layers.Dense(1)], name="model")
    np.testing.assert_array_equal(layer(X), X)
    assert layer.built
    assert layer.factor.path == "model/scaled/factor"
    assert len(model.trainable_weights) == 3


def test_config_of_a_functional_model_gives_an_equal_one():
    x, y = xl.Input((6,), name="x"), xl.Input((3,), name="y")
    dense = layers.Dense(3, activation="tanh", kernel_initializer="he_normal")
    z = layers.Add()([dense(x), y * 2.0])
    attended = layers.Reshape((1, 3))(z)
    attended = layers.MultiHeadAttention(2, 2)(attended, attended, use_causal_mask=True)
    rnn = layers.Bidirectional(layers.LSTM(2), merge_mode="sum")(attended)
    model = xl.Model({"x": x, "y": y}, [z[:, :2], rnn], name="whole")
    config = json.loads(json.dumps(model.get_config()))
    copy = xl.Model.from_config(config)
    copy.set_weights(model.get_weights())
    data = {"x": X, "y": X[:, :3]}
    for a, b in zip(model(data), copy(data), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert copy.get_config() == model.get_config()


def test_config_of_a_sequential_model_gives_an_equal_one():
    model = xl.Sequential([xl.Input((6, 2)), layers.GRU(3, dropout=0.2), layers.Dense(2)])
    copy = xl.Sequential.from_config(json.loads(json.dumps(model.get_config())))
    copy.set_weights(model.get_weights())
    data = np.stack([X, X], -1)
    np.testing.assert_allclose(copy(data), model(data), rtol=1e-6)
    assert copy.get_config() == model.get_config()


def test_unknown_class_in_a_config():
    with pytest.raises(ValueError, match=r"Unknown class: 'Dens'\. Did you mean 'Dense'"):
        xl.Sequential.from_config(
            {"name": "m", "layers": [{"class_name": "Dens", "config": {"units": 1}}]}
        )


def test_mixed_precision_computes_in_the_shorter_type():
    model = xl.Sequential([xl.Input((6,)), layers.Dense(2, dtype="mixed_bfloat16")])
    assert model.layers[0].weights[0].dtype == jnp.float32
    assert model.layers[0](X).dtype == jnp.bfloat16


def test_stateful_recurrent_layer_goes_on():
    data = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")
    layer = layers.LSTM(4, stateful=True)
    layer(data[:, :3])
    second = layer(data[:, 3:])
    whole = layers.LSTM(4)
    whole.build((2, 6, 3))
    whole.set_weights(layer.get_weights())
    np.testing.assert_allclose(second, whole(data), rtol=1e-5, atol=1e-6)
    layer.reset_state()
    np.testing.assert_allclose(layer(data), whole(data), rtol=1e-5, atol=1e-6)


def test_summary_has_keras_columns():
    x = xl.Input((6,), name="x")
    y = layers.Dense(3, name="a")(x)
    model = xl.Model(x, layers.Add(name="sum")([y, y]), name="small")
    lines: list[str] = []
    model.summary(print_fn=lines.append, show_trainable=True)
    text = "\n".join(lines)
    for part in (
        'Model: "small"',
        "Layer (type)",
        "Output Shape",
        "Param #",
        "Connected to",
        "a (Dense)",
        "(None, 3)",
        "a[0][0]",
        "Total params: 21 (84.00 B)",
        "Non-trainable params: 0 (0.00 B)",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 98


def test_a_config_without_a_name():
    class Scale(layers.Layer):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def call(self, x):
            return x * self.factor

        def get_config(self):
            return {"factor": self.factor}

    inputs = xl.Input((2,))
    model = xl.Model(inputs, Scale(3.0)(Scale(2.0)(inputs)))
    again = xl.Model.from_config(model.get_config(), custom_objects={"Scale": Scale})
    np.testing.assert_allclose(again(np.ones((1, 2), "float32")), 6)
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]


def test_layers_are_in_the_order_of_their_distance_from_the_outputs():
    wide, deep = xl.Input((3,), name="wide"), xl.Input((3,), name="deep")
    shared = layers.Dense(3, name="shared")
    first = layers.Dense(3, name="first")(deep)
    second = shared(layers.Dense(3, name="second")(shared(first)))
    model = xl.Model([wide, deep], [layers.Concatenate(name="both")([wide, second])])
    names = [layer.name for layer in model.layers]
    assert names == ["deep", "first", "shared", "second", "wide", "both"]
    assert [weight.path for weight in model.weights][::2] == [
        "first/kernel",
        "shared/kernel",
        "second/kernel",
    ]


def test_the_summary_counts_the_optimizer_and_lists_several_outputs():
    inputs = xl.Input((3, 2))
    outputs, state = layers.GRU(2, return_sequences=True, return_state=True)(inputs)
    model = xl.Model(inputs, [outputs + 1, state])
    model.compile("sgd", ["mse", None])
    model.fit(np.ones((2, 3, 2)), np.ones((2, 3, 2)), verbose=0)
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert " Optimizer params: 2 (8.00 B)" in lines[0]
    assert f" Total params: {model.count_params() + 2} " in lines[0]
    assert "[(None, 3, 2)," in lines[0]
    assert re.search(r"add\w* \(Add\)", lines[0])


def test_weights_are_in_the_order_in_which_they_were_made():
    class Mixed(layers.Layer):
        def __init__(self):
            super().__init__()
            self.first = self.add_weight(shape=(1,), name="first")
            self.second = xl.Variable(np.ones(2, "float32"), name="second")

        def build(self, input_shape):
            self.third = self.add_weight(shape=(3,), name="third")

        def call(self, x):
            return x

    layer = Mixed()
    layer(X)
    assert [weight.name for weight in layer.weights] == ["first", "second", "third"]


def test_python_on_variables_and_symbolic_tensors():
    number = xl.Variable(2.5)
    assert (float(number), int(number), float(7 // number)) == (2.5, 2, 2.0)
    with pytest.raises(TypeError, match="cannot be used as a boolean"):
        bool(number)
    inputs = xl.Input((6,))
    between = (inputs > -1) & (inputs < 1) | ~(inputs < 2)
    model = xl.Model(inputs, [between, +inputs % 2, 5 // (inputs + 9)])
    expected = [(X > -1) & (X < 1) | ~(X < 2), X % 2, 5 // (X + 9)]
    for result, value in zip(model(X), expected, strict=True):
        np.testing.assert_allclose(result, value, rtol=1e-5)
    assert "logical_and" in [layer.name.rstrip("_0123456789") for layer in model.operations]
