"""Rebuilding graphs: replacement, instantiation, splicing, and whose origin goes where."""

import pytest

from xlathe.compiler.ir import Graph, Node, Origin, array_type, get, node, parameter, parse
from xlathe.compiler.ir.rewrite import (
    adopt,
    instantiate,
    map_subgraphs,
    permute_parameters,
    rewrite,
    splice,
    substitute,
    users,
    with_inputs,
    with_parameters,
)
from xlathe.compiler.ir.types import TOKEN

F32 = array_type((), "float32")
X, Y = parameter(0, F32), parameter(1, F32)


def unary(operation: str, source: Node) -> Node:
    return node(operation, (source,), F32)


GRAPH = parse(
    """
def f(x: f32, y: f32):
    s: f32 = sin(x)
    c: f32 = cos(s)
    t: f32 = add(c, y)
    return (t, s)
"""
)


def sin_to_tan(item: Node) -> Node | None:
    return node("tan", item.inputs, item.type) if item.operation == "sin" else None


def test_replacement_reaches_all_that_read_it():
    expected = parse(
        """
def f(x: f32, y: f32):
    s: f32 = tan(x)
    c: f32 = cos(s)
    t: f32 = add(c, y)
    return (t, s)
"""
    )
    assert rewrite(GRAPH, sin_to_tan) == expected


def test_nothing_to_do_gives_the_same_object():
    assert rewrite(GRAPH, lambda item: None) is GRAPH


def test_the_change_sees_new_inputs():
    seen: list[Node] = []

    def change(item: Node) -> Node | None:
        seen.append(item)
        return sin_to_tan(item)

    rewrite(GRAPH, change)
    assert seen[1] is unary("cos", unary("tan", X))


def test_a_node_may_become_its_input():
    assert rewrite(GRAPH, lambda i: i.inputs[0] if i.operation == "cos" else None) == parse(
        """
def f(x: f32, y: f32):
    s: f32 = sin(x)
    t: f32 = add(s, y)
    return (t, s)
"""
    )


def test_several_results_are_replaced_one_by_one():
    pair = node("pair", (X,), (F32, F32))
    graph = Graph([X], [get(pair, 1), get(pair, 0)])
    new = rewrite(graph, lambda i: (unary("sin", X), X) if i.operation == "pair" else None)
    assert new == Graph([X], [X, unary("sin", X)])


def test_a_node_with_several_results_used_whole_is_refused():
    pair = node("pair", (X,), (F32, F32))
    graph = Graph([X], [node("reads_whole", (pair,), F32)])
    with pytest.raises(TypeError, match="used as a whole"):
        rewrite(graph, lambda i: (X, X) if i.operation == "pair" else None)


def test_replaced_from_the_start():
    assert rewrite(GRAPH, lambda item: None, {X: Y}) == parse(
        """
def f(x: f32, y: f32):
    s: f32 = sin(y)
    c: f32 = cos(s)
    t: f32 = add(c, y)
    return (t, s)
"""
    )


def test_effects_are_rewritten_with_the_rest():
    graph = parse(
        """
def f(x: f32):
    t: token = token()
    s: f32 = sin(x)
    p: (f32, token) = print(s, t)
    e: token = get(p, index=1)
    return (x, e)
"""
    )
    new = rewrite(graph, sin_to_tan)
    assert new.effect is not None
    assert new.effect.inputs[0].inputs[0] is unary("tan", X)


def test_a_replacement_takes_the_origin_over():
    sin, cos = unary("sin", X), unary("cos", X)
    graph = Graph([X], [sin], origins={sin: Origin((3,), "s", "model.py", 7, "scope")})
    origins = rewrite(graph, lambda item: unary("tan", cos)).origins
    assert origins[unary("tan", cos)] == Origin((3,), "s", "model.py", 7, "scope")
    assert origins[cos] == Origin((3,), "", "model.py", 7, "scope")


def test_a_replacement_keeps_its_own_origin_and_takes_a_name_only_if_it_has_none():
    known = Origin((1,), "own", "model.py", 1)
    sin = unary("sin", X)
    origins = {sin: known}
    adopt(origins, sin, Origin((9,), "other", "model.py", 9))
    assert origins[sin] == known
    origins = {sin: known._replace(name="")}
    adopt(origins, sin, Origin((9,), "other", "model.py", 9))
    assert origins[sin] == known._replace(name="other")


def test_a_parameter_keeps_the_users_name():
    sin = unary("sin", X)
    graph = Graph([X], [sin], origins={X: Origin(name="x"), sin: Origin((1,), "s")})
    new = rewrite(graph, lambda item: X)
    assert new.origin(X).name == "x"


