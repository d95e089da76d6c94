"""Only what is used is computed: where slices go, where they stay and why, and the numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl
from xlathe.compiler.cost import graph_cost
from xlathe.compiler.ir import Graph
from xlathe.compiler.lowering import lower
from xlathe.compiler.passes.fold_constants import FoldConstants
from xlathe.compiler.passes.inline_calls import InlineCalls
from xlathe.compiler.passes.narrow import Narrow
from xlathe.compiler.passes.normalise import Normalise
from xlathe.compiler.passes.simplify import Simplify
from xlathe.compiler.rules import RuleLog, logging_rules
from xlathe.compiler.targets import CPU, GPU
from xlathe.tracer.capture import capture

from .check import operations, run

N = 96
ROWS = jnp.array([1, 5, 5])
NARROW = Narrow(target=CPU)


def matrices(*shapes: tuple[int, ...], dtype: Any = jnp.float32) -> list[jax.Array]:
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [
        jax.random.normal(key, shape).astype(dtype) for key, shape in zip(keys, shapes, strict=True)
    ]


def prepared(function: Callable[..., Any], *arguments: Any) -> tuple[Graph, Any]:
    captured = capture(function, *arguments)
    graph = captured.graph
    for transform in (InlineCalls(), Normalise(), FoldConstants(), Simplify()):
        graph = transform(graph)
    return graph, captured


def narrowed(
    function: Callable[..., Any], *arguments: Any, transform: Narrow = NARROW
) -> tuple[Graph, Graph, RuleLog]:
    """The graph before and after, and the log; the numbers are compared with JAX's."""
    before, captured = prepared(function, *arguments)
    with logging_rules() as log:
        after = run(transform, before)
    got = lower(after, constant_count=captured.constant_count)(
        *jax.tree.leaves(arguments), *captured.constants
    )
    wanted = jax.tree.leaves(jax.jit(function)(*arguments))
    for one, other in zip(got, wanted, strict=True):
        assert jnp.asarray(one).dtype == other.dtype
        np.testing.assert_allclose(
            np.asarray(one, np.float64), np.asarray(other, np.float64), rtol=2e-4, atol=2e-4
        )
    return before, after, log


def convolved(x: jax.Array, w: jax.Array, strides: int = 1) -> jax.Array:
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (strides, strides), "SAME", dimension_numbers=layout)


A, B = (x / 8 for x in matrices((N, N), (N, N)))
BATCH, OTHERS = matrices((12, 32, 32), (12, 32, 32))
IMAGES, KERNEL = matrices((8, 24, 24, 6), (3, 3, 6, 16))
MANY = jnp.tile(KERNEL, (1, 1, 1, 32))
LOWER = jnp.tril(A) + 2 * jnp.eye(N)
INDEX = jnp.int32(3)

