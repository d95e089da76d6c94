"""What a value makes of zeros that it is multiplied with: zero, or NaN where it is not finite.

Zero times a product is NaN in the rows and columns in which a factor holds NaN or infinity, so
that it is known without the product. Only a product of finite factors that overflows goes
unnoticed: no NaN and no infinity was given then.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from xlathe.compiler.ir import Node, constant
from xlathe.compiler.ops.build import broadcast_in_dim, cast, make, multiply, reshape

Shadow = tuple[Node, ...]
"""A sum of arrays of zeros and NaN, each of a shape that stretches to the value's own."""

_MOST_TERMS = 6
_KEEPING = ("neg", "sin", "cos", "tan", "abs", "copy", "stop_gradient", "square")
"""What is finite exactly where its operand is, overflow aside."""


def is_always_finite(item: Node) -> bool:
    """Whether a value can hold neither NaN nor infinity, as far as is seen at once."""
    for _ in range(8):
        dtype = item.type.dtype
        if not isinstance(dtype, np.dtype) or dtype.kind in "iub":
            return True
        if item.is_constant:
            return bool(np.all(np.isfinite(item.value)))
        moves = ("broadcast_in_dim", "reshape", "transpose", "convert_element_type", "neg")
        if item.operation not in moves:
            return item.operation == "iota" and dtype.itemsize >= 4
        source = item.inputs[0].type.dtype
        if source != dtype and source != np.bool_ and dtype.itemsize < max(4, source.itemsize):
            # A narrow float may be infinite where a wide number is not.
            return False
        item = item.inputs[0]
    return False


class Shadows:
    """The shadows of a graph's values, each worked out once."""

    def __init__(self) -> None:
        self.known: dict[Node, Shadow] = {}

    def __call__(self, item: Node) -> Shadow:
        """The shadow of a value; empty if it is always finite."""
        stack = [item]
        while stack:
            top = stack[-1]
            missing = [source for source in _sources(top) if source not in self.known]
            if top in self.known or not missing:
                stack.pop()
                if top not in self.known:
                    self.known[top] = self.made(top)
            else:
                stack.extend(missing)
        return self.known[item]

    def made(self, item: Node) -> Shadow:
        if is_always_finite(item):
            return ()
        found: Shadow | None = None
        sources = _sources(item)
        if sources:
            parts = [self.known[source] for source in item.inputs]
            found = _shadow_of(item, parts)
        if found is None or len(found) > _MOST_TERMS:
            return (multiply(item, constant(np.zeros((), item.type.dtype))),)
        return found


def _sources(item: Node) -> tuple[Node, ...]:
    """The values of which the shadow of a value is made; none where it is made of itself."""
    known = (*_KEEPING, "add", "sub", "mul", "transpose", "broadcast_in_dim", "dot_general")
    if item.operation not in known or is_always_finite(item):
        return ()
    return item.inputs


def _shadow_of(item: Node, parts: Sequence[Shadow]) -> Shadow | None:
    if item.operation == "dot_general":
        contracted, batch = item["dimension_numbers"]
        found: list[Node] = []
        for side in (0, 1):
            for part in parts[side]:
                found.append(product_shadow(item, side, part, contracted[side], batch[side]))
        return _unique(found)
    if item.operation == "transpose":
        order = item["permutation"]
        return tuple(make("transpose", part, permutation=order) for part in parts[0])
    if item.operation == "broadcast_in_dim":
        return tuple(_broadcast(item, part) for part in parts[0])
    return _unique([_of_rank(part, item.type.rank) for shadow in parts for part in shadow])


def _unique(items: Sequence[Node]) -> Shadow:
    return tuple(dict.fromkeys(items))


def _of_rank(item: Node, rank: int) -> Node:
    return item if item.type.rank == rank else reshape(item, (1,) * rank)


def _broadcast(item: Node, part: Node) -> Node:
    shape = [1] * item.type.rank
    for axis, size in zip(item["broadcast_dimensions"], part.type.shape, strict=True):
        shape[axis] = size
    return reshape(part, tuple(shape))


def product_shadow(
    item: Node, side: int, part: Node, contracted: Sequence[int], batch: Sequence[int]
) -> Node:
    """What zeros and NaN of one factor make of a product, in the product's layout.

    Args:
        item: the product.
        side: which factor the zeros and NaN belong to.
        part: those, of a shape that stretches to the factor's.
        contracted: the factor's contracted axes,
        batch: and those that both factors share.
    """
    if part.operation == "mul" and part.type.rank == 2 and len(contracted) == 1:
        total = _times_zeros(item, part.inputs[0], contracted[0])
    else:
        total = _summed(item, part, contracted)
    kept = [axis for axis in range(part.type.rank) if axis not in contracted]
    free = [axis for axis in kept if axis not in batch]
    order = tuple(kept.index(axis) for axis in (*batch, *free))
    if order != tuple(range(len(order))):
        total = make("transpose", total, permutation=order)
    sizes = total.type.shape
    others = (1,) * (item.type.rank - len(order))
    own, other = sizes[len(batch) :], others
    layout = (*own, *other) if side == 0 else (*other, *own)
    return reshape(total, (*sizes[: len(batch)], *layout))


def _summed(item: Node, part: Node, contracted: Sequence[int]) -> Node:
    part = cast(part, item.type.dtype)
    if not contracted:
        return part
    return make("reduce_sum", part, axes=tuple(sorted(contracted)), out_sharding=None)


def _times_zeros(item: Node, factor: Node, axis: int) -> Node:
    """The sums of a matrix's zeros and NaN along an axis; a product reads it fastest."""
    zero = constant(np.zeros((), factor.type.dtype))
    zeros = broadcast_in_dim(zero, (factor.type.shape[axis],), ())
    return make(
        "dot_general",
        factor,
        zeros,
        dimension_numbers=(((axis,), (0,)), ((), ())),
        precision=None,
        preferred_element_type=item.type.dtype,
        out_sharding=None,
    )


def stretched(shadow: Shadow, shape: tuple[int, ...]) -> Node:
    """The shadow as one array of this shape."""
    axes = tuple(range(len(shape)))
    terms = [broadcast_in_dim(part, shape, axes) for part in shadow]
    return reduce(lambda left, right: make("add", left, right), terms)