def test_several_results_have_no_name():
    origins: dict[Node, Origin] = {}
    adopt(origins, (unary("sin", X), unary("cos", X)), Origin((1,), "pair", "model.py", 3))
    assert origins[unary("sin", X)] == Origin((1,), "", "model.py", 3)


def test_with_inputs():
    cos = unary("cos", X)
    assert with_inputs(cos, {}) is cos
    assert with_inputs(cos, {X: Y}) is unary("cos", Y)
    pair = node("pair", (X,), (F32, F32))
    assert with_inputs(get(pair, 1), {pair: (X, Y)}) is Y


def test_instantiate_builds_over_other_nodes():
    results, effect, _ = instantiate(GRAPH, {X: unary("exp", X), Y: X})
    sin = unary("sin", unary("exp", X))
    assert results == (node("add", (unary("cos", sin), X), F32), sin)
    assert effect is None


def test_instantiate_swaps_parameters_at_once():
    graph = Graph([X, Y], [node("sub", (X, Y), F32), X])
    results, _, _ = instantiate(graph, {X: Y, Y: X})
    assert results == (node("sub", (Y, X), F32), Y)


def test_instantiate_applies_a_change():
    results, _, _ = instantiate(GRAPH, {X: X, Y: Y}, change=sin_to_tan)
    assert results[1] is unary("tan", X)


def test_instantiate_hands_origins_on():
    sin = unary("sin", X)
    graph = Graph([X], [sin], origins={sin: Origin((1,), "s")})
    _, _, origins = instantiate(graph, {X: Y}, lambda o: o._replace(scope="inside"))
    assert origins == {unary("sin", Y): Origin((1,), "s", scope="inside")}


def test_splice_threads_the_token():
    body = parse(
        """
def body(x: f32):
    t: token = token()
    p: (f32, token) = print(x, t)
    v: f32 = get(p, index=0)
    e: token = get(p, index=1)
    return (v, e)
"""
    )
    token = get(node("before", (X,), (F32, TOKEN)), 1)
    values, _ = splice(body, [Y], token)
    printed = node("print", (Y, token), (F32, TOKEN))
    assert values == (get(printed, 0), get(printed, 1))


def test_splice_of_a_body_without_effects_hands_the_token_through():
    token = get(node("before", (X,), (F32, TOKEN)), 1)
    body = Graph([X], [unary("sin", X)])
    assert splice(body, [Y], token)[0] == (unary("sin", Y), token)
    assert splice(body, [Y], None)[0] == (unary("sin", Y),)


def test_parameters_are_permuted_and_dropped():
    graph = parse("def f(a: f32, b: i32, c: f32):\n    v: f32 = sub(a, c)\n    return (v,)\n")
    assert permute_parameters(graph, [2, 1, 0]) == parse(
        "def f(c: f32, b: i32, a: f32):\n    v: f32 = sub(a, c)\n    return (v,)\n"
    )
    smaller = with_parameters(graph, [graph.parameters[2], graph.parameters[0]])
    assert smaller == parse("def f(c: f32, a: f32):\n    v: f32 = sub(a, c)\n    return (v,)\n")
    assert [smaller.origin(item).name for item in smaller.parameters] == ["c", "a"]


def test_subgraphs_are_mapped_in_attributes_and_tuples():
    body, other = Graph([X], [unary("sin", X)]), Graph([X], [unary("cos", X)])
    call = node("call", (X,), F32, {"body": body, "name": "f"})
    assert map_subgraphs(call, lambda g: other) is node(
        "call", (X,), F32, {"body": other, "name": "f"}
    )
    assert map_subgraphs(call, lambda g: g) is call
    cond = node("cond", (X, X), F32, {"branches": (body, body)})
    assert map_subgraphs(cond, lambda g: other)["branches"] == (other, other)


def test_users_count_each_reading():
    sin = unary("sin", X)
    total = node("add", (sin, sin), F32)
    graph = Graph([X], [total, sin])
    assert users(graph) == {X: [sin], sin: [total, total, sin], total: [total]}


def test_a_node_may_stand_for_itself_among_those_substituted():
    total, sine = GRAPH.results
    tangent = node("tan", (X,), F32)
    after = substitute(GRAPH, {total: total, sine: tangent})
    assert [item.operation for item in after.nodes] == ["tan", "cos", "add"]
    assert substitute(GRAPH, {total: total}).results == GRAPH.results
