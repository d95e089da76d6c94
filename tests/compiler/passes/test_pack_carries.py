"""Carried scalars become a vector, where XLA on CPU then makes one function of the loop."""

from __future__ import annotations

import jax.numpy as jnp
import pytest
from jax import lax

from xlathe.compiler.loops.parts import Scan
from xlathe.compiler.passes.pack_carries import PackCarries, bytes_a_turn
from xlathe.compiler.targets import CPU, GPU

from .recurrent import gradient, improved, loops

EAGER = PackCarries(CPU, small_loop=0, max_bytes=1 << 20)


def ring(count: int):
    """As many scalars, each drawn to its neighbour; every third is stacked."""

    def f(scale, *start):
        def turn(carry, x):
            following = carry[1:] + carry[:1]
            new = tuple(
                jnp.tanh(scale * one + other * x)
                for one, other in zip(carry, following, strict=True)
            )
            return new, new[::3]

        return lax.scan(turn, start, jnp.linspace(0.0, 1.0, 7))

    return f, [jnp.float32(0.1 * i) for i in range(count + 1)]


def test_scalars_are_carried_as_a_vector():
    f, arguments = ring(8)
    graph, log = improved(EAGER, f, *arguments)
    (scan,) = loops(graph)
    assert scan["carry"] == 1
    assert scan.types[0].shape == (8,)
    assert log.rewrites[0].after == "a vector of 8 carried"
    assert log.rewrites[0].numerics == "exact"


def test_gradients_and_reverse_scans():
    f, arguments = ring(7)
    graph, _ = improved(EAGER, gradient(f), *arguments)
    assert any(scan["reverse"] for scan in loops(graph))
    assert all(scan["carry"] < 7 for scan in loops(graph))


def test_other_carries_stay_beside_it():
    def f(number, *start):
        def turn(carry, x):
            count, *values, wide = carry
            values = [value * 0.5 + x for value in values]
            return (count + 1, *values, wide + 1), values[0] * count

        first = (number, *start, jnp.float16(2))
        return lax.scan(turn, first, jnp.linspace(0.0, 1.0, 7), reverse=True)

    graph, _ = improved(EAGER, f, jnp.int32(3), *[jnp.float32(i) for i in range(6)])
    assert loops(graph)[0]["carry"] == 3


@pytest.mark.parametrize(("count", "side"), [(6, "below"), (60, "far above")])
def test_only_near_the_limit(count: int, side: str):
    f, arguments = ring(count)
    graph, log = improved(PackCarries(CPU), f, *arguments)
    assert loops(graph)[0]["carry"] == count
    touched = bytes_a_turn(Scan(loops(graph)[0]))
    (miss,) = log.misses
    assert miss.reason == f"a turn touches {touched} bytes, {side} XLA's limit for small loops"


def test_near_the_limit_it_packs():
    f, arguments = ring(22)
    assert loops(improved(PackCarries(CPU), f, *arguments)[0])[0]["carry"] == 1


def test_on_cpu_only_and_not_among_arrays():
    f, arguments = ring(8)
    graph, log = improved(PackCarries(GPU, small_loop=0), f, *arguments)
    assert loops(graph)[0]["carry"] == 8
    assert not log.hits

    def with_arrays(*start):
        return lax.scan(lambda c, x: (tuple(v + x.sum() for v in c), None), start, jnp.ones((7, 2)))

    graph, _ = improved(EAGER, with_arrays, *arguments)
    assert loops(graph)[0]["carry"] == 9
