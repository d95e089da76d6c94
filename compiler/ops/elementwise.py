"""Operations that act on each element by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xlathe.compiler.ir.node import Node
from xlathe.compiler.ir.types import Type, dtype_name, make_type
from xlathe.compiler.ops.reductions import write_mean
from xlathe.compiler.ops.table import (
    ADD,
    AND,
    ATOM,
    COMPARE,
    MULTIPLY,
    OR,
    UNARY,
    XOR,
    Expression,
    Operation,
    Write,
    Writer,
    register,
)


def broadcast_shape(types: Sequence[Type]) -> tuple[int, ...]:
    """The shape of an elementwise result: scalars go with anything, ones stretch."""
    shapes = [type_.shape for type_ in types if type_.shape]
    if not shapes:
        return ()
    return tuple(
        next((size for size in sizes if size != 1), 1) for sizes in zip(*shapes, strict=True)
    )


def _infer_same(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    weak = all(type_.weak for type_ in types)
    return make_type(broadcast_shape(types), types[0].dtype, weak)


def _infer_bool(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    return make_type(broadcast_shape(types), np.dtype(bool), all(type_.weak for type_ in types))


def _infer_select(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    weak = all(type_.weak for type_ in types[1:])
    return make_type(types[1].shape, types[1].dtype, weak)


def _infer_clamp(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    return make_type(types[1].shape, types[1].dtype, all(type_.weak for type_ in types))


def _infer_convert(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    return make_type(types[0].shape, attributes["new_dtype"], attributes["weak_type"])


def _is_bool(item: Node) -> bool:
    return item.inputs[0].type.dtype == np.bool_


def _infix(symbol: str, level: int, bools: bool = False, integers: bool = True) -> Write:
    """Write a Python operator where jnp's operator means this primitive and no other."""

    def write(item: Node, writer: Writer) -> Expression | None:
        left, right = item.inputs
        if left.is_constant and right.is_constant:
            # Python would compute it, and not in these dtypes.
            return None
        dtype = left.type.dtype
        if not left.type.is_plain or not right.type.is_plain:
            return None
        if item.attributes and any(value is not None for value in item.attributes.values()):
            return None
        if _is_bool(item) != bools and symbol not in _COMPARISONS:
            return None
        if not integers and dtype.kind in "iub":
            return None
        # `a < b < c` chains and `a - b - c` groups to the left: only the left side may be as loose.
        first = level + 1 if level == COMPARE else level
        return Expression(
            f"{writer.scalar_operand(left, right, first)} {symbol} "
            f"{writer.scalar_operand(right, left, level + 1)}",
            level,
        )

    return write


_COMPARISONS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


_divide = _infix("/", MULTIPLY, integers=False)


def _write_division(item: Node, writer: Writer) -> Expression | None:
    return write_mean(item, writer) or _divide(item, writer)


def _write_negation(item: Node, writer: Writer) -> Expression | None:
    source = item.inputs[0]
    if source.type.is_plain and not _is_bool(item) and not source.is_constant:
        return Expression(f"-{writer.operand(item.inputs[0], UNARY)}", UNARY)
    return None


def _write_not(item: Node, writer: Writer) -> Expression | None:
    if item.inputs[0].is_constant:
        return None
    return Expression(f"~{writer.operand(item.inputs[0], UNARY)}", UNARY)


def _function(name: str, scalars: bool = False) -> Write:
    """Write `name(x, y)`, where the primitive has no parameters that matter.

    Only jnp's functions take bare scalars beside arrays; lax's want equal dtypes.
    """

    def write(item: Node, writer: Writer) -> Expression | None:
        if any(value is not None for value in item.attributes.values()):
            return None
        if scalars and all(source.type.is_plain for source in item.inputs):
            left, right = item.inputs
            operands = [writer.scalar_operand(left, right), writer.scalar_operand(right, left)]
        else:
            operands = [writer.operand(source) for source in item.inputs]
        return Expression(f"{name}({', '.join(operands)})", ATOM)

    return write


def _write_integer_power(item: Node, writer: Writer) -> Expression | None:
    return Expression(f"lax.integer_pow({writer.operand(item.inputs[0])}, {item['y']})")


def _write_power(item: Node, writer: Writer) -> Expression | None:
    # lax.pow turns known exponents into other operations.
    if item.inputs[1].is_constant:
        return None
    return Expression(f"lax.pow({', '.join(writer.operand(source) for source in item.inputs)})")


