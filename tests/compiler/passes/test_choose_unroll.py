"""How many turns are written out."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from xlathe.compiler.passes.choose_unroll import ChooseUnroll
from xlathe.compiler.targets import CPU, GPU

from .check import operations
from .recurrent import cell_arguments, gradient, improved, loops, lstm, random


def chain(turns: int, **options):
    def f(a, v):
        return lax.scan(lambda c, _: (jnp.tanh(a @ c), c[0]), v, None, length=turns, **options)

    return f


A, V = random(4, 4), random(4)


@pytest.mark.parametrize(("turns", "factor"), [(16, 8), (512, 8), (21, 7), (34, 2), (18, 6)])
def test_the_largest_factor_that_divides_the_turns(turns: int, factor: int):
    graph, log = improved(ChooseUnroll(GPU), chain(turns), A, V)
    assert loops(graph)[0]["unroll"] == factor
    assert log.rewrites[0].after == f"{turns // factor} turns of {factor}"


@pytest.mark.parametrize("turns", [17, 23])
def test_not_where_none_divides_them(turns: int):
    graph, log = improved(ChooseUnroll(GPU), chain(turns), A, V)
    assert loops(graph)[0]["unroll"] == 1
    assert "do not divide well" in log.misses[0].reason


def test_short_loops_and_those_the_user_unrolled_are_left_alone():
    assert loops(improved(ChooseUnroll(GPU), chain(8), A, V)[0])[0]["unroll"] == 1
    graph, log = improved(ChooseUnroll(GPU), chain(32, unroll=4), A, V)
    assert loops(graph)[0]["unroll"] == 4
    assert not log.hits


def test_not_on_cpu():
    graph, log = improved(ChooseUnroll(CPU), chain(16), A, V)
    assert loops(graph)[0]["unroll"] == 1
    assert log.misses[0].reason.startswith("not on CPU")


def test_not_where_turns_are_long():
    graph, log = improved(ChooseUnroll(GPU, max_seconds=1e-12), chain(16), A, V)
    assert loops(graph)[0]["unroll"] == 1
    assert log.misses[0].reason.startswith("a turn takes much longer")


def test_large_bodies_are_written_out_less_often():
    graph, _ = improved(ChooseUnroll(GPU, max_nodes=8), chain(16), A, V)
    nodes = len(loops(graph)[0]["body"].nodes)
    assert loops(graph)[0]["unroll"] == 8 // nodes > 1


def test_only_the_innermost_loop():
    def f(a, v):
        return lax.scan(lambda c, _: (chain(16)(a, c)[0], c), v, None, length=16)

    graph, _ = improved(ChooseUnroll(GPU), f, A, V)
    assert loops(graph)[0]["unroll"] == 1
    assert loops(loops(graph)[0]["body"])[0]["unroll"] == 8


def test_forward_backward_and_vmap():
    arguments = cell_arguments(turns=16)
    graph, _ = improved(ChooseUnroll(GPU), gradient(lstm), *arguments)
    assert [scan["unroll"] for scan in loops(graph)] == [8, 8]
    assert operations(graph)["scan"] == 2
    many = jax.vmap(lstm, in_axes=(None, None, None, None, 0, 0))
    stacked = [jnp.stack([value, value * 2]) for value in arguments[4:]]
    improved(ChooseUnroll(GPU), many, *arguments[:4], *stacked)
