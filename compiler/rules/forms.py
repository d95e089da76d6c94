"""Normal forms: one spelling for each construct, so that later rules need know only that one."""

from __future__ import annotations

import numpy as np

from xlathe.compiler.ir import Node, node
from xlathe.compiler.ops.build import make, reshape
from xlathe.compiler.ops.elementwise import BROADCASTING, broadcast_shape
from xlathe.compiler.rules.rule import Outcome, Rule


def _squeeze(item: Node) -> Outcome:
    return reshape(item.inputs[0], item.type.shape) if item.type.is_plain else None


def _one_part(item: Node) -> Outcome:
    # The one part of a split has its type, and that of an unstacking has an axis less.
    if isinstance(item.type, tuple) or not item.type.is_plain:
        return None
    source = item.inputs[0]
    if item.operation == "unstack":
        return reshape(source, item.type.shape)
    return source if source.type is item.type else None


def _square(item: Node) -> Outcome:
    # Of a complex number XLA computes the square by another formula than the product.
    if item["y"] != 2 or item.type.dtype.kind == "c":
        return None
    return node("square", item.inputs, item.type)


def _add_any(item: Node) -> Outcome:
    if not all(source.type.is_plain for source in item.inputs):
        return None
    added = make("add", *item.inputs)
    return added if added.type is item.type else None


def _scalar_side(item: Node) -> Outcome:
    left, right = item.inputs
    if not item.type.is_plain:
        return None
    scalars = (_scalar(left) or left, _scalar(right) or right)
    # An operand stays as large as it is where the other is not of the full shape.
    for inputs in (scalars, (left, scalars[1]), (scalars[0], right)):
        if inputs == item.inputs:
            continue
        if broadcast_shape([source.type for source in inputs]) == item.type.shape:
            return node(item.operation, inputs, item.type, item.attributes)
    return None


def _scalar(item: Node) -> Node | None:
    if item.operation != "broadcast_in_dim" or item.attributes.get("sharding") is not None:
        return None
    source = item.inputs[0]
    return source if not source.type.shape and source.type.is_plain else None


def _dynamic_slice(item: Node) -> Outcome:
    source, *starts = item.inputs
    if not all(start.is_constant for start in starts) or not item.type.is_plain:
        return None
    sizes = item["slice_sizes"]
    # JAX clamps each start so that the slice stays inside.
    first = tuple(
        int(np.clip(int(start.value), 0, dimension - size))
        for start, dimension, size in zip(starts, source.type.shape, sizes, strict=True)
    )
    limits = tuple(start + size for start, size in zip(first, sizes, strict=True))
    attributes = {"start_indices": first, "limit_indices": limits, "strides": None}
    return node("slice", (source,), item.type, attributes)


FORMS = (
    Rule("squeeze", "squeeze(x) -> reshape(x)", ("squeeze",), _squeeze),
    Rule("one part", "split(x, [n]) -> x", ("split", "unstack"), _one_part),
    Rule("second power", "x ** 2 -> square(x)", ("integer_pow",), _square),
    Rule("sum of cotangents", "add_any(x, y) -> x + y", ("add_any",), _add_any),
    Rule("scalar operand", "x * broadcast(s) -> x * s", tuple(sorted(BROADCASTING)), _scalar_side),
    Rule(
        "known position",
        "dynamic_slice(x, 2) -> x[2:]",
        ("dynamic_slice",),
        _dynamic_slice,
    ),
)
"""The normal forms."""
