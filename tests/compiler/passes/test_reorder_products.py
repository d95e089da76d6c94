"""Products and sums of products: which formula is chosen, which is left, and what it gives."""

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
from xlathe.compiler.passes.reorder_products import ReorderProducts
from xlathe.compiler.pipeline import EXACT, Step, run_passes
from xlathe.compiler.rules import Rewrite
from xlathe.compiler.targets import CPU, GPU, TPU
from xlathe.tracer.capture import capture

N = 256
SHAPES = {
    **{name: (N, N) for name in "ABCD"},
    **{name: (N,) for name in "vxyd"},
    "U": (N, 3),
    "V": (3, N),
    "W": (5, N, N),
    "X": (5, N),
    "s": (),
}


def value(name: str, dtype: Any = np.float32) -> jax.Array:
    """The operand of this name: the same in every test."""
    seed = sum(map(ord, name))
    numbers = np.random.default_rng(seed).standard_normal(SHAPES[name])
    if np.dtype(dtype).kind == "i":
        return jnp.asarray(np.rint(numbers * 9), dtype)
    return jnp.asarray(numbers, dtype)


def operands(function: Callable[..., Any], dtype: Any = np.float32) -> list[jax.Array]:
    code = function.__code__
    return [value(name, dtype) for name in code.co_varnames[: code.co_argcount]]


def rewritten(
    function: Callable[..., Any], *arguments: Any, **options: Any
) -> tuple[Graph, Graph, list[Rewrite]]:
    """The graph before and after the pass, and what it logged."""
    before, _ = run_passes(capture(function, *arguments).graph, EXACT)
    after, records = run_passes(before, [Step(ReorderProducts(**options), "")])
    return before, after, records[0].rules.rewrites


CHOSEN: dict[str, tuple[Callable[..., Any], str]] = {
    "chain with a vector": (lambda A, B, v: (A @ B) @ v, "A @ (B @ v)"),
    "longer chain": (lambda A, B, C, v: A @ B @ C @ v, "A @ (B @ (C @ v))"),
    "chain with a thin matrix": (lambda A, U, V, B: A @ (U @ V) @ B, "A @ U @ (V @ B)"),
    "gram matrix and vector": (lambda A, v: A.T @ A @ v, "A @ v @ A"),
    "powers and a vector": (lambda A, v: A @ A @ A @ v, "A @ (A @ (A @ v))"),
    "outer product and vector": (lambda x, y, v: jnp.outer(x, y) @ v, "x * (y @ v)"),
    "scalar between": (lambda A, B, v, s: (A * s) @ (B @ v), "A @ (B @ v) * s"),
    "number between": (lambda A, B, v: (A * 3.0) @ (B @ v), "A @ (B @ v) * 3"),
    "batched chain": (
        lambda W, A, X: jnp.einsum("bij,bj->bi", W @ A, X),
        "einsum('abc,ac->ab', W, X @ A.T)",
    ),
    "vmapped chain": (
        lambda A, B, X: jax.vmap(lambda v: (A @ B) @ v)(X),
        "X @ B.T @ A.T",
    ),
    "common left factor": (lambda A, B, C: A @ B + A @ C, "A @ (B + C)"),
    "common right factor": (lambda A, B, C: A @ B - C @ B, "(A - C) @ B"),
    "three terms": (lambda A, B, C, D: A @ B + A @ C + A @ D, "A @ (B + C + D)"),
    "common factor and another term": (
        lambda A, B, C, D: A @ B + D + A @ C,
        "A @ (B + C) + D",
    ),
    "low rank update": (lambda A, U, V, x: (A + U @ V) @ x, "A @ x + U @ (V @ x)"),
    "projection": (lambda A, B, x: (A - B.T @ B) @ x, "A @ x - B @ x @ B"),
    "mirror image": (lambda A, B: A @ B.T + B @ A.T, "(B @ A.T).T + B @ A.T"),
    "column sums": (lambda A, B: (A @ B).sum(0), "A.sum(0) @ B"),
    "row sums": (lambda A, B: (A @ B).sum(1), "A @ B.sum(1)"),
    "mean": (lambda A, B: (A @ B).mean(), "A.sum(0) @ B.sum(1) * 1.526e-05"),
    "sum of a longer chain": (
        lambda A, B, C: (A @ B @ C).sum(),
        "C.sum(1) @ (A.sum(0) @ B)",
    ),
    "sum of products and a matrix": (lambda A, B, C: (A @ B + C).sum(0), "A.sum(0) @ B + C.sum(0)"),
    "ones": (lambda A: jnp.ones((N, N)) @ A, "A.sum(0)"),
    "repeated rows": (lambda A, v: jnp.broadcast_to(v, (N, N)) @ A, "v @ A"),
    "trace": (lambda A, B: jnp.trace(A @ B), "einsum('ab,ba->', A, B)"),
    "diagonal": (lambda A, B: jnp.diag(A @ B), "(A * B.T).sum(1)"),
}
FINITE: dict[str, tuple[Callable[..., Any], str]] = {
    "diagonal on the left": (lambda A, d: jnp.diag(d) @ A, "d * A"),
    "diagonal on the right": (lambda A, d: A @ jnp.diag(d), "A * d"),
    "diagonals on both sides": (lambda A, d, x: jnp.diag(d) @ A @ jnp.diag(x), "x * (d * A)"),
    "identity": (lambda A: jnp.eye(N) @ A, "A"),
    "diagonal and low rank": (
        lambda d, U, V, x: (jnp.diag(d) + U @ V) @ x,
        "x * d + U @ (V @ x)",
    ),
    "trace of a gradient": (
        jax.grad(lambda A, B: jnp.trace(A @ B)),
        "B.T",
    ),
    "a vector on the diagonal of zeros": (
        lambda A, d: jnp.zeros((N, N)).at[jnp.arange(N), jnp.arange(N)].add(d) @ A,
        "d * A",
    ),
}


