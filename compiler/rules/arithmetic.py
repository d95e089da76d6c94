"""Exact identities of arithmetic and logic: the same value for every input, NaN and -0.0 too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xlathe.compiler.ir import Node, constant, node
from xlathe.compiler.ops.build import filled, multiply
from xlathe.compiler.ops.elementwise import filled_scalar
from xlathe.compiler.rules.rule import Declined, Outcome, Rule


def known_scalar(item: Node) -> np.ndarray | None:
    """The one number that fills a node, where it is known."""
    scalar = _scalar(item)
    return None if scalar is None else scalar.value


def _scalar(item: Node) -> Node | None:
    scalar = item if item.operation == "constant" else filled_scalar(item)
    return None if scalar is None or scalar.type.shape else scalar


def _is_number(item: Node, number: float) -> bool:
    scalar = _scalar(item)
    if scalar is None or scalar["value"].number != number:
        return False
    return scalar.type.dtype.kind not in "bV"


def _is_integer(item: Node) -> bool:
    return isinstance(item.type.dtype, np.dtype) and item.type.dtype.kind in "iu"


def _if_same_type(item: Node, kept: Node) -> Outcome:
    if kept.type is item.type:
        return kept
    return Declined(f"{kept.type} would have to become {item.type}")


def _declined_for_complex(item: Node) -> Declined | None:
    if item.type.dtype.kind == "c":
        return Declined(
            "x * 1 has a NaN that a complex x has not, where one of its parts is infinite"
        )
    return None


def _either(number: float) -> Callable[[Node], Outcome]:
    def apply(item: Node) -> Outcome:
        left, right = item.inputs
        for known, other in ((right, left), (left, right)):
            if _is_number(known, number):
                return _declined_for_complex(item) or _if_same_type(item, other)
        return None

    return apply


def _second(number: float) -> Callable[[Node], Outcome]:
    def apply(item: Node) -> Outcome:
        if _is_number(item.inputs[1], number):
            return _declined_for_complex(item) or _if_same_type(item, item.inputs[0])
        return None

    return apply


def _add_zero(item: Node) -> Outcome:
    if not any(_is_number(source, 0) for source in item.inputs):
        return None
    if not _is_integer(item):
        return Declined("x + 0.0 is not x where x is -0.0")
    return _either(0)(item)


def _subtract_zero(item: Node) -> Outcome:
    # -0.0 - (-0.0) is 0.0, so the zero must be a positive one.
    value = known_scalar(item.inputs[1])
    if value is None or value.dtype.kind not in "iuf" or value != 0 or np.signbit(value):
        return None
    return _if_same_type(item, item.inputs[0])


def _multiply_by_zero(item: Node) -> Outcome:
    for zero, other in (item.inputs, item.inputs[::-1]):
        if _is_number(zero, 0):
            if not _is_integer(item):
                return Declined("x * 0.0 is not 0.0 where x is negative, infinite or NaN")
            if zero.type is item.type:
                return zero
            if other.type.shape == item.type.shape and not item.type.shape:
                return constant(np.zeros((), item.type.dtype), item.type.weak)
    return None


def _subtract_itself(item: Node) -> Outcome:
    if item.inputs[0] is not item.inputs[1]:
        return None
    if not _is_integer(item):
        return Declined("x - x is not 0.0 where x is infinite or NaN")
    if item.type.shape:
        return None
    return constant(np.zeros((), item.type.dtype), item.type.weak)


def _undo(operation: str) -> Callable[[Node], Outcome]:
    def apply(item: Node) -> Outcome:
        inner = item.inputs[0]
        return _if_same_type(item, inner.inputs[0]) if inner.operation == operation else None

    return apply


def _same_inputs(item: Node) -> Outcome:
    return _if_same_type(item, item.inputs[0]) if item.inputs[0] is item.inputs[1] else None


def _extreme(sign: int) -> Callable[[Node], Outcome]:
    """max(x, -inf) and min(x, inf), with the dtype's own bounds for integers."""

    def bound(dtype: np.dtype) -> float:
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            return limits.min if sign < 0 else limits.max
        return sign * np.inf

    def apply(item: Node) -> Outcome:
        dtype = item.type.dtype
        if not item.type.is_plain or dtype.kind not in "iuf":
            return None
        return _either(bound(dtype))(item)

    return apply


