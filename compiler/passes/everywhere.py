"""Applying a change to a graph and to every graph nested in it, innermost first."""

from __future__ import annotations

from collections.abc import Callable

from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.ir.rewrite import Replacement, map_subgraphs, rewrite


def rewrite_everywhere(
    graph: Graph,
    change: Callable[[Node], Replacement],
    known: dict[Graph, Graph] | None = None,
) -> Graph:
    """Rewrite a graph and all graphs nested in it, each distinct one once.

    `change` sees a node after the graphs in its attributes have been rewritten.
    """
    done: dict[Graph, Graph] = {} if known is None else known

    def visit(inner: Graph) -> Graph:
        found = done.get(inner)
        if found is None:
            found = done[inner] = rewrite(inner, deep)
        return found

    def deep(item: Node) -> Replacement:
        if not item.holds_graphs:
            return change(item)
        new = map_subgraphs(item, visit)
        changed = change(new)
        if changed is None and new is not item:
            return new
        return changed

    return visit(graph)


def holds(graph: Graph, operation: str) -> bool:
    """Whether an operation stands in a graph, or in one nested in it."""
    return any(item.operation == operation for inner in graph.walk() for item in inner.nodes)
