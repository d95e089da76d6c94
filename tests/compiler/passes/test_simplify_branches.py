"""Branches of known predicate, and branches that all do the same."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from xlathe.compiler.ir import parse
from xlathe.compiler.passes.simplify_branches import SimplifyBranches
from xlathe.tracer.capture import capture

from .check import operations, run, run_on

TEXT = """
def same(a: f32[3]):
    return (a,)

def double(a: f32[3]):
    b: f32[3] = add(a, a)
    return (b,)

def negate(a: f32[3]):
    b: f32[3] = neg(a)
    return (b,)

def f(a: f32[3]):
    i: i32 = constant({index})
    b: f32[3] = cond(i, a, branches=(same, double, negate))
    c: f32[3] = sin(b)
    return (c,)
"""


@pytest.mark.parametrize(
    ("index", "taken"),
    [
        (0, "    c: f32[3] = sin(a)"),
        (1, "    b: f32[3] = add(a, a)\n    c: f32[3] = sin(b)"),
        (2, "    b: f32[3] = neg(a)\n    c: f32[3] = sin(b)"),
        (7, "    b: f32[3] = neg(a)\n    c: f32[3] = sin(b)"),
        (-1, "    c: f32[3] = sin(a)"),
    ],
)
def test_the_branch_of_a_known_number_is_taken(index: int, taken: str):
    after = run(SimplifyBranches(), TEXT.format(index=index))
    assert after == parse(f"def f(a: f32[3]):\n{taken}\n    return (c,)\n")


def test_an_unknown_predicate_stays():
    graph = capture(lambda x: lax.cond(x > 0, jnp.sin, jnp.cos, x), 1.0).graph
    assert SimplifyBranches()(graph) is graph


def test_branches_that_do_the_same():
    def f(x):
        return lax.switch(x.astype(jnp.int32), [lambda v: v * 2, lambda v: v * 2], x)

    assert operations(run_on(SimplifyBranches(), f, jnp.float32(1)))["cond"] == 0


def test_several_results():
    def f(x):
        return lax.cond(True, lambda v: (v, v + 1), lambda v: (v - 1, v), x)

    graph = run_on(SimplifyBranches(), f, 1.0)
    assert operations(graph) == {"add": 1, "constant": 1}


def test_branches_inside_branches():
    def f(x):
        return lax.cond(
            True,
            lambda v: lax.cond(False, jnp.sin, lambda w: lax.cond(w > 0, jnp.exp, jnp.tan, w), v),
            jnp.cos,
            x,
        )

    graph = run_on(SimplifyBranches(), f, 1.0)
    assert operations(graph)["cond"] == 1
    assert operations(graph)["sin"] == operations(graph)["cos"] == 0


def test_branches_inside_loops():
    def f(x):
        return lax.scan(lambda c, y: (lax.cond(True, jnp.sin, jnp.cos, c), y), x, jnp.arange(6.0))

    graph = run_on(SimplifyBranches(), f, 1.0)
    assert operations(graph)["cond"] == 0
    assert operations(graph)["sin"] == 1


def shout(text: str):
    def branch(x):
        jax.debug.print(text, ordered=True)
        return x

    return branch


def printed(graph) -> list[str]:
    return [item["fmt"] for item in graph.nodes if item.operation == "debug_print"]


def test_the_effects_of_the_taken_branch_keep_their_place():
    def f(x):
        jax.debug.print("before", ordered=True)
        y = lax.cond(True, shout("taken"), shout("not taken"), x)
        jax.debug.print("after", ordered=True)
        return y

    after = run(SimplifyBranches(), capture(f, 1.0).graph)
    assert printed(after) == ["before", "taken", "after"]


def test_a_taken_branch_without_effects_hands_the_token_on():
    def f(x):
        jax.debug.print("before", ordered=True)
        y = lax.cond(False, shout("not taken"), lambda v: v, x)
        jax.debug.print("after", ordered=True)
        return y

    after = run(SimplifyBranches(), capture(f, 1.0).graph)
    assert printed(after) == ["before", "after"]


def test_effects_under_an_unknown_predicate_stay():
    graph = capture(lambda x: lax.cond(x > 0, shout("one"), shout("other"), x), 1.0).graph
    assert SimplifyBranches()(graph) is graph
    assert graph.has_effects


def test_a_branch_of_another_weakness_stays():
    graph = """
def weak(a: f32):
    b: ~f32 = constant(1.0)
    return (b,)

def strong(a: f32):
    return (a,)

def f(a: f32):
    i: i32 = constant(0)
    b: f32 = cond(i, a, branches=(weak, strong))
    return (b,)
"""
    assert operations(run(SimplifyBranches(), graph))["cond"] == 1
