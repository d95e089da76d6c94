"""Indices that name each row by its number, `x[arange(n), index]`, as indices into rows."""

from __future__ import annotations

from typing import Any

from xlathe.compiler.ir import Node, node
from xlathe.compiler.ops.build import concatenated
from xlathe.compiler.rowwise.axes import Place, through_reshape

_OF_GATHER = ("start_index_map", "collapsed_slice_dims", "start_indices_batching_dims")
_OF_SCATTER = (
    "scatter_dims_to_operand_dims",
    "inserted_window_dims",
    "scatter_indices_batching_dims",
)


def aligned(item: Node) -> Node:
    """A gather or scatter whose rows are its batch, where its indices count rows; else itself."""
    if item.operation not in ("gather", "scatter_add"):
        return item
    is_gather = item.operation == "gather"
    indices, numbers = item.inputs[1], item["dimension_numbers"]
    if indices.operation != "concatenate" or indices["dimension"] != indices.type.rank - 1:
        return item
    targets, gone = (
        getattr(numbers, name) for name in (_OF_GATHER if is_gather else _OF_SCATTER)[:2]
    )
    if any(part.type.shape[-1] != 1 for part in indices.inputs):
        return item
    counted = {
        axis: place
        for axis, part in zip(targets, indices.inputs, strict=True)
        if (place := _counts_along(part)) is not None
        and axis in gone
        and item.inputs[0].type.shape[axis] == part.type.shape[place]
    }
    if not counted or len(counted) == len(targets) or len({*counted.values()}) < len(counted):
        return item
    rest = [part for axis, part in zip(targets, indices.inputs, strict=True) if axis not in counted]
    changed = _with_batch(numbers, counted, is_gather)
    inputs = [item.inputs[0], concatenated(rest, indices["dimension"]), *item.inputs[2:]]
    attributes = {**item.attributes, "dimension_numbers": changed, "indices_are_sorted": False}
    return node(item.operation, tuple(inputs), item.type, attributes)


def _with_batch(numbers: Any, counted: dict[int, int], is_gather: bool) -> Any:
    """The dimension numbers with the axes that are counted along as axes of the batch."""
    targets, gone, batch = _OF_GATHER if is_gather else _OF_SCATTER
    pairs = zip(numbers.operand_batching_dims, getattr(numbers, batch), strict=True)
    ordered = sorted([*pairs, *counted.items()])

    def without(name: str) -> tuple[int, ...]:
        return tuple(axis for axis in getattr(numbers, name) if axis not in counted)

    return numbers._replace(
        operand_batching_dims=tuple(axis for axis, _ in ordered),
        **{
            targets: without(targets),
            gone: without(gone),
            batch: tuple(place for _, place in ordered),
        },
    )


def _counts_along(item: Node) -> int | None:
    """The axis along which an array holds 0, 1, 2, ..., the same everywhere else."""
    if item.operation == "iota":
        return item["dimension"]
    if item.operation not in ("broadcast_in_dim", "convert_element_type", "reshape"):
        return None
    (source,) = item.inputs
    axis = _counts_along(source)
    if axis is None or item.operation == "convert_element_type":
        return axis
    size = source.type.shape[axis]
    if item.operation == "broadcast_in_dim":
        axis = item["broadcast_dimensions"][axis]
        return axis if item.type.shape[axis] == size else None
    place = through_reshape(Place(axis), source.type.shape, item.type.shape, size)
    is_whole = place is not None and item.type.shape[place.axis] == size
    return place.axis if place is not None and is_whole else None
