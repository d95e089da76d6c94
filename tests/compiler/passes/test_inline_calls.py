"""Inlining: calls are gone, their names stay as scopes."""

import inspect

import jax
import jax.numpy as jnp
from jax import lax

from xlathe.compiler.ir import parse, start_token
from xlathe.compiler.passes.inline_calls import InlineCalls
from xlathe.tracer.capture import capture

from .check import operations, run, run_on


@jax.jit
def inner(x):
    y = jnp.sin(x)
    return y * 2


@jax.jit
def outer(x):
    return inner(x) + inner(x + 1)


def test_before_and_after():
    before = """
def double(x: f32):
    y: f32 = add(x, x)
    return (y, x)

def f(x: f32):
    both: (f32, f32) = call(x, body=double, name='double')
    first: f32 = get(both, index=0)
    second: f32 = get(both, index=1)
    z: f32 = sub(first, second)
    return (z,)
"""
    after = """
def f(x: f32):
    first: f32 = add(x, x)
    z: f32 = sub(first, x)
    return (z,)
"""
    assert run(InlineCalls(), before) == parse(after)


def test_nested_calls():
    graph = run_on(InlineCalls(), outer, 1.0)
    assert "call" not in operations(graph)
    assert operations(graph)["sin"] == 2


def test_equal_calls_become_one():
    graph = run_on(InlineCalls(), lambda x: inner(x) + inner(x), 1.0)
    assert operations(graph)["sin"] == 1


def test_no_call_is_the_same_object():
    graph = capture(lambda x: lax.sin(x), 1.0).graph
    assert InlineCalls()(graph) is graph


def test_names_stay_as_scopes():
    graph = InlineCalls()(capture(outer, 1.0).graph)
    scopes = {graph.origin(item).scope for item in graph.nodes if item.operation == "sin"}
    assert scopes == {"outer/inner"}


def test_a_scope_inside_a_call_is_inside_its_name():
    @jax.jit
    def block(x):
        with jax.named_scope("attention"):
            return lax.sin(x)

    def model(x):
        with jax.named_scope("encoder"):
            return block(x)

    graph = InlineCalls()(capture(model, 1.0).graph)
    (sin,) = graph.nodes
    assert graph.origin(sin).scope == "encoder/block/attention"


def test_lines_and_names_of_the_users_functions_stay():
    graph = InlineCalls()(capture(outer, 1.0).graph)
    sin = next(item for item in graph.nodes if item.operation == "sin")
    origin = graph.origin(sin)
    assert origin.name == "y"
    assert origin.file == __file__
    assert origin.line == inspect.unwrap(inner).__code__.co_firstlineno + 2


def test_what_jax_does_inside_its_own_functions_has_the_users_line():
    def f(x):
        return jnp.where(x > 0, x, 0.0)

    graph = InlineCalls()(capture(f, jnp.arange(3.0)).graph)
    lines = {graph.origin(item).line for item in graph.nodes if graph.origin(item).file}
    assert lines == {f.__code__.co_firstlineno + 1}
    assert {graph.origin(item).scope for item in graph.nodes} == {""}


def test_the_users_order_stays():
    @jax.jit
    def pair(x):
        return jnp.sin(x), jnp.cos(x)

    def f(x):
        a, b = pair(x)
        c = jnp.tan(x)
        return c, b, a

    graph = InlineCalls()(capture(f, 1.0).graph)
    assert [item.operation for item in graph.nodes] == ["sin", "cos", "tan"]


def test_inside_loops_and_branches():
    def f(x):
        def turn(c, y):
            return lax.cond(y > 1, inner, lambda v: v, c), inner(y)

        return lax.scan(turn, x, jnp.arange(6.0))

    graph = run_on(InlineCalls(), f, 1.0)
    assert "call" not in operations(graph)
    assert operations(graph)["scan"] == 1


def test_a_call_that_closes_over_an_array():
    weights = jnp.arange(40.0)
    graph = run_on(InlineCalls(), jax.jit(lambda x: x * weights), jnp.ones(40))
    assert "call" not in operations(graph)


def test_a_call_that_returns_its_arguments_or_nothing():
    swap = jax.jit(lambda x, y: (y, x, x))
    graph = run_on(InlineCalls(), lambda x, y: swap(x, y), 1.0, 2.0)
    assert not graph.nodes
    nothing = jax.jit(lambda x: None)
    assert not run_on(InlineCalls(), lambda x: (nothing(x), x), 1.0).nodes


def test_effects_keep_their_order():
    @jax.jit
    def shout(x):
        jax.debug.print("inner {}", x, ordered=True)
        return x

    def f(x):
        jax.debug.print("before {}", x, ordered=True)
        y = shout(x)
        jax.debug.print("after {}", y, ordered=True)
        return y

    graph = run(InlineCalls(), capture(f, 1.0).graph)
    printed = [item["fmt"] for item in graph.nodes if item.operation == "debug_print"]
    assert printed == ["before {}", "inner {}", "after {}"]
    token = start_token()
    for item in (item for item in graph.nodes if item.operation == "debug_print"):
        assert item.inputs[-1] is token
        token = item
    assert graph.effect is token


def test_a_call_with_effects_whose_result_is_not_read():
    @jax.jit
    def shout(x):
        jax.debug.print("{}", x)
        return x * 2

    def f(x):
        shout(x)
        return x

    graph = run(InlineCalls(), capture(f, 1.0).graph)
    assert operations(graph)["debug_print"] == 1
    assert operations(graph)["mul"] == 0
