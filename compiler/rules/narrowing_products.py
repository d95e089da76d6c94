"""Parts of products: a free or batch axis of the result is an axis of an operand."""

from __future__ import annotations

from collections.abc import Sequence

from xlathe.compiler.ir import Node, node
from xlathe.compiler.rules.plan import Plan, Planned
from xlathe.compiler.rules.views import Range, Selector, View, is_whole, narrowed_shape


def _class_of(item: Node) -> str:
    return "exact" if item.type.dtype.kind in "iub" else "relaxed"


def plan_dot(item: Node, view: View) -> Planned:
    """Parts of the rows, columns and batches of a product."""
    left, right = item.inputs
    (left_axes, right_axes), (left_batch, right_batch) = item["dimension_numbers"]
    below: tuple[list[Selector | None], list[Selector | None]] = (
        [None] * left.type.rank,
        [None] * right.type.rank,
    )
    parts = iter(view)
    for one, other in zip(left_batch, right_batch, strict=True):
        part = next(parts)
        below[0][one] = below[1][other] = part
    for side, axes, batch in ((0, left_axes, left_batch), (1, right_axes, right_batch)):
        for axis in range(item.inputs[side].type.rank):
            if axis not in axes and axis not in batch:
                below[side][axis] = next(parts)
    views = tuple(None if is_whole(tuple(side)) else tuple(side) for side in below)
    return Plan(views, lambda inputs: _again(item, view, inputs), _class_of(item))


def _again(item: Node, view: View, inputs: Sequence[Node]) -> Node:
    type_ = item.type.with_shape(narrowed_shape(view, item.type.shape))
    return node(item.operation, tuple(inputs), type_, item.attributes)


def plan_convolution(item: Node, view: View) -> Planned:
    """Parts of the batch, of the output channels, and windows of the space of a convolution."""
    data, kernel = item.inputs
    numbers = item["dimension_numbers"]
    batch, feature, *space = numbers.out_spec
    below: list[Selector | None] = [None] * data.type.rank
    filters: list[Selector | None] = [None] * kernel.type.rank
    if view[batch] is not None:
        if item["batch_group_count"] != 1:
            return "its batches are grouped"
        below[numbers.lhs_spec[0]] = view[batch]
    if view[feature] is not None:
        if item["feature_group_count"] != 1 or item["batch_group_count"] != 1:
            return "its channels are grouped"
        filters[numbers.rhs_spec[0]] = view[feature]
    padding = list(item["padding"])
    strides = list(item["window_strides"])
    for place, axis in enumerate(space):
        part = view[axis]
        if part is None:
            continue
        if not isinstance(part, Range):
            return "where the window lies is not known"
        if item["lhs_dilation"][place] != 1:
            return "its input is dilated"
        source = numbers.lhs_spec[2 + place]
        width = data.type.shape[source]
        reach = (kernel.type.shape[numbers.rhs_spec[2 + place]] - 1) * item["rhs_dilation"][place]
        first = part.start * strides[place] - padding[place][0]
        last = (part.limit - 1) * strides[place] - padding[place][0] + reach
        low, high = max(0, first), min(width - 1, last)
        if low > high:
            return "the part lies in the padding"
        if (low, high) != (0, width - 1):
            below[source] = Range(low, high - low + 1)
        padding[place] = (low - first, last - high)
        strides[place] *= part.stride
    attributes = {**item.attributes, "padding": tuple(padding), "window_strides": tuple(strides)}
    type_ = item.type.with_shape(narrowed_shape(view, item.type.shape))
    views = tuple(None if is_whole(tuple(side)) else tuple(side) for side in (below, filters))
    return Plan(
        views,
        lambda inputs: node(item.operation, tuple(inputs), type_, attributes),
        _class_of(item),
    )


def plan_triangular_solve(item: Node, view: View) -> Planned:
    """Parts of the right-hand sides, and of the batches, of a triangular system."""
    *batch, rows, columns = view
    if (rows if item["left_side"] else columns) is not None:
        return "each unknown of a system depends on the others"
    sides: tuple[View, View] = ((*batch, None, None), view)
    views = tuple(None if is_whole(side) else side for side in sides)
    return Plan(views, lambda inputs: _again(item, view, inputs), "relaxed")
