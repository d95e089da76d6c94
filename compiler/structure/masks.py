"""Masks made of row and column numbers: `tril`, `triu`, `eye` as they arrive from JAX."""

from __future__ import annotations

import operator
from typing import NamedTuple

from xlathe.compiler.ir import Node
from xlathe.compiler.structure.facts import FULL, NOTHING, Facts


class Position(NamedTuple):
    """An integer array that holds its own index along one axis, plus an offset."""

    axis: int
    offset: int


class Mask(NamedTuple):
    """Where a boolean matrix may be true, and where it may be false."""

    true: Facts
    false: Facts


UNKNOWN = Mask(NOTHING, NOTHING)


def position(item: Node) -> Position | None:
    """The position that an integer node holds; axes count from the last: -1 is the column."""
    offset = 0
    while item.operation in ("add", "sub", "convert_element_type", "stop_gradient"):
        if item.operation in ("add", "sub"):
            left, right = item.inputs
            if right.is_constant and not right.type.shape:
                offset += int(right.value) if item.operation == "add" else -int(right.value)
                item = left
            elif left.is_constant and not left.type.shape and item.operation == "add":
                offset += int(left.value)
                item = right
            else:
                return None
        else:
            item = item.inputs[0]
        if not item.type.is_plain or item.type.dtype.kind not in "iu":
            return None
    if item.operation == "broadcast_in_dim" and len(item.inputs) == 1:
        inner = position(item.inputs[0])
        if inner is None:
            return None
        axis = item["broadcast_dimensions"][inner.axis + item.inputs[0].type.rank]
        if item["shape"][axis] != item.inputs[0].type.shape[inner.axis]:
            return None
        return Position(axis - item.type.rank, inner.offset + offset)
    if item.operation == "iota" and not item.inputs:
        return Position(item["dimension"] - item.type.rank, offset)
    return None


def compare(item: Node) -> Mask:
    """The mask of a comparison of row and column numbers."""
    left, right = (position(source) for source in item.inputs)
    if left is None or right is None or {left.axis, right.axis} != {-1, -2}:
        return UNKNOWN
    operation = item.operation
    if left.axis == -1:
        left, right = right, left
        operation = {"ge": "le", "le": "ge", "gt": "lt", "lt": "gt"}.get(operation, operation)
    # row + offset ≥ column, so that column - row ≤ offset
    edge = left.offset - right.offset
    below = Mask(Facts(high=edge), Facts(low=-edge - 1))
    strictly = Mask(Facts(high=edge - 1), Facts(low=-edge))
    on = Facts(-edge, edge)
    return {
        "ge": below,
        "gt": strictly,
        "lt": Mask(below.false, below.true),
        "le": Mask(strictly.false, strictly.true),
        "eq": Mask(on, NOTHING),
        "ne": Mask(NOTHING, on),
    }[operation]


def on_main_diagonal(item: Node) -> bool | None:
    """What a comparison of row and column numbers says on the main diagonal, if it is one."""
    if item.operation not in COMPARISONS:
        return None
    left, right = (position(source) for source in item.inputs)
    if left is None or right is None or {left.axis, right.axis} != {-1, -2}:
        return None
    compare = getattr(operator, item.operation)
    return compare(left.offset, right.offset)


COMPARISONS = frozenset(["ge", "gt", "lt", "le", "eq", "ne"])


def union(left: Facts, right: Facts) -> Facts:
    """Where either of two matrices may hold a number."""
    if left.is_zero or right.is_zero:
        return (right if left.is_zero else left).band
    return Facts(max(left.low, right.low), max(left.high, right.high))


def intersection(left: Facts, right: Facts) -> Facts:
    """Where both of two matrices may hold a number."""
    return Facts(min(left.low, right.low), min(left.high, right.high))


def product(left: Facts, right: Facts) -> Facts:
    """Where the product of two matrices may hold a number."""

    def added(first: int, second: int) -> int:
        return FULL if FULL in (first, second) else first + second

    if left.is_zero or right.is_zero:
        return Facts(-FULL, -FULL)
    return Facts(added(left.low, right.low), added(left.high, right.high))
