"""Values that are zero but for a part: what padding, updating and scattering into zeros make.

The derivative of a slice is such a value, and a product with it needs its part only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from jax import lax

from xlathe.compiler.ir import Node, Type, constant, node
from xlathe.compiler.ops.build import broadcast_in_dim, iota, make, reshape
from xlathe.compiler.rules.arithmetic import known_scalar
from xlathe.compiler.rules.narrowing_gathers import is_inside
from xlathe.compiler.rules.reshaping import reshaped_view
from xlathe.compiler.rules.shadows import Shadow, stretched
from xlathe.compiler.rules.views import (
    Picks,
    Range,
    Selector,
    View,
    Window,
    compose,
    is_whole,
    mirrored,
    narrowed_shape,
    ranged,
    read,
    whole_number,
    window_start,
)


@dataclass(frozen=True)
class Placed:
    """A sum of parts, each in its place among zeros.

    Attributes:
        pieces: the parts, each with the view that reads it; none where all is zero.
        shadow: what stands beside them, if it is not zero everywhere: zeros and NaN.
    """

    pieces: tuple[tuple[Node, View], ...]
    shadow: Shadow = ()

    def map(self, change: Callable[[Node, View], tuple[Node, View]]) -> Placed:
        """The same with its pieces changed."""
        return Placed(tuple(change(core, view) for core, view in self.pieces), self.shadow)


def is_zero(item: Node) -> bool:
    """Whether a node is filled by zero."""
    while item.operation in ("convert_element_type", "broadcast_in_dim"):
        item = item.inputs[0]
    value = known_scalar(item)
    return value is not None and value.dtype != np.bool_ and not value


def recognised(item: Node) -> Placed | None:
    """The part that a node puts among zeros, if that is what it does."""
    if not item.type.is_plain or item.type.dtype == np.bool_:
        return None
    if item.operation == "pad":
        return _padded(item)
    if item.operation == "dynamic_update_slice" and is_zero(item.inputs[0]):
        return _updated(item)
    if item.operation == "scatter_add" and is_zero(item.inputs[0]):
        return _scattered(item)
    return None


def _padded(item: Node) -> Placed | None:
    source, filling = item.inputs
    if not is_zero(filling) or not source.type.size:
        return None
    view: list[Selector | None] = []
    for size, dimension, (low, high, inner) in zip(
        source.type.shape, item.type.shape, item["padding_config"], strict=True
    ):
        if low < 0 or high < 0:
            return None
        view.append(ranged(low, size, inner + 1, dimension))
    return Placed(((source, tuple(view)),))


def _updated(item: Node) -> Placed | None:
    _, update, *starts = item.inputs
    view: list[Selector | None] = []
    for start, size, dimension in zip(starts, update.type.shape, item.type.shape, strict=True):
        if size == dimension:
            view.append(None)
        elif start.is_constant:
            view.append(Range(int(np.clip(int(start.value), 0, dimension - size)), size))
        else:
            view.append(Window(start, size))
    return Placed(((update, tuple(view)),)) if update.type.size else None


def _scattered(item: Node) -> Placed | None:
    zeros, index, update = item.inputs
    numbers, mode = item["dimension_numbers"], item["mode"]
    positions = index.type.shape[:-1]
    inserted = tuple(numbers.inserted_window_dims)
    if numbers.operand_batching_dims or len(numbers.scatter_dims_to_operand_dims) != 1:
        return None
    axis = int(numbers.scatter_dims_to_operand_dims[0])
    window = [int(place) for place in numbers.update_window_dims]
    if inserted != (axis,) or len(positions) > 1 or not index.type.size:
        return None
    others = [size for place, size in enumerate(zeros.type.shape) if place != axis]
    if [update.type.shape[place] for place in window] != others:
        return None
    if mode == lax.GatherScatterMode.FILL_OR_DROP:
        if index.type.dtype not in (np.int32, np.int64):
            return None
        inside = is_inside(index, zeros.type.shape[axis])
        batch = tuple(place for place in range(update.type.rank) if place not in window)
        kept = broadcast_in_dim(inside, update.type.shape, batch)
        update = make("select_n", kept, _zeros(update, update.type.shape), update)
    elif mode not in (lax.GatherScatterMode.CLIP, lax.GatherScatterMode.PROMISE_IN_BOUNDS):
        return None
    if positions:
        (batch_place,) = (p for p in range(update.type.rank) if p not in window)
        order = list(window)
        order.insert(axis, batch_place)
        core = update
        if order != sorted(order):
            core = make("transpose", update, permutation=tuple(order))
    else:
        shape = list(others)
        shape.insert(axis, 1)
        core = reshape(update, tuple(shape))
    promised = mode == lax.GatherScatterMode.PROMISE_IN_BOUNDS
    picks = Picks(reshape(index, (core.type.shape[axis],)), promised)
    view = tuple(picks if place == axis else None for place in range(zeros.type.rank))
    return Placed(((core, view),))


def _zeros(like: Node, shape: tuple[int, ...]) -> Node:
    zero = constant(np.zeros((), like.type.dtype), like.type.weak)
    return broadcast_in_dim(zero, shape, ()) if shape else zero


def written(placed: Placed, type_: Type) -> Node | None:
    """The node that puts the pieces in their places; None where no mask can be computed."""
    shape = type_.shape
    if not placed.pieces:
        zero = broadcast_in_dim(constant(np.zeros((), type_.dtype), type_.weak), shape, ())
        return stretched(placed.shadow, shape) if placed.shadow else zero
    total = reduce(
        lambda left, right: make("add", left, right),
        (_written_piece(core, view, shape) for core, view in placed.pieces),
    )
    if not placed.shadow:
        return total
    masks = [covered(view, shape) for _, view in placed.pieces]
    known = [mask for mask in masks if mask is not None]
    if len(known) < len(masks):
        return None
    mask = reduce(lambda left, right: make("or", left, right), known)
    return make("select_n", mask, stretched(placed.shadow, shape), total)


def _written_piece(core: Node, view: View, shape: tuple[int, ...]) -> Node:
    padding = []
    for part, size in zip(view, shape, strict=True):
        if isinstance(part, Range):
            padding.append((part.start, size - part.limit, part.stride - 1))
        else:
            padding.append((0, 0, 0))
    if any(any(config) for config in padding):
        zero = _zeros(core, ())
        core = make("pad", core, zero, padding_config=tuple(padding))
    windows = [part for part in view if isinstance(part, Window)]
    if windows:
        zero = whole_number(windows[0].start, 0)
        starts = [part.start if isinstance(part, Window) else zero for part in view]
        sizes = tuple(
            size if isinstance(part, Window) else here
            for part, size, here in zip(view, shape, core.type.shape, strict=True)
        )
        core = make("dynamic_update_slice", _zeros(core, sizes), core, *starts)
    for axis, part in enumerate(view):
        if isinstance(part, Picks):
            core = _scatter(core, axis, part, shape[axis])
    return core


def _scatter(core: Node, axis: int, part: Picks, dimension: int) -> Node:
    rank = core.type.rank
    others = tuple(place for place in range(rank) if place != axis)
    mode = lax.GatherScatterMode.PROMISE_IN_BOUNDS if part.promised else lax.GatherScatterMode.CLIP
    attributes: dict[str, Any] = {
        "dimension_numbers": lax.ScatterDimensionNumbers(
            update_window_dims=others,
            inserted_window_dims=(axis,),
            scatter_dims_to_operand_dims=(axis,),
        ),
        "indices_are_sorted": False,
        "unique_indices": False,
        "mode": mode,
    }
    shape = tuple(dimension if i == axis else size for i, size in enumerate(core.type.shape))
    zeros = _zeros(core, shape)
    index = broadcast_in_dim(part.index, (part.size, 1), (0,))
    return node("scatter_add", (zeros, index, core), zeros.type, attributes)


def covered(view: View, shape: tuple[int, ...]) -> Node | None:
    """Which elements a view reads, as an array of booleans; None where that is not computed."""
    masks = []
    for axis, (part, size) in enumerate(zip(view, shape, strict=True)):
        if part is not None:
            mask = _covered_axis(part, size)
            if mask is None:
                return None
            masks.append(broadcast_in_dim(mask, shape, (axis,)))
    return reduce(lambda left, right: make("and", left, right), masks)


def _covered_axis(part: Selector, dimension: int) -> Node | None:
    if isinstance(part, Picks):
        ones = broadcast_in_dim(constant(np.int32(1)), (part.size,), ())
        hits = _scatter(ones, 0, part, dimension)
        return make("gt", hits, constant(np.int32(0)))
    if isinstance(part, Window):
        low = window_start(part, dimension)
        if low is None:
            return None
        high = make("add", low, whole_number(low, part.size))
    else:
        low, high = constant(np.int32(part.start)), constant(np.int32(part.limit))
    places = iota((dimension,), dtype=low.type.dtype)
    inside = make("and", make("ge", places, low), make("lt", places, high))
    if isinstance(part, Range) and part.stride > 1:
        offset = make("sub", places, low)
        rest = make("rem", offset, constant(np.int32(part.stride)))
        inside = make("and", inside, make("eq", rest, constant(np.int32(0))))
    return inside


def read_piece(source: Node, view: View) -> Node:
    """A part of another value of the whole's shape, or of one that stretches to it."""
    if not source.type.shape:
        return source
    fitting = tuple(
        None if size == 1 else part for part, size in zip(view, source.type.shape, strict=True)
    )
    return read(source, fitting)


