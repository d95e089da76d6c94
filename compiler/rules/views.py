"""Views: which part of a value is read, axis by axis.

A view keeps the rank of what it looks at. Each axis is read whole, or by a `Range` whose ends are
known, by a `Window` whose start is computed, or by `Picks` at computed positions. Starts and
positions out of bounds are clamped, as `dynamic_slice` does and a gather in JAX's mode `clip`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import lax

from xlathe.compiler.ir import Node, constant, node
from xlathe.compiler.ops.build import broadcast_in_dim, make, multiply


@dataclass(frozen=True)
class Range:
    """Every `stride`-th element from `start` on, `size` of them; all are inside."""

    start: int
    size: int
    stride: int = 1

    @property
    def limit(self) -> int:
        """The end of the elements read, one past the last."""
        return self.start + (self.size - 1) * self.stride + 1


@dataclass(frozen=True)
class Window:
    """`size` elements from a computed place on, which is clamped so that they are inside."""

    start: Node
    size: int


@dataclass(frozen=True)
class Picks:
    """The elements at computed positions, each clamped to be inside.

    Attributes:
        index: the positions, a vector of integers.
        promised: whether the user promises that they are inside.
    """

    index: Node
    promised: bool = False

    @property
    def size(self) -> int:
        """The number of elements read."""
        return self.index.type.shape[0]


Selector = Range | Window | Picks
View = tuple[Selector | None, ...]
"""A selector an axis; None reads the axis whole."""


def narrowed_shape(view: View, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of the part."""
    return tuple(
        size if part is None else part.size for part, size in zip(view, shape, strict=True)
    )


def is_whole(view: View) -> bool:
    """Whether a view reads everything."""
    return all(part is None for part in view)


def view_size(view: View, shape: Sequence[int]) -> int:
    """The number of elements of the part."""
    return math.prod(narrowed_shape(view, shape))


def ranged(start: int, size: int, stride: int, dimension: int) -> Range | None:
    """A range of an axis; None where it is the whole of it."""
    if (start, size) == (0, dimension) and (stride == 1 or size <= 1):
        return None
    return Range(start, size, stride if size > 1 else 1)


def index_nodes(view: View) -> Iterator[Node]:
    """The nodes that a view reads."""
    for part in view:
        if isinstance(part, Window):
            yield part.start
        elif isinstance(part, Picks):
            yield part.index


def whole_number(item: Node, value: int) -> Node:
    """A number in the dtype of a position."""
    return constant(np.asarray(value, item.type.dtype))


def _clamped(item: Node, greatest: int) -> Node | None:
    """The position as it is after clamping; None for dtypes that cannot count far enough."""
    if item.is_constant and not item.type.shape:
        return whole_number(item, int(np.clip(int(item.value), 0, greatest)))
    if item.type.dtype not in (np.int32, np.int64):
        return None
    low, high = whole_number(item, 0), whole_number(item, greatest)
    return make("clamp", low, item, high)


def _moved(item: Node, scale: int, offset: int) -> Node:
    if item.is_constant and not item.type.shape:
        return whole_number(item, int(item.value) * scale + offset)
    if scale != 1:
        item = multiply(item, whole_number(item, scale))
    return make("add", item, whole_number(item, offset)) if offset else item


def compose(first: Selector | None, then: Selector | None, dimension: int) -> Selector | str | None:
    """The selector that reads `then` of what `first` reads of an axis of this size.

    Returns a reason where no one selector does.
    """
    if then is None or first is None:
        return first if then is None else then
    if isinstance(then, Range):
        return _range_of(first, then, dimension)
    if isinstance(then, Window):
        return _window_of(first, then, dimension)
    return _picks_of(first, then)


def _range_of(first: Selector, then: Range, dimension: int) -> Selector | str | None:
    if isinstance(first, Range):
        return ranged(
            first.start + then.start * first.stride,
            then.size,
            first.stride * then.stride,
            dimension,
        )
    if isinstance(first, Picks):
        picked = make(
            "slice",
            first.index,
            start_indices=(then.start,),
            limit_indices=(then.limit,),
            strides=None if then.stride == 1 else (then.stride,),
        )
        return Picks(picked, first.promised)
    if then.stride != 1:
        return "a strided part of a moving window is no window"
    start = _clamped(first.start, dimension - first.size)
    if start is None:
        return f"positions of type {first.start.type} are not computed with"
    return Window(_moved(start, 1, then.start), then.size)


