"""Exact identities of moving data: what only undoes or repeats another move."""

from __future__ import annotations

import numpy as np

from xlathe.compiler.ir import Node
from xlathe.compiler.ops.build import cast, make
from xlathe.compiler.rules.rule import Declined, Outcome, Rule


def _is_ordinary(item: Node) -> bool:
    """Whether nothing but shape and dtype is at stake: no sharding is asked for."""
    return (
        item.type.is_plain
        and item.inputs[0].type.is_plain
        and item.attributes.get("sharding") is None
        and len(item.inputs) == 1
    )


def _transpose(item: Node) -> Outcome:
    source, permutation = item.inputs[0], item["permutation"]
    if permutation == tuple(range(len(permutation))):
        return source if source.type is item.type else None
    if source.operation != "transpose":
        return None
    inner = source["permutation"]
    return make("transpose", source.inputs[0], permutation=tuple(inner[a] for a in permutation))


def _reshape(item: Node) -> Outcome:
    source = item.inputs[0]
    if not _is_ordinary(item) or item["dimensions"] is not None:
        return None
    if source.type is item.type:
        return source
    if source.operation == "reshape" and _is_ordinary(source) and source["dimensions"] is None:
        sizes = item["new_sizes"]
        return make("reshape", source.inputs[0], new_sizes=sizes, dimensions=None, sharding=None)
    return None


def _broadcast(item: Node) -> Outcome:
    source = item.inputs[0]
    if not _is_ordinary(item):
        return None
    if source.type is item.type and item["broadcast_dimensions"] == tuple(range(item.type.rank)):
        return source
    if source.operation == "broadcast_in_dim" and _is_ordinary(source):
        axes = item["broadcast_dimensions"]
        return make(
            "broadcast_in_dim",
            source.inputs[0],
            shape=item["shape"],
            broadcast_dimensions=tuple(axes[axis] for axis in source["broadcast_dimensions"]),
            sharding=None,
        )
    return None


def _slice(item: Node) -> Outcome:
    source = item.inputs[0]
    whole = item["limit_indices"] == source.type.shape and not any(item["start_indices"])
    return source if whole and source.type is item.type else None


def _pad(item: Node) -> Outcome:
    source = item.inputs[0]
    nothing = all(low == high == inner == 0 for low, high, inner in item["padding_config"])
    return source if nothing and source.type is item.type else None


def _concatenate(item: Node) -> Outcome:
    source = item.inputs[0]
    return source if len(item.inputs) == 1 and source.type is item.type else None


def _reverse(item: Node) -> Outcome:
    source = item.inputs[0]
    same = source.operation == "rev" and source["dimensions"] == item["dimensions"]
    return source.inputs[0] if same and source.inputs[0].type is item.type else None


def _reduce_nothing(item: Node) -> Outcome:
    source = item.inputs[0]
    return source if not item["axes"] and source.type is item.type else None


def widens(narrow: np.dtype, wide: np.dtype) -> bool:
    """Whether every value of one dtype is a value of another."""
    return narrow.names is None and wide.names is None and np.can_cast(narrow, wide, "safe")


def _convert(item: Node) -> Outcome:
    source = item.inputs[0]
    if not _is_ordinary(item):
        return None
    if source.type is item.type:
        return source
    if source.operation != "convert_element_type" or not _is_ordinary(source):
        return None
    start, middle, end = source.inputs[0].type.dtype, source.type.dtype, item.type.dtype
    if not widens(start, middle):
        return Declined(f"the cast from {start} to {middle} loses digits")
    if not (end == start or (middle.kind == end.kind == start.kind)):
        return None
    return cast(source.inputs[0], end, item["weak_type"])


MOVEMENT = (
    Rule("transpose of transpose", "x.T.T -> x", ("transpose",), _transpose),
    Rule("reshape of reshape", "x.reshape(a).reshape(b) -> x.reshape(b)", ("reshape",), _reshape),
    Rule(
        "broadcast of broadcast",
        "broadcast(broadcast(x)) -> broadcast(x)",
        ("broadcast_in_dim",),
        _broadcast,
    ),
    Rule("slice of everything", "x[0:n] -> x", ("slice",), _slice),
    Rule("pad by nothing", "pad(x, 0) -> x", ("pad",), _pad),
    Rule("concatenate one", "concatenate([x]) -> x", ("concatenate",), _concatenate),
    Rule("reverse twice", "rev(rev(x)) -> x", ("rev",), _reverse),
    Rule(
        "reduce over no axis",
        "sum(x, axis=()) -> x",
        ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or"),
        _reduce_nothing,
    ),
    Rule(
        "cast of a widening cast",
        "x.astype(wide).astype(d) -> x.astype(d)",
        ("convert_element_type",),
        _convert,
    ),
)
"""The exact identities of moving data."""
