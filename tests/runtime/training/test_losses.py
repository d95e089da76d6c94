"""Cross-entropies of probabilities: what comes out of a softmax is not normalised again."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl
from xlathe import layers
from xlathe.tracer.layers.activations import softmax

random = np.random.default_rng(0)
LOGITS = jnp.asarray(random.normal(size=(6, 4)), jnp.float32)
LABELS = random.integers(0, 4, 6)


def entropy(logits: Any, normalise: Any = softmax) -> Any:
    return xl.losses.sparse_categorical_crossentropy(LABELS, normalise(logits)).sum()


def sums(normalise: Any, logits: Any = LOGITS) -> int:
    """How many sums the loss takes: of the classes' terms, of samples, and to normalise."""
    jaxpr = jax.make_jaxpr(lambda logits: entropy(logits, normalise))(logits)
    return str(jaxpr).count("reduce_sum")


def test_a_softmax_is_not_normalised_again():
    assert sums(softmax) == sums(jax.nn.softmax) - 1


@pytest.mark.parametrize(
    "normalise",
    [
        lambda x: 2.0 * softmax(x),
        lambda x: softmax(x, axis=0),
        lambda x: softmax(x)[:, ::-1],
    ],
)
def test_what_is_computed_of_a_softmax_is(normalise):
    assert sums(normalise) == sums(jax.nn.softmax)


def test_low_precision_is_normalised_again():
    low = LOGITS.astype("bfloat16")
    assert sums(softmax, low) == sums(jax.nn.softmax, low)


@pytest.mark.parametrize("scale", [1.0, 10.0, 100.0])
def test_values_and_gradients_are_those_of_the_definition(scale):
    got = jax.value_and_grad(entropy)(scale * LOGITS)
    wanted = jax.value_and_grad(lambda x: entropy(x, jax.nn.softmax))(scale * LOGITS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6), got, wanted)


def test_models_that_end_in_a_softmax_profit():
    def losses(head: Callable[[], list[Any]]) -> list[float]:
        xl.set_random_seed(0)
        model = xl.Sequential([layers.Input((4,)), *head()])
        model.compile("sgd", "sparse_categorical_crossentropy", numerics="strict")
        history = model.fit(np.asarray(LOGITS), LABELS, epochs=3, verbose=0).history
        text = jax.make_jaxpr(
            lambda x: model.compute_loss(x, LABELS, model(x, training=True), None, True)
        )(LOGITS)
        counted.append(str(text).count("reduce_sum"))
        return history["loss"]

    counted: list[int] = []
    dense, layer, plain = (
        losses(lambda: [layers.Dense(4, activation="softmax")]),
        losses(lambda: [layers.Dense(4), layers.Activation("softmax")]),
        losses(lambda: [layers.Dense(4, activation=jax.nn.softmax)]),
    )
    assert counted[0] == counted[1] == counted[2] - 1
    np.testing.assert_allclose(dense, layer, rtol=1e-6)
    np.testing.assert_allclose(dense, plain, rtol=1e-6)


def test_functions_of_ones_own_are_given_targets_of_the_predictions_rank():
    def squares(y_true, y_pred):
        assert y_true.shape == y_pred.shape == (4, 1)
        return (y_true - y_pred) ** 2

    x, y = np.ones((4, 2), "float32"), np.arange(4, dtype="float32")
    model = xl.Sequential([xl.Input((2,)), layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", squares)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(np.mean(y**2))


def test_a_loss_that_is_called_in_a_way_of_its_own():
    class Spread(xl.losses.Loss):
        def __call__(self, labels, features, sample_weight=None):  # pyright: ignore
            return jax.numpy.var(features) + 0 * labels.sum()

    model = xl.Sequential([xl.Input((2,)), layers.Dense(2, kernel_initializer="ones")])
    model.compile("sgd", Spread())
    x = np.array([[1.0, 0.0], [0.0, 3.0]], "float32")
    assert model.evaluate(x, np.zeros(2), verbose=0) == pytest.approx(1.0)
