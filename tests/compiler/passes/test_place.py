"""Products with parts among zeros: what is multiplied, the numbers, and where NaN gets to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl
from xlathe.compiler.cost import graph_cost
from xlathe.compiler.ir import Graph
from xlathe.compiler.passes.fold_constants import FoldConstants
from xlathe.compiler.passes.inline_calls import InlineCalls
from xlathe.compiler.passes.narrow import Narrow
from xlathe.compiler.passes.normalise import Normalise
from xlathe.compiler.passes.place import Place
from xlathe.compiler.passes.simplify import Simplify
from xlathe.compiler.rules import RuleLog, logging_rules
from xlathe.compiler.targets import CPU
from xlathe.tracer.capture import capture

from .check import run

N = 160
ROWS = jnp.array([1, 5, 5])
PLACE = jnp.int32(3)
A, B, C = (jax.random.normal(key, (N, N)) / 8 for key in jax.random.split(jax.random.key(0), 3))


def batched(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.einsum("bij,bkj->bik", a.reshape(20, 8, N), b.reshape(20, 8, N))


def sums(part: Callable[..., jax.Array]) -> Callable[..., Any]:
    return lambda a, b, c, i: jnp.sum(part(a, b, c, i) ** 2)


LOSSES: dict[str, Callable[..., Any]] = {
    "element": lambda a, b, c, i: (a @ b)[2, 2],
    "column": sums(lambda a, b, c, i: (a @ b)[:, 3]),
    "strided": sums(lambda a, b, c, i: (a @ b)[::40, ::-1]),
    "moving row": sums(lambda a, b, c, i: (a @ b)[i]),
    "moving element": sums(lambda a, b, c, i: (a @ b)[i, i]),
    "picked rows": sums(lambda a, b, c, i: (a @ b)[ROWS]),
    "picked columns": sums(lambda a, b, c, i: (a @ b)[:, ROWS + i]),
    "filled": sums(lambda a, b, c, i: jnp.take(a @ b, ROWS + N - i, 0, mode="fill", fill_value=2)),
    "chain": sums(lambda a, b, c, i: (a @ b @ c)[5:9]),
    "function": lambda a, b, c, i: jnp.sum(jnp.sin(a @ b)[i]),
    "parts of columns": sums(
        lambda a, b, c, i: (lambda y: y[:, 2:4] * y[:, 6:7] - 2 * y[:, 9:10])(a @ b)
    ),
    "parts of rows": sums(lambda a, b, c, i: (lambda y: y[2:4] + y[i])(a @ b)),
    "transposed": sums(lambda a, b, c, i: (a @ b.T).T[4]),
    "head": sums(lambda a, b, c, i: (a @ b).reshape(N, 16, 10)[:, 3]),
    "reversed": sums(lambda a, b, c, i: (a @ b)[::-1][4]),
    "concatenated": sums(lambda a, b, c, i: jnp.concatenate([a @ b, a @ c])[N - 3 : N + 2]),
    "one of those concatenated": sums(lambda a, b, c, i: jnp.concatenate([a @ b, c @ b], 1)[:, :3]),
    "stacked": sums(lambda a, b, c, i: jnp.stack([a @ b, a @ c])[1, :, 7]),
    "slice of a slice": sums(lambda a, b, c, i: (a @ b)[3:90][::7, 5:40]),
}


def gradient(name: str) -> Callable[..., Any]:
    return jax.grad(LOSSES[name], (0, 1, 2))


def prepared(function: Callable[..., Any], *arguments: Any) -> Graph:
    graph = capture(function, *arguments).graph
    for transform in (InlineCalls(), Normalise(), FoldConstants(), Simplify()):
        graph = transform(graph)
    return graph


def placed(
    function: Callable[..., Any], *arguments: Any, numerics: str = "relaxed"
) -> tuple[Graph, Graph, RuleLog]:
    before = prepared(function, *arguments)
    with logging_rules() as log:
        after = run(Place(numerics, CPU), before)
    return before, after, log


@pytest.mark.parametrize("numerics", ["relaxed", "finite"])
@pytest.mark.parametrize("name", LOSSES)
def test_only_the_part_is_multiplied(name: str, numerics: Any):
    _, after, log = placed(gradient(name), A, B, C, PLACE, numerics=numerics)
    assert {rewrite.numerics for rewrite in log.rewrites} == {numerics}
    before = prepared(gradient(name), A, B, C, PLACE)
    assert graph_cost(before).flops > 3 * graph_cost(Narrow(numerics, CPU)(after)).flops


@pytest.mark.parametrize("numerics", ["relaxed", "finite"])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name: str, numerics: Any):
    got = xl.compile(gradient(name), numerics=numerics)(A, B, C, PLACE)
    wanted = jax.jit(gradient(name))(A, B, C, PLACE)
    for one, other in zip(got, wanted, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * float(jnp.max(abs(other))))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", LOSSES)
def test_nan_and_infinity_reach_what_they_reached(name: str, value: float):
    ours, theirs = xl.compile(gradient(name)), jax.jit(gradient(name))
    for place in range(3):
        given = [A, B, C]
        given[place] = given[place].at[3, 7].set(value)
        for one, other in zip(ours(*given, PLACE), theirs(*given, PLACE), strict=True):
            np.testing.assert_array_equal(np.isfinite(one), np.isfinite(other))


def test_finite_drops_what_zeros_are_multiplied_with():
    gradient_of_a = jax.grad(LOSSES["element"])
    given = B.at[3, 7].set(np.nan)
    assert np.isnan(jax.jit(gradient_of_a)(A, given, C, PLACE)).any()
    got = xl.compile(gradient_of_a, numerics="finite")(A, given, C, PLACE)
    np.testing.assert_array_equal(got, jnp.zeros((N, N)).at[2].set(B[:, 2]))


def test_finite_goes_through_functions_and_relaxed_says_why_it_does_not():
    function = jax.grad(lambda a, b: jnp.sum(jnp.tanh(a @ b)[:, :4] ** 2), (0, 1))
    _, after, log = placed(function, A, B, numerics="finite")
    assert log.hits["product with a part among zeros"] == 2
    after = Narrow("finite", CPU)(after)
    assert graph_cost(prepared(function, A, B)).flops > 20 * graph_cost(after).flops
    for one, other in zip(
        xl.compile(function, numerics="finite")(A, B), function(A, B), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    before, after, log = placed(function, A, B)
    assert after is before
    assert any("may meet NaN" in miss.reason for miss in log.misses)


def convolved(x: jax.Array, w: jax.Array, **options: Any) -> jax.Array:
    layout = ("NHWC", "HWIO", "NHWC")
    options = {"window_strides": (1, 1), "padding": "SAME", **options}
    return lax.conv_general_dilated(x, w, dimension_numbers=layout, **options)


IMAGES = jax.random.normal(jax.random.key(1), (3, 40, 36, 8))
KERNEL = jax.random.normal(jax.random.key(2), (3, 5, 8, 16)) / 8
CONVOLUTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "rows": (lambda x, w: convolved(x, w)[:, :4], 2),
    "rows inside": (lambda x, w: convolved(x, w)[:, 9:12], 2),
    "last columns": (lambda x, w: convolved(x, w)[:, :, -3:], 2),
    "corner": (lambda x, w: convolved(x, w, padding="VALID")[:, 30:, 2:7], 2),
    "wide steps of the kernel": (lambda x, w: convolved(x, w, rhs_dilation=(2, 3))[:, 5:9], 2),
    "one image": (lambda x, w: convolved(x, w)[1:2], 2),
    "a channel": (lambda x, w: convolved(x, w)[..., 3:4], 2),
    "steps": (lambda x, w: convolved(x, w, window_strides=(2, 2))[:, 3:5], 2),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_only_the_part_is_convolved(name: str):
    part, count = CONVOLUTIONS[name]
    function = jax.grad(lambda x, w: jnp.sum(part(x, w) ** 2), (0, 1))
    before, after, log = placed(function, IMAGES, KERNEL, numerics="finite")
    assert log.hits["product with a part among zeros"] == count
    assert all(rewrite.numerics == "finite" for rewrite in log.rewrites)
    assert graph_cost(before).flops > 1.4 * graph_cost(after).flops
    got = xl.compile(function, numerics="finite")(IMAGES, KERNEL)
    for one, other in zip(got, function(IMAGES, KERNEL), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * float(jnp.max(abs(other))))


def test_declines_where_a_convolution_of_the_part_costs_as_much():
    function = jax.grad(lambda x: jnp.sum(convolved(x, KERNEL)[:, 1:] ** 2))
    before, after, log = placed(function, IMAGES, numerics="finite")
    assert after is before
    assert any(miss.reason == "the part costs as much as the whole" for miss in log.misses)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"numerics": "relaxed"}, "may meet NaN"),
        ({"numerics": "strict"}, "added in another order"),
        ({"numerics": "finite", "feature_group_count": 8}, "its channels are grouped"),
    ],
)
def test_declines_convolutions(options: dict[str, Any], reason: str):
    numerics = options.pop("numerics")
    kernel = KERNEL[:, :, :1] if options else KERNEL
    function = jax.grad(lambda x: jnp.sum(convolved(x, kernel, **options)[:, :4] ** 2))
    before, after, log = placed(function, IMAGES, numerics=numerics)
    assert after is before
    assert any(reason in miss.reason for miss in log.misses)


def test_the_other_factor_is_read_once():
    def function(a, b, i):
        return lax.dynamic_update_slice(jnp.zeros((N, N)), a[:1], (i, 0)) @ b

    _, after, log = placed(function, A, B, PLACE)
    shapes = [item.type.shape for item in after.nodes if item.operation == "dot_general"]
    assert sorted(shapes) == [(1, N), (N,)]
    (rewrite,) = log.rewrites
    assert rewrite.rule == "product with a part among zeros"
    assert rewrite.flops_before > 20 * rewrite.flops_after


def test_strict_places_products_of_integers_only():
    function = lambda a, b: lax.pad(a[:2], a[0, 0] * 0, ((3, N - 5, 0), (0, 0, 0))) @ b  # noqa: E731
    padded = lambda a, b: jnp.pad(a[:2], ((3, N - 5), (0, 0))) @ b  # noqa: E731
    before, after, log = placed(padded, A, B, numerics="strict")
    assert after is before
    assert "added in another order" in log.misses[0].reason
    a, b = ((100 * x).astype(jnp.int32) for x in (A, B))
    _, _, log = placed(padded, a, b, numerics="strict")
    assert [rewrite.numerics for rewrite in log.rewrites] == ["exact"]
    np.testing.assert_array_equal(xl.compile(padded, numerics="strict")(a, b), padded(a, b))
    np.testing.assert_array_equal(xl.compile(function)(a, b), function(a, b))


def test_declines_where_the_part_is_nearly_the_whole():
    before, after, log = placed(lambda a, b: jnp.pad(a[1:], ((1, 0), (0, 0))) @ b, A, B)
    assert after is before
    assert log.misses[0].reason == "the part costs as much as the whole"


LEAVES: dict[str, Callable[..., Any]] = {
    "padding that is not zero": lambda a, b: (
        jnp.pad(a[:2], ((3, N - 5), (0, 0)), constant_values=1.0) @ b
    ),
    "padding that is cut": lambda a, b: (
        lax.pad(a[:9], jnp.float32(0), ((-3, N - 6, 0), (0, 0, 0))) @ b
    ),
    "what is not zero where zeros were": lambda a, b: (
        jnp.cos(jnp.pad(a[:2], ((3, N - 5), (0, 0)))) @ b
    ),
    "an update of what is not zero": lambda a, b: b.at[3].set(a[2]) @ b,
    "no product": lambda a, b: jnp.pad(a[:2], ((3, N - 5), (0, 0))) + b,
}


@pytest.mark.parametrize("name", LEAVES)
def test_leaves_alone(name: str):
    before, after, log = placed(LEAVES[name], A, B)
    assert after is before
    assert not log.misses


def test_batches():
    loss = lambda a, b: jnp.sum(batched(a, b)[4] ** 2)  # noqa: E731
    function = jax.grad(loss, (0, 1))
    for numerics in ("relaxed", "finite"):
        got = xl.compile(function, numerics=numerics)(A, B)
        for one, other in zip(got, function(A, B), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.complex64])
def test_dtypes(dtype: Any):
    a, b = A.astype(dtype), B.astype(dtype)
    function = lambda a, b: jnp.pad(a[:2], ((3, N - 5), (0, 0))) @ b  # noqa: E731
    _, _, log = placed(function, a, b)
    assert log.rewrites
    got, wanted = xl.compile(function)(a, b), function(a, b)
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(
        np.asarray(got, np.complex64), np.asarray(wanted, np.complex64), rtol=2e-2, atol=1e-2
    )
    with_nan = function(a, b.at[3, 5].set(np.nan))
    np.testing.assert_array_equal(
        np.isnan(xl.compile(function)(a, b.at[3, 5].set(np.nan))), np.isnan(with_nan)
    )


def test_higher_derivatives_and_vmap():
    loss = xl.optimize(jax.grad(lambda a, b: jnp.sum((a @ b)[3] ** 2)))
    plain = jax.grad(lambda a, b: jnp.sum((a @ b)[3] ** 2))
    second = jax.grad(lambda a, b: jnp.sum(jnp.sin(loss(a, b))), 1)
    wanted = jax.grad(lambda a, b: jnp.sum(jnp.sin(plain(a, b))), 1)
    np.testing.assert_allclose(second(A, B), wanted(A, B), rtol=1e-3, atol=1e-3)
    many = jnp.stack([A, B])
    got = jax.vmap(loss, (0, None))(many, C)
    np.testing.assert_allclose(got, jax.vmap(plain, (0, None))(many, C), rtol=1e-3, atol=1e-3)
