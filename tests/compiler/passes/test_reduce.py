"""Reductions of fewer elements: which fire, which stay, and the numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl
from xlathe.compiler.ir import Graph
from xlathe.compiler.passes.fold_constants import FoldConstants
from xlathe.compiler.passes.inline_calls import InlineCalls
from xlathe.compiler.passes.normalise import Normalise
from xlathe.compiler.passes.reduce import Reduce
from xlathe.compiler.passes.simplify import Simplify
from xlathe.compiler.rules import RuleLog, logging_rules
from xlathe.tracer.capture import capture

from .check import operations, run

X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
Y = 2 - X

FIRES: dict[str, Callable[..., Any]] = {
    "sum of a broadcast": lambda x, y: jnp.broadcast_to(x, (5, 3, 4)).sum(),
    "sum of rows of a broadcast": lambda x, y: jnp.broadcast_to(x, (5, 3, 4)).sum((0, 2)),
    "sum of a stretched axis": lambda x, y: jnp.broadcast_to(x[:, :1], (3, 4)).sum(1),
    "mean of a broadcast": lambda x, y: jnp.broadcast_to(x, (5, 3, 4)).mean(),
    "greatest of a broadcast": lambda x, y: jnp.broadcast_to(x[:, None], (3, 5, 4)).max(1),
    "all of a broadcast": lambda x, y: jnp.broadcast_to(x > 0, (5, 3, 4)).all(0),
    "sum of a broadcast of halves": lambda x, y: jnp.broadcast_to(
        x.astype(jnp.float16), (5, 3, 4)
    ).sum(0),
    "sum of sums": lambda x, y: x.sum(1).sum(0),
    "greatest of the greatest": lambda x, y: x.max(1).max(0),
    "sum of sums reshaped": lambda x, y: x.sum(1).reshape(1, 3).sum(),
    "sum of reversed sums": lambda x, y: x[::-1].sum(1)[::-1].sum(0),
    "sum of transposed sums": lambda x, y: jnp.broadcast_to(x, (2, 3, 4)).sum(2).T.sum(1),
    "sum of pieces": lambda x, y: jnp.concatenate([x, y]).sum(),
    "sums of pieces": lambda x, y: jnp.concatenate([x, y]).sum(1),
    "sum of a stack": lambda x, y: jnp.stack([x, y, x]).sum(0),
    "sums of a stack": lambda x, y: jnp.stack([x, y, x], 1).sum(2),
    "least of a stack": lambda x, y: jnp.stack([x, y, x]).min(0),
    "product of a stack": lambda x, y: jnp.stack([x, y, x]).prod(0),
    "sum of padding": lambda x, y: jnp.pad(x, 2).sum(),
    "sums of padding": lambda x, y: jnp.pad(x, ((0, 0), (1, 2))).sum(1),
    "sum of one": lambda x, y: x[None].sum(0),
    "sum of a known fill": lambda x, y: x + jnp.full((7, 9), 3.0).sum(),
}


def reduced(
    function: Callable[..., Any], *arguments: Any, numerics: str = "relaxed"
) -> tuple[Graph, Graph, RuleLog]:
    graph = capture(function, *arguments).graph
    for transform in (InlineCalls(), Normalise(), FoldConstants(), Simplify()):
        graph = transform(graph)
    with logging_rules() as log:
        after = run(Reduce(numerics), graph)
    return graph, after, log


@pytest.mark.parametrize("name", FIRES)
def test_fewer_elements_are_reduced(name: str):
    _, _, log = reduced(FIRES[name], X, Y)
    rule = "reduce an axis of one" if name == "sum of one" else "reduction of fewer elements"
    assert log.hits == {rule: 1}


@pytest.mark.parametrize("name", FIRES)
def test_numbers(name: str):
    got, wanted = xl.compile(FIRES[name])(X, Y), jax.jit(FIRES[name])(X, Y)
    assert (got.dtype, got.weak_type) == (wanted.dtype, wanted.weak_type)
    np.testing.assert_allclose(got, wanted, rtol=1e-5 if got.dtype == X.dtype else 2e-3, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in FIRES if name != "all of a broadcast"])
def test_gradients(name: str):
    def total(function: Callable[..., Any]) -> Callable[..., Any]:
        return jax.grad(lambda x, y: jnp.sum(jnp.sin(function(x, y))), (0, 1))

    got, wanted = total(xl.optimize(FIRES[name]))(X, Y), total(FIRES[name])(X, Y)
    np.testing.assert_allclose(got, wanted, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", FIRES)
def test_nan_and_infinity_reach_what_they_reached(name: str, value: float):
    given = X.at[1, 2].set(value)
    got, wanted = xl.compile(FIRES[name])(given, Y), jax.jit(FIRES[name])(given, Y)
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(wanted))


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.uint8, jnp.int32])
@pytest.mark.parametrize("name", ["sum of a broadcast", "sum of sums", "sums of a stack"])
def test_integers_wrap_as_they_did(name: str, dtype: Any):
    x, y = (100 * X).astype(dtype), (90 * Y).astype(dtype)
    function = lambda x, y: FIRES[name](x, y).astype(dtype)  # noqa: E731
    got = xl.compile(function, numerics="strict")(x, y)
    np.testing.assert_array_equal(got, function(x, y))
    wide = lambda x: jnp.sum(jnp.broadcast_to(x, (300, 3, 4)), dtype=dtype)  # noqa: E731
    _, _, log = reduced(wide, x, numerics="strict")
    assert [rewrite.numerics for rewrite in log.rewrites] == ["exact"]
    np.testing.assert_array_equal(xl.compile(wide)(x), wide(x))


LEAVES: dict[str, Callable[..., Any]] = {
    "product of a broadcast": lambda x, y: jnp.broadcast_to(x, (5, 3, 4)).prod(0),
    "sums that are read": lambda x, y: (lambda z: (z, z.sum()))(x.sum(1)),
    "greatest of sums": lambda x, y: x.sum(1).max(),
    "greatest of padding": lambda x, y: jnp.pad(x, 2).max(),
    "sum of known padding": lambda x, y: jnp.pad(x, 2, constant_values=1.0).sum(),
    "what XLA sees through": lambda x, y: x.T.sum(0) + x[::-1].sum(1).sum(),
    "part of a merged axis": lambda x, y: x.reshape(3, 2, 2).sum(2),
    "nothing": lambda x, y: jnp.broadcast_to(x[:0], (5, 0, 4)).sum(),
}

DECLINES = {
    "product of a broadcast": {"a power costs as much as the product"},
    "sum of known padding": {"the padding is not known to be zero"},
}


@pytest.mark.parametrize("name", [name for name in LEAVES if name != "what XLA sees through"])
def test_leaves_alone(name: str):
    before, after, log = reduced(LEAVES[name], X, Y)
    assert after is before
    assert not log.rewrites
    assert {miss.reason for miss in log.misses} == DECLINES.get(name, set())


def test_moves_alone_are_left_to_xla():
    _, after, _ = reduced(LEAVES["what XLA sees through"], X, Y)
    assert operations(after)["transpose"] == 1


def test_more_than_a_half_float_can_count_is_left():
    def function(x):
        return lax.reduce_sum(jnp.broadcast_to(x.astype(jnp.float16), (70000, 3, 4)), (0,))

    graph, after, log = reduced(function, X)
    assert operations(after) == operations(graph)
    assert any("holds no 70000" in miss.reason for miss in log.misses)


def test_strict_reorders_no_sum_of_floats():
    before, after, _ = reduced(FIRES["sum of sums"], X, Y, numerics="strict")
    assert after is before
    _, _, log = reduced(FIRES["greatest of the greatest"], X, Y, numerics="strict")
    assert [rewrite.numerics for rewrite in log.rewrites] == ["exact"]


def test_sums_that_are_read_are_not_summed_again_from_their_terms():
    def function(x, y):
        sums = (x[:, :, None] * y[0]).sum(2)
        return sums, sums.sum(1).sum()

    _, after, log = reduced(function, X, Y)
    assert len(log.rewrites) == 1
    first, second = [item for item in after.nodes if item.operation == "reduce_sum"]
    assert second.inputs == (first,)
