"""Loops: what they carry for nobody, what never changes, what turns a few times only."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.passes.simplify_loops import SimplifyLoops
from xlathe.tracer.capture import capture

from .check import operations, run, run_on

ROWS = jnp.arange(30.0).reshape(10, 3)
X = jnp.arange(3.0)


def loop(graph: Graph, operation: str = "scan") -> Node:
    (found,) = [item for item in graph.nodes if item.operation == operation]
    return found


def test_an_unread_carry_is_dropped():
    def f(x, rows):
        def turn(carry, row):
            total, unread = carry
            return (total + row, unread * row), None

        return lax.scan(turn, (x, x), rows)[0][0]

    scan = loop(run_on(SimplifyLoops(), f, X, ROWS))
    assert scan["carry"] == 1
    assert operations(scan["body"])["mul"] == 0


def test_a_carry_that_a_read_one_depends_on_stays():
    def f(x, rows):
        def turn(carry, row):
            first, second, third = carry
            return (first + second, second + third, third * row), None

        return lax.scan(turn, (x, x, x), rows)[0][0]

    assert loop(run_on(SimplifyLoops(), f, X, ROWS))["carry"] == 3


def test_carries_that_only_feed_each_other_are_dropped():
    def f(x, rows):
        def turn(carry, row):
            total, one, other = carry
            return (total + row, other * 2, one + 1), None

        return lax.scan(turn, (x, x, x), rows)[0][0]

    assert loop(run_on(SimplifyLoops(), f, X, ROWS))["carry"] == 1


def test_an_unchanged_carry_becomes_a_constant():
    text = """
def body(fixed: f32[3], total: f32[3], row: f32[3]):
    a: f32[3] = mul(fixed, row)
    b: f32[3] = add(total, a)
    return (fixed, b, a)

def f(x: f32[3], y: f32[3], rows: f32[10, 3]):
    l: (f32[3], f32[3], f32[10, 3]) = scan(x, y, rows, body=body, consts=0, carry=2, length=10)
    fixed: f32[3] = get(l, index=0)
    total: f32[3] = get(l, index=1)
    ys: f32[10, 3] = get(l, index=2)
    return (fixed, total, ys)
"""
    graph = run(SimplifyLoops(), text)
    assert graph.results[0] is graph.parameters[0]
    scan = loop(graph)
    assert (scan["consts"], scan["carry"]) == (1, 1)


def test_a_loop_that_changes_nothing_is_no_loop():
    text = """
def body(c: f32[3], row: f32[3]):
    return (c,)

def f(x: f32[3], rows: f32[10, 3]):
    l: f32[3] = scan(x, rows, body=body, consts=0, carry=1, length=10, reverse=False)
    return (l,)
