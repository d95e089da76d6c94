"""Comparisons of integers that are settled by the bounds of their sides."""

from __future__ import annotations

import numpy as np

from xlathe.compiler.ir import Node, constant
from xlathe.compiler.ops.build import broadcast_in_dim
from xlathe.compiler.ops.elementwise import filled_scalar
from xlathe.compiler.rules.rule import Outcome, Rule

Bounds = tuple[int, int]

_MOST_DEPTH = 6
_MOVES = (
    "broadcast_in_dim",
    "reshape",
    "transpose",
    "slice",
    "dynamic_slice",
    "rev",
    "copy",
    "convert_element_type",
    "reduce_max",
    "reduce_min",
    "stop_gradient",
)


def bounds(item: Node, depth: int = 0) -> Bounds | None:
    """The least and the greatest value that an array of integers can hold; None if not known."""
    dtype = item.type.dtype
    if not item.type.is_plain or dtype.kind not in "iu" or not item.type.size:
        return None
    limits = np.iinfo(dtype)
    found = _bounds(item, depth)
    # What leaves the dtype's range wraps around.
    if found is None or found[0] < limits.min or found[1] > limits.max:
        return None
    return found


def _bounds(item: Node, depth: int) -> Bounds | None:
    if item.is_constant:
        return int(item.value.min()), int(item.value.max())
    if item.operation == "iota":
        return 0, item["shape"][item["dimension"]] - 1
    if item.operation in ("argmax", "argmin"):
        sizes = [item.inputs[0].type.shape[axis] for axis in item["axes"]]
        return (0, sizes[0] - 1) if len(sizes) == 1 else None
    if depth == _MOST_DEPTH:
        return None
    if item.operation in _MOVES:
        return bounds(item.inputs[0], depth + 1)
    if item.operation == "concatenate":
        return _union([bounds(source, depth + 1) for source in item.inputs])
    if item.operation == "select_n":
        return _union([bounds(source, depth + 1) for source in item.inputs[1:]])
    if item.operation == "rem":
        return _remainder(item, depth)
    if item.operation in ("add", "sub", "mul", "max", "min"):
        return _arithmetic(item, depth)
    return None


def _union(parts: list[Bounds | None]) -> Bounds | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _remainder(item: Node, depth: int) -> Bounds | None:
    left, right = (bounds(source, depth + 1) for source in item.inputs)
    if left is None or right is None or left[0] < 0 or right[0] <= 0:
        return None
    return 0, min(left[1], right[1] - 1)


def _arithmetic(item: Node, depth: int) -> Bounds | None:
    left, right = (bounds(source, depth + 1) for source in item.inputs)
    if left is None or right is None:
        return None
    if item.operation == "add":
        return left[0] + right[0], left[1] + right[1]
    if item.operation == "sub":
        return left[0] - right[1], left[1] - right[0]
    if item.operation == "mul":
        corners = [a * b for a in left for b in right]
        return min(corners), max(corners)
    choose = max if item.operation == "max" else min
    return choose(left[0], right[0]), choose(left[1], right[1])


def _compare(item: Node) -> Outcome:
    if not item.type.is_plain or not item.type.size:
        return None
    found = _settled(item)
    if found is None:
        return None
    answer = constant(np.asarray(found), item.type.weak)
    return broadcast_in_dim(answer, item.type.shape, ()) if item.type.shape else answer


def _settled(item: Node) -> bool | None:
    left, right = item.inputs
    if left is right and left.type.is_plain and left.type.dtype.kind in "iub":
        return item.operation in ("eq", "le", "ge")
    first = bounds(left)
    second = bounds(right) if first is not None else None
    if first is None or second is None:
        return None
    below, above = first[1] < second[0], first[0] > second[1]
    at_most, at_least = first[1] <= second[0], first[0] >= second[1]
    yes, no = {
        "lt": (below, at_least),
        "le": (at_most, above),
        "gt": (above, at_most),
        "ge": (at_least, below),
        "eq": (at_most and at_least, below or above),
        "ne": (below or above, at_most and at_least),
    }[item.operation]
    return True if yes else False if no else None


def _zero(item: Node) -> Outcome:
    """N * 0 and n - n as arrays; where they are numbers, arithmetic has their rule."""
    if not item.type.is_plain or item.type.dtype.kind not in "iu" or not item.type.shape:
        return None
    left, right = item.inputs
    if item.operation == "sub" and left is not right:
        return None
    if item.operation == "mul" and not any(_is_zero(source) for source in item.inputs):
        return None
    zero = constant(np.zeros((), item.type.dtype), item.type.weak)
    return broadcast_in_dim(zero, item.type.shape, ())


def _is_zero(item: Node) -> bool:
    scalar = item if item.is_constant else filled_scalar(item)
    return scalar is not None and not scalar.type.shape and not scalar.value


INTERVALS = (
    Rule(
        "comparison settled by bounds",
        "arange(n) < n -> True",
        ("eq", "ne", "lt", "le", "gt", "ge"),
        _compare,
    ),
    Rule("zeros of integers", "n * 0 -> zeros; n - n -> zeros", ("mul", "sub"), _zero),
)
"""What is known of integers without their values."""