FIRES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], float]] = {
    "element": (lambda a, b: (a @ b)[2, 2], (A, B), 100),
    "column": (lambda a, b: (a @ b)[:, 3], (A, B), 50),
    "strided rows": (lambda a, b: (a @ b)[4::24], (A, B), 20),
    "negative stride": (lambda a, b: (a @ b)[60:3:-20], (A, B), 20),
    "chain": (lambda a, b: (a @ b @ a)[5:9], (A, B), 20),
    "moving row": (lambda a, b, i: jnp.sin(a @ b)[i], (A, B, INDEX), 50),
    "moving element": (lambda a, b, i: (a @ b)[i, i + 1], (A, B, INDEX), 100),
    "row out of bounds": (lambda a, b, i: (a @ b)[i + 1000], (A, B, INDEX), 50),
    "window": (lambda a, b, i: lax.dynamic_slice(a @ b, (i, i), (4, 8)), (A, B, INDEX), 20),
    "picked rows": (lambda a, b: (a @ b)[ROWS], (A, B), 20),
    "picked columns": (lambda a, b: jnp.tanh(a @ b)[:, ROWS], (A, B), 20),
    "clipped": (lambda a, b: jnp.take(a @ b, ROWS + N - 3, axis=1, mode="clip"), (A, B), 20),
    "filled": (
        lambda a, b, i: jnp.take(a @ b, ROWS + N - i, axis=0, mode="fill", fill_value=7.0),
        (A, B, INDEX),
        20,
    ),
    "part of picked": (lambda a, b, r: (a @ b)[r][1:2, 4], (A, B, jnp.arange(9) + INDEX), 100),
    "position from itself": (
        lambda a, b: (lambda y: y[jnp.argmax(y[0])])(a @ b),
        (A, B),
        20,
    ),
    "two parts": (lambda a, b: (lambda y: (y[2:4], y[:, 7]))(a @ b), (A, B), 10),
    "overlapping parts": (lambda a, b: (lambda y: y[2:6] - y[3:7])(a @ b), (A, B), 10),
    "batch": (lambda a, b: jnp.einsum("bij,bjk->bik", a, b)[3], (BATCH, OTHERS), 10),
    "batched column": (lambda a, b: jnp.einsum("bij,bjk->bik", a, b)[:, :, 2], (BATCH, OTHERS), 10),
    "heads": (lambda a, b: (a @ b).reshape(N, 8, 12)[:, 3], (A, B), 5),
    "moving head": (lambda a, b, i: (a @ b).reshape(N, 8, 12)[:, i], (A, B, INDEX), 5),
    "flat": (lambda a, b: (a @ b).reshape(-1)[2 * N + 3 : 2 * N + 9], (A, B), 100),
    "transposed": (lambda a, b: (a @ b).T[3], (A, B), 50),
    "reversed": (lambda a, b: (a @ b)[::-1, ::-1][3, 5:8], (A, B), 100),
    "joined": (lambda a, b: jnp.concatenate([a @ b, b @ a, a])[N + 3], (A, B), 50),
    "stacked": (lambda a, b: jnp.stack([a @ b, b @ a])[1, 5], (A, B), 50),
    "padded": (lambda a, b: jnp.pad(a @ b, 2)[5], (A, B), 50),
    "broadcast": (lambda a, b: ((a @ b)[:, None] + jnp.zeros((N, 4, N)))[2, 3], (A, B), 50),
    "chosen": (lambda a, b: jnp.where(a @ b > 0, a @ b, b)[7], (A, B), 50),
    "cast": (lambda a, b: (a @ b).astype(jnp.float16)[7], (A, B), 50),
    "sums": (lambda a, b: (a @ b).sum(1)[4:6], (A, B), 20),
    "greatest": (lambda a, b: jnp.argmax(a @ b, 1)[4], (A, B), 20),
    "first sums": (lambda a, b: jnp.cumsum(a @ b, 0)[:3], (A, B), 10),
    "last sum": (lambda a: jnp.cumsum(jnp.tile(a, (20, 1)), 0)[-1], (A,), 0.9),
    "images": (lambda x, w: convolved(x, w)[2], (IMAGES, KERNEL), 6),
    "channels": (lambda x, w: convolved(x, w)[..., 3:5], (IMAGES[:2], MANY), 6),
    "window of images": (lambda x, w: convolved(x, w, 2)[:, 3:5, ::3], (IMAGES, KERNEL), 6),
    "corner of images": (lambda x, w: convolved(x, w)[:, :2, -2:], (IMAGES, KERNEL), 6),
    "one side": (
        lambda a, b: lax.linalg.triangular_solve(a, b, left_side=True, lower=True)[:, 3],
        (LOWER, B),
        0.9,
    ),
}


@pytest.mark.parametrize("name", FIRES)
def test_only_what_is_used_is_computed(name: str):
    function, arguments, factor = FIRES[name]
    before, after, log = narrowed(function, *arguments)
    assert log.rewrites
    assert graph_cost(before).flops > factor * graph_cost(after).flops


@pytest.mark.parametrize(
    "name",
    [
        "chain",
        "moving element",
        "filled",
        "part of picked",
        "overlapping parts",
        "batched column",
        "moving head",
        "joined",
        "first sums",
        "last sum",
        "window of images",
        "one side",
    ],
)
def test_gradients_of_parts(name: str):
    function, arguments, _ = FIRES[name]
    moving = [place for place, x in enumerate(arguments) if jnp.issubdtype(x.dtype, jnp.floating)]

    def total(*values: Any) -> Any:
        return sum(jnp.sum(jnp.sin(part)) for part in jax.tree.leaves(function(*values)))

    def ours(*values: Any) -> Any:
        found = xl.optimize(function)(*values)
        return sum(jnp.sum(jnp.sin(part)) for part in jax.tree.leaves(found))

    got = jax.grad(ours, moving)(*arguments)
    wanted = jax.grad(total, moving)(*arguments)
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * float(jnp.max(other)))


