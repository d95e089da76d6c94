"""Removing hints, once the rules have used them."""

from __future__ import annotations

from dataclasses import dataclass

from xlathe.compiler.algebra.read import LINEAR
from xlathe.compiler.ir import Graph, Node, node
from xlathe.compiler.passes.everywhere import rewrite_everywhere

_LAYOUT = frozenset(["broadcast_in_dim", "reshape", "transpose"])
_USED_LATE = frozenset(["lower_triangular", "upper_triangular", "tridiagonal"])


@dataclass(frozen=True)
class DropAssumptions:
    """Replace each `assume` by what it is said of: it is an identity.

    Attributes:
        from_products: whether to drop only what would part one product from another, which are
            best computed together. Triangles and bands of what is no product stay.
    """

    from_products: bool = False

    def __call__(self, graph: Graph) -> Graph:
        """Remove the hints in the graph and the graphs nested in it."""
        change = _within_products if self.from_products else _drop
        return rewrite_everywhere(graph, change, operations=("assume",))


def _drop(item: Node) -> Node | None:
    return item.inputs[0] if item.operation == "assume" else None


def _within_products(item: Node) -> Node | None:
    if item.operation not in LINEAR:
        return None
    inputs = tuple(map(_bare, item.inputs))
    return (
        None if inputs == item.inputs else node(item.operation, inputs, item.type, item.attributes)
    )


def _bare(item: Node) -> Node:
    if item.operation != "assume":
        return item
    source = below = _bare(item.inputs[0])
    while below.operation in _LAYOUT:
        below = below.inputs[0]
    if item["kind"] in _USED_LATE and below.operation not in LINEAR:
        return item
    return source
