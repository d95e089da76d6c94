"""Scatters of one number a row become comparisons, where what reads them is elementwise."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import xlathe as xl
from xlathe.compiler.passes.compare_indices import RULE, CompareIndices
from xlathe.compiler.pipeline import EXACT, run_passes
from xlathe.tracer.capture import capture

LOGITS = jax.random.normal(jax.random.key(0), (3, 5, 11))
LABELS = jax.random.randint(jax.random.key(1), (3, 5), 0, 11)


def operations(function, *arguments) -> frozenset[str]:
    graph, _ = run_passes(capture(function, *arguments).graph, EXACT)
    return CompareIndices()(graph).operations


def loss(logits, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def chosen(logits, labels):
    picked = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return jnp.sum(jnp.square(picked)) + jnp.sum(jnp.cos(logits))


def indexed(logits, labels):
    rows, columns = jnp.arange(3)[:, None], jnp.arange(5)
    return jnp.sum(jnp.square(logits[rows, columns, labels])) + jnp.sum(jnp.cos(logits))


@pytest.mark.parametrize("function", [loss, chosen, indexed])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_gradient_by_labels_holds_no_scatter_of_its_size(function, dtype):
    logits = LOGITS.astype(dtype)
    traced = xl.compile(jax.grad(function)).trace(logits, LABELS)
    assert RULE in traced.explain()
    got, wanted = xl.compile(jax.grad(function))(logits, LABELS), jax.grad(function)(logits, LABELS)
    assert got.dtype == wanted.dtype
    tolerance = 1e-6 if dtype == "float32" else 1e-2
    np.testing.assert_allclose(
        got.astype(np.float32), wanted.astype(np.float32), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("labels", [LABELS.at[0, 0].set(-1), LABELS.at[1, 2].set(11)])
@pytest.mark.parametrize("function", [chosen, indexed])
def test_labels_out_of_range(function, labels):
    got, wanted = (f(jax.grad(function))(LOGITS, labels) for f in (xl.compile, jax.jit))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_axis_and_type_of_index(axis, dtype):
    index = jnp.expand_dims(jnp.zeros(np.delete(LOGITS.shape, axis), dtype) + 1, axis)

    def function(x):
        return jnp.sum(jnp.take_along_axis(x, index, axis) ** 2) + jnp.sum(jnp.sin(x))

    assert "scatter_add" not in operations(jax.grad(function), LOGITS)
    got, wanted = xl.compile(jax.grad(function))(LOGITS), jax.grad(function)(LOGITS)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_negative_zero_is_added_to_zero():
    def function(x, updates):
        zeros = jnp.zeros((3, 4))
        dimensions = jax.lax.ScatterDimensionNumbers((), (1,), (1,), (0,), (0,))
        index = jnp.full((3, 1, 1), 2)
        return jnp.copysign(x, jax.lax.scatter_add(zeros, index, updates, dimensions))

    ones, updates = jnp.ones((3, 4)), jnp.full((3, 1), -0.0)
    np.testing.assert_array_equal(
        xl.compile(function)(ones, updates), jax.jit(function)(ones, updates)
    )


def test_others_stay():
    table = jnp.ones((11, 4))
    assert "scatter_add" in operations(jax.grad(lambda x: jnp.sum(jnp.sin(x[LABELS]))), table)
    two = LABELS[..., None] * jnp.ones(2, int)
    several = jax.grad(lambda x: chosen(x, LABELS) + jnp.take_along_axis(x, two, -1).sum())
    assert "scatter_add" in operations(several, LOGITS)
    returned = jax.grad(lambda x: jnp.take_along_axis(x, LABELS[..., None], -1).sum())
    assert "scatter_add" in operations(returned, LOGITS)
