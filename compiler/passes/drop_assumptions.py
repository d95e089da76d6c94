"""Removing hints, once the rules have used them."""

from __future__ import annotations

from dataclasses import dataclass

from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.passes.everywhere import rewrite_everywhere


@dataclass(frozen=True)
class DropAssumptions:
    """Replace each `assume` by what it is said of: it is an identity."""

    def __call__(self, graph: Graph) -> Graph:
        """Remove the hints in the graph and the graphs nested in it."""
        return rewrite_everywhere(graph, _drop)


def _drop(item: Node) -> Node | None:
    return item.inputs[0] if item.operation == "assume" else None