def again(item: Node, inputs: Sequence[Node], shape: tuple[int, ...]) -> Node:
    """The node on other inputs, of another shape."""
    return node(item.operation, tuple(inputs), item.type.with_shape(shape), item.attributes)


def moved(item: Node, placed: Placed) -> Placed | None:
    """A value among zeros after an operation on it alone that keeps zeros zero."""
    if item.operation == "transpose":
        order = item["permutation"]
        return _moved(item, placed, lambda view: tuple(view[axis] for axis in order))
    if item.operation == "reshape" and not placed.shadow:
        return _reshaped(item, placed)
    if item.operation == "rev":
        return _reversed(item, placed)
    if item.operation == "slice":
        return _sliced(item, placed)
    if item.operation in ("neg", "copy") or (
        item.operation == "convert_element_type" and item.type.dtype != np.bool_
    ):
        return _moved(item, placed, lambda view: view)
    return None


def _moved(item: Node, placed: Placed, turn: Callable[[View], View]) -> Placed:
    def change(core: Node, view: View) -> tuple[Node, View]:
        new = turn(view)
        return _inside_sums(item, core, narrowed_shape(new, item.type.shape)), new

    found = placed.map(change)
    turned = []
    for part in placed.shadow:
        shape = part.type.shape
        if item.operation == "transpose":
            shape = tuple(shape[axis] for axis in item["permutation"])
        turned.append(again(item, [part], shape))
    return Placed(found.pieces, tuple(turned))


