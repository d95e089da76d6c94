"""Rebuilding graphs: the one loop under every pass that replaces nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xlathe.compiler.ir.graph import Graph, Origin, is_effectful
from xlathe.compiler.ir.node import Node, node, parameter, start_token, with_other_inputs

Replacement = Node | tuple[Node, ...] | None
"""What a rewrite returns for a node: its replacement, one node for each of its results if it has
several, or None to keep it."""


def rewrite(
    graph: Graph,
    change: Callable[[Node], Replacement],
    replaced: Mapping[Node, Node] | None = None,
    origin_of: Callable[[Origin], Origin] | None = None,
) -> Graph:
    """Rebuild a graph from its parameters up, giving `change` each node with its new inputs.

    Args:
        graph: the graph; it is not changed.
        change: returns the replacement of a node, or None to keep it.
        replaced: nodes that stand for others from the start, such as parameters.
        origin_of: maps the origins that are handed on to the new nodes.

    Returns:
        The new graph; the same object if nothing changed.
    """
    mapped: dict[Node, Node | tuple[Node, ...]] = dict(replaced or {})
    origins = dict(graph.origins)
    for item in graph.nodes:
        new = with_inputs(item, mapped)
        if isinstance(new, Node) and item.operation != "get":
            changed = change(new)
            if changed is not None:
                new = changed
        if new is not item:
            origin = graph.origins.get(item)
            if origin is not None:
                adopt(origins, new, origin if origin_of is None else origin_of(origin))
            mapped[item] = new
    outputs = {item: _single(mapped.get(item, item)) for item in graph.outputs}
    if all(new is old for old, new in outputs.items()):
        return graph
    return graph.rebuilt(outputs, origins)


def substitute(graph: Graph, replaced: Mapping[Node, Node]) -> Graph:
    """Put other nodes in the place of some, wherever those are read.

    Args:
        graph: the graph; it is not changed.
        replaced: what stands for a node, written over nodes of the graph as it is; those of them
            that are replaced themselves are replaced there, too.
    """
    mapped: dict[Node, Node] = {}
    origins = dict(graph.origins)
    stack = list(graph.outputs)
    while stack:
        item = stack[-1]
        if item in mapped:
            stack.pop()
            continue
        instead = replaced.get(item)
        if instead is item:
            instead = None
        sources = item.inputs if instead is None else (instead,)
        missing = [source for source in sources if source not in mapped]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        new = _single(with_inputs(item, mapped)) if instead is None else mapped[instead]
        mapped[item] = new
        origin = graph.origins.get(item)
        if new is not item and origin is not None:
            adopt(origins, new, origin)
    return graph.rebuilt(mapped, origins)


def with_inputs(
    item: Node, mapped: Mapping[Node, Node | tuple[Node, ...]]
) -> Node | tuple[Node, ...]:
    """The node over the replacements of its inputs; the same object if none is replaced."""
    if mapped.keys().isdisjoint(item.inputs):
        return item
    inputs = tuple([mapped.get(source, source) for source in item.inputs])
    first = inputs[0]
    if isinstance(first, tuple) and item.operation == "get":
        return first[item["index"]]
    return with_other_inputs(item, tuple(map(_single, inputs)))


def _single(value: Replacement) -> Node:
    if type(value) is not Node:
        raise TypeError("A node with several results was replaced, but used as a whole.")
    return value


def adopt(origins: dict[Node, Origin], new: Node | Sequence[Node], origin: Origin) -> None:
    """Give an origin to a node, and to those below it that have none yet.

    The user's name goes to the node itself only, and only if it has no name of its own.
    """
    if not isinstance(new, Node):
        for item in new:
            adopt(origins, item, origin._replace(name=""))
        return
    known = origins.get(new)
    if known is not None:
        if origin.name and not known.name and new.operation != "parameter":
            origins[new] = known._replace(name=origin.name)
        return
    if new.operation in ("parameter", "constant"):
        return
    origins[new] = origin
    unnamed = origin._replace(name="") if origin.name else origin
    stack = list(new.inputs)
    while stack:
        item = stack.pop()
        if item in origins or item.operation in ("parameter", "constant"):
            continue
        origins[item] = unnamed
        stack.extend(item.inputs)


def map_subgraphs(item: Node, change: Callable[[Graph], Graph]) -> Node:
    """The node with `change` applied to each graph among its attributes."""
    attributes: dict[str, Any] = {}
    differs = False
    for name, value in item.attributes.items():
        new = value
        if isinstance(value, Graph):
            new = change(value)
        elif isinstance(value, tuple) and any(isinstance(inner, Graph) for inner in value):
            new = tuple(change(i) if isinstance(i, Graph) else i for i in value)
        attributes[name] = new
        differs = differs or new is not value
    return node(item.operation, item.inputs, item.type, attributes) if differs else item


def permute_parameters(graph: Graph, order: Sequence[int]) -> Graph:
    """The same graph with its parameters in another order: new parameter i was `order[i]`."""
    return with_parameters(graph, [graph.parameters[index] for index in order])


def with_parameters(graph: Graph, kept: Sequence[Node]) -> Graph:
    """The same graph with these of its parameters only, in this order."""
    fresh = [parameter(index, item.type) for index, item in enumerate(kept)]
    mapping = dict(zip(kept, fresh, strict=True))
    return _with_new_parameters(graph, fresh, mapping)


def _with_new_parameters(
    graph: Graph, fresh: Sequence[Node], mapping: Mapping[Node, Node]
) -> Graph:
    results, effect, origins = instantiate(graph, mapping)
    for old, new in mapping.items():
        if old in graph.origins:
            origins[new] = graph.origins[old]
    return Graph(
        fresh, results, effect, name=graph.name, origins=origins, result_names=graph.result_names
    )


def instantiate(
    graph: Graph,
    mapping: Mapping[Node, Node],
    origin_of: Callable[[Origin], Origin] | None = None,
    change: Callable[[Node], Replacement] | None = None,
) -> tuple[tuple[Node, ...], Node | None, dict[Node, Origin]]:
    """Build a graph's nodes over other nodes in place of its parameters.

    Args:
        graph: the graph.
        mapping: what stands for its parameters, and for its starting token if it has effects.
        origin_of: maps the origins that are handed on to the new nodes.
        change: returns the replacement of a new node, or None to keep it.

    Returns:
        The results, the final token if there is one, and the origins of the new nodes.
    """
    mapped: dict[Node, Node | tuple[Node, ...]] = dict(mapping)
    origins: dict[Node, Origin] = {}
    for item in graph.nodes:
        new = mapped.get(item)
        if new is None:
            new = with_inputs(item, mapped)
            if change is not None and isinstance(new, Node) and item.operation != "get":
                new = change(new) or new
            if new is not item:
                mapped[item] = new
        origin = graph.origins.get(item)
        if origin is not None and isinstance(new, Node) and new not in origins:
            if new.operation != "parameter":
                origins[new] = origin if origin_of is None else origin_of(origin)
    results = tuple(_single(mapped.get(item, item)) for item in graph.results)
    effect = None if graph.effect is None else _single(mapped.get(graph.effect, graph.effect))
    return results, effect, origins


def splice(
    body: Graph,
    inputs: Sequence[Node],
    token: Node | None,
    origin_of: Callable[[Origin], Origin] | None = None,
) -> tuple[tuple[Node, ...], dict[Node, Origin]]:
    """Build a nested graph's nodes in the place of the node that runs it.

    Args:
        body: the nested graph.
        inputs: what it is given.
        token: the token that the node takes; None if it has no effects.
        origin_of: maps the origins of the body's nodes.

    Returns:
        The node's values, its token last if it has one, and the origins of the new nodes.
    """
    mapping = dict(zip(body.parameters, inputs, strict=True))
    if token is not None:
        mapping[start_token()] = token
    results, effect, origins = instantiate(body, mapping, origin_of)
    return (results if token is None else (*results, effect or token)), origins


def users(graph: Graph) -> dict[Node, list[Node]]:
    """For each node, the nodes that read it; results of the graph count as one reader each."""
    found: dict[Node, list[Node]] = {}
    for item in graph.nodes:
        for source in item.inputs:
            found.setdefault(source, []).append(item)
    for item in graph.outputs:
        found.setdefault(item, []).append(item)
    return found


__all__ = [
    "Replacement",
    "adopt",
    "instantiate",
    "is_effectful",
    "map_subgraphs",
    "permute_parameters",
    "rewrite",
    "splice",
    "substitute",
    "users",
    "with_inputs",
    "with_parameters",
]
