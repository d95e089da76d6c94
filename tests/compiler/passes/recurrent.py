"""Recurrent cells in the spellings people use, and what the tests of loops share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.lowering import lower
from xlathe.compiler.pipeline import EXACT, run_passes
from xlathe.compiler.rules import RuleLog, logging_rules
from xlathe.tracer.capture import capture

from .check import Transform, run

TURNS, BATCH, INPUTS, HIDDEN = 6, 3, 5, 4


def random(*shape: int, seed: int = 0, dtype: Any = jnp.float32) -> jax.Array:
    return (jax.random.normal(jax.random.key(seed), shape) * 0.4).astype(dtype)


def _gates(z: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array]:
    i, f, g, o = jnp.split(z, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def lstm(w, u, b, xs, h, c, reverse: bool = False):
    def step(carry, x):
        h, c = _gates(x @ w + carry[0] @ u + b, carry[1])
        return (h, c), h

    return lax.scan(step, (h, c), xs, reverse=reverse)[1]


def lstm_of_columns(w, u, b, xs, h, c):
    """Weights on the left, vectors on the right, one sequence at a time."""

    def step(carry, x):
        h, c = _gates(w.T @ x + u.T @ carry[0] + b, carry[1])
        return (h, c), h

    one = jax.vmap(lambda xs, h, c: lax.scan(step, (h, c), xs)[1], in_axes=(1, 0, 0), out_axes=1)
    return one(xs, h, c)


def lstm_joined(w, u, b, xs, h, c):
    kernel = jnp.concatenate([w, u])

    def step(carry, x):
        joined = jnp.concatenate([x, carry[0]], axis=-1)
        h, c = _gates(joined @ kernel + b, carry[1])
        return (h, c), h

    return lax.scan(step, (h, c), xs)[1]


def lstm_of_parts(w, u, b, xs, h, c):
    """Flax's OptimizedLSTMCell: a kernel a gate, joined in the cell."""
    ws, us = jnp.split(w, 4, axis=1), jnp.split(u, 4, axis=1)

    def step(carry, x):
        h, c = carry
        of_x = x @ jnp.concatenate(ws, axis=-1)
        of_h = h @ jnp.concatenate(us, axis=-1) + b
        parts = zip(jnp.split(of_x, 4, axis=-1), jnp.split(of_h, 4, axis=-1), strict=True)
        h, c = _gates(jnp.concatenate([one + other for one, other in parts], axis=-1), c)
        return (h, c), h

    return lax.scan(step, (h, c), xs)[1]


def gru(w, u, b, xs, h, c):
    size = h.shape[-1]

    def step(h, x):
        r, z = jnp.split(
            jax.nn.sigmoid(x @ w[:, : 2 * size] + h @ u[:, : 2 * size] + b[: 2 * size]), 2, axis=-1
        )
        n = jnp.tanh(x @ w[:, 2 * size : 3 * size] + r * (h @ u[:, 2 * size : 3 * size] + c))
        h = (1 - z) * n + z * h
        return h, h

    return lax.scan(step, h, xs)[1]


CELLS = (lstm, lstm_of_columns, lstm_joined, lstm_of_parts, gru)


def cell_arguments(turns: int = TURNS, batch: int = BATCH, dtype: Any = jnp.float32):
    shapes = [
        (INPUTS, 4 * HIDDEN),
        (HIDDEN, 4 * HIDDEN),
        (4 * HIDDEN,),
        (turns, batch, INPUTS),
        (batch, HIDDEN),
        (batch, HIDDEN),
    ]
    return [random(*shape, seed=i, dtype=dtype) for i, shape in enumerate(shapes)]


def gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """The gradient by all arguments of a sum over what a function returns."""

    def loss(*arguments):
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(function(*arguments)))

    def all_gradients(*arguments):
        return jax.grad(loss, argnums=tuple(range(len(arguments))))(*arguments)

    return all_gradients


def after_exact(transform: Transform) -> Transform:
    """A pass over the simplified graph."""
    return lambda graph: transform(run_passes(graph, EXACT)[0])


def improved(
    transform: Transform, function: Callable[..., Any], *arguments: Any, tolerance: float = 2e-5
) -> tuple[Graph, RuleLog]:
    """Run a pass over the simplified function, and compare what the program computes with jit."""
    captured = capture(function, *arguments)
    simple, _ = run_passes(captured.graph, EXACT)
    with logging_rules() as log:
        transform(simple)
    after = run(transform, simple)
    program = lower(after, constant_count=captured.constant_count)
    leaves = [*jax.tree.leaves(arguments), *captured.constants]
    got = jax.jit(lambda *values: program(*values))(*leaves)
    wanted = jax.tree.leaves(jax.jit(function)(*arguments))
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_allclose(
            np.asarray(one, np.float64), np.asarray(other, np.float64), tolerance, tolerance
        )
    return after, log


def loops(graph: Graph, operation: str = "scan") -> list[Node]:
    """The loops of a graph, not those nested in them."""
    return [item for item in graph.nodes if item.operation == operation]


def products(graph: Graph) -> int:
    """How many products stand in a graph itself."""
    return sum(item.operation == "dot_general" for item in graph.nodes)