"""
    graph = run(SimplifyLoops(), text)
    assert graph.results == (graph.parameters[0],)


def test_carries_that_change_places_are_no_constants():
    def f(x, y, rows):
        return lax.scan(lambda c, row: ((c[1], c[0]), None), (x, y), rows)[0]

    graph = run_on(SimplifyLoops(), f, X, X + 1, ROWS)
    assert loop(graph)["carry"] == 2


def test_an_unread_output_is_dropped():
    def f(x, rows):
        return lax.scan(lambda c, row: (c + row, (c * row, c - row)), x, rows)[1][1]

    scan = loop(run_on(SimplifyLoops(), f, X, ROWS))
    assert scan["body"].result_types == (scan["body"].parameter_types[0],) * 2
    assert operations(scan["body"])["mul"] == 0


def test_unread_slices_and_constants_are_dropped():
    def f(x, y, rows):
        return lax.scan(lambda c, row: (c + row[0], c * y * row[1]), x, (rows, rows + 1))[0]

    scan = loop(run_on(SimplifyLoops(), f, X, X, ROWS))
    assert len(scan.inputs) == 2
    assert scan["consts"] == 0


def test_a_loop_whose_results_are_all_read_stays():
    graph = capture(lambda x, rows: lax.scan(lambda c, r: (c + r, c), x, rows), X, ROWS).graph
    assert SimplifyLoops()(graph) == graph


def recurrence(reverse: bool):
    def f(x, rows):
        def turn(c, row):
            return jnp.sin(c) + row, (c, c * row)

        return lax.scan(turn, x, rows, reverse=reverse)

    return f


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 4])
def test_short_loops_are_written_out(length: int, reverse: bool):
    graph = run_on(SimplifyLoops(), recurrence(reverse), X, ROWS[:length])
    assert operations(graph)["scan"] == 0
    assert operations(graph)["sin"] == length


@pytest.mark.parametrize("reverse", [False, True])
def test_long_loops_stay(reverse: bool):
    graph = run_on(SimplifyLoops(), recurrence(reverse), X, ROWS[:5])
    assert loop(graph)["length"] == 5
    assert loop(graph)["reverse"] == reverse


def test_the_limits_are_options():
    graph = capture(recurrence(False), X, ROWS[:5]).graph
    assert operations(SimplifyLoops(max_trips=5)(graph))["scan"] == 0
    assert operations(SimplifyLoops(max_trips=5, max_nodes=10)(graph))["scan"] == 1


def test_one_turn_is_written_out_whatever_its_size():
    def turn(c, row):
        for _ in range(100):
            c = jnp.sin(c)
        return c, row

    graph = run_on(SimplifyLoops(), lambda x: lax.scan(turn, x, ROWS[:1]), X)
    assert operations(graph)["scan"] == 0


@pytest.mark.parametrize("length", [0, 1, 3])
def test_loops_without_slices(length: int):
    def f(x):
        return lax.scan(lambda c, _: (c * 2, c), x, None, length=length)

    assert operations(run_on(SimplifyLoops(), f, X))["scan"] == 0


@pytest.mark.parametrize("length", [2, 3, 9])
def test_a_carry_that_starts_weaker_than_it_goes_on(length: int):
    def f(rows):
        return lax.scan(lambda c, row: (jnp.sin(c) * 2 + row.sum(), c * 3), 0.0, rows)

    run_on(SimplifyLoops(), f, ROWS[:length])


def test_loops_inside_loops():
    def f(x, rows):
        def turn(c, row):
            inner, _ = lax.scan(lambda d, r: ((d[0] + r, d[1] * r), None), (c, c), rows[:6])
            return inner[0], lax.scan(lambda d, r: (d * r, None), c, rows[:2])[0]

        return lax.scan(turn, x, rows)

    graph = run_on(SimplifyLoops(), f, X, ROWS)
    assert operations(graph)["scan"] == 2
    outer = loop(graph)
    assert loop(outer["body"])["carry"] == 1


def test_loops_inside_branches():
    def f(x):
        return lax.cond(
            x.sum() > 0, lambda v: lax.fori_loop(0, 2, lambda i, c: c * 2, v), jnp.sin, x
        )

    assert operations(run_on(SimplifyLoops(), f, X))["scan"] == 0


def test_random_keys_in_a_loop_stay_a_loop():
    def f(key):
        keys = jax.random.split(key, 3)
        return lax.scan(lambda c, k: (c + jax.random.normal(k), None), 0.0, keys)[0]

    assert operations(run(SimplifyLoops(), capture(f, jax.random.key(0)).graph))["scan"] == 1


def shout(c, row):
    jax.debug.print("{} {}", c.sum(), row.sum(), ordered=True)
    return c + row, None


@pytest.mark.parametrize("length", [0, 1, 3])
def test_effects_of_a_short_loop_keep_their_order(length: int, capsys: pytest.CaptureFixture[str]):
    def f(x, rows):
        jax.debug.print("before", ordered=True)
        out = lax.scan(shout, x, rows)[0]
        jax.debug.print("after", ordered=True)
        return out

    run_on(SimplifyLoops(), f, X, ROWS[:length])
    jax.effects_barrier()
    lines = capsys.readouterr().out.splitlines()
    half = len(lines) // 2
    assert half == length + 2
    assert lines[:half] == lines[half:]
    assert (lines[0], lines[half - 1]) == ("before", "after")


def test_effects_keep_what_a_loop_carries_for_nobody():
    def f(x, rows):
        return (x, lax.scan(shout, x, rows)[1])

    graph = run(SimplifyLoops(), capture(f, X, ROWS).graph)
    assert graph.has_effects
    assert loop(graph)["length"] == 10


def test_a_while_loop_of_known_turns_is_written_out():
    def f(x):
        return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.sin(c[1])), (0, x))

    graph = run_on(SimplifyLoops(), f, X)
    assert operations(graph) == {"sin": 3, "constant": 1}


def test_a_while_loop_that_does_not_turn():
    def f(x):
        return lax.while_loop(lambda c: c[0] < 0, lambda c: (c[0] + 1, jnp.sin(c[1])), (0, x))

    assert operations(run_on(SimplifyLoops(), f, X)) == {"constant": 1}


@pytest.mark.parametrize(("turns", "stays"), [(4, False), (5, True)])
def test_a_while_loop_of_more_turns_stays(turns: int, stays: bool):
    def f(x):
        return lax.while_loop(lambda c: c[0] < turns, lambda c: (c[0] + 1, c[1] * 2), (0, x))

    assert operations(run_on(SimplifyLoops(), f, X))["while"] == stays


def test_a_while_loop_of_unknown_turns_stays():
    def f(x):
        return lax.while_loop(lambda c: c.sum() < 9, lambda c: c * 2 + 1, x)

    assert operations(run_on(SimplifyLoops(), f, X))["while"] == 1


def test_a_loop_that_never_ends_is_not_touched():
    def f(x):
        return lax.while_loop(lambda c: True, jnp.sin, x)

    graph = capture(f, X).graph
    assert SimplifyLoops()(graph) == graph


def test_a_loop_that_ends_for_some_arguments_keeps_its_condition():
    def f(x, y):
        return lax.while_loop(lambda c: c[0].sum() > 5, lambda c: (c[0], jnp.sin(c[1])), (x, y))[0]

    graph = run_on(SimplifyLoops(), f, X, X)
    assert operations(graph)["while"] == 1


def test_an_unread_carry_of_a_while_loop_is_dropped():
    def f(x):
        def turn(c):
            i, total, unread = c
            return i + 1, total + x, unread * total

        return lax.while_loop(lambda c: c[0] < 9, turn, (0, x, x))[1]

    item = loop(run_on(SimplifyLoops(), f, X), "while")
    assert len(item.types) == 2


def test_a_carry_that_only_the_condition_reads_stays():
    def f(x):
        return lax.while_loop(lambda c: c[0] < 9, lambda c: (c[0] + 1, jnp.sin(c[1])), (0, x))[1]

    assert len(loop(run_on(SimplifyLoops(), f, X), "while").types) == 2


def test_an_unchanged_carry_of_a_while_loop_becomes_a_constant():
    def f(x, limit):
        def turn(c):
            i, total, fixed, end = c
            return i + 1, total + fixed, fixed, end

        return lax.while_loop(lambda c: c[0] < c[3], turn, (0, x, x * 2, limit))

    item = loop(run_on(SimplifyLoops(), f, X, 9), "while")
    assert len(item.types) == 2
    assert (item["condition_consts"], item["body_consts"]) == (1, 1)


def test_constants_of_a_while_loop_that_nobody_reads_are_dropped():
    def f(x, y):
        def turn(c):
            return c[0] + 1, c[1] + 1, c[2] * y

        return lax.while_loop(lambda c: c[0] < 9, turn, (0, x, y))[1]

    item = loop(run_on(SimplifyLoops(), f, X, X), "while")
    assert item["body_consts"] == 0


def test_effects_of_a_while_loop_stay():
    def f(x):
        def turn(c):
            jax.debug.print("{}", c[0], ordered=True)
            return c[0] + 1, c[1] * 2

        return lax.while_loop(lambda c: c[0] < 2, turn, (0, x))[0]

    graph = run(SimplifyLoops(), capture(f, X).graph)
    assert operations(graph)["while"] == 1
    assert graph.has_effects


def test_a_loop_over_integers_at_their_ends():
    def f(i):
        return lax.while_loop(
            lambda c: c[0] > 0, lambda c: (c[0] + 100, c[1] + c[0]), (np.int8(100), i)
        )

    graph = run_on(SimplifyLoops(), f, np.int8(1))
    assert operations(graph)["while"] == 0


def test_gradients_of_simplified_loops():
    def f(x, rows):
        def turn(carry, row):
            total, unread, fixed = carry
            return (jnp.sin(total) * fixed + row, unread * row, fixed), total

        return lax.scan(turn, (x, x, x + 1), rows)[0][0].sum()

    run_on(SimplifyLoops(), jax.grad(f, (0, 1)), X, ROWS)
    run_on(SimplifyLoops(), jax.grad(f, (0, 1)), X, ROWS[:3])
