"""Models made again with layers of their own."""

import numpy as np
import pytest

import xlathe as xl
from xlathe import layers

X = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


def sequential():
    return xl.Sequential([xl.Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(2)])


def functional():
    left, right = xl.Input((4,), name="left"), xl.Input((4,), name="right")
    shared = layers.Dense(3, name="shared")
    inner = xl.Sequential([layers.Dense(2, name="inside")], name="inner")
    joined = layers.Add()([shared(left), shared(right)]) * 2.0
    return xl.Model({"left": left, "right": right}, inner(joined))


class Subclassed(xl.Model):
    def __init__(self, units):
        super().__init__()
        self.dense = layers.Dense(units)

    def call(self, x):
        return self.dense(x)


def inputs_of(make):
    return {"left": X, "right": 2 * X} if make is functional else X


@pytest.mark.parametrize("make", [sequential, functional])
def test_a_clone_is_the_same_model_with_weights_of_its_own(make):
    model = make()
    clone = xl.models.clone_model(model)
    assert type(clone) is type(model)
    assert clone.get_config() == model.get_config()
    assert not {id(w) for w in clone.weights} & {id(w) for w in model.weights}
    x = inputs_of(make)
    assert not np.allclose(clone(x), model(x))
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(x), model(x))


def test_a_function_makes_the_layers():
    def wider(layer):
        config = layer.get_config()
        if isinstance(layer, layers.Dense):
            config["units"] *= 2
        return type(layer).from_config(config)

    clone = xl.models.clone_model(sequential(), clone_function=wider)
    assert [layer.units for layer in clone.layers] == [6, 4]
    clone = xl.models.clone_model(functional(), clone_function=wider)
    assert clone.get_layer("shared").units == 6
    assert clone.get_layer("inner").get_layer("inside").units == 2
    clone = xl.models.clone_model(functional(), clone_function=wider, recursive=True)
    assert clone.get_layer("inner").get_layer("inside").units == 4


def test_layers_are_called_as_told():
    def call(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        return outputs + 1.0 if layer.name == "shared" else outputs

    model = functional()
    clone = xl.models.clone_model(model, call_function=call)
    clone.set_weights(model.get_weights())
    kernel = model.get_layer("inner").get_weights()[0]
    x = inputs_of(functional)
    np.testing.assert_allclose(clone(x), model(x) + 4 * kernel.sum(0), rtol=1e-5, atol=1e-5)


def test_a_clone_stands_on_the_tensors_given():
    start = xl.Input((4,), name="start")
    clone = xl.models.clone_model(sequential(), input_tensors=start)
    assert clone.inputs[0].name == "start"
    with pytest.raises(ValueError, match="has 2 inputs"):
        xl.models.clone_model(functional(), input_tensors=[start])


def test_a_subclassed_model_is_made_of_its_config():
    clone = xl.models.clone_model(Subclassed(5))
    assert type(clone) is Subclassed
    assert clone(X).shape == (3, 5)
    with pytest.raises(ValueError, match="not available for subclassed"):
        xl.models.clone_model(Subclassed(5), clone_function=lambda layer: layer)
    with pytest.raises(ValueError, match="takes a Model"):
        xl.models.clone_model(layers.Dense(2))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="Sequential"):
        xl.models.clone_model(sequential(), call_function=lambda layer, x: layer(x))


def test_a_config_needs_no_arguments_that_init_does_not_take():
    model = Subclassed(5)
    model.trainable = False
    again = Subclassed.from_config(model.get_config())
    assert (again.name, again._trainable, again.dtype) == (model.name, False, "float32")
