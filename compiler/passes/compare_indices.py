"""Scatters of one number a row, such as the gradient of a loss by its labels, as comparisons.

XLA fills an array with zeros, writes the numbers into it, and reads it again. Where what reads it
is elementwise, a comparison of places with indices takes no array at all: it is fused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from jax import lax

from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.ir.rewrite import substitute, users
from xlathe.compiler.ops.build import broadcast_in_dim, cast, filled, iota, make, reshaped
from xlathe.compiler.ops.elementwise import ELEMENTWISE, filled_scalar
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.rowwise.indices import aligned
from xlathe.compiler.rules import log_hit

RULE = "scatter of one number a row"
_MODES = (lax.GatherScatterMode.FILL_OR_DROP, lax.GatherScatterMode.PROMISE_IN_BOUNDS)
_INT32 = np.dtype(np.int32)


@dataclass(frozen=True)
class CompareIndices:
    """Write `zeros.at[rows, index].add(x)` as `where(arange(n) == index, x, 0)`."""

    def __call__(self, graph: Graph) -> Graph:
        """Rewrite the scatters of the graph and of those nested in it."""
        return nested_first(graph, _compared)


def _compared(graph: Graph) -> Graph:
    if "scatter_add" not in graph.operations:
        return graph
    readers = users(graph)
    replaced: dict[Node, Node] = {}
    for item in graph.nodes:
        if item.operation != "scatter_add" or not _are_elementwise(readers[item], item):
            continue
        new = _comparison(aligned(item))
        if new is not None and new.type is item.type:
            log_hit(RULE)
            replaced[item] = new
    return substitute(graph, replaced) if replaced else graph


def _are_elementwise(readers: Sequence[Node], item: Node) -> bool:
    return all(reader is not item and reader.operation in ELEMENTWISE for reader in readers)


def _comparison(item: Node) -> Node | None:
    """The numbers, spread over their rows, where an index meets its place; zeros elsewhere."""
    operand, indices, updates = item.inputs
    numbers = item["dimension_numbers"]
    shape, zero = item.type.shape, filled_scalar(operand)
    if zero is None or not item.type.is_plain or zero["value"].number != 0:
        return None
    if item["mode"] not in _MODES or numbers.update_window_dims or not indices.type.is_plain:
        return None
    (axis, *others) = numbers.scatter_dims_to_operand_dims
    rows = tuple(place for place in range(len(shape)) if place != axis)
    if others or numbers.inserted_window_dims != (axis,):
        return None
    batch = numbers.scatter_indices_batching_dims
    if numbers.operand_batching_dims != rows or tuple(sorted(batch)) != batch:
        return None
    front = tuple(shape[place] for place in rows)
    one_a_row = updates.type.shape == indices.type.shape[:-1] and updates.type.size == prod(front)
    if not one_a_row or np.signbit(zero.value):
        return None
    index = reshaped(indices, front)
    if index.type.dtype.itemsize < 4:
        index = cast(index, _INT32)
    places = iota(shape, axis, index.type.dtype)
    mask = make("eq", places, broadcast_in_dim(index, shape, rows))
    # Zero and a number are added, as the scatter does: -0.0 becomes 0.0.
    added = make("add", reshaped(updates, front), filled(0, updates.type.with_shape(front)))
    return make("select_n", mask, filled(0, item.type), broadcast_in_dim(added, shape, rows))
