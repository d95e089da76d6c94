"""Splits written as slices, where not all that they split is read."""

from __future__ import annotations

from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.ir.rewrite import Replacement, rewrite, users
from xlathe.compiler.ops.build import broadcast_in_dim
from xlathe.compiler.rules.views import Range, read

_SELECTING = ("slice", "dynamic_slice", "gather")


def opened(graph: Graph) -> Graph:
    """Write the parts of a split as slices if some are not read, or of some only parts are.

    The parts of what a broadcast repeats are broadcasts.
    """
    if "split" not in graph.operations:
        return graph
    readers = users(graph)
    chosen: set[Node] = set()
    for item in reversed(graph.nodes):
        if item.operation != "split" or not isinstance(item.type, tuple):
            continue
        parts = readers[item]
        in_part = any(
            all(r in chosen or r.operation in _SELECTING for r in readers[part]) for part in parts
        )
        if len(parts) < len(item["sizes"]) or in_part:
            chosen.add(item)
    originals = iter([item for item in graph.nodes if item.operation != "get"])

    def change(item: Node) -> Replacement:
        original = next(originals)
        if item.operation != "split" or not item.inputs[0].type.is_plain:
            return None
        if not isinstance(item.type, tuple):
            return None
        return _repeated(item) or (_slices(item) if original in chosen else None)

    return rewrite(graph, change)


def _repeated(item: Node) -> tuple[Node, ...] | None:
    source, axis = item.inputs[0], item["axis"]
    if source.operation != "broadcast_in_dim" or len(source.inputs) != 1:
        return None
    places = source["broadcast_dimensions"]
    inner = source.inputs[0]
    if source.attributes.get("sharding") is not None:
        return None
    if axis in places and inner.type.shape[places.index(axis)] != 1:
        return None
    parts = tuple(broadcast_in_dim(inner, type_.shape, places) for type_ in item.types)
    return parts if tuple(part.type for part in parts) == item.types else None


def _slices(item: Node) -> tuple[Node, ...]:
    source, axis = item.inputs[0], item["axis"]
    parts = []
    start = 0
    for size in item["sizes"]:
        view = tuple(Range(start, size) if i == axis else None for i in range(source.type.rank))
        parts.append(read(source, view))
        start += size
    return tuple(parts)
