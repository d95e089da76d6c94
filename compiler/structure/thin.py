"""Right hand sides that are products of thin factors: solve(A, U @ V) is solve(A, U) @ V."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from xlathe.compiler.ir import Node
from xlathe.compiler.ops.build import make
from xlathe.compiler.structure.algebra import transposed
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