def _window_of(first: Selector, then: Window, dimension: int) -> Selector | str:
    if isinstance(first, Picks):
        return Picks(make("dynamic_slice", first.index, then.start, slice_sizes=(then.size,)))
    start = _clamped(then.start, first.size - then.size)
    if start is None:
        return f"positions of type {then.start.type} are not computed with"
    if isinstance(first, Range):
        if first.stride != 1 and then.size != 1:
            return "a window of a strided part is no window"
        return Window(_moved(start, first.stride, first.start), then.size)
    outer = _clamped(first.start, dimension - first.size)
    if outer is None or outer.type.dtype != start.type.dtype:
        return "positions of two types are not added"
    return Window(make("add", outer, start), then.size)


def _picks_of(first: Selector, then: Picks) -> Selector | str:
    if not isinstance(first, Range):
        return "picked elements of a moving part are not picked directly"
    index = then.index if then.promised else _clamped(then.index, first.size - 1)
    if index is None or index.type.dtype not in (np.int32, np.int64):
        return f"positions of type {then.index.type} are not computed with"
    return Picks(_moved(index, first.stride, first.start), promised=True)


def mirrored(part: Selector | None, dimension: int) -> Selector | str | None:
    """The elements that the selector reads of the reversed axis, in the axis's own order."""
    if part is None:
        return None
    if isinstance(part, Range):
        return ranged(dimension - part.limit, part.size, part.stride, dimension)
    if isinstance(part, Picks):
        return "picked elements of a reversed axis are left there"
    start = _clamped(part.start, dimension - part.size)
    if start is None:
        return f"positions of type {part.start.type} are not computed with"
    last = whole_number(start, dimension - part.size)
    return Window(make("sub", last, start), part.size)


def window_start(part: Window, dimension: int) -> Node | None:
    """Where a window starts after clamping; None for dtypes that cannot count far enough."""
    return _clamped(part.start, dimension - part.size)


def scaled_window(part: Window, dimension: int, scale: int) -> Window | None:
    """The window over an axis each of whose elements is `scale` elements of a finer axis."""
    start = window_start(part, dimension)
    return None if start is None else Window(_moved(start, scale, 0), part.size * scale)


def read(source: Node, view: View) -> Node:
    """The node that reads a view of a node."""
    shape = source.type.shape
    if any(isinstance(part, Range) for part in view):
        ranges = [
            part if isinstance(part, Range) else Range(0, size)
            for part, size in zip(view, shape, strict=True)
        ]
        strides = tuple(part.stride for part in ranges)
        source = make(
            "slice",
            source,
            start_indices=tuple(part.start for part in ranges),
            limit_indices=tuple(part.limit if part.size else part.start for part in ranges),
            strides=strides if any(stride != 1 for stride in strides) else None,
        )
    windows = [part for part in view if isinstance(part, Window)]
    if windows:
        zero = whole_number(windows[0].start, 0)
        starts = [part.start if isinstance(part, Window) else zero for part in view]
        sizes = tuple(
            part.size if isinstance(part, Window) else size
            for part, size in zip(view, source.type.shape, strict=True)
        )
        source = make("dynamic_slice", source, *starts, slice_sizes=sizes)
    for axis, part in enumerate(view):
        if isinstance(part, Picks):
            source = _gathered(source, axis, part)
    return source


def _gathered(source: Node, axis: int, part: Picks) -> Node:
    others = tuple(place for place in range(source.type.rank) if place != axis)
    sizes = tuple(1 if place == axis else size for place, size in enumerate(source.type.shape))
    shape = tuple(
        part.size if place == axis else size for place, size in enumerate(source.type.shape)
    )
    mode = lax.GatherScatterMode.PROMISE_IN_BOUNDS if part.promised else lax.GatherScatterMode.CLIP
    attributes: dict[str, Any] = {
        "dimension_numbers": lax.GatherDimensionNumbers(
            offset_dims=others, collapsed_slice_dims=(axis,), start_index_map=(axis,)
        ),
        "slice_sizes": sizes,
        "unique_indices": False,
        "indices_are_sorted": False,
        "mode": mode,
        "fill_value": None,
    }
    index = broadcast_in_dim(part.index, (part.size, 1), (0,))
    return node("gather", (source, index), source.type.with_shape(shape), attributes)
