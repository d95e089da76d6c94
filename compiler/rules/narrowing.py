"""How a part of a value is computed from parts of the values below it, operation by operation.

The numbers are the same wherever each element is computed as before. Where an element is a sum,
its order may change with the shape of the whole, so that those plans are for `relaxed` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xlathe.compiler.ir import Node, node
from xlathe.compiler.ops.build import broadcast_in_dim, make, reshape
from xlathe.compiler.ops.elementwise import ELEMENTWISE
from xlathe.compiler.rules.narrowing_gathers import plan_gather
from xlathe.compiler.rules.narrowing_products import (
    plan_convolution,
    plan_dot,
    plan_triangular_solve,
)
from xlathe.compiler.rules.plan import UNREAD, Plan, Planned, Planner
from xlathe.compiler.rules.reshaping import reshaped_view
from xlathe.compiler.rules.views import (
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
)


def plan(item: Node, view: View) -> Planned | None:
    """Plan a part of a node; None for an operation through which nothing is known to move."""
    planner = _PLANNERS.get(item.operation)
    if planner is None:
        return None
    if not item.type.is_plain or not all(source.type.is_plain for source in item.inputs):
        return "only ordinary arrays are cut"
    if item.attributes.get("sharding") is not None or item.attributes.get("out_sharding"):
        return "its sharding is fixed"
    return planner(item, view)


def is_selecting(item: Node) -> bool:
    """Whether a node reads a part of its first input."""
    return item.operation in ("slice", "dynamic_slice", "gather")


def _whole(view: Sequence[Selector | None]) -> View | None:
    """The view as plans write it: None where it reads everything."""
    return None if is_whole(tuple(view)) else tuple(view)


def _shaped(item: Node, view: View, inputs: Sequence[Node]) -> Node:
    """The node on other inputs, its own type narrowed."""
    type_ = item.type.with_shape(narrowed_shape(view, item.type.shape))
    return node(item.operation, tuple(inputs), type_, item.attributes)


def _elementwise(item: Node, view: View) -> Planned:
    views: list[View | None] = []
    for source in item.inputs:
        if not source.type.shape:
            views.append(None)
            continue
        parts = (
            None if size == 1 and wide != 1 else part
            for part, size, wide in zip(view, source.type.shape, item.type.shape, strict=True)
        )
        views.append(_whole(tuple(parts)))
    return Plan(tuple(views), lambda inputs: _shaped(item, view, inputs))


def _transpose(item: Node, view: View) -> Planned:
    permutation = item["permutation"]
    below: list[Selector | None] = [None] * len(permutation)
    for part, axis in zip(view, permutation, strict=True):
        below[axis] = part
    return Plan((tuple(below),), lambda inputs: _shaped(item, view, inputs))


def _reverse(item: Node, view: View) -> Planned:
    below: list[Selector | None] = []
    for axis, part in enumerate(view):
        if axis in item["dimensions"]:
            turned = mirrored(part, item.type.shape[axis])
            if isinstance(turned, str):
                return turned
            part = turned
        below.append(part)
    return Plan((tuple(below),), lambda inputs: _shaped(item, view, inputs))


def _broadcast(item: Node, view: View) -> Planned:
    if len(item.inputs) != 1:
        return "its shape is computed"
    source, axes = item.inputs[0], item["broadcast_dimensions"]
    below = tuple(
        None if size == 1 else view[axis]
        for size, axis in zip(source.type.shape, axes, strict=True)
    )
    shape = narrowed_shape(view, item.type.shape)
    return Plan((_whole(below),), lambda inputs: broadcast_in_dim(inputs[0], shape, axes))


def _reshape(item: Node, view: View) -> Planned:
    if item["dimensions"] is not None or len(item.inputs) != 1:
        return "its shape is computed"
    below = reshaped_view(view, item.type.shape, item.inputs[0].type.shape)
    if isinstance(below, str):
        return below
    shape = narrowed_shape(view, item.type.shape)
    return Plan((_whole(below),), lambda inputs: reshape(inputs[0], shape))


def _concatenate(item: Node, view: View) -> Planned:
    axis = item["dimension"]
    part = view[axis]
    if part is None:
        return Plan((view,) * len(item.inputs), lambda inputs: _shaped(item, view, inputs))
    if not isinstance(part, Range):
        return "which piece is read is not known"
    views: list[View | None] = []
    offset = 0
    for source in item.inputs:
        size = source.type.shape[axis]
        # The first and last element of the range that fall into this piece.
        first = max(0, -(-(offset - part.start) // part.stride))
        last = min(part.size - 1, (offset + size - 1 - part.start) // part.stride)
        if first > last or not size:
            views.append(UNREAD)
        else:
            start = part.start + first * part.stride - offset
            inside = ranged(start, last - first + 1, part.stride, size)
            views.append(_whole((*view[:axis], inside, *view[axis + 1 :])))
        offset += size

    def build(inputs: Sequence[Node]) -> Node:
        used = [part for part, asked in zip(inputs, views, strict=True) if asked is not UNREAD]
        return used[0] if len(used) == 1 else make("concatenate", *used, dimension=axis)

    return Plan(tuple(views), build)


def _stack(item: Node, view: View) -> Planned:
    axis = item["axis"]
    part, shape = view[axis], narrowed_shape(view, item.type.shape)
    inner = _whole((*view[:axis], *view[axis + 1 :]))
    if part is None:
        return Plan((inner,) * len(item.inputs), lambda inputs: _shaped(item, view, inputs))
    if not isinstance(part, Range):
        return "which piece is read is not known"
    places = range(part.start, part.limit, part.stride)
    views = tuple(inner if i in places else UNREAD for i in range(len(item.inputs)))

    def build(inputs: Sequence[Node]) -> Node:
        if part.size == 1:
            return reshape(inputs[part.start], shape)
        return _shaped(item, view, [inputs[place] for place in places])

    return Plan(views, build)


def _pad(item: Node, view: View) -> Planned:
    source = item.inputs[0]
    below: list[Selector | None] = []
    padding = []
    shape = narrowed_shape(view, item.type.shape)
    for part, size, (low, high, inner) in zip(
        view, source.type.shape, item["padding_config"], strict=True
    ):
        if part is None or (low, high, inner) == (0, 0, 0):
            below.append(part)
            padding.append((low, high, inner))
            continue
        if not isinstance(part, Range) or part.stride != 1 or inner or low < 0 or high < 0:
            return "which of the padding is read is not known"
        start, limit = part.start - low, part.limit - low
        inside = (max(0, min(start, size)), max(0, min(limit, size)))
        if inside[0] >= inside[1]:
            build = lambda inputs: broadcast_in_dim(inputs[1], shape, ())  # noqa: E731
            return Plan((UNREAD, None), build)
        below.append(ranged(inside[0], inside[1] - inside[0], 1, size))
        padding.append((inside[0] - start, limit - inside[1], 0))

    def build_padded(inputs: Sequence[Node]) -> Node:
        if not any(any(config) for config in padding):
            return inputs[0]
        return make("pad", *inputs, padding_config=tuple(padding))

    return Plan((_whole(below), None), build_padded)


def _reduction(item: Node, view: View) -> Planned:
    axes = item["axes"]
    kept = iter(view)
    below = tuple(None if axis in axes else next(kept) for axis in range(item.inputs[0].type.rank))
    exact = item.operation not in ("reduce_sum", "reduce_prod") or item.type.dtype.kind in "iub"
    numerics = "exact" if exact else "relaxed"
    return Plan((_whole(below),), lambda inputs: _shaped(item, view, inputs), numerics)


_REDUCED_BY: dict[str, tuple[str, dict[str, Any]]] = {
    "cumsum": ("reduce_sum", {"out_sharding": None}),
    "cumprod": ("reduce_prod", {}),
}


def _cumulative(item: Node, view: View) -> Planned:
    axis, reverse = item["axis"], item["reverse"]
    size = item.type.shape[axis]
    part = view[axis]
    exact = item.operation in ("cummax", "cummin") or item.type.dtype.kind in "iub"
    numerics = "exact" if exact else "relaxed"
    if part is None:
        return Plan((view,), lambda inputs: _shaped(item, view, inputs), numerics)
    if not isinstance(part, Range):
        return "how much is accumulated before the part is not known"
    # Forwards the part needs what is before it; in reverse, what is after it.
    start, limit = (part.start, size) if reverse else (0, part.limit)
    needed = (*view[:axis], ranged(start, limit - start, 1, size), *view[axis + 1 :])
    inside = ranged(part.start - start, part.size, part.stride, limit - start)
    shape = narrowed_shape(view, item.type.shape)

    def build(inputs: Sequence[Node]) -> Node:
        if part.size == 1 and item.operation in _REDUCED_BY:
            name, attributes = _REDUCED_BY[item.operation]
            return reshape(make(name, inputs[0], axes=(axis,), **attributes), shape)
        made = node(item.operation, tuple(inputs), inputs[0].type, item.attributes)
        return read(made, tuple(inside if i == axis else None for i in range(len(shape))))

    return Plan((_whole(needed),), build, numerics)


def _composed(item: Node, first: View, view: View) -> View | str:
    shape = item.inputs[0].type.shape
    below: list[Selector | None] = []
    for outer, inner, size in zip(first, view, shape, strict=True):
        part = compose(outer, inner, size)
        if isinstance(part, str):
            return part
        below.append(part)
    return tuple(below)


def _slice(item: Node, view: View) -> Planned:
    strides = item["strides"] or (1,) * item.type.rank
    first = tuple(
        ranged(start, size, stride, dimension)
        for start, size, stride, dimension in zip(
            item["start_indices"], item.type.shape, strides, item.inputs[0].type.shape, strict=True
        )
    )
    below = _composed(item, first, view)
    return below if isinstance(below, str) else Plan((_whole(below),), lambda inputs: inputs[0])


def _dynamic_slice(item: Node, view: View) -> Planned:
    source, *starts = item.inputs
    first: list[Selector | None] = []
    for start, size, dimension in zip(starts, item["slice_sizes"], source.type.shape, strict=True):
        if size == dimension:
            first.append(None)
        elif start.is_constant:
            place = int(np.clip(int(start.value), 0, dimension - size))
            first.append(Range(place, size))
        else:
            first.append(Window(start, size))
    below = _composed(item, tuple(first), view)
    if isinstance(below, str):
        return below
    views = (_whole(below), *(None for _ in starts))
    return Plan(views, lambda inputs: inputs[0])


_PLANNERS: dict[str, Planner] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(
        "reduce_sum reduce_prod reduce_max reduce_min reduce_and reduce_or argmax argmin".split(),
        _reduction,
    ),
    **dict.fromkeys("cumsum cumprod cummax cummin cumlogsumexp".split(), _cumulative),
    "transpose": _transpose,
    "rev": _reverse,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "concatenate": _concatenate,
    "stack": _stack,
    "pad": _pad,
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "gather": plan_gather,
    "dot_general": plan_dot,
    "conv_general_dilated": plan_convolution,
    "triangular_solve": plan_triangular_solve,
}
