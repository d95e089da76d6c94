"""Gathers and scatters of rows in their order, and of a single entry."""

from __future__ import annotations

from collections.abc import Sequence

from xlathe.compiler.algebra.read import known_number
from xlathe.compiler.ir import Node


def takes_in_order(item: Node) -> bool:
    """Whether a gather takes all rows of its source, as they stand."""
    source, index = item.inputs
    numbers = item["dimension_numbers"]
    others = tuple(range(1, item.type.rank))
    return (
        item.type is source.type
        and item.type.is_plain
        and _counts(index, item.type.shape)
        and numbers.offset_dims == others
        and numbers.collapsed_slice_dims == numbers.start_index_map == (0,)
        and tuple(item["slice_sizes"]) == (1, *item.type.shape[1:])
    )


def puts_in_order(item: Node) -> bool:
    """Whether a scatter adds rows to zeros, each in its place."""
    zeros, index, update = item.inputs
    numbers = item["dimension_numbers"]
    return (
        item.type is update.type
        and item.type.is_plain
        and known_number(zeros) == 0
        and _counts(index, item.type.shape)
        and numbers.update_window_dims == tuple(range(1, item.type.rank))
        and numbers.inserted_window_dims == numbers.scatter_dims_to_operand_dims == (0,)
    )


def set_entry(item: Node) -> int | None:
    """Which entry of its diagonal a node sets in a matrix; None if it does anything else."""
    matrix, index, update = item.inputs
    numbers = item["dimension_numbers"]
    if matrix.type.rank != 2 or update.type.shape or index.type.shape != (2,):
        return None
    if numbers.inserted_window_dims != (0, 1) or numbers.operand_batching_dims:
        return None
    if numbers.scatter_dims_to_operand_dims != (0, 1) or update.type.dtype != matrix.type.dtype:
        return None
    places = index.inputs if index.operation == "concatenate" else [index]
    known = {known_number(place) for place in places}
    place = known.pop()
    if known or not isinstance(place, int) or not 0 <= place < min(matrix.type.shape):
        return None
    return place


def _counts(index: Node, shape: Sequence[int]) -> bool:
    """Whether positions are the numbers from zero, one for each row of a shape."""
    if not shape or index.type.shape != (shape[0], 1) or index.operation != "broadcast_in_dim":
        return False
    numbers = index.inputs[0]
    if numbers.operation == "select_n" and numbers.inputs[0].operation == "lt":
        # JAX counts negative positions from the end.
        compared, limit = numbers.inputs[0].inputs
        if compared is not numbers.inputs[1] or known_number(limit) != 0:
            return False
        numbers = compared
    return numbers.operation == "iota" and numbers.type.shape == shape[:1]
