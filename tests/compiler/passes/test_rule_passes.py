"""The passes that apply rules, to the graph and to all graphs nested in it."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from xlathe.compiler.ir import Graph, Node, parse
from xlathe.compiler.passes.everywhere import rewrite_everywhere
from xlathe.compiler.passes.normalise import Normalise
from xlathe.compiler.passes.simplify import Simplify
from xlathe.compiler.rules import logging_rules
from xlathe.tracer.capture import capture

from .check import operations, run, run_on

BEFORE = """
def body(c: f32[3], s: f32):
    one: f32 = constant(1.0)
    a: f32[3] = mul(c, one)
    b: f32[3] = integer_pow(a, y=2)
    d: f32[3] = broadcast_in_dim(s, shape=(3,), broadcast_dimensions=(), sharding=None)
    e: f32[3] = add(b, d)
    return (e,)

def f(x: f32[3], s: f32):
    y: f32[3] = call(x, s, body=body, name='body')
    z: f32[3] = neg(y)
    w: f32[3] = neg(z)
    return (w,)
"""


def test_normalise():
    assert run(Normalise(), BEFORE) == parse(
        """
def body(c: f32[3], s: f32):
    one: f32 = constant(1.0)
    a: f32[3] = mul(c, one)
    b: f32[3] = square(a)
    e: f32[3] = add(b, s)
    return (e,)

def f(x: f32[3], s: f32):
    y: f32[3] = call(x, s, body=body, name='body')
    z: f32[3] = neg(y)
    w: f32[3] = neg(z)
    return (w,)
"""
    )


def test_simplify():
    assert run(Simplify(), BEFORE) == parse(
        """
def body(c: f32[3], s: f32):
    b: f32[3] = square(c)
    e: f32[3] = add(b, s)
    return (e,)

def f(x: f32[3], s: f32):
    y: f32[3] = call(x, s, body=body, name='body')
    return (y,)
"""
    )


@pytest.mark.parametrize("transform", [Normalise(), Simplify()])
def test_nothing_to_do_is_the_same_object(transform):
    graph = parse("def f(x: f32):\n    y: f32 = sin(x)\n    return (y,)\n")
    assert transform(graph) is graph


def test_what_rules_did_is_logged():
    graph = capture(lambda x: (x * 1 + 0.0) ** 2, jnp.arange(3.0)).graph
    with logging_rules() as log:
        Simplify()(graph)
    assert log.hits["multiply by one"] == 1
    assert log.hits["second power"] == 1
    assert [miss.reason for miss in log.misses] == ["x + 0.0 is not x where x is -0.0"]


def test_each_distinct_graph_is_rewritten_once():
    seen: list[Node] = []

    def change(item: Node) -> None:
        if item.operation == "sin":
            seen.append(item)

    def branch(v):
        return jnp.sin(v)

    def f(x):
        y = lax.cond(x.sum() > 0, branch, jnp.cos, x)
        return lax.cond(x.sum() > 1, branch, jnp.tan, y)

    graph = capture(f, jnp.arange(3.0)).graph
    rewrite_everywhere(graph, change)
    assert len(seen) == 1


def test_a_node_is_seen_after_the_graphs_in_it():
    def change(item: Node) -> Node | None:
        if item.operation == "call" and not operations(item["body"])["neg"]:
            return item.inputs[0]
        return Simplify()(Graph([], [item])).results[0] if item.operation == "neg" else None

    graph = parse(
        """
def body(x: f32):
    a: f32 = neg(x)
    b: f32 = neg(a)
    return (b,)

def f(x: f32):
    y: f32 = call(x, body=body, name='')
    return (y,)
"""
    )
    assert rewrite_everywhere(graph, change) == parse("def f(x: f32):\n    return (x,)\n")


def model(x):
    def turn(c, row):
        return (c + 0) * 1 + row, jnp.where(row > 0, c**2, lax.neg(lax.neg(c)))

    y, ys = lax.scan(turn, x[0], x)
    return jax.nn.softmax(y) + jnp.squeeze(ys[:1], 0).astype(jnp.float32)


@pytest.mark.parametrize("transform", [Normalise(), Simplify()])
def test_values_stay(transform):
    run_on(transform, model, jnp.arange(30.0).reshape(10, 3))
    run_on(transform, jax.grad(lambda x: model(x).sum()), jnp.arange(30.0).reshape(10, 3))
