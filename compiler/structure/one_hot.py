"""One-hot arrays: rows of the identity, by comparison with a range, by `eye[i]`, by `.at[].set`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jax import lax

from xlathe.compiler.ir import Node, array_type, make_type, node
from xlathe.compiler.ops.build import (
    broadcast_in_dim,
    cast,
    filled,
    make,
    reshaped,
    sliced,
    transposed,
    wide,
)
from xlathe.compiler.ops.elementwise import filled_scalar
from xlathe.compiler.structure.infer import Structures
from xlathe.compiler.structure.masks import position

FILL = lax.GatherScatterMode.FILL_OR_DROP
PROMISE = lax.GatherScatterMode.PROMISE_IN_BOUNDS


@dataclass(frozen=True)
class OneHot:
    """An array that holds a one where its index along one axis is a given number, else zeros.

    Attributes:
        index: the numbers; its axes are the array's own but that one.
        axis: the axis of the ones.
        size: how long that is.
        mode: what JAX does with numbers out of range.
    """

    index: Node
    axis: int
    size: int
    mode: Any = FILL

    def permuted(self, permutation: Sequence[int]) -> OneHot:
        """The array transposed."""
        axis = tuple(permutation).index(self.axis)
        rest = [a - (a > self.axis) for a in permutation if a != self.axis]
        return replace(self, index=transposed(self.index, rest), axis=axis)


def one_hot(item: Node, shown: Structures) -> OneHot | None:
    """Recognise a one-hot array."""
    if not item.type.is_plain:
        return None
    if item.operation == "transpose":
        inner = one_hot(item.inputs[0], shown)
        return None if inner is None else inner.permuted(item["permutation"])
    if item.operation == "convert_element_type" and item.inputs[0].operation == "eq":
        return _compared(item.inputs[0])
    if item.operation == "select_n" and item.inputs[0].operation == "eq":
        values = [filled_scalar(source) for source in item.inputs[1:]]
        if all(value is not None for value in values) and len(values) == 2:
            zero, one = (value.value for value in values if value is not None)
            if zero == 0 and one == 1 and item.inputs[0].type.shape == item.type.shape:
                return _compared(item.inputs[0])
    if item.operation == "gather":
        return _row_of_identity(item, shown)
    if item.operation == "scatter":
        return _set_to_one(item)
    return None


def _compared(item: Node) -> OneHot | None:
    shape = item.type.shape
    for numbers, index in (item.inputs, item.inputs[::-1]):
        place = position(numbers)
        if place is None or position(index) is not None or place.offset:
            continue
        axis = place.axis + len(shape)
        if numbers.type.rank != len(shape) or numbers.type.shape[axis] != shape[axis]:
            continue
        found = _without_axis(index, axis, shape)
        if found is not None:
            return OneHot(found, axis, shape[axis])
    return None


def _without_axis(index: Node, axis: int, shape: tuple[int, ...]) -> Node | None:
    """An array that is the same all along an axis, without it; None if it is not."""
    rest = tuple(size for place, size in enumerate(shape) if place != axis)
    if index.operation == "convert_element_type" and index.type.dtype.kind in "iu":
        inner = _without_axis(index.inputs[0], axis, shape)
        if inner is None or index.inputs[0].type.dtype.kind not in "iu":
            return None
        attributes = index.attributes
        return make("convert_element_type", inner, **attributes)
    if not index.type.shape:
        return broadcast_in_dim(index, rest, ()) if rest else index
    if index.operation == "broadcast_in_dim" and len(index.inputs) == 1:
        source, axes = index.inputs[0], index["broadcast_dimensions"]
        if axis not in axes:
            moved = tuple(a - (a > axis) for a in axes)
            narrow = tuple(s for a, s in enumerate(index.type.shape) if a != axis)
            found = broadcast_in_dim(source, narrow, moved) if narrow else source
            return _widened(found, rest)
    if index.type.rank == len(shape) and index.type.shape[axis] == 1:
        narrow = tuple(s for a, s in enumerate(index.type.shape) if a != axis)
        return _widened(reshaped(index, narrow), rest)
    return None


def _widened(item: Node, shape: tuple[int, ...]) -> Node | None:
    """Axes of size one stretched to a shape."""
    if item.type.shape == shape:
        if item.operation == "broadcast_in_dim" and item.inputs[0].type is item.type:
            return item.inputs[0]
        return item
    return broadcast_in_dim(item, shape, tuple(range(len(shape)))) if len(shape) else item


def _row_of_identity(item: Node, shown: Structures) -> OneHot | None:
    matrix, indices = item.inputs
    numbers = item["dimension_numbers"]
    plain = not numbers.operand_batching_dims and len(numbers.collapsed_slice_dims) == 1
    if not plain or item["mode"] != PROMISE or indices.type.shape[-1] != 1:
        return None
    if matrix.type.rank != 2 or not shown(matrix).is_identity:
        return None
    if numbers.start_index_map != numbers.collapsed_slice_dims or len(numbers.offset_dims) != 1:
        return None
    axis = int(numbers.offset_dims[0])
    size = item.type.shape[axis]
    if size != matrix.type.shape[0]:
        return None
    return OneHot(reshaped(indices, indices.type.shape[:-1]), axis, size, PROMISE)


def _set_to_one(item: Node) -> OneHot | None:
    if len(item.inputs) != 3 or item.type.rank != 1 or item["mode"] != FILL:
        return None
    zeros, indices, update = item.inputs
    zero = filled_scalar(zeros)
    if zero is None or zero.value != 0 or not update.is_constant or update.type.shape:
        return None
    if update.value != 1 or indices.type.shape != (1,):
        return None
    return OneHot(reshaped(indices, ()), 0, item.type.shape[0])


def known_index(item: Node) -> int | None:
    """The number that an index node holds everywhere, if it is known."""
    while item.operation in ("convert_element_type", "reshape", "broadcast_in_dim"):
        item = item.inputs[0]
    return int(item.value) if item.is_constant and item.type.size == 1 else None


def taken(found: OneHot, product: Node, place: int) -> Node | None:
    """A product that contracts the axis of the ones: the other operand's entries at the index.

    None if its type would be another.
    """
    contracted, batch = product["dimension_numbers"]
    other = product.inputs[1 - place]
    axis = contracted[1 - place][0]
    index = found.index
    # Axes of the index, counted without the axis of the ones.
    index_batch = tuple(a - (a > found.axis) for a in batch[place])
    other_batch = tuple(batch[1 - place])
    free = [a for a in range(other.type.rank) if a != axis and a not in other_batch]
    known = known_index(index)
    if known is not None and 0 <= known < found.size and not index.type.shape:
        rows = reshaped(sliced(other, axis, known, known + 1), _without(other, axis))
        return _typed(rows, product)
    rank = index.type.rank
    sizes = tuple(1 if a == axis or a in other_batch else s for a, s in enumerate(other.type.shape))
    numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(range(rank, rank + len(free))),
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
        operand_batching_dims=other_batch,
        start_indices_batching_dims=index_batch,
    )
    attributes = {
        "dimension_numbers": numbers,
        "slice_sizes": sizes,
        "unique_indices": False,
        "indices_are_sorted": False,
        "mode": found.mode,
        "fill_value": 0 if found.mode == FILL else None,
    }
    shape = (*index.type.shape, *(other.type.shape[a] for a in free))
    starts = broadcast_in_dim(index, (*index.type.shape, 1), tuple(range(rank)))
    type_ = make_type(shape, other.type.dtype, False)
    rows = node("gather", (other, starts), type_, attributes)
    own = [a for a in range(rank) if a not in index_batch]
    rest = list(range(rank, rank + len(free)))
    order = (*index_batch, *own, *rest) if place == 0 else (*index_batch, *rest, *own)
    return _typed(transposed(rows, order), product)


def _without(item: Node, axis: int) -> tuple[int, ...]:
    return tuple(size for a, size in enumerate(item.type.shape) if a != axis)


def _typed(item: Node, product: Node) -> Node | None:
    found = cast(item, product.type.dtype)
    return found if found.type is product.type else None


def added(found: OneHot, product: Node, place: int) -> Node | None:
    """A product that sums over all axes but that of the ones: a sum by index.

    None if its type would be another.
    """
    contracted, _ = product["dimension_numbers"]
    other = product.inputs[1 - place]
    order = sorted(range(len(contracted[place])), key=lambda i: contracted[place][i])
    summed = [contracted[1 - place][i] for i in order]
    free = [a for a in range(other.type.rank) if a not in summed]
    updates = cast(transposed(other, (*summed, *free)), wide(product.type.dtype))
    rank = len(summed)
    numbers = lax.ScatterDimensionNumbers(
        update_window_dims=tuple(range(rank, rank + len(free))),
        inserted_window_dims=(0,),
        scatter_dims_to_operand_dims=(0,),
    )
    attributes = {
        "dimension_numbers": numbers,
        "indices_are_sorted": False,
        "unique_indices": False,
        "mode": found.mode,
    }
    shape = (found.size, *(other.type.shape[a] for a in free))
    zeros = filled(0, array_type(shape, updates.type.dtype))
    index = found.index
    starts = broadcast_in_dim(index, (*index.type.shape, 1), tuple(range(rank)))
    total = node("scatter_add", (zeros, starts, updates), zeros.type, attributes)
    if place == 1:
        total = transposed(total, (*range(1, total.type.rank), 0))
    return _typed(total, product)
