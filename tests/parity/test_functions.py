"""Activations, regularizers, constraints and initializers equal Keras's."""

from typing import Any

import keras
import numpy as np
import pytest
from scipy import stats

import xlathe as xl

from .check import data

X = 2 * data((4, 6))

ACTIVATIONS = """relu leaky_relu relu6 softmax log_softmax elu selu celu glu gelu silu swish mish
tanh tanh_shrink sigmoid hard_sigmoid log_sigmoid sparse_sigmoid hard_silu hard_swish hard_tanh
hard_shrink soft_shrink softplus softsign squareplus sparse_plus exponential
linear""".split()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str):
    expected = np.asarray(keras.activations.get(name)(X))
    np.testing.assert_allclose(xl.activations.get(name)(X), expected, rtol=1e-5, atol=1e-6)


def test_sparsemax_is_the_nearest_probability():
    # Keras on JAX adds up cumulative sums here, and what it gives doesn't sum to one.
    y = np.asarray(xl.activations.sparsemax(X))
    np.testing.assert_allclose(y.sum(-1), np.ones(4), rtol=1e-6)
    points = np.random.default_rng(0).dirichlet(np.ones(6), (1000, 1))
    distances = np.linalg.norm(points - X, axis=-1).min(0)
    assert np.all(np.linalg.norm(y - X, axis=-1) <= distances + 1e-6)


@pytest.mark.parametrize("name", ["L1", "L2", "L1L2", "OrthogonalRegularizer"])
def test_regularizer(name: str):
    expected = getattr(keras.regularizers, name)()(X)
    np.testing.assert_allclose(getattr(xl.regularizers, name)()(X), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["MaxNorm", "NonNeg", "UnitNorm", "MinMaxNorm"])
def test_constraint(name: str):
    expected = getattr(keras.constraints, name)()(X)
    np.testing.assert_allclose(getattr(xl.constraints, name)()(X), expected, rtol=1e-5)


INITIALIZERS = """Zeros Ones Identity Constant RandomNormal TruncatedNormal RandomUniform
VarianceScaling GlorotUniform GlorotNormal LecunUniform LecunNormal HeUniform HeNormal
Orthogonal""".split()


@pytest.mark.parametrize("shape", [(60, 50), (3, 3, 20, 30)], ids=str)
@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializer_has_the_same_distribution(name: str, shape: tuple[int, ...]):
    if name == "Identity" and len(shape) != 2:
        shape = (7, 7)
    keras.utils.set_random_seed(1)
    xl.set_random_seed(1)
    theirs = np.asarray(getattr(keras.initializers, name)()(shape))
    initializer = getattr(xl.initializers, name)()
    ours = np.asarray(initializer(shape))
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, initializer(shape))
    if not initializer.takes_key:
        np.testing.assert_array_equal(ours, theirs)
        return
    comparison: Any = stats.ks_2samp(ours.ravel(), theirs.ravel())
    assert comparison.pvalue > 1e-4
    assert not np.array_equal(ours, getattr(xl.initializers, name)()(shape))


def test_orthogonal_is_orthogonal():
    q = np.asarray(xl.initializers.Orthogonal()((8, 5)))
    np.testing.assert_allclose(q.T @ q, np.eye(5), atol=1e-5)