def _write_convert(item: Node, writer: Writer) -> Expression | None:
    source = item.inputs[0]
    if item.attributes.get("sharding") is not None or item["weak_type"]:
        return None
    if not source.type.is_plain or not item.type.is_plain:
        return None
    if dtype_name(item.type.dtype) not in _JNP_DTYPES:
        return None
    # A cast from complex to real, or of a weak value to its own dtype, is more than `astype` does.
    if source.type.dtype.kind == "c" and item.type.dtype.kind != "c":
        return None
    if source.type.dtype == item.type.dtype or item.type.dtype == np.bool_:
        return None
    if source.is_constant:
        return None
    return Expression(f"{writer.operand(source, ATOM)}.astype(jnp.{item.type.dtype.name})")


_JNP_DTYPES = frozenset(
    ["bf16", "f16", "f32", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "c64"]
)


def _write_select(item: Node, writer: Writer) -> Expression | None:
    if len(item.inputs) != 3:
        return None
    condition, if_false, if_true = item.inputs
    plain = condition.type.is_plain and if_false.type.is_plain and if_true.type.is_plain
    if not plain or condition.type.dtype != np.bool_:
        return None
    cases = (if_true, if_false)
    if any(case.type.weak for case in cases) or condition.type.shape != item.type.shape:
        return None
    texts = [writer.operand(condition)]
    for case, other in (cases, cases[::-1]):
        filled = filled_scalar(case)
        # Both cases as scalars would lose the shape.
        if filled is not None and filled_scalar(other) is None:
            texts.append(writer.scalar_operand(filled, other))
        else:
            texts.append(writer.operand(case))
    return Expression(f"jnp.where({', '.join(texts)})")


def filled_scalar(item: Node) -> Node | None:
    """The scalar constant of which a node is a broadcast; None if it is none."""
    if item.operation == "broadcast_in_dim" and not item.inputs[0].type.shape:
        scalar = item.inputs[0]
        return scalar if scalar.is_constant else None
    return None


_UNARY = (
    "abs acos acosh asin asinh atan atanh bessel_i0e bessel_i1e cbrt ceil clz cos cosh digamma "
    "erf erf_inv erfc exp exp2 expm1 floor lgamma log log1p log2 logistic population_count rsqrt "
    "sign sin sinh sqrt square tan tanh is_finite conj real imag"
).split()
_BINARY = (
    "atan2 complex igamma igammac nextafter pow rem shift_left shift_right_arithmetic "
    "shift_right_logical"
).split()
_OTHER_RESULT = {"abs", "complex", "real", "imag", "conj", "pow", "is_finite", "clz"}
_SYMBOLS = {"add": ("+", ADD), "sub": ("-", ADD), "mul": ("*", MULTIPLY)}


ELEMENTWISE = frozenset(
    [
        *_UNARY,
        *_BINARY,
        *_SYMBOLS,
        *_COMPARISONS.values(),
        *"max min div neg not and or xor integer_pow round stop_gradient".split(),
        *"select_n clamp convert_element_type copy one_minus_square reduce_precision".split(),
    ]
)
"""The operations that act on each element by itself."""


BROADCASTING = frozenset(
    [*_SYMBOLS, *_COMPARISONS.values(), "div", "max", "min"],
)
"""Those in which scalars go with arrays, and axes of size one stretch."""


def _register_all() -> None:
    for name in _UNARY + _BINARY:
        infer = None if name in _OTHER_RESULT else _infer_same
        # Their public functions do more than bind the primitive.
        written = None if name == "conj" else _function(f"lax.{name}")
        if name == "pow":
            written = _write_power
        register(Operation(name, infer, write=written))
    register(
        Operation("max", _infer_same, write=_function("jnp.maximum", scalars=True)),
        Operation("min", _infer_same, write=_function("jnp.minimum", scalars=True)),
    )
    for name, (symbol, level) in _SYMBOLS.items():
        register(Operation(name, _infer_same, write=_infix(symbol, level)))
    register(
        Operation("div", _infer_same, write=_write_division),
        Operation("neg", _infer_same, write=_write_negation),
        Operation("not", _infer_same, write=_write_not),
        Operation("and", _infer_same, write=_infix("&", AND, bools=True)),
        Operation("or", _infer_same, write=_infix("|", OR, bools=True)),
        Operation("xor", _infer_same, write=_infix("^", XOR, bools=True)),
        Operation("integer_pow", _infer_same, write=_write_integer_power),
        Operation("round", _infer_same),
        Operation("one_minus_square", _infer_same),
        Operation("stop_gradient", _infer_same, write=_function("lax.stop_gradient")),
        Operation("select_n", _infer_select, write=_write_select),
        Operation("clamp", _infer_clamp),
        Operation("convert_element_type", _infer_convert, write=_write_convert),
        Operation("copy", _infer_same, moves_only=True),
    )
    for symbol, name in _COMPARISONS.items():
        register(Operation(name, _infer_bool, write=_infix(symbol, COMPARE)))


_register_all()