def _inside_sums(item: Node, core: Node, shape: tuple[int, ...]) -> Node:
    """The moved part; sums move as their terms, so that a product is transposed as such."""
    if core.operation == "add" and item.operation == "transpose":
        if all(source.type.shape == core.type.shape for source in core.inputs):
            return make("add", *(_inside_sums(item, source, shape) for source in core.inputs))
    return again(item, [core], shape)


def _reshaped(item: Node, placed: Placed) -> Placed | None:
    if item["dimensions"] is not None:
        return None
    pieces = []
    for core, view in placed.pieces:
        new = reshaped_view(view, item.inputs[0].type.shape, item.type.shape)
        if isinstance(new, str):
            return None
        pieces.append((reshape(core, narrowed_shape(new, item.type.shape)), new))
    return Placed(tuple(pieces))


def _reversed(item: Node, placed: Placed) -> Placed | None:
    pieces = []
    if placed.shadow:
        return None
    for core, view in placed.pieces:
        new: list[Selector | None] = []
        for axis, part in enumerate(view):
            turned = mirrored(part, item.type.shape[axis]) if axis in item["dimensions"] else part
            if isinstance(turned, str):
                return None
            new.append(turned)
        pieces.append((again(item, [core], core.type.shape), tuple(new)))
    return Placed(tuple(pieces))


