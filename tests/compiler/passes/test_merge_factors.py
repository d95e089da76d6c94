"""Known factors that follow one another become one, where that is a normal number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl
from xlathe.compiler.passes.merge_factors import MergeFactors
from xlathe.compiler.pipeline import EXACT, run_passes
from xlathe.compiler.rules import RuleLog, logging_rules
from xlathe.tracer.capture import capture

X = jnp.linspace(-2, 3, 6)


def merged(function, x=X) -> tuple[list[float], RuleLog]:
    """The factors that are left, and what the rule says."""
    graph, _ = run_passes(capture(function, x).graph, EXACT)
    with logging_rules() as log:
        graph = MergeFactors()(graph)
    constants = [item for item in graph.nodes if item.is_constant]
    return [float(item.value) for item in constants], log


@pytest.mark.parametrize(
    ("function", "factors"),
    [
        (lambda x: 0.5 * (2.0 * x), []),
        (lambda x: (x * 3.0) * 0.25, [0.75]),
        (lambda x: -2.0 * (3.0 * (0.5 * x)), [-3.0]),
        (lambda x: 0.5 * (2.0 * x) + jnp.sin(2.0 * x), [2.0]),
        (lambda x: jnp.full(6, 0.5) * (jnp.full(6, 2.0) * x), []),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_factor_is_left(function: Callable[..., Any], factors, dtype):
    x = X.astype(dtype)
    found, log = merged(function, x)
    assert found == factors
    assert log.hits["merge factors"]
    got = xl.compile(function)(x)
    wanted = jax.jit(function)(x)
    assert (got.dtype, got.weak_type) == (wanted.dtype, wanted.weak_type)
    np.testing.assert_allclose(
        got.astype("float32"), wanted.astype("float32"), rtol=float(jnp.finfo(dtype).eps) * 2
    )


@pytest.mark.parametrize("function", [lambda x: 1e-30 * (1e-20 * x), lambda x: 0.0 * (2.0 * x)])
def test_it_declines_what_is_no_normal_number(function):
    factors, log = merged(function)
    assert len(factors) == 2
    assert not log.hits
    assert "is not a normal number of float32" in log.misses[0].reason


@pytest.mark.parametrize("x", [X, jnp.arange(4)])
def test_other_products_are_left_alone(x):
    _, log = merged(lambda x: (2 * x + 1) * 3 * (x * x), x)
    assert not log.hits
    assert not log.misses


def test_a_gradient_solves_each_system_once():
    def loss(A, b):
        return 0.5 * jnp.sum(jnp.square(jnp.linalg.inv(A) @ b))

    A, b = jnp.eye(5) * 3 + 0.1, jnp.arange(5.0)
    gradient = jax.grad(loss, argnums=(0, 1))
    text = xl.compile(gradient).trace(A, b).as_text("python")
    assert text.count("custom_linear_solve(") == 2
    for got, wanted in zip(xl.compile(gradient)(A, b), jax.jit(gradient)(A, b), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
