"""Convolutions of values that are zero but for a part: the part is convolved alone."""

from __future__ import annotations

from xlathe.compiler.ir import Node, node
from xlathe.compiler.rules.views import (
    Range,
    Selector,
    View,
    narrowed_shape,
    ranged,
    read,
)


def convolved(item: Node, side: int, core: Node, view: View) -> tuple[Node, View] | str | None:
    """The convolution of a part among zeros, and where it stands in that of the whole.

    Args:
        item: the convolution of the whole.
        side: which operand the whole is: 0 for the data, 1 for the kernel.
        core: the part.
        view: where it stands in the whole.

    Returns:
        None where the part reaches nothing of the result, and the reason where it is not known.
    """
    if item["feature_group_count"] != 1 or item["batch_group_count"] != 1:
        return "its channels are grouped"
    return _of_data(item, core, view) if side == 0 else _of_kernel(item, core, view)


def _of_data(item: Node, core: Node, view: View) -> tuple[Node, View] | str | None:
    numbers, kernel = item["dimension_numbers"], item.inputs[1]
    batch, feature, *space = numbers.lhs_spec
    found: list[Selector | None] = [None] * item.type.rank
    found[numbers.out_spec[0]] = view[batch]
    padding = list(item["padding"])
    for place, axis in enumerate(space):
        part = view[axis]
        if part is None:
            continue
        if not isinstance(part, Range) or part.stride != 1:
            return "where the part lies is not known"
        low, high = padding[place]
        if item["window_strides"][place] != 1 or low < 0 or high < 0:
            return "its window moves in steps, or begins inside"
        dilation = item["lhs_dilation"][place]
        first, last = part.start * dilation, (part.limit - 1) * dilation
        size = kernel.type.shape[numbers.rhs_spec[2 + place]]
        reach = (size - 1) * item["rhs_dilation"][place]
        target = numbers.out_spec[2 + place]
        width = item.type.shape[target]
        # The first and the last place whose window reaches the part.
        start, end = max(0, first + low - reach), min(width - 1, last + low)
        if start > end:
            return None
        padding[place] = (first + low - start, end - low + reach - last)
        found[target] = ranged(start, end - start + 1, 1, width)
    cut: list[Selector | None] = [None] * kernel.type.rank
    cut[numbers.rhs_spec[1]] = view[feature]
    return _again(item, core, _cut(kernel, tuple(cut)), tuple(padding), tuple(found))


def _of_kernel(item: Node, core: Node, view: View) -> tuple[Node, View] | str | None:
    numbers, data = item["dimension_numbers"], item.inputs[0]
    output, feature, *space = numbers.rhs_spec
    found: list[Selector | None] = [None] * item.type.rank
    found[numbers.out_spec[1]] = view[output]
    cut: list[Selector | None] = [None] * data.type.rank
    cut[numbers.lhs_spec[1]] = view[feature]
    padding = list(item["padding"])
    for place, axis in enumerate(space):
        part = view[axis]
        if part is None:
            continue
        if not isinstance(part, Range) or part.stride != 1:
            return "where the part lies is not known"
        dilation = item["rhs_dilation"][place]
        after = item.inputs[1].type.shape[axis] - part.limit
        low = padding[place][0] - part.start * dilation
        high = padding[place][1] - after * dilation
        source = numbers.lhs_spec[2 + place]
        width = data.type.shape[source]
        if min(low, high) < 0:
            if item["lhs_dilation"][place] != 1 or width + min(low, 0) + min(high, 0) <= 0:
                return "its window begins inside"
            start, end = max(0, -low), width - max(0, -high)
            cut[source] = ranged(start, end - start, 1, width)
        padding[place] = (max(low, 0), max(high, 0))
    return _again(item, read(data, tuple(cut)), core, tuple(padding), tuple(found))


def _cut(kernel: Node, view: View) -> Node:
    """A part of a kernel's channels; of one that is reversed, so that it is so right here."""
    if kernel.operation != "rev" or any(view[axis] is not None for axis in kernel["dimensions"]):
        return read(kernel, view)
    inner = read(kernel.inputs[0], view)
    return node("rev", (inner,), inner.type, kernel.attributes)


def _again(
    item: Node, data: Node, kernel: Node, padding: tuple[tuple[int, int], ...], found: View
) -> tuple[Node, View]:
    attributes = {**item.attributes, "padding": padding}
    type_ = item.type.with_shape(narrowed_shape(found, item.type.shape))
    return node(item.operation, (data, kernel), type_, attributes), found
