"""Softmax in its normal form: what every spelling of it is after the exact passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from xlathe.compiler.ir import Node

_MOVES = frozenset("broadcast_in_dim convert_element_type reshape stop_gradient transpose".split())


class Softmax(NamedTuple):
    """A softmax.

    Attributes:
        scores: what it is of.
        axis: the axis along which its results sum to one.
    """

    scores: Node
    axis: int


def softmax_of(item: Node) -> Softmax | None:
    """Recognise the last operation of a softmax: the division by the sum, or the exponential."""
    if isinstance(item.type, tuple) or not item.type.is_plain or item.type.dtype.kind not in "fV":
        return None
    if item.operation == "div":
        weights, total = item.inputs
        found = _exponential(weights)
        if found is None or _reduced(total, "reduce_sum", weights) != found.axis:
            return None
        return found
    if item.operation == "exp":
        return _of_logarithms(item)
    return None


def _exponential(item: Node) -> Softmax | None:
    """exp(s - max(s)), with the axis of the maximum."""
    while item.operation == "convert_element_type":
        item = item.inputs[0]
    if item.operation != "exp" or item.inputs[0].operation != "sub":
        return None
    scores, greatest = item.inputs[0].inputs
    axis = _reduced(greatest, "reduce_max", scores)
    return None if axis is None else Softmax(scores, axis)


def _of_logarithms(item: Node) -> Softmax | None:
    """exp((s - max) - log(sum(exp(s - max)))), which a log-softmax becomes."""
    difference = item.inputs[0]
    if difference.operation != "sub":
        return None
    shifted, logarithm = difference.inputs
    for below in _through(logarithm):
        if below.operation == "log":
            for source in _sources_of_sum(below.inputs[0]):
                if source.operation == "exp" and source.inputs[0] is shifted:
                    found = _exponential(source)
                    if found and _reduced(below.inputs[0], "reduce_sum", source) == found.axis:
                        return found
    return None


def _sources_of_sum(item: Node) -> Iterator[Node]:
    for below in _through(item):
        if below.operation == "reduce_sum":
            yield _bare(below.inputs[0])[0]


def _through(item: Node) -> Iterator[Node]:
    """A node and what it only moves or casts."""
    yield item
    while True:
        if item.operation == "max":
            others = [source for source in item.inputs if not source.is_constant]
            if len(others) != 1:
                return
            item = others[0]
        elif item.operation in _MOVES:
            item = item.inputs[0]
        else:
            return
        yield item


def _reduced(item: Node, operation: str, source: Node) -> int | None:
    """The axis along which a node holds the sums or maxima of another, spread over that axis."""
    chain = []
    for below in _through(item):
        if below.operation == operation:
            break
        chain.append(below)
    else:
        return None
    bare, axes = _bare(source)
    inner, inner_axes = _bare(below.inputs[0])
    if bare is not inner or len(below["axes"]) != 1:
        return None
    (reduced,) = below["axes"]
    labels: list[int | None] = [a for place, a in enumerate(inner_axes) if place != reduced]
    for step in reversed(chain):
        moved = _moved(step, labels)
        if moved is None:
            return None
        labels = moved
    axis = axes.index(inner_axes[reduced])
    shape = source.type.shape
    if len(labels) != len(shape):
        return None
    for place, (label, size) in enumerate(zip(labels, item.type.shape, strict=True)):
        spread = place == axis and label is None and size in (1, shape[place])
        if not spread and not (size == shape[place] and (label == axes[place] or size == 1)):
            return None
    return axis


def _moved(item: Node, labels: list[int | None]) -> list[int | None] | None:
    """Which axis each axis of a node is, given that for the axes of what it moves."""
    shape = item.type.shape
    if item.operation == "transpose":
        return [labels[place] for place in item["permutation"]]
    if item.operation == "broadcast_in_dim":
        spread: list[int | None] = [None] * len(shape)
        for label, place in zip(labels, item["broadcast_dimensions"], strict=True):
            spread[place] = label
        return spread
    if item.operation == "reshape":
        before = item.inputs[0].type.shape
        wide = [label for label, size in zip(labels, before, strict=True) if size != 1]
        if [size for size in before if size != 1] != [size for size in shape if size != 1]:
            return None
        rest = iter(wide)
        return [next(rest) if size != 1 else None for size in shape]
    return labels


def _bare(item: Node) -> tuple[Node, tuple[int, ...]]:
    """What a node casts or transposes, and which of its axes the node's own axes are."""
    axes = tuple(range(item.type.rank))
    while item.operation in ("convert_element_type", "transpose"):
        if item.operation == "transpose":
            axes = tuple(item["permutation"][axis] for axis in axes)
        item = item.inputs[0]
    return item, axes
