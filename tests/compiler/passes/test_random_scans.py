"""Random small scans through the whole pipeline, for a GPU and for a CPU."""

from __future__ import annotations

import random as standard
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from xlathe.compiler.ir import verify
from xlathe.compiler.lowering import lower
from xlathe.compiler.pipeline import pipeline, run_passes
from xlathe.compiler.targets import CPU, GPU, Target
from xlathe.tracer.capture import capture

from .recurrent import gradient, random

TURNS, BATCH, INPUTS, HIDDEN = 5, 3, 2, 4
STEPS: Sequence[Callable[[Any, Any, Any], Any]] = (
    lambda a, b, u: a + b,
    lambda a, b, u: a * b,
    lambda a, b, u: jnp.tanh(a),
    lambda a, b, u: a @ u,
    lambda a, b, u: (u @ a.T).T,
    lambda a, b, u: jnp.where(a > b, a, 0.3),
    lambda a, b, u: jnp.concatenate([a[:, :2], b[:, 2:]], axis=1),
    lambda a, b, u: a.sum(0) * jnp.full((BATCH, HIDDEN), 0.3),
    lambda a, b, u: a[::-1],
    lambda a, b, u: jnp.einsum("bh,bk->bk", a, b) * 0.2,
    lambda a, b, u: jnp.exp(-jnp.square(a)) @ (u @ u),
    lambda a, b, u: a.mean(1, keepdims=True) + b,
)
SUMS: Sequence[Callable[[Any, Any], Any]] = (
    lambda a, x: x.T @ a,
    lambda a, x: (a.T @ x).T,
    lambda a, x: jnp.outer(x.sum(0), a.sum(0)),
    lambda a, x: a[:INPUTS],
)


def random_scan(seed: int) -> Callable[..., Any]:
    """A scan with a state, two sums and stacks, of steps drawn by this seed."""
    draw = standard.Random(seed)
    plan = [(draw.choice(STEPS), draw.random(), draw.random()) for _ in range(draw.randint(3, 7))]
    add, picks = draw.choice(SUMS), [draw.random() for _ in range(4)]
    joins, negative, reverse, nested = (draw.random() < 0.4 for _ in range(4))

    def f(w, u, h, xs):
        def turn(carry, x):
            h, total, other = carry
            pool = [h, x @ w, jnp.tanh(x @ w) + h]
            if joins:
                pool.append(jnp.concatenate([x, h], axis=1) @ jnp.concatenate([w, u]))

            def pick(place: float) -> Any:
                return pool[int(place * len(pool))]

            for step, first, second in plan:
                pool.append(step(pick(first), pick(second), u))
            new = jnp.tanh(pool[-1] + h)
            if nested:
                inner = jnp.stack([pick(picks[0]), pick(picks[1])])
                new = lax.scan(lambda c, y: (jnp.tanh(c + y @ u), None), new, inner)[0]
            term = add(pick(picks[2]), x)
            total = total - term + x.T @ h if negative else total + term
            stacks = pick(picks[3]) @ u, x * 2.0, pick(picks[0])
            return (new, total, other + pick(picks[1]).sum(0)), stacks

        start = h, jnp.ones((INPUTS, HIDDEN)), jnp.zeros(HIDDEN)
        return lax.scan(turn, start, xs, reverse=reverse)

    return f


def check(function: Callable[..., Any], arguments: Sequence[Any], target: Target) -> None:
    captured = capture(function, *arguments)
    graph, _ = run_passes(captured.graph, pipeline("relaxed", target))
    verify(graph)
    program = lower(graph, constant_count=captured.constant_count)
    got = jax.jit(lambda *values: program(*values))(*arguments, *captured.constants)
    wanted = jax.tree.leaves(jax.jit(function)(*arguments))
    for one, other in zip(got, wanted, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        scale = max(1.0, float(np.abs(other).max()))
        np.testing.assert_allclose(one / scale, other / scale, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in range(1, 30))]
)
def test_a_random_scan_and_its_gradient(seed: int):
    arguments = [
        random(INPUTS, HIDDEN, seed=seed),
        random(HIDDEN, HIDDEN, seed=seed + 1),
        random(BATCH, HIDDEN, seed=seed + 2),
        random(TURNS, BATCH, INPUTS, seed=seed + 3),
    ]
    function = random_scan(seed)
    for target in (CPU, GPU):
        check(function, arguments, target)
        check(gradient(function), arguments, target)
    many = jax.vmap(function, in_axes=(None, None, 0, None))
    stacked = jnp.stack([arguments[2], arguments[2] * 2.0])
    check(many, [*arguments[:2], stacked, arguments[3]], GPU)
