"""Graphs: equality, schedule, nested graphs, effects."""

import jax
import jax.numpy as jnp
from jax import lax

from xlathe.compiler.ir import (
    Graph,
    Node,
    Origin,
    array_type,
    constant,
    get,
    is_effectful,
    node,
    parameter,
    parse,
    start_token,
)
from xlathe.compiler.ir.types import TOKEN
from xlathe.tracer.capture import capture

F32 = array_type((), "float32")
X, Y = parameter(0, F32), parameter(1, F32)
SIN, COS = node("sin", (X,), F32), node("cos", (X,), F32)
BODY = Graph([X], [SIN], name="body")


def operations(graph: Graph) -> list[str]:
    return [item.operation for item in graph.nodes]


def test_equality_is_of_parameters_results_and_effect():
    assert Graph([X], [SIN]) == Graph([X], [SIN])
    assert hash(Graph([X], [SIN])) == hash(Graph([X], [SIN]))
    assert Graph([X], [SIN]) != Graph([X], [COS])
    assert Graph([X], [SIN]) != Graph([X, Y], [SIN])
    assert Graph([X], [SIN]) != Graph([X], [SIN, SIN])
    assert Graph([X], [SIN]) != Graph([X], [SIN], start_token())


def test_equality_leaves_names_and_origins_out():
    named = Graph([X], [SIN], name="f", origins={SIN: Origin((1,), "s")}, result_names=("result",))
    assert named == Graph([X], [SIN])
    assert named != "a graph"


def test_nodes_stand_in_the_order_of_the_program():
    tan = node("tan", (X,), F32)
    total = node("add", (tan, SIN), F32)
    origins = {SIN: Origin((0,)), COS: Origin((1,)), tan: Origin((2,)), total: Origin((3,))}
    graph = Graph([X], [total, COS], origins=origins)
    assert operations(graph) == ["sin", "cos", "tan", "add"]


def test_inputs_come_first_whatever_the_order_says():
    total = node("add", (SIN, COS), F32)
    origins = {total: Origin((0,)), SIN: Origin((5,)), COS: Origin((1,))}
    assert operations(Graph([X], [total], origins=origins)) == ["sin", "cos", "add"]


def test_what_a_call_contains_stands_where_the_call_stood():
    late = node("tan", (X,), F32)
    origins = {SIN: Origin((2, 1)), COS: Origin((1,)), late: Origin((3,))}
    assert operations(Graph([X], [late, SIN, COS], origins=origins)) == ["cos", "sin", "tan"]


def test_what_no_result_needs_is_no_part_of_it():
    graph = Graph([X, Y], [SIN], origins={COS: Origin((0,))})
    assert operations(graph) == ["sin"]
    assert graph.parameters == (X, Y)


def test_captured_operations_keep_the_users_order():
    def f(x):
        a = jnp.sin(x)
        b = jnp.cos(x)
        c = jnp.tan(x)
        return c + a * b

    assert operations(capture(f, 1.0).graph) == ["sin", "cos", "tan", "mul", "add"]


def test_a_deep_graph_is_scheduled_without_recursion():
    item: Node = X
    for _ in range(20_000):
        item = node("sin", (item,), F32)
    assert len(Graph([X], [item]).nodes) == 20_000


def test_subgraphs_are_one_level_down_and_once():
    outer_body = Graph([X], [node("call", (X,), F32, {"body": BODY})], name="outer")
    twice = node(
        "call", (node("call", (X,), F32, {"body": outer_body}),), F32, {"body": outer_body}
    )
    graph = Graph([X], [twice])
    assert list(graph.subgraphs()) == [outer_body]
    assert list(outer_body.subgraphs()) == [BODY]
    assert list(BODY.subgraphs()) == []


def test_walk_is_innermost_first_and_once():
    outer_body = Graph([X], [node("call", (X,), F32, {"body": BODY})], name="outer")
    first = node("call", (X,), F32, {"body": BODY})
    graph = Graph([X], [node("call", (first,), F32, {"body": outer_body})], name="all")
    assert [inner.name for inner in graph.walk()] == ["body", "outer", "all"]


def test_branches_are_walked():
    graph = capture(
        lambda x: lax.cond(x > 0, lambda y: jnp.sin(y), lambda y: jnp.cos(y), x), 1.0
    ).graph
    (cond,) = [item for item in graph.nodes if item.operation == "cond"]
    assert list(graph.subgraphs()) == list(cond["branches"])


def test_types_of_parameters_and_results():
    graph = Graph([X, Y], [SIN])
    assert graph.parameter_types == (F32, F32)
    assert graph.result_types == (F32,)


def test_effects():
    printed = node("print", (X, start_token()), (F32, TOKEN))
    value, token = get(printed, 0), get(printed, 1)
    graph = Graph([X], [value], token)
    assert graph.has_effects
    assert graph.outputs == (value, token)
    assert is_effectful(printed)
    assert not is_effectful(token)
    assert not is_effectful(SIN)
    assert not is_effectful(constant(1.0))


def test_effects_of_a_program_follow_each_other():
    def f(x):
        jax.debug.print("{}", x)
        jax.debug.print("{}", x)
        return x

    graph = capture(f, 1.0).graph
    first, second = [item for item in graph.nodes if is_effectful(item)]
    assert first.inputs[-1] is start_token()
    assert second.inputs[-1] in (first, get(first, 0) if isinstance(first.type, tuple) else first)
    assert graph.effect is not None


def test_with_outputs_keeps_parameters_and_names():
    graph = Graph([X, Y], [SIN], name="f", origins={SIN: Origin((1,), "s")})
    other = graph.with_outputs([COS])
    assert other == Graph([X, Y], [COS])
    assert other.name == "f"
    assert other.origin(SIN).name == "s"


def test_equal_graphs_are_one_attribute():
    parsed = parse("def other(x: f32):\n    v: f32 = sin(x)\n    return (v,)\n")
    assert parsed == BODY
    assert node("call", (X,), F32, {"body": parsed}) is node("call", (X,), F32, {"body": BODY})


def test_text_for_debugging():
    assert repr(BODY) == "<Graph body: 1 nodes>"
