"""Right hand sides that are products of thin factors: solve(A, U @ V) is solve(A, U) @ V."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from xlathe.compiler.ir import Node
from xlathe.compiler.ops.build import broadcast_in_dim, make, multiply, reshaped, transposed
from xlathe.compiler.structure.systems import System


@dataclass(frozen=True)
class Thin:
    """A system whose right hand side is a product with fewer columns in one factor.

    Attributes:
        system: the system of that factor alone.
        product: the product.
        other: the other factor.
        finish: makes the solution of the whole from that of the factor.
    """

    system: System
    product: Node
    other: Node
    finish: Callable[[Node], Node]


def thin_factor(system: System) -> Thin | None:
    """The factor to solve for; None if the right hand side is no product, or no thin one."""
    if system.batch or system.right.type.rank != 2:
        return None
    product, permutation, negative = system.right, (0, 1), False
    while product.operation in ("transpose", "neg"):
        if product.operation == "transpose":
            permutation = tuple(product["permutation"][axis] for axis in permutation)
        else:
            negative = not negative
        product = product.inputs[0]
    if product.operation == "mul" and product.type.is_plain:
        return _outer(system, product, permutation, negative)
    if product.operation != "dot_general" or not product.type.is_plain:
        return None
    axes, (batch, _) = product["dimension_numbers"]
    if batch or len(axes[0]) > 1:
        return None
    # Result axis 0 belongs to the left factor, axis 1 to the right one.
    side = permutation[system.unknown]
    factor, other = product.inputs[side], product.inputs[1 - side]
    if factor.type.rank != 1 + len(axes[0]) or other.type.rank != factor.type.rank:
        return None
    unknown = 1 - axes[side][0] if axes[0] else 0
    free = (1 - unknown,) if axes[0] else ()
    inner = replace(system, right=factor, unknown=unknown, free=free)
    if inner.columns >= system.columns:
        return None

    def finish(solved: Node) -> Node:
        inputs = (solved, other) if side == 0 else (other, solved)
        whole = make("dot_general", *inputs, **product.attributes)
        return transposed(make("neg", whole) if negative else whole, permutation)

    return Thin(inner, product, other, finish)


def _outer(
    system: System, product: Node, permutation: tuple[int, ...], negative: bool
) -> Thin | None:
    """The factor to solve for of an outer product that is written as a multiplication."""
    vectors = {}
    for source in product.inputs:
        found = _vector(source, product)
        if found is not None:
            vectors[found[0]] = found[1]
    side = permutation[system.unknown]
    if set(vectors) != {0, 1} or system.columns < 2:
        return None
    inner = replace(system, right=vectors[side], unknown=0, free=())

    def finish(solved: Node) -> Node:
        shape = product.type.shape
        factors = [
            broadcast_in_dim(solved if axis == side else vectors[axis], shape, (axis,))
            for axis in (0, 1)
        ]
        whole = multiply(*factors)
        return transposed(make("neg", whole) if negative else whole, permutation)

    return Thin(inner, product, vectors[1 - side], finish)


def _vector(item: Node, product: Node) -> tuple[int, Node] | None:
    """The one axis along which a factor of a multiplication differs, and its entries there."""
    if item.operation != "broadcast_in_dim" or item.type.rank != 2 or len(item.inputs) != 1:
        return None
    source, axes = item.inputs[0], item["broadcast_dimensions"]
    sizes: tuple[int, ...] = source.type.shape
    long = [axis for axis, size in zip(axes, sizes, strict=True) if size > 1]
    if len(long) != 1 or source.type.size != product.type.shape[long[0]]:
        return None
    return long[0], reshaped(source, (source.type.size,))
