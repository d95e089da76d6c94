"""Bad input: errors in Keras's style, which say what was received and what to do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl
from xlathe import layers


def built() -> layers.Dense:
    layer = layers.Dense(3, name="dense")
    layer.build((None, 2))
    return layer


CASES = {
    "axis": (lambda: built()(np.ones((2, 3))), "expected axis -1 of input shape to have value 2"),
    "rank": (lambda: layers.Conv2D(2, 3)(np.ones((2, 3))), "expected min_ndim=4, found ndim=2"),
    "units": (lambda: layers.Dense(0), "expected a positive integer. Received: units=0"),
    "activation": (lambda: layers.Dense(1, activation="rleu"), "Did you mean 'relu'"),
    "initializer": (lambda: layers.Dense(1, kernel_initializer="he"), "initializer identifier: he"),
    "regularizer": (lambda: layers.Dense(1, kernel_regularizer="l3"), "Did you mean 'l"),
    "keyword": (lambda: layers.Dense(1, foo=2), "Unrecognized keyword arguments passed to Dense"),
    "name": (lambda: layers.Dense(1, name="a/b"), "cannot contain character `/`"),
    "trainable": (lambda: layers.Dense(1, trainable="no"), "Expected `trainable` to be a boolean"),
    "weights": (lambda: built().set_weights([1]), "the layer was expecting 2 weights"),
    "weight shape": (
        lambda: built().set_weights([np.ones((2, 2)), np.ones(3)]),
        r"has shape \(2, 3\), but the value given for it has shape \(2, 2\)",
    ),
    "unbuilt": (lambda: layers.Dense(1).count_params(), "the layer isn't built"),
    "unbuilt init": (lambda: xl.Sequential([layers.Dense(1)]).init(jax.random.key(0)), "not built"),
    "open size": (lambda: layers.Dense(1)(xl.Input((None,))), "must be fixed"),
    "kernel too large": (lambda: layers.Conv1D(1, 5)(np.ones((1, 3, 1))), "negative or zero"),
    "groups": (lambda: layers.Conv1D(3, 1, groups=2), "evenly divisible by the number of groups"),
    "merge": (lambda: layers.Add()(np.ones((2, 2))), "should be called on a list of inputs"),
    "merge shapes": (
        lambda: layers.Add()([np.ones((2, 3)), np.ones((2, 4))]),
        "Inputs have incompatible shapes",
    ),
    "concatenate": (
        lambda: layers.Concatenate()([np.ones((2, 3)), np.ones((3, 4))]),
        "matching shapes except for the concatenation axis",
    ),
    "reshape": (lambda: layers.Reshape((4,))(np.ones((2, 3))), "total size .* must be unchanged"),
    "stateful": (
        lambda: layers.LSTM(2, stateful=True)(xl.Input((3, 2))),
        "the batch size must be static",
    ),
    "disconnected": (
        lambda: xl.Model(xl.Input((2,), name="a"), layers.Dense(1)(xl.Input((2,), name="b"))),
        "not connected to `inputs`: it needs .*name=b",
    ),
    "not symbolic": (lambda: xl.Model(np.ones(2), np.ones(2)), "must be symbolic tensors"),
    "input shape": (
        lambda: xl.Sequential([xl.Input((4,)), layers.Dense(1)])(np.ones((2, 3))),
        r"Expected shape \(None, 4\), but input has incompatible shape \(2, 3\)",
    ),
    "layer name": (
        lambda: xl.Sequential([layers.Dense(1, name="a")]).get_layer("b"),
        r"No such layer: b. Existing layers are: \['a'\]",
    ),
    "heads": (lambda: layers.GroupQueryAttention(2, 3, 2), "must be divisible"),
    "dtype": (lambda: layers.Dense(1, dtype="mixed_int8"), "Cannot convert 'mixed_int8'"),
    "assign": (lambda: xl.Variable(jnp.zeros(2)).assign(jnp.zeros(3)), "must match"),
}


@pytest.mark.parametrize("name", CASES)
def test_error_says_what_was_received(name: str):
    make, message = CASES[name]
    with pytest.raises(ValueError, match=message):
        make()


def test_attributes_that_do_not_exist_yet():
    with pytest.raises(AttributeError, match="never been called and thus has no defined output"):
        _ = layers.Dense(1).output
    with pytest.raises(AttributeError, match="build the layer before accessing `kernel`"):
        _ = layers.Dense(1).kernel


def test_super_init_forgotten():
    class Forgetful(layers.Layer):
        def __init__(self):
            self.units = 3

    with pytest.raises(RuntimeError, match="forgot to call"):
        Forgetful()(np.ones(2))


def test_call_not_implemented():
    with pytest.raises(NotImplementedError, match="does not have a"):
        layers.Layer()(np.ones(2))


def test_jax_function_of_a_symbolic_tensor():
    with pytest.raises(TypeError):
        jnp.sum(xl.Input((2,)))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"layers.Lambda\(function\)"):
        np.sum(xl.Input((2,)))


def test_an_error_of_the_users_own_function_is_theirs():
    def fail(x):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        xl.Sequential([xl.Input((2,)), layers.Lambda(fail)])


@pytest.mark.parametrize("sizes", [(0, 3), (3, -1), (2.5, 3)])
def test_sizes_of_an_embedding(sizes):
    with pytest.raises(ValueError, match="expected a positive integer"):
        layers.Embedding(*sizes)
