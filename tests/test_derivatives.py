"""Whatever is replaced by other operations, or by a rule, has the derivatives that it had.

Each row is compiled as it stands, and with its gradient inside, on a target for which small arrays
pay, and then differentiated in every way from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl
from xlathe.compiler.targets import CPU, TARGETS

from .compiler.attention.ways import WAYS, squares

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


class Row(NamedTuple):
    """A construct.

    Attributes:
        function: a function with one number for a result.
        shapes: those of its arguments.
        rule: what `explain()` says was done.
        target: what it is compiled for; what has no kernels runs on any device.
    """

    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    rule: str
    target: str = "cpu"


def attention(q: Any, k: Any, v: Any) -> Any:
    scores = jnp.where(jnp.tril(jnp.ones((64, 64), bool)), q @ k.T / 2, -1e9)
    return jnp.sin(jax.nn.softmax(scores) @ v).sum()


def dropped(q: Any, k: Any, v: Any) -> Any:
    keep = jax.random.bernoulli(jax.random.key(0), 0.8, (64, 64))
    weights = jnp.where(keep, jax.nn.softmax(q @ k.T) / 0.8, 0)
    return jnp.sin(weights @ v).sum()


def attention_in_a_loop(x: Any, w: Any) -> Any:
    def layer(x: Any, w: Any) -> Any:
        return x + jax.nn.softmax((x @ w) @ x.T / 2) @ x, None

    return jnp.sin(lax.scan(layer, x, w)[0]).sum()


def cross_entropy(x: Any, w: Any) -> Any:
    logits = jax.nn.log_softmax(x @ w)
    return -jnp.take_along_axis(logits, jnp.arange(64)[:, None] % 7, 1).mean()


def soft_cross_entropy(x: Any, w: Any) -> Any:
    logits = jnp.tanh(x @ w)
    return (jax.nn.logsumexp(logits, axis=1) ** 2 + logits[:, 3]).sum()


def pooled(x: Any, kind: Any, start: float, strides: int) -> Any:
    size = (1, 3, 3, 1)
    steps = (1, strides, strides, 1)
    return lax.reduce_window(x, start, kind, size, steps, "VALID")


def largest_of_windows(x: Any) -> Any:
    return jnp.sin(pooled(x, lax.max, -jnp.inf, 2)).sum()


def largest_side_by_side(x: Any) -> Any:
    return jnp.sin(pooled(x, lax.max, -jnp.inf, 3)).sum()


def convolved(x: Any, w: Any) -> Any:
    numbers = ("NHWC", "HWIO", "NHWC")
    groups = x.shape[-1] if w.shape[2] == 1 else 1
    return lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=groups
    )


def convolution(x: Any, w: Any) -> Any:
    return jnp.sin(convolved(x, w)).sum()


def sums_along(x: Any) -> Any:
    return jnp.sin(jnp.cumsum(x, axis=0)).sum()


def products_along(x: Any) -> Any:
    return jnp.sin(jnp.cumprod(1 + x / 64, axis=0)).sum()


def greatest_along(x: Any) -> Any:
    return jnp.sin(lax.cummax(x, axis=0)).sum()


def positive(a: Any) -> Any:
    return a @ a.T + 16 * jnp.eye(len(a))


def solved(a: Any, b: Any) -> Any:
    return jnp.sin(jnp.linalg.inv(positive(a)) @ b).sum()


def chain(a: Any, b: Any, v: Any) -> Any:
    return jnp.sin(a @ b @ v).sum()


def sum_of_products(a: Any, b: Any, c: Any) -> Any:
    return jnp.sin(a @ b + a @ c).sum()


def trace(a: Any, b: Any) -> Any:
    return jnp.sin(jnp.trace(a @ b))


def part(a: Any, b: Any) -> Any:
    return jnp.sin((a @ b)[2]).sum()


def recurrent(x: Any, w: Any, u: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = jnp.tanh(x @ w + h @ u)
        return h, h

    return lax.scan(step, jnp.zeros(x.shape[1:]), x)[1].sum()


def few_turns(x: Any) -> Any:
    return jnp.sin(lax.fori_loop(0, 3, lambda i, y: jnp.sin(y) * (i + 1), x)).sum()


IMAGE, FILTER, DEPTHWISE = (1, 7, 7, 2), (1, 1, 2, 3), (3, 3, 1, 2)
HEAD = ((64, 8),) * 3
ROWS = {
    "attention": Row(attention, HEAD, "queries at a time"),
    "attention with dropout": Row(dropped, HEAD, "queries at a time"),
    "attention in a loop": Row(attention_in_a_loop, ((64, 8), (2, 8, 8)), "queries at a time"),
    "cross-entropy": Row(cross_entropy, ((64, 8), (8, 40)), "tokens at a time"),
    "logsumexp": Row(soft_cross_entropy, ((64, 8), (8, 40)), "tokens at a time"),
    "max-pooling": Row(largest_of_windows, (IMAGE,), "slice by slice"),
    "max-pooling, side by side": Row(largest_side_by_side, ((1, 6, 6, 2),), "slice by slice"),
    "1x1 convolution": Row(convolution, (IMAGE, FILTER), "a matrix product"),
    "depthwise convolution": Row(convolution, (IMAGE, DEPTHWISE), "shifted arrays"),
    "cumsum": Row(sums_along, ((256, 4),), "by halves"),
    "cumprod": Row(products_along, ((256, 4),), "by halves"),
    "cummax": Row(greatest_along, ((256, 4),), "by halves"),
    "inverse": Row(solved, ((8, 8), (8,)), "solve instead of inverting"),
    "chain": Row(chain, ((16, 24), (24, 16), (16,)), "reorder products"),
    "common factor": Row(sum_of_products, ((16, 16),) * 3, "reorder products"),
    "trace": Row(trace, ((16, 16),) * 2, "reorder products"),
    "part of a product": Row(part, ((16, 16),) * 2, "part of a product"),
    "recurrent": Row(recurrent, ((6, 2, 8), (8, 8), (8, 8)), "for all turns", "tpu-v5e-1"),
    "few turns": Row(few_turns, ((4,),), "10 -> 16 nodes"),
}
OPTIONS = {"relaxed": {}, "strict": {"numerics": "strict"}}


@pytest.fixture(autouse=True)
def _small_arrays_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(CPU, large_scores=0, large_logits=0, block_tokens=16, launch=0.0)
    monkeypatch.setitem(TARGETS, "cpu", small)


def arguments_of(row: Row) -> tuple[jax.Array, ...]:
    keys = jax.random.split(jax.random.key(3), len(row.shapes))
    return tuple(jax.random.normal(k, s) for k, s in zip(keys, row.shapes, strict=True))


def with_gradient(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    def norm(*arguments: Any) -> Any:
        value, found = jax.value_and_grad(function, tuple(range(count)))(*arguments)
        return value + squares(found) / 8

    return norm


def assert_same_derivatives(
    function: Callable[..., Any], row: Row, options: dict[str, Any], ways: list[str]
) -> Any:
    arguments = arguments_of(row)
    compiled = xl.compile(function, target=row.target, **options)
    both = {"ours": compiled, "plain": jax.jit(function)}

    def program(*given: Any) -> Any:
        return {name: {way: WAYS[way](f, given) for way in ways} for name, f in both.items()}

    results = jax.jit(program, compiler_options=QUICK)(*arguments)
    for way in ways:
        ours, plain = results["ours"][way], results["plain"][way]
        assert jax.tree.structure(ours) == jax.tree.structure(plain)
        for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
            assert one.dtype == other.dtype
            scale = max(float(np.max(np.abs(other))), 1e-2)
            np.testing.assert_allclose(one, other, atol=2e-3 * scale, err_msg=way)
    return compiled.trace(*arguments)


def some(every: int) -> list[Any]:
    """The rows, one in so many by default, and the others in the sweep."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] if place % every else [])
        for place, name in enumerate(ROWS)
    ]


SOME = ["jvp", "reverse over reverse"]


@pytest.mark.parametrize("name", some(every=1))
def test_from_outside(name: str):
    row = ROWS[name]
    traced = assert_same_derivatives(row.function, row, {}, SOME)
    assert row.rule in traced.explain()


@pytest.mark.parametrize(
    "name",
    [n if i % 4 == 0 else pytest.param(n, marks=[pytest.mark.slow]) for i, n in enumerate(ROWS)],
)
def test_gradient_inside(name: str):
    row = ROWS[name]
    function = with_gradient(row.function, len(row.shapes))
    assert_same_derivatives(function, row, {}, SOME)


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", ROWS)
def test_every_way(name: str, options: str):
    row = ROWS[name]
    assert_same_derivatives(row.function, row, OPTIONS[options], list(WAYS))
