"""Arrays that depend on the distance between two positions only: causal masks, sliding windows.

Whatever spelling such a mask has, a comparison of ranges, `tril` of ones, a sum of 0 and -1e9, its
value at query i and key j is a function of j - i. So the function is computed at every distance,
once, by NumPy: as many numbers as there are diagonals, never the whole mask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xlathe.compiler.ir import Node

_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "add": np.add,
    "and": np.logical_and,
    "div": np.divide,
    "eq": np.equal,
    "ge": np.greater_equal,
    "gt": np.greater,
    "le": np.less_equal,
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "neg": np.negative,
    "not": np.logical_not,
    "or": np.logical_or,
    "sub": np.subtract,
    "xor": np.logical_xor,
}
_FUNCTIONS_OF_DISTANCE = frozenset(["sub", "eq", "ge", "gt", "le", "lt", "ne"])
_OF_BOOLS = frozenset(["and", "not", "or", "xor"])
_UNCHANGED = frozenset(["stop_gradient", "copy", "reduce_precision"])
_MAX_MATRIX = 1 << 20
_MAX_DEPTH = 32


@dataclass(frozen=True, eq=False)
class Positions:
    """An array that holds its own index along one axis, plus an offset."""

    axis: int
    offset: int


@dataclass(frozen=True, eq=False)
class Toeplitz:
    """An array whose element depends on the distance from its row to its column only.

    Attributes:
        row: the axis of rows, the queries.
        column: the axis of columns, the keys.
        values: the element at each distance, column - row, from the least to the greatest.
    """

    row: int
    column: int
    values: np.ndarray


Known = Positions | Toeplitz | np.ndarray
"""What may be known of an array; a NumPy scalar where it is one number throughout."""


def toeplitz(item: Node, memo: dict[Node, Known | None], depth: int = 0) -> Known | None:
    """Read an array of positions; None if it depends on more, or on the program's arguments.

    Args:
        item: the array.
        memo: what is known of others already.
        depth: how many operations the caller has come down; an end is made of long chains.
    """
    if item not in memo:
        memo[item] = _read(item, memo, depth) if depth < _MAX_DEPTH else None
    return memo[item]


def _read(item: Node, memo: dict[Node, Known | None], depth: int) -> Known | None:
    type_ = item.type
    if isinstance(type_, tuple) or not type_.is_plain or type_.dtype.kind not in "biufV":
        return None
    if item.is_constant:
        return _constant(item.value)
    if item.operation == "iota" and not item.inputs:
        return Positions(item["dimension"], 0)
    if not item.inputs or item.operation not in _READABLE:
        return None
    sources = [toeplitz(source, memo, depth + 1) for source in item.inputs]
    if any(source is None for source in sources):
        return None
    found = _apply(item, [source for source in sources if source is not None])
    if isinstance(found, Toeplitz) and found.row > found.column:
        return Toeplitz(found.column, found.row, found.values[::-1])
    return found


def _constant(value: np.ndarray) -> Known | None:
    if not value.shape:
        return np.asarray(value)
    if value.size and (value == value.flat[0]).all():
        return np.asarray(value.flat[0])
    if value.ndim != 2 or value.size > _MAX_MATRIX:
        return None
    rows, columns = value.shape
    distances = np.arange(-(rows - 1), columns)
    values = value[np.maximum(-distances, 0), np.maximum(distances, 0)]
    grid = np.arange(columns)[None, :] - np.arange(rows)[:, None] + rows - 1
    return Toeplitz(0, 1, values) if np.array_equal(values[grid], value) else None


def _apply(item: Node, sources: list[Known]) -> Known | None:
    first = sources[0]
    operation = item.operation
    if operation in _UNCHANGED:
        return first
    if operation == "convert_element_type":
        return _converted(first, item.type.dtype)
    if operation in _MOVING:
        return _moved(item, first)
    if operation == "select_n":
        return _elementwise(
            item,
            lambda which, *cases: np.select([which == place for place in range(len(cases))], cases),
            sources,
        )
    if operation in _OF_BOOLS and item.inputs[0].type.dtype != np.bool_:
        return None
    if operation == "div" and item.type.dtype.kind in "iu":
        return None
    return _elementwise(item, _ELEMENTWISE[operation], sources)


def _converted(source: Known, dtype: np.dtype) -> Known | None:
    if isinstance(source, Positions):
        # A range that a dtype rounds is no range any more: float32 holds whole numbers to 2**24.
        return source if dtype.kind in "iu" or dtype.itemsize >= 4 else None
    with np.errstate(all="ignore"):
        if isinstance(source, Toeplitz):
            return replace(source, values=source.values.astype(dtype))
        return source.astype(dtype)


def _moved(item: Node, source: Known) -> Known | None:
    if isinstance(source, np.ndarray):
        return source
    before, after = item.inputs[0].type.shape, item.type.shape
    if item.operation == "transpose":
        places: dict[int, int] = {axis: i for i, axis in enumerate(item["permutation"])}
    elif item.operation == "broadcast_in_dim":
        places = {
            axis: place
            for axis, place in enumerate(item["broadcast_dimensions"])
            if before[axis] == after[place]
        }
    else:
        wide = [axis for axis, size in enumerate(before) if size != 1]
        places = dict(zip(wide, [a for a, size in enumerate(after) if size != 1], strict=False))
        if [before[axis] for axis in wide] != [size for size in after if size != 1]:
            return None
    if isinstance(source, Positions):
        axis = places.get(source.axis)
        return None if axis is None else replace(source, axis=axis)
    row, column = places.get(source.row), places.get(source.column)
    if row is None or column is None:
        return None
    return replace(source, row=row, column=column)


def _elementwise(item: Node, function: Callable[..., Any], sources: list[Known]) -> Known | None:
    moved = [source for source in sources if not isinstance(source, np.ndarray)]
    for source, place in zip(sources, item.inputs, strict=True):
        # An axis of one index that stretches holds that index, not its own.
        if (
            isinstance(source, Positions)
            and place.type.shape[source.axis] != (item.type.shape[source.axis])
        ):
            return None
    with np.errstate(all="ignore"):
        if not moved:
            return np.asarray(function(*sources))
        if any(isinstance(source, Positions) for source in moved):
            return _of_positions(item, function, sources)
        axes = {(source.row, source.column) for source in moved if isinstance(source, Toeplitz)}
        if len(axes) != 1:
            return None
        ((row, column),) = axes
        values = [s.values if isinstance(s, Toeplitz) else s for s in sources]
        length = item.type.shape[row] + item.type.shape[column] - 1
        if any(isinstance(s, Toeplitz) and len(s.values) != length for s in sources):
            return None
        return Toeplitz(row, column, np.asarray(function(*values)))


def _of_positions(item: Node, function: Callable[..., Any], sources: list[Known]) -> Known | None:
    """An operation on positions: shifted by a number, or compared with positions elsewhere."""
    if len(sources) != 2:
        return None
    left, right = sources
    if isinstance(left, Positions) and isinstance(right, Positions):
        if left.axis == right.axis or item.operation not in _FUNCTIONS_OF_DISTANCE:
            return None
        shape = item.type.shape
        if left.axis < right.axis:
            distances = np.arange(-(shape[left.axis] - 1), shape[right.axis])
            values = function(left.offset, right.offset + distances)
            return Toeplitz(left.axis, right.axis, np.asarray(values))
        distances = np.arange(-(shape[right.axis] - 1), shape[left.axis])
        values = function(left.offset + distances, right.offset)
        return Toeplitz(right.axis, left.axis, np.asarray(values))
    place, number = (left, right) if isinstance(left, Positions) else (right, left)
    if not isinstance(place, Positions) or not isinstance(number, np.ndarray):
        return None
    if item.operation == "add" and number == int(number):
        return replace(place, offset=place.offset + int(number))
    if item.operation == "sub" and place is left and number == int(number):
        return replace(place, offset=place.offset - int(number))
    return None


_MOVING = ("broadcast_in_dim", "reshape", "transpose")
_READABLE = frozenset([*_ELEMENTWISE, *_UNCHANGED, *_MOVING, "convert_element_type", "select_n"])
