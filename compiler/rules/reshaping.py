"""Views through reshapes: the same elements as parts of an array of another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from xlathe.compiler.rules.views import Range, Selector, View, Window, ranged, scaled_window


def axis_groups(
    old: Sequence[int], new: Sequence[int]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The smallest groups of axes of two shapes that hold the same elements in order."""
    groups = []
    i = j = 0
    while i < len(old) or j < len(new):
        first, second = i, j
        left = right = 1
        while True:
            if i < len(old) and (left <= right or j == len(new)):
                left *= old[i]
                i += 1
            elif j < len(new):
                right *= new[j]
                j += 1
            if left == right and i > first and j > second:
                break
            if i == len(old) and j == len(new):
                break
        groups.append((tuple(range(first, i)), tuple(range(second, j))))
    return groups


def reshaped_view(view: View, shape: Sequence[int], other: Sequence[int]) -> View | str:
    """The view of an array of another shape that reads the same elements in the same order."""
    if not math.prod(shape):
        return "it has no elements"
    if any(part is not None and size == 1 for part, size in zip(view, shape, strict=True)):
        return "an axis of size one is repeated"
    result: list[Selector | None] = [None] * len(other)
    for before, after in axis_groups(other, shape):
        wide = [axis for axis in after if shape[axis] != 1]
        if all(view[axis] is None for axis in wide):
            continue
        narrow = [axis for axis in before if other[axis] != 1]
        if len(narrow) == 1:
            parts = [view[axis] for axis in wide]
            merged = parts[0] if len(wide) == 1 else _merged(parts, [shape[a] for a in wide])
            if isinstance(merged, str):
                return merged
            result[narrow[0]] = merged
        elif len(wide) == 1:
            split = _split(view[wide[0]], [other[axis] for axis in narrow])
            if isinstance(split, str):
                return split
            for axis, part in zip(narrow, split, strict=True):
                result[axis] = part
        else:
            return "the reshape mixes the axes that are cut"
    return tuple(result)


def _merged(parts: Sequence[Selector | None], sizes: Sequence[int]) -> Selector | str | None:
    """The elements of one axis that a view reads of the axes it is split into."""
    reason = "the part is not one stretch of the axis before the reshape"
    start, total = 0, math.prod(sizes)
    inner = total
    for place, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        inner //= size
        if isinstance(part, Range) and part.size == 1:
            start += part.start * inner
            continue
        rest = parts[place + 1 :]
        if any(other is not None for other in rest):
            return reason
        if part is None:
            return ranged(start, size * inner, 1, total)
        if isinstance(part, Range):
            if part.stride != 1:
                return reason
            return ranged(start + part.start * inner, part.size * inner, 1, total)
        if isinstance(part, Window) and place == 0:
            return scaled_window(part, size, inner) or reason
        return reason
    return ranged(start, 1, 1, total)


def _split(part: Selector | None, sizes: Sequence[int]) -> list[Selector | None] | str:
    """The elements of several axes that a range reads of the axis they are merged into."""
    reason = "the part is no block of the axes before the reshape"
    if not isinstance(part, Range) or part.stride != 1:
        return reason
    first = np.unravel_index(part.start, sizes)
    last = np.unravel_index(part.limit - 1, sizes)
    result: list[Selector | None] = []
    for place, size in enumerate(sizes):
        low, high = int(first[place]), int(last[place])
        result.append(ranged(low, high - low + 1, 1, size))
        if low != high:
            inside = (*first[place + 1 :], *last[place + 1 :])
            ends = [0] * (len(sizes) - place - 1) + [size - 1 for size in sizes[place + 1 :]]
            if [int(x) for x in inside] != ends:
                return reason
            result += [None] * (len(sizes) - place - 1)
            break
    return result