def nested(outer: Placed, inner: Placed, shape: Sequence[int]) -> Placed | None:
    """What puts a value among zeros, itself among zeros, among those of this shape."""
    ((_, first),) = outer.pieces
    if outer.shadow or inner.shadow:
        return None
    pieces: list[tuple[Node, View]] = []
    for core, then in inner.pieces:
        view: list[Selector | None] = []
        for one, other, size in zip(first, then, shape, strict=True):
            part = compose(one, other, size)
            if isinstance(part, str):
                return None
            view.append(part)
        pieces.append((core, tuple(view)))
    return Placed(tuple(pieces))


def _sliced(item: Node, placed: Placed) -> Placed | None:
    strides = item["strides"] or (1,) * item.type.rank
    if any(stride != 1 for stride in strides):
        return None
    shape = item.inputs[0].type.shape
    for axis, start in enumerate(item["start_indices"]):
        cut = _cut(placed, axis, start, item.type.shape[axis], shape[axis])
        if cut is None:
            return None
        placed = cut
    return placed


def parts(item: Node, placed: Placed) -> list[Placed] | None:
    """What the results of a split, or of an unstacking, hold of a value among zeros."""
    axis = item["axis"]
    size = item.inputs[0].type.shape[axis]
    sizes = item["sizes"] if item.operation == "split" else (1,) * size
    found = []
    start = 0
    for length in sizes:
        cut = _cut(placed, axis, start, length, size)
        if cut is None:
            return None
        found.append(cut if item.operation == "split" else _without_axis(cut, axis))
        start += length
    return found


def _without_axis(placed: Placed, axis: int) -> Placed:
    """The same without an axis of size one."""

    def dropped(core: Node) -> Node:
        shape = core.type.shape
        return reshape(core, (*shape[:axis], *shape[axis + 1 :]))

    found = placed.map(lambda core, view: (dropped(core), (*view[:axis], *view[axis + 1 :])))
    return Placed(found.pieces, tuple(dropped(part) for part in placed.shadow))


def _cut(placed: Placed, axis: int, start: int, length: int, size: int) -> Placed | None:
    """A range of an axis of a value among zeros; None where it is not known what lies in it."""
    if (start, length) == (0, size):
        return placed
    pieces = []
    for core, view in placed.pieces:
        part = view[axis]
        if isinstance(part, Window | Picks):
            return None
        part = part or Range(0, size)
        first = max(0, -(-(start - part.start) // part.stride))
        last = min(part.size - 1, (start + length - 1 - part.start) // part.stride)
        if first > last:
            continue
        inner = ranged(
            part.start + first * part.stride - start, last - first + 1, part.stride, length
        )
        inside = ranged(first, last - first + 1, 1, part.size)
        kept = read(core, tuple(inside if i == axis else None for i in range(len(view))))
        pieces.append((kept, (*view[:axis], inner, *view[axis + 1 :])))
    if any(is_whole(view) for _, view in pieces):
        return Placed(tuple(pieces))
    whole = Range(start, length)
    shadow = tuple(
        read_piece(part, tuple(whole if i == axis else None for i in range(part.type.rank)))
        for part in placed.shadow
    )
    return Placed(tuple(pieces), shadow)


def joined(item: Node, terms: Sequence[Placed | None]) -> Placed | None:
    """The sum or difference of values among zeros."""
    pieces: dict[View, Node] = {}
    for place, term in enumerate(terms):
        if term is None or term.shadow:
            return None
        for core, view in term.pieces:
            if view in pieces:
                pieces[view] = make(item.operation, pieces[view], core)
            else:
                pieces[view] = make("neg", core) if place and item.operation == "sub" else core
    return Placed(tuple((core, view) for view, core in pieces.items()))
