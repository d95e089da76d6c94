"""Random parts of random expressions over products of integers: equal to the last bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from xlathe.compiler.ir import Graph, verify
from xlathe.compiler.lowering import lower
from xlathe.compiler.passes.narrow import Narrow
from xlathe.compiler.passes.normalise import Normalise
from xlathe.compiler.passes.simplify import Simplify
from xlathe.compiler.rules import logging_rules
from xlathe.compiler.targets import CPU
from xlathe.tracer.capture import capture

SLOW = replace(CPU, flops=1.0, bandwidth=1e9, launch=0.0)
"""A device on which every multiplication counts, so that small products are narrowed, too."""

Step = Callable[[jax.Array], jax.Array]


def a_product(choose: Random) -> Step:
    width = choose.randint(2, 4)
    other = jnp.arange(12.0).reshape(3, 4).astype(jnp.int32)

    def step(x: jax.Array) -> jax.Array:
        if x.ndim == 0:
            return x
        weights = jnp.arange(x.shape[-1] * width, dtype=jnp.int32).reshape(-1, width) - 3
        return x @ weights + other[0, 0]

    return step


def a_move(choose: Random) -> Step:
    kind = choose.randint(0, 11)
    seed = choose.randint(0, 10**6)

    def step(x: jax.Array) -> jax.Array:
        inner = Random(seed)
        if x.ndim == 0:
            return x[None]
        axis = inner.randrange(x.ndim)
        if kind == 0:
            axes = list(range(x.ndim))
            inner.shuffle(axes)
            return x.transpose(axes)
        if kind == 1:
            return jnp.flip(x, axis)
        if kind == 2:
            return x.reshape(-1)
        if kind == 3:
            factors = [f for f in range(1, x.size + 1) if x.size % f == 0]
            return x.reshape(inner.choice(factors), -1)
        if kind == 4:
            return jnp.broadcast_to(x[None], (2, *x.shape))
        if kind == 5:
            return jnp.concatenate([x, 3 - x, x * 2], axis)
        if kind == 6:
            low, high = inner.randint(0, 2), inner.randint(0, 2)
            padding = [(low, high, 0) if i == axis else (0, 0, 0) for i in range(x.ndim)]
            return lax.pad(x, jnp.int32(7), padding)
        if kind == 7:
            return lax.cumsum(x, axis, reverse=inner.random() < 0.5)
        if kind == 8:
            return x.max(axis)
        if kind == 9:
            return x.sum(axis)
        if kind == 10:
            return jnp.where(x > 2, x, x * x)
        return jnp.stack([x, x + 1], axis)

    return step


def a_cut(choose: Random) -> Step:
    kind = choose.randint(0, 6)
    seed = choose.randint(0, 10**6)

    def step(x: jax.Array) -> jax.Array:
        inner = Random(seed)
        if x.ndim == 0:
            return x
        axis = inner.randrange(x.ndim)
        size = x.shape[axis]
        start = inner.randrange(size)
        before = (slice(None),) * axis
        if kind == 0:
            return x[(*before, start)]
        if kind == 1:
            return x[(*before, slice(start, inner.randint(start + 1, size)))]
        if kind == 2:
            return x[(*before, slice(start, None, inner.randint(1, 3)))]
        # What is not known before it runs, and may be out of bounds.
        moving = jnp.sum(x.ravel()[:1]) % (2 * size + 2) - 1
        if kind == 3:
            return lax.dynamic_index_in_dim(x, moving, axis)
        if kind == 4:
            return lax.dynamic_slice_in_dim(x, moving, inner.randint(1, size), axis)
        index = jnp.stack([moving, jnp.int32(start), moving - 2])
        if kind == 5:
            return jnp.take(x, index, axis=axis, mode="clip")
        return jnp.take(x, index, axis=axis, mode="fill", fill_value=-5)

    return step


def expression(seed: int) -> Callable[[jax.Array], Any]:
    choose = Random(seed)
    makers = choose.choices([a_product, a_move, a_cut], weights=[2, 4, 2], k=choose.randint(2, 7))
    steps = [a_product(choose), *(maker(choose) for maker in makers), a_cut(choose)]
    both = choose.random() < 0.3
    middle = choose.randrange(len(steps))
    other = a_cut(choose)

    def function(x: jax.Array) -> Any:
        kept = x
        for place, step in enumerate(steps):
            x = step(x)
            if place == middle:
                kept = x
        return (x, other(kept)) if both else x

    return function


def narrowed(graph: Graph) -> Graph:
    before = Simplify()(Normalise()(graph))
    after = Narrow(target=SLOW)(before)
    verify(after)
    assert after.result_types == before.result_types
    return after


def check(seed: int) -> int:
    choose = Random(seed)
    shape = tuple(choose.randint(1, 5) for _ in range(choose.randint(1, 3)))
    x = jnp.asarray(np.arange(math.prod(shape)).reshape(shape) * 5 % 7 - 3, jnp.int32)
    function = expression(seed)
    captured = capture(function, x)
    with logging_rules() as log:
        graph = narrowed(captured.graph)
    got = lower(graph, constant_count=captured.constant_count)(x, *captured.constants)
    for one, other in zip(got, jax.tree.leaves(function(x)), strict=True):
        np.testing.assert_array_equal(one, other)
    return len(log.rewrites)


@pytest.mark.parametrize(
    "seed", [*range(16), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(16, 40))]
)
def test_parts_of_random_expressions(seed: int):
    check(seed)


def test_some_of_them_are_narrowed():
    assert sum(check(seed) > 0 for seed in range(40, 50)) > 2
