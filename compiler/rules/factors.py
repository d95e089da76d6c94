"""Known factors of one product as one: `0.5 * (2 * x)`, as gradients of squares have it, is `x`."""

from __future__ import annotations

import numpy as np
from jax import numpy as jnp

from xlathe.compiler.ir import Node, constant
from xlathe.compiler.ops.build import multiply
from xlathe.compiler.rules.arithmetic import known_scalar
from xlathe.compiler.rules.rule import Declined, Outcome, Rule


def known_factor(item: Node) -> tuple[np.ndarray, Node] | None:
    """The known factor of a product of floats, and the other factor, which is of its type."""
    if item.operation != "mul" or not item.type.is_plain or item.type.dtype.kind not in "fV":
        return None
    for known, other in (item.inputs, item.inputs[::-1]):
        number = known_scalar(known)
        if number is not None and other.type is item.type:
            return number, other
    return None


def _merge(item: Node) -> Outcome:
    outer = known_factor(item)
    inner = outer and known_factor(outer[1])
    if outer is None or inner is None:
        return None
    numbers = (outer[0].astype(np.float64), inner[0].astype(np.float64))
    limits, product = jnp.finfo(item.type.dtype), np.prod(numbers)
    if not all(limits.tiny <= abs(number) <= limits.max for number in (*numbers, product)):
        return Declined(f"{product:g} or a factor of it is not a normal number of {limits.dtype}")
    rounded = product.astype(item.type.dtype)
    if rounded == 1:
        return inner[1]
    return multiply(constant(rounded, item.type.weak), inner[1])


FACTORS = (Rule("merge factors", "a * (b * x) -> (a * b) * x", ("mul",), _merge, "relaxed"),)