def test_slices_stand_on_the_operands():
    _, after, log = narrowed(lambda a, b: jnp.sin(a @ b)[4:6, 1:3], A, B)
    (product,) = [item for item in after.nodes if item.operation == "dot_general"]
    assert product.type.shape == (2, 2)
    assert [source.operation for source in product.inputs] == ["slice", "slice"]
    (rewrite,) = log.rewrites
    assert rewrite.rule == "part of a product"
    assert rewrite.before == "sin(a @ b)[4:6, 1:3]"
    assert rewrite.after == "sin(a[4:6, :] @ b[:, 1:3])"
    assert rewrite.flops_before > 1000 * rewrite.flops_after
    assert rewrite.numerics == "relaxed"


BIG_A, BIG_B = matrices((480, 480), (480, 480))


def three_blocks(a: jax.Array, b: jax.Array) -> tuple[jax.Array, ...]:
    upper, lower = jnp.split(a @ b, 2)
    left, right = jnp.split(upper, 2, 1)
    return left, right, jnp.split(lower, 2, 1)[1]


SPLITS: dict[str, Callable[..., Any]] = {
    "a part that is not read": lambda a, b: jnp.split(a @ b, 3)[1],
    "three of four blocks": three_blocks,
}


@pytest.mark.parametrize("name", SPLITS)
def test_a_split_that_is_read_in_part_is_slices(name: str):
    before, after, log = narrowed(SPLITS[name], BIG_A, BIG_B)
    assert graph_cost(before).flops > 1.3 * graph_cost(after).flops
    assert all(rewrite.rule == "part of a product" for rewrite in log.rewrites)
    ours = jax.grad(
        lambda *x: sum(jnp.sum(y**2) for y in jax.tree.leaves(xl.optimize(SPLITS[name])(*x)))
    )
    plain = jax.grad(lambda *x: sum(jnp.sum(y**2) for y in jax.tree.leaves(SPLITS[name](*x))))
    wanted = plain(BIG_A, BIG_B)
    np.testing.assert_allclose(
        ours(BIG_A, BIG_B), wanted, rtol=1e-3, atol=1e-4 * float(jnp.max(abs(wanted)))
    )


def test_a_split_that_is_read_whole_stays():
    before, after, _ = narrowed(lambda a, b: [jnp.sin(x) for x in jnp.split(a @ b, 2)], A, B)
    assert after is before


def test_parts_of_what_is_repeated_are_repetitions():
    function = lambda v: jnp.split(jnp.broadcast_to(v, (8, N)), 2)  # noqa: E731
    _, after, _ = narrowed(function, A[0])
    assert operations(after) == {"broadcast_in_dim": 1}
    along = lambda v: jnp.split(jnp.broadcast_to(v[:, None], (N, 8)), 2)  # noqa: E731
    assert "split" in operations(narrowed(along, A[0])[1])


