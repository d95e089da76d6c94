"""Applying a change to a graph and to every graph nested in it, innermost first."""

from __future__ import annotations

from collections.abc import Callable, Collection

from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.ir.rewrite import Replacement, map_subgraphs, rewrite


def rewrite_everywhere(
    graph: Graph,
    change: Callable[[Node], Replacement],
    operations: Collection[str] | None = None,
) -> Graph:
    """Rewrite a graph and all graphs nested in it, each distinct one once.

    `change` sees a node after the graphs in its attributes have been rewritten, and no node of
    graphs that hold none of the `operations`, if those are given.
    """

    def visit(inner: Graph) -> Graph:
        if operations is not None and inner.operations.isdisjoint(operations):
            return inner
        return rewrite(inner, change)

    return nested_first(graph, visit)


def nested_first(graph: Graph, change: Callable[[Graph], Graph]) -> Graph:
    """Give `change` each distinct graph once, after the graphs that are nested in it."""
    done: dict[Graph, Graph] = {}

    def visit(inner: Graph) -> Graph:
        found = done.get(inner)
        if found is None:
            deep = inner
            if inner.holders:
                deep = rewrite(inner, nested)
            found = done[inner] = change(deep)
        return found

    def nested(item: Node) -> Replacement:
        return map_subgraphs(item, visit) if item.holds_graphs else None

    return visit(graph)


def holds(graph: Graph, operation: str) -> bool:
    """Whether an operation stands in a graph, or in one nested in it."""
    return any(operation in inner.operations for inner in graph.walk())
