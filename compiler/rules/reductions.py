"""Reductions of what repeats, moves or joins elements, by way of the elements themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np

from xlathe.compiler.ir import Node, constant, node
from xlathe.compiler.ops.build import broadcast_in_dim, make, multiply, reshape
from xlathe.compiler.rules.arithmetic import known_scalar
from xlathe.compiler.rules.reshaping import axis_groups
from xlathe.compiler.rules.rule import Declined, Outcome, Rule

REDUCTIONS = ("reduce_sum", "reduce_prod", "reduce_max", "reduce_min", "reduce_and", "reduce_or")
_JOINED_BY = {
    "reduce_sum": "add",
    "reduce_prod": "mul",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_and": "and",
    "reduce_or": "or",
}
_MOST_PIECES = 8


def is_exact(item: Node) -> bool:
    """Whether the order in which a reduction takes its elements makes no difference."""
    return item.operation not in ("reduce_sum", "reduce_prod") or item.type.dtype.kind in "iub"


def reduced(item: Node, source: Node, axes: Sequence[int]) -> Node:
    """The same reduction of another value, over other axes; axes of size one are dropped."""
    sizes = source.type.shape
    wide = tuple(axis for axis in axes if sizes[axis] != 1)
    kept = tuple(size for axis, size in enumerate(sizes) if axis not in axes)
    if wide:
        shape = tuple(size for axis, size in enumerate(sizes) if axis not in wide)
        attributes = {**item.attributes, "axes": wide}
        source = node(item.operation, (source,), item.type.with_shape(shape), attributes)
    return source if source.type.shape == kept else reshape(source, kept)


def _ordinary(change: Callable[[Node], Outcome]) -> Callable[[Node], Outcome]:
    """Leave alone what is no ordinary array, and what would change its type."""

    def apply(item: Node) -> Outcome:
        source = item.inputs[0]
        if not item.type.is_plain or not source.type.is_plain or not source.type.size:
            return None
        if item.attributes.get("out_sharding") is not None or not item["axes"]:
            return None
        if source.attributes.get("sharding") is not None:
            return None
        found = change(item)
        if isinstance(found, Node) and found.type is not item.type:
            return Declined(f"{found.type} would have to become {item.type}")
        return found

    return apply


def _of_ones(item: Node) -> Outcome:
    source = item.inputs[0]
    if all(source.type.shape[axis] != 1 for axis in item["axes"]):
        return None
    return reduced(item, source, item["axes"])


def _of_reduction(item: Node) -> Outcome:
    inner = item.inputs[0]
    if inner.operation != item.operation or inner.attributes.get("out_sharding") is not None:
        return None
    kept = [axis for axis in range(inner.inputs[0].type.rank) if axis not in inner["axes"]]
    axes = sorted((*inner["axes"], *(kept[axis] for axis in item["axes"])))
    return reduced(item, inner.inputs[0], axes)


def _of_broadcast(item: Node) -> Outcome:
    wide, cast = item.inputs[0], None
    if wide.operation == "convert_element_type":
        wide, cast = wide.inputs[0], wide
    if wide.operation != "broadcast_in_dim" or len(wide.inputs) != 1 or not wide.type.is_plain:
        return None
    source, places = wide.inputs[0], wide["broadcast_dimensions"]
    repeated = [
        axis
        for axis in item["axes"]
        if axis not in places or source.type.shape[places.index(axis)] != wide["shape"][axis]
    ]
    if not repeated:
        return None
    if cast is not None:
        source = node(
            cast.operation,
            (source,),
            cast.type.with_shape(source.type.shape),
            cast.attributes,
        )
    times = math.prod(wide["shape"][axis] for axis in repeated)
    inner_axes = [places.index(axis) for axis in item["axes"] if axis in places]
    left = reduced(item, source, inner_axes)
    if item.operation == "reduce_prod":
        return Declined("a power costs as much as the product")
    if item.operation == "reduce_sum" and times != 1:
        factor = _count(times, item.type.dtype)
        if factor is None:
            return Declined(f"{item.type.dtype} holds no {times}")
        left = multiply(left, constant(factor, left.type.weak))
    kept = [axis for axis in range(wide.type.rank) if axis not in item["axes"]]
    axes = tuple(kept.index(axis) for axis in places if axis in kept)
    return broadcast_in_dim(left, item.type.shape, axes)


def _count(times: int, dtype: np.dtype) -> np.ndarray | None:
    """A number of elements in a dtype; integers wrap around as their sums do."""
    if dtype.kind in "iu":
        return np.asarray(times % 2 ** (8 * dtype.itemsize)).astype(dtype)
    if times > 1e4 and dtype.itemsize < 4:
        return None
    return np.asarray(times).astype(dtype)


def _of_transpose(item: Node) -> Outcome:
    turned = item.inputs[0]
    if turned.operation != "transpose":
        return None
    order = turned["permutation"]
    axes = sorted(order[axis] for axis in item["axes"])
    left = reduced(item, turned.inputs[0], axes)
    kept = [order[axis] for axis in range(len(order)) if axis not in item["axes"]]
    places = tuple(sorted(kept).index(axis) for axis in kept)
    if places == tuple(range(len(places))):
        return left
    return make("transpose", left, permutation=places)


def _of_reverse(item: Node) -> Outcome:
    turned = item.inputs[0]
    if turned.operation != "rev":
        return None
    left = reduced(item, turned.inputs[0], item["axes"])
    kept = [axis for axis in range(turned.type.rank) if axis not in item["axes"]]
    still = tuple(kept.index(axis) for axis in turned["dimensions"] if axis in kept)
    return make("rev", left, dimensions=still) if still else left


def _of_reshape(item: Node) -> Outcome:
    shaped = item.inputs[0]
    if shaped.operation != "reshape" or shaped["dimensions"] is not None or len(shaped.inputs) != 1:
        return None
    source = shaped.inputs[0]
    axes: list[int] = []
    for before, after in axis_groups(source.type.shape, shaped.type.shape):
        wide = [axis for axis in after if shaped.type.shape[axis] != 1]
        gone = [axis for axis in wide if axis in item["axes"]]
        if gone and len(gone) < len(wide):
            return None
        if gone or not wide:
            axes += before if gone else ()
    if not axes:
        return None
    return reshape(reduced(item, source, axes), item.type.shape)


def _of_pad(item: Node) -> Outcome:
    wide = item.inputs[0]
    if wide.operation != "pad" or item.operation != "reduce_sum":
        return None
    source, filling = wide.inputs
    value = known_scalar(filling)
    if value is None or value.dtype == np.bool_ or value:
        return Declined("the padding is not known to be zero")
    padded = [axis for axis, config in enumerate(wide["padding_config"]) if any(config)]
    if any(low < 0 or high < 0 for low, high, _ in wide["padding_config"]):
        return None
    if not source.type.size or not set(padded) <= set(item["axes"]):
        return None
    return reduced(item, source, item["axes"])


def _of_pieces(item: Node) -> Outcome:
    whole = item.inputs[0]
    if whole.operation not in ("concatenate", "stack") or len(whole.inputs) > _MOST_PIECES:
        return None
    if any(not part.type.size or not part.type.is_plain for part in whole.inputs):
        return None
    is_stack = whole.operation == "stack"
    along = whole["axis"] if is_stack else whole["dimension"]
    axes = [a - (is_stack and a > along) for a in item["axes"] if not (is_stack and a == along)]
    parts = [reduced(item, part, axes) for part in whole.inputs]
    if along in item["axes"]:
        return reduce(lambda left, right: make(_JOINED_BY[item.operation], left, right), parts)
    kept = [axis for axis in range(whole.type.rank) if axis not in item["axes"]]
    name = "axis" if is_stack else "dimension"
    attributes = {**whole.attributes, name: kept.index(along)}
    return node(whole.operation, tuple(parts), item.type, attributes)


def _rule(name: str, form: str, change: Callable[[Node], Outcome]) -> Rule:
    return Rule(name, form, REDUCTIONS, _ordinary(change))


FREE = (
    _rule("reduce an axis of one", "sum(x[None], 0) -> x", _of_ones),
    _rule("reduce a broadcast", "sum(broadcast(x)) -> n * x", _of_broadcast),
    _rule("reduce padding", "sum(pad(x, 0)) -> sum(x)", _of_pad),
)
"""Reductions that cost less in another form, whoever else reads what they reduce."""

SHARED = (
    _rule("reduce a reduction", "sum(sum(x, 1), 0) -> sum(x)", _of_reduction),
    _rule("reduce a transpose", "sum(x.T, 0) -> sum(x, 1)", _of_transpose),
    _rule("reduce a reversal", "sum(rev(x)) -> sum(x)", _of_reverse),
    _rule("reduce a reshape", "sum(x.reshape(a)) -> sum(x)", _of_reshape),
    _rule("reduce pieces", "sum(concatenate([x, y])) -> sum(x) + sum(y)", _of_pieces),
)
"""Reductions that cost less in another form, if nobody else reads what they reduce."""