def operands_of(name: str, function: Callable[..., Any]) -> list[jax.Array]:
    """The operands of a case; a gradient has the parameters of the function it is of."""
    return operands(getattr(function, "__wrapped__", function))


def check_values(function: Callable[..., Any], arguments: list[jax.Array], **options: Any) -> None:
    expected = jax.jit(function)(*arguments)
    found = xl.compile(function, **options)(*arguments)
    assert found.dtype == expected.dtype
    scale = float(jnp.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("name", CHOSEN)
def test_the_cheaper_formula_is_chosen(name: str):
    function, formula = CHOSEN[name]
    before, after, rewrites = rewritten(function, *operands(function))
    assert [rewrite.after for rewrite in rewrites] == [formula]
    assert rewrites[0].numerics == "relaxed"
    assert rewrites[0].flops_after < rewrites[0].flops_before
    assert graph_cost(after).flops < graph_cost(before).flops
    check_values(function, operands(function))


@pytest.mark.parametrize("name", FINITE)
def test_zeros_of_a_diagonal_are_used_where_that_is_allowed(name: str):
    function, formula = FINITE[name]
    arguments = operands_of(name, function)
    _, _, rewrites = rewritten(function, *arguments, finite=True)
    assert [rewrite.after for rewrite in rewrites] == [formula]
    assert rewrites[0].numerics == "finite"
    check_values(function, arguments, numerics="finite")
    _, _, rewrites = rewritten(function, *arguments)
    assert all("*" not in rewrite.after for rewrite in rewrites)


LEFT: dict[str, Callable[..., Any]] = {
    "one product": lambda A, B: A @ B,
    "product, bias and activation": lambda A, B, v: jax.nn.relu(A @ B + v),
    "the best order already": lambda A, B, v: A @ (B @ v),
    "a product read by others too": lambda A, B, v: (lambda P: (P, P @ v))(A @ B),
    "a shared product that pays": lambda A, B: (A.T @ B).T @ (A.T @ B),
    "terms that may cancel": lambda A, B, x: (A - B) @ x,
    "equal terms": lambda A, B: A.T @ B + A.T @ B,
    "a nonlinear function between": lambda A, B, v: jnp.sin(A @ B) @ v,
    "different precisions": lambda A, B, v: jnp.matmul(A, B, precision="highest") @ v,
    "an element-wise product": lambda A, B, C: A * B + A * C,
}


@pytest.mark.parametrize("name", LEFT)
def test_what_would_not_gain_stays(name: str):
    function = LEFT[name]
    before, after, rewrites = rewritten(function, *operands(function))
    assert not rewrites
    assert after is before


def test_a_shared_product_is_dissolved_where_that_is_cheaper():
    def function(A, B, y):
        product = A.T @ B
        return product @ product @ y

    before, after, rewrites = rewritten(function, *operands(function))
    assert [rewrite.after for rewrite in rewrites] == ["B @ (B @ y @ A) @ A"]
    assert graph_cost(after).flops < graph_cost(before).flops / 50
    check_values(function, operands(function))


def test_a_product_that_is_returned_is_still_computed_once():
    def function(A, B, v):
        product = A @ B
        return product, product @ v

    _, after, _ = rewritten(function, *operands(function))
    assert [item.operation for item in after.nodes] == ["dot_general", "dot_general"]


GRADIENTS: dict[str, Callable[..., Any]] = {
    "chain": lambda A, B, v: jnp.sin((A @ B) @ v / N).sum(),
    "projection": lambda A, B, x: jnp.sin((A - B.T @ B) @ x / N**2).sum(),
    "low rank": lambda A, U, V, x: jnp.cos((A + U @ V) @ x / N).sum(),
    "mean": lambda A, B: (A @ B).mean() ** 2,
    "trace": lambda A, B: jnp.trace(A @ B) ** 2,
    "diagonal": lambda A, B: jnp.sin(jnp.diag(A @ B) / N).sum(),
    "mirror image": lambda A, B: jnp.sin((A @ B.T + B @ A.T) / N).mean(),
}


@pytest.mark.parametrize("target", [CPU, GPU, TPU], ids=lambda target: target.platform)
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_inside_gain_too(name: str, target: Any):
    function = GRADIENTS[name]
    large = [
        jax.ShapeDtypeStruct(tuple(8 * n if n == N else n for n in x.shape), x.dtype)
        for x in operands(function)
    ]
    gradient = jax.grad(function, argnums=tuple(range(len(large))))
    before, after, rewrites = rewritten(gradient, *large, target=target, finite=True)
    assert rewrites
    assert graph_cost(after).flops < graph_cost(before).flops


CHEAP_GRADIENTS: dict[str, Callable[..., Any]] = {
    "chain": lambda A, B, C, v: jnp.sin(A @ B @ C @ v).sum(),
    "powers": lambda A, v: jnp.sin(A @ A @ A @ v).sum(),
    "projection": lambda A, B, x: jnp.sin((A - B.T @ B) @ x).sum(),
    "diagonal and outer product": lambda d, v, x, y: jnp.sin(
        (jnp.diag(d) + jnp.outer(v, y)) @ x
    ).sum(),
    "diagonal of a product": lambda A, B: jnp.sin(jnp.diag(A @ B)).sum(),
}


@pytest.mark.parametrize("name", CHEAP_GRADIENTS)
def test_what_gradients_share_is_dissolved_step_by_step(name: str):
    function = CHEAP_GRADIENTS[name]
    arguments = operands(function)
    gradient = jax.grad(function, argnums=tuple(range(len(arguments))))
    before, after, _ = rewritten(gradient, *arguments, finite=True)
    assert graph_cost(before).flops > 2 * N**2
    # No product of two matrices is left.
    assert graph_cost(after).flops < 40 * N**2


def squares(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: 0.5 * jnp.sum(function(*arguments) ** 2)


READ_ONCE: dict[str, tuple[Callable[..., Any], int]] = {
    "a factor is taken out wherever the sum stands": (lambda A, v, y: A.T @ A @ v - A.T @ y, 4),
    "also of products of shared vectors": (lambda A, B, C, v: A @ B @ v + A @ C @ v, 6),
    "a scale parts no product from the same one": (lambda A, B, v: 0.5 * (A @ B) @ (3.0 * v), 4),
    "a scalar is no part of a matrix": (lambda A, x, s: (s * A) @ x, 2),
}


@pytest.mark.parametrize("name", READ_ONCE)
def test_gradients_read_each_matrix_as_seldom_as_by_hand(name: str):
    function, count = READ_ONCE[name]
    arguments = operands(function)
    gradient = jax.grad(squares(function), argnums=tuple(range(len(arguments))))
    _, after, _ = rewritten(gradient, *arguments)
    large = [
        item
        for item in after.nodes
        if item.operation == "dot_general"
        and any(source.type.size == N * N for source in item.inputs)
    ]
    assert len(large) == count
    for one, other in zip(
        xl.compile(gradient)(*arguments), jax.jit(gradient)(*arguments), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * float(jnp.abs(other).max()))


def test_sums_of_elementwise_products_stand_as_their_operands_do():
    gradient = jax.grad(squares(lambda A, d: A @ jnp.diag(d)), argnums=(0, 1))
    _, after, _ = rewritten(gradient, *operands(lambda A, d: A), finite=True)
    assert not {item.operation for item in after.nodes} & {"transpose", "dot_general"}


TWINS: dict[str, tuple[Callable[..., Any], str]] = {
    "a multiple": (lambda A, B: (A @ jnp.sin(B), (-3.0 * A) @ jnp.sin(B)), "A @ sin(B) * -3"),
    "a negative": (lambda A, B: (A @ jnp.sin(B), A @ -jnp.sin(B)), "-(A @ sin(B))"),
    "mirrored": (
        lambda A, X: (jnp.einsum("ik,bk->ib", A, X), jnp.einsum("bk,ik->bi", X, A)),
        ".T",
    ),
    "batches": (
        lambda W: (
            jnp.einsum("bij,bkj->bik", W, jnp.sin(W)),
            jnp.einsum("bkj,bij->bki", jnp.sin(W), 2.0 * W),
        ),
        "2",
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_of_a_product_and_its_multiple_or_transpose_one_is_computed(name: str):
    function, formula = TWINS[name]
    arguments = operands(function)
    _, after, rewrites = rewritten(function, *arguments)
    assert rewrites[-1].rule == "one product for two"
    assert formula in rewrites[-1].after
    assert [item.operation for item in after.nodes].count("dot_general") == 1
    for one, other in zip(xl.compile(function)(*arguments), function(*arguments), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


NO_TWINS: dict[str, Callable[..., Any]] = {
    "other precision": lambda A, B: (A @ B, jnp.matmul(-A, B, precision="highest")),
    "other axes": lambda A, B: (A @ B, A.T @ B),
    "a factor that is not known": lambda A, B, s: (A @ B, jnp.sin(s * A) @ B),
    "a factor of zero": lambda A, B: (A @ B, (0.0 * A) @ B),
}


@pytest.mark.parametrize("name", NO_TWINS)
def test_products_that_are_no_twins_are_computed_each(name: str):
    function = NO_TWINS[name]
    _, after, _ = rewritten(function, *operands(function))
    assert [item.operation for item in after.nodes].count("dot_general") == 2


@pytest.mark.parametrize(
    ("function", "sums"),
    [
        (lambda A, B, C: 0.5 * jnp.square(A @ B + A @ C).sum(), ["add"]),
        (lambda A, B, C: 0.5 * jnp.square(A @ B - A @ C).sum(), ["sub"]),
    ],
)
def test_forward_and_backward_share_what_a_product_is_taken_of(function, sums):
    gradient = jax.grad(function, argnums=(0, 1, 2))
    arguments = operands(function)
    _, after, _ = rewritten(gradient, *arguments)
    assert [i.operation for i in after.nodes if i.operation in ("add", "sub", "neg")] == [
        *sums,
        *(["neg"] if sums == ["sub"] else []),
    ]
    for found, expected in zip(
        xl.compile(gradient)(*arguments), jax.jit(gradient)(*arguments), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_the_same_inside_and_outside(name: str):
    function = GRADIENTS[name]
    arguments = operands(function)
    expected = jax.jit(jax.grad(function))(*arguments)
    inside = xl.compile(jax.grad(function))(*arguments)
    outside = jax.grad(xl.compile(function))(*arguments)
    scale = float(jnp.abs(expected).max())
    for found in (inside, outside):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * scale)


def test_integers_are_exact():
    def function(A, B, C, v):
        return (A @ B) @ v, A @ B + A @ C, (A @ B).sum(0), jnp.trace(A @ B) * 7

    arguments = operands(function, np.int32)
    for found, expected in zip(
        xl.compile(function)(*arguments), jax.jit(function)(*arguments), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", [*CHOSEN, *FINITE])
def test_what_is_not_finite_reaches_what_it_reached(name: str, bad: float):
    function = (CHOSEN | FINITE)[name][0]
    arguments = operands_of(name, function)
    for place, argument in enumerate(arguments):
        spoiled = list(arguments)
        spoiled[place] = argument.at[(3,) * argument.ndim].set(bad)
        expected = ~np.isfinite(jax.jit(function)(*spoiled))
        found = ~np.isfinite(xl.compile(function)(*spoiled))
        np.testing.assert_array_equal(found, expected)


def test_a_scale_that_the_dtype_cannot_hold_is_not_made():
    def function(A, v):
        return ((A / 4096) @ (A @ v)) / 4096

    arguments = operands(function, np.float16)
    found = xl.compile(function)(*arguments)
    expected = jax.jit(function)(*arguments)
    np.testing.assert_allclose(
        found.astype(np.float32), expected.astype(np.float32), rtol=2e-2, atol=1e-5
    )


def test_products_in_a_loop_body_are_reordered():
    def function(A, B, x):
        return lax.scan(lambda c, _: (jnp.sin((A @ B) @ c * 1e-3), None), x, length=9)[0]

    _, _, rewrites = rewritten(function, *operands(function))
    assert [rewrite.after for rewrite in rewrites] == ["x0 @ (x1 @ x2) * 0.001"]
    check_values(function, operands(function))


def test_strict_numerics_leave_every_formula():
    def function(A, B, v):
        return (A @ B) @ v

    traced = xl.compile(function, numerics="strict").trace(*operands(function))
    assert not any(record.name == "ReorderProducts" for record in traced.passes)


def test_explain_shows_the_formulas():
    def function(A, B, v):
        return (A @ B) @ v

    text = xl.compile(function).trace(*operands(function)).explain()
    assert "A @ B @ v  ->  A @ (B @ v)" in text
    assert "33.7 MFLOP -> 262 kFLOP" in text


def test_of_two_products_with_a_common_factor_one_may_stay_as_it_is():
    def loss(p, x):
        q, k, v = jnp.split(x @ p["qkv"], 3, axis=-1)
        return (jnp.tanh(jax.nn.softmax(q @ k.mT) @ v @ p["out"]) ** 2).mean()

    p = {"qkv": jnp.linspace(-1, 1, 8 * 24).reshape(8, 24), "out": jnp.eye(8)}
    x = jnp.linspace(-1, 1, 2 * 8 * 8).reshape(2, 8, 8)
    got, wanted = (f(jax.grad(loss))(p, x) for f in (xl.compile, jax.jit))
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