DECLINES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], str]] = {
    "nearly all": (lambda a, b: (a @ b)[1:], (A, B), "cost as much as the whole"),
    "all of it in parts": (
        lambda a, b: (lambda y: jnp.sin(y[: N // 2]) @ y[N // 2 :].T)(a @ b),
        (A, B),
        "cost as much as the whole",
    ),
    "unknown": (
        lambda a, b: lax.linalg.triangular_solve(a, b, left_side=True, lower=True)[3],
        (LOWER, B),
        "depends on the others",
    ),
    "grouped channels": (
        lambda x, w: lax.conv_general_dilated(
            x,
            w,
            (1, 1),
            "SAME",
            feature_group_count=6,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )[..., 2],
        (IMAGES, jnp.ones((3, 3, 1, 6))),
        "channels are grouped",
    ),
    "channels of few": (
        lambda x, w: convolved(x, w)[..., 3:13],
        (IMAGES, KERNEL),
        "cost as much as the whole",
    ),
    "moving window of images": (
        lambda x, w, i: lax.dynamic_slice_in_dim(convolved(x, w), i, 3, 1),
        (IMAGES, KERNEL, INDEX),
        "where the window lies is not known",
    ),
    "moving sums": (
        lambda a, b, i: jnp.cumsum(a @ b, 0)[i],
        (A, B, INDEX),
        "how much is accumulated before the part is not known",
    ),
}


@pytest.mark.parametrize("name", DECLINES)
def test_declines_with_its_reason(name: str):
    function, arguments, reason = DECLINES[name]
    before, after, log = narrowed(function, *arguments)
    assert after is before
    assert not log.rewrites
    assert any(reason in miss.reason for miss in log.misses)


LEAVES: dict[str, Callable[..., Any]] = {
    "what is read as a whole, too": lambda a, b: (lambda y: (y, y[2]))(a @ b),
    "what XLA fuses": lambda a, b: (jnp.sin(a) * b + 1)[3],
    "what is sorted": lambda a, b: jnp.sort(a @ b)[3],
    "a slice of an argument": lambda a, b: a[3] @ b,
    "the middle of a product": lambda a, b: a[:, 3:9] @ b[3:9],
}


@pytest.mark.parametrize("name", LEAVES)
def test_leaves_alone(name: str):
    before, after, _ = narrowed(LEAVES[name], A, B)
    assert after is before


def test_small_products_are_left_alone():
    small = jnp.ones((8, 8))
    before, after, _ = narrowed(lambda a, b: (a @ b)[2], small, small)
    assert after is before


def test_the_target_decides():
    function = FIRES["column"][0]
    assert narrowed(function, A, B)[2].rewrites
    assert not narrowed(function, A, B, transform=Narrow(target=GPU))[2].rewrites
    slow = Narrow(target=replace(GPU, flops=1e9))
    assert narrowed(function, A, B, transform=slow)[2].rewrites


def test_strict_moves_nothing_through_sums_of_floats():
    strict = Narrow("strict", CPU)
    _, after, log = narrowed(lambda a, b: jnp.sin(a @ b)[3], A, B, transform=strict)
    assert not log.rewrites
    assert "added in another order" in log.misses[0].reason
    assert operations(after)["slice"] == 1
    _, _, log = narrowed(lambda a: jnp.max(a, 1)[3:5], jnp.tile(A, (40, 1)), transform=strict)
    assert [rewrite.numerics for rewrite in log.rewrites] == ["exact"]


def test_strict_narrows_products_of_integers():
    a, b = (10 * x for x in (A, B))
    strict = Narrow("strict", CPU)
    a, b = a.astype(jnp.int32), b.astype(jnp.int32)
    _, _, log = narrowed(lambda a, b: (a @ b)[3], a, b, transform=strict)
    assert [rewrite.numerics for rewrite in log.rewrites] == ["exact"]


def test_loops_and_branches_are_narrowed_within():
    def function(a, b):
        return lax.fori_loop(0, 20, lambda i, c: jnp.sin(a @ jnp.outer(c, c) @ b)[3], a[0])

    _, after, log = narrowed(function, A / N, B / N)
    assert log.rewrites
    assert operations(after)["while"] + operations(after)["scan"] == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["column", "chain", "moving row", "picked rows", "filled"])
def test_nan_and_infinity_reach_what_they_reached(name: str, value: float):
    function, arguments, _ = FIRES[name]
    for place in range(2):
        given = list(arguments)
        given[place] = given[place].at[3, 5].set(value)
        got, wanted = xl.compile(function)(*given), jax.jit(function)(*given)
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(wanted))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.int8, jnp.complex64])
def test_dtypes(dtype: Any):
    a, b = matrices((N, N), (N, N), dtype=dtype)
    function = lambda a, b: (a @ b)[3:5] * 2  # noqa: E731
    got, wanted = xl.compile(function)(a, b), jax.jit(function)(a, b)
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(
        np.asarray(got, np.complex64), np.asarray(wanted, np.complex64), rtol=2e-2, atol=2e-1
    )


def test_precision_of_products_is_kept():
    def function(a, b):
        return lax.dot(a, b, precision=lax.Precision.HIGHEST, preferred_element_type=jnp.float32)[3]

    _, after, _ = narrowed(function, A.astype(jnp.bfloat16), B.astype(jnp.bfloat16))
    (product,) = [item for item in after.nodes if item.operation == "dot_general"]
    assert product.type.shape == (1, N)
    assert product.type.dtype == jnp.float32
    assert product["precision"] == (lax.Precision.HIGHEST, lax.Precision.HIGHEST)


def test_a_deep_graph_is_narrowed_in_linear_time():
    def function(a, b):
        y = a @ b
        for _ in range(3000):
            y = jnp.sin(y) + 1
        return y[3]

    graph, _ = prepared(function, A, B)
    after = NARROW(graph)
    assert graph_cost(after).flops < graph_cost(graph).flops / 50
