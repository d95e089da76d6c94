"""Softmax in its normal form: what every spelling of it is after the exact passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from xlathe.compiler.ir import Node

_MOVES = frozenset(["broadcast_in_dim", "convert_element_type", "reshape", "stop_gradient"])


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
            yield below.inputs[0]


def _through(item: Node) -> Iterator[Node]:
    """A node and what it only moves or casts."""
    yield item
    while item.operation in _MOVES or item.operation == "max":
        if item.operation == "max":
            others = [source for source in item.inputs if not source.is_constant]
            if len(others) != 1:
                return
            item = others[0]
        else:
            item = item.inputs[0]
        yield item


def _reduced(item: Node, operation: str, source: Node) -> int | None:
    """The axis along which a node holds the sums or maxima of another, spread over that axis."""
    shape = source.type.shape
    for below in _through(item):
        if below.operation != operation:
            continue
        inner = below.inputs[0]
        bare, wanted = _uncast(inner), _uncast(source)
        if bare is not wanted or len(below["axes"]) != 1:
            return None
        (axis,) = below["axes"]
        kept = tuple(size if place != axis else 1 for place, size in enumerate(shape))
        return axis if item.type.shape in (kept, shape) and _is_spread(item, below, axis) else None
    return None


def _is_spread(item: Node, reduced: Node, axis: int) -> bool:
    """Whether each axis of what was reduced stands where it stood in what it was reduced from."""
    rank = reduced.type.rank + 1
    wanted = tuple(place for place in range(rank) if place != axis)
    while item is not reduced:
        if item.operation == "broadcast_in_dim":
            source = item.inputs[0].type.shape
            expected = wanted if len(source) == rank - 1 else tuple(range(rank))
            if item["broadcast_dimensions"] != expected:
                return False
        elif item.operation == "reshape":
            before = [size for size in item.inputs[0].type.shape if size != 1]
            if before != [size for size in item.type.shape if size != 1]:
                return False
        if item.operation == "max":
            item = next(source for source in item.inputs if not source.is_constant)
        else:
            item = item.inputs[0]
    return True


def _uncast(item: Node) -> Node:
    while item.operation == "convert_element_type":
        item = item.inputs[0]
    return item