def _boolean(identity: bool) -> Callable[[Node], Outcome]:
    def apply(item: Node) -> Outcome:
        if item.type.dtype != np.bool_:
            return None
        for known, other in (item.inputs, item.inputs[::-1]):
            value = known_scalar(known)
            if value is not None:
                return _if_same_type(item, other if bool(value) == identity else known)
        return _same_inputs(item)

    return apply


def _power_one(item: Node) -> Outcome:
    return _if_same_type(item, item.inputs[0]) if item["y"] == 1 else None


def _select(item: Node) -> Outcome:
    which, *cases = item.inputs
    if all(case is cases[0] for case in cases):
        return _if_same_type(item, cases[0])
    value = known_scalar(which)
    if value is not None and 0 <= int(value) < len(cases):
        return _if_same_type(item, cases[int(value)])
    known = [known_scalar(case) for case in cases]
    if item.type.dtype == np.bool_ and which.type is item.type and None not in known:
        if known[0] != known[1]:
            return which if known[1] else node("not", (which,), item.type)
    return None


def _divide_by_choice(item: Node) -> Outcome:
    """Divide by powers of two, as in the derivative of a clip, by multiplying: XLA fuses that."""
    left, choice = item.inputs
    if choice.operation != "select_n" or item.type.dtype.kind != "f":
        return None
    which, *cases = choice.inputs
    known = [known_scalar(case) for case in cases]
    if any(value is None for value in known):
        return None
    if not all(_is_small_power_of_two(float(value)) for value in known if value is not None):
        return Declined("x / c is not x * (1 / c) where c is no power of two")
    inverses = [
        filled(1 / float(value), case.type)
        for value, case in zip(known, cases, strict=True)
        if value is not None
    ]
    return multiply(left, node("select_n", (which, *inverses), choice.type, choice.attributes))


def _is_small_power_of_two(number: float) -> bool:
    mantissa, exponent = np.frexp(number)
    return abs(mantissa) == 0.5 and abs(exponent) <= 14


ARITHMETIC = (
    Rule("multiply by one", "x * 1 -> x", ("mul",), _either(1)),
    Rule("divide by one", "x / 1 -> x", ("div",), _second(1)),
    Rule(
        "divide by known powers of two",
        "x / where(c, 2, 1) -> x * where(c, 1/2, 1)",
        ("div",),
        _divide_by_choice,
    ),
    Rule("add zero", "n + 0 -> n (integers)", ("add",), _add_zero),
    Rule("subtract zero", "x - 0 -> x", ("sub",), _subtract_zero),
    Rule("multiply by zero", "n * 0 -> 0 (integers)", ("mul",), _multiply_by_zero),
    Rule("subtract itself", "n - n -> 0 (integers)", ("sub",), _subtract_itself),
    Rule("negate twice", "-(-x) -> x", ("neg",), _undo("neg")),
    Rule("not twice", "~(~x) -> x", ("not",), _undo("not")),
    Rule("maximum with the least", "max(x, -inf) -> x", ("max",), _extreme(-1)),
    Rule("minimum with the greatest", "min(x, inf) -> x", ("min",), _extreme(1)),
    Rule("extreme of itself", "max(x, x) -> x", ("max", "min"), _same_inputs),
    Rule("and with a known side", "x & True -> x", ("and",), _boolean(True)),
    Rule("or with a known side", "x | False -> x", ("or",), _boolean(False)),
    Rule("first power", "x ** 1 -> x", ("integer_pow",), _power_one),
    Rule(
        "known choice", "where(True, x, y) -> x; where(c, True, False) -> c", ("select_n",), _select
    ),
)
"""The exact identities of arithmetic and logic."""
