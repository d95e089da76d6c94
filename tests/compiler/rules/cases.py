"""The cases of the rules: `fires` with its result, `declines` with its reason, or `leaves`.

A case builds a node over parameters of the given types. Declined and left alone differ: a rule
that declines has found its pattern, and says why it may not use it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xlathe.compiler.ir import Node, Type, constant, make_type, node, parse
from xlathe.compiler.ops import make
from xlathe.compiler.ops.build import broadcast_in_dim, multiply, reshape

Build = Callable[..., Node]


class Case(NamedTuple):
    """One rule on one node.

    Attributes:
        rule: the rule's name.
        types: the types of the parameters, as the text form writes them.
        build: builds the node from the parameters.
        expected: builds what the rule makes of it; the reason why it declines; None if it leaves
            the node alone.
    """

    rule: str
    types: str
    build: Build
    expected: Build | str | None


def fires(rule: str, types: str, build: Build, expected: Build) -> Case:
    return Case(rule, types, build, expected)


def declines(rule: str, types: str, build: Build, reason: str) -> Case:
    return Case(rule, types, build, reason)


def leaves(rule: str, types: str, build: Build) -> Case:
    return Case(rule, types, build, None)


def parameters(types: str) -> list[Node]:
    """The parameters of these types, written `f32[3], i32`."""
    arguments = ", ".join(f"p{i}: {t}" for i, t in enumerate(types.split("; ")))
    return list(parse(f"def f({arguments}):\n    return (p0,)\n").parameters)


def number(value: Any, dtype: str = "float32", weak: bool = False) -> Node:
    return constant(np.asarray(value, np.dtype(dtype)), weak)


def full(value: Any, shape: tuple[int, ...], dtype: str = "float32") -> Node:
    return broadcast_in_dim(number(value, dtype), shape, ())


def two(operation: str, left: Node, right: Node) -> Node:
    return make(operation, left, right)


def cast(x: Node, dtype: str, weak: bool = False) -> Node:
    new = np.dtype(dtype)
    return make("convert_element_type", x, new_dtype=new, weak_type=weak, sharding=None)


def weak_cast(x: Node) -> Node:
    return cast(x, x.type.dtype.name, True)


def parted(x: Node, type_: Type, sizes: tuple[int, ...]) -> Node:
    return node("split", (x,), type_, {"sizes": sizes, "axis": 0})


def power(x: Node, y: int) -> Node:
    return make("integer_pow", x, y=y)


def transpose(x: Node, *axes: int) -> Node:
    return make("transpose", x, permutation=axes)


def reverse(x: Node, *axes: int) -> Node:
    return make("rev", x, dimensions=axes)


def total(operation: str, x: Node, *axes: int) -> Node:
    extra = {"out_sharding": None} if operation == "reduce_sum" else {}
    return make(operation, x, axes=axes, **extra)


def cut(x: Node, start: tuple[int, ...], end: tuple[int, ...], strides: Any = None) -> Node:
    return make("slice", x, start_indices=start, limit_indices=end, strides=strides)


def moving_cut(x: Node, *starts: Node, sizes: tuple[int, ...]) -> Node:
    return make("dynamic_slice", x, *starts, slice_sizes=sizes)


def pad(x: Node, *padding: tuple[int, int, int]) -> Node:
    return make("pad", x, number(0.0), padding_config=padding)


def join(*parts: Node) -> Node:
    return make("concatenate", *parts, dimension=0)


def squeeze(x: Node, *axes: int) -> Node:
    return make("squeeze", x, dimensions=axes)


def cotangents(x: Node, y: Node) -> Node:
    return node("add_any", (x, y), x.type)


def choose(which: Node, *cases: Node) -> Node:
    return make("select_n", which, *cases)


def counting(size: int, dtype: str = "int32") -> Node:
    return make("iota", dtype=np.dtype(dtype), shape=(size,), dimension=0, sharding=None)


def same(x: Node, *_: Node) -> Node:
    return x


def reordered_reshape(x: Node) -> Node:
    sizes, order = (6,), (1, 0)
    type_ = make_type(sizes, x.type.dtype)
    return node("reshape", (x,), type_, {"new_sizes": sizes, "dimensions": order, "sharding": None})


_INTEGER_ONLY = "x + 0.0 is not x where x is -0.0"
_COMPLEX = "has a NaN that a complex x has not"

ARITHMETIC_CASES = [
    fires("multiply by one", "f32[9]", lambda x: two("mul", x, number(1.0)), same),
    fires("multiply by one", "f32[9]", lambda x: two("mul", number(1.0), x), same),
    fires("multiply by one", "i32[9]", lambda x: two("mul", x, full(1, (9,), "int32")), same),
    fires("multiply by one", "~f32", lambda x: two("mul", x, number(1.0, weak=True)), same),
    declines("multiply by one", "~f32", lambda x: two("mul", x, number(1.0)), "~f32 would have to"),
    declines("multiply by one", "f32", lambda x: two("mul", x, full(1, (9,))), "f32 would have to"),
    declines(
        "multiply by one", "c64[9]", lambda x: two("mul", x, number(1, "complex64")), _COMPLEX
    ),
    leaves("multiply by one", "f32[9]", lambda x: two("mul", x, number(-1.0))),
    leaves("multiply by one", "f32[9]", lambda x: two("mul", x, number(np.nan))),
    fires("divide by one", "f32[9]", lambda x: two("div", x, number(1.0)), same),
    fires("divide by one", "i32[9]", lambda x: two("div", x, number(1, "int32")), same),
    declines("divide by one", "~f32", lambda x: two("div", x, number(1.0)), "~f32 would have to"),
    declines("divide by one", "c64[9]", lambda x: two("div", x, number(1, "complex64")), _COMPLEX),
    leaves("divide by one", "f32[9]", lambda x: two("div", number(1.0), x)),
    fires(
        "divide by known powers of two",
        "f32[9]; bool[9]",
        lambda x, c: two("div", x, choose(c, full(1.0, (9,)), full(2.0, (9,)))),
        lambda x, c: multiply(x, choose(c, full(1.0, (9,)), full(0.5, (9,)))),
    ),
    declines(
        "divide by known powers of two",
        "f32[9]; bool[9]",
        lambda x, c: two("div", x, choose(c, full(1.0, (9,)), full(3.0, (9,)))),
        "where c is no power of two",
    ),
    declines(
        "divide by known powers of two",
        "f32[9]; bool[9]",
        lambda x, c: two("div", x, choose(c, full(1.0, (9,)), full(0.0, (9,)))),
        "where c is no power of two",
    ),
    leaves(
        "divide by known powers of two",
        "f32[9]; bool[9]; f32[9]",
        lambda x, c, y: two("div", x, choose(c, full(1.0, (9,)), y)),
    ),
    leaves(
        "divide by known powers of two",
        "i32[9]; bool[9]",
        lambda x, c: two("div", x, choose(c, full(1, (9,), "int32"), full(2, (9,), "int32"))),
    ),
    fires("add zero", "i32[9]", lambda x: two("add", x, number(0, "int32")), same),
    fires("add zero", "u8[9]", lambda x: two("add", number(0, "uint8"), x), same),
    declines("add zero", "f32[9]", lambda x: two("add", x, number(0.0)), _INTEGER_ONLY),
    declines("add zero", "f32[9]", lambda x: two("add", number(-0.0), x), _INTEGER_ONLY),
    declines("add zero", "~i32", lambda x: two("add", x, number(0, "int32")), "~i32 would have to"),
    leaves("add zero", "i32[9]", lambda x: two("add", x, number(1, "int32"))),
    fires("subtract zero", "f32[9]", lambda x: two("sub", x, number(0.0)), same),
    fires("subtract zero", "i8[9]", lambda x: two("sub", x, number(0, "int8")), same),
    declines("subtract zero", "f32", lambda x: two("sub", x, full(0.0, (9,))), "f32 would have to"),
    leaves("subtract zero", "f32[9]", lambda x: two("sub", x, number(-0.0))),
    leaves("subtract zero", "f32[9]", lambda x: two("sub", number(0.0), x)),
    fires(
        "multiply by zero",
        "i32[9]",
        lambda x: two("mul", x, full(0, (9,), "int32")),
        lambda x: full(0, (9,), "int32"),
    ),
    fires(
        "multiply by zero",
        "i32",
        lambda x: two("mul", number(0, "int32", weak=True), x),
        lambda x: number(0, "int32"),
    ),
    declines("multiply by zero", "f32[9]", lambda x: two("mul", x, number(0.0)), "infinite or NaN"),
    leaves("multiply by zero", "i32[9]", lambda x: two("mul", x, number(2, "int32"))),
    leaves("multiply by zero", "i32[9]", lambda x: two("mul", x, number(0, "int32"))),
    fires("subtract itself", "i32", lambda x: two("sub", x, x), lambda x: number(0, "int32")),
    declines("subtract itself", "f32", lambda x: two("sub", x, x), "infinite or NaN"),
    leaves("subtract itself", "i32[9]", lambda x: two("sub", x, x)),
    leaves("subtract itself", "i32; i32", lambda x, y: two("sub", x, y)),
    fires("negate twice", "f32[9]", lambda x: make("neg", make("neg", x)), same),
    fires("negate twice", "u8[9]", lambda x: make("neg", make("neg", x)), same),
    leaves("negate twice", "f32[9]", lambda x: make("neg", make("sin", x))),
    fires("not twice", "bool[2]", lambda x: make("not", make("not", x)), same),
    fires("not twice", "i32[9]", lambda x: make("not", make("not", x)), same),
    leaves("not twice", "bool[2]; bool[2]", lambda x, y: make("not", two("and", x, y))),
    fires("maximum with the least", "f32[9]", lambda x: two("max", x, number(-np.inf)), same),
    fires("maximum with the least", "u8[9]", lambda x: two("max", number(0, "uint8"), x), same),
    fires(
        "maximum with the least", "i32[9]", lambda x: two("max", x, number(-(2**31), "int32")), same
    ),
    declines(
        "maximum with the least", "~f32", lambda x: two("max", x, number(-np.inf)), "would have to"
    ),
    leaves("maximum with the least", "f32[9]", lambda x: two("max", x, number(np.inf))),
    leaves("maximum with the least", "i32[9]", lambda x: two("max", x, number(-(2**30), "int32"))),
    leaves("maximum with the least", "bool[2]", lambda x: two("max", x, number(False, "bool"))),
    fires("minimum with the greatest", "f32[9]", lambda x: two("min", number(np.inf), x), same),
    fires("minimum with the greatest", "i8[9]", lambda x: two("min", x, number(127, "int8")), same),
    declines(
        "minimum with the greatest",
        "~f32",
        lambda x: two("min", x, number(np.inf)),
        "would have to",
    ),
    leaves("minimum with the greatest", "f32[9]", lambda x: two("min", x, number(3e38))),
    fires("extreme of itself", "f32[9]", lambda x: two("max", x, x), same),
    fires("extreme of itself", "i32[9]", lambda x: two("min", x, x), same),
    leaves("extreme of itself", "f32[9]; f32[9]", lambda x, y: two("max", x, y)),
    fires(
        "and with a known side", "bool[2]", lambda x: two("and", x, full(True, (2,), "bool")), same
    ),
    fires(
        "and with a known side",
        "bool[2]",
        lambda x: two("and", full(False, (2,), "bool"), x),
        lambda x: full(False, (2,), "bool"),
    ),
    fires("and with a known side", "bool[2]", lambda x: two("and", x, x), same),
    declines(
        "and with a known side",
        "bool[2]",
        lambda x: two("and", x, number(False, "bool")),
        "bool would have to become",
    ),
    leaves("and with a known side", "bool[2]; bool[2]", lambda x, y: two("and", x, y)),
    leaves("and with a known side", "i32[9]", lambda x: two("and", x, number(1, "int32"))),
    fires(
        "or with a known side", "bool[2]", lambda x: two("or", x, full(False, (2,), "bool")), same
    ),
    fires(
        "or with a known side",
        "bool[2]",
        lambda x: two("or", full(True, (2,), "bool"), x),
        lambda x: full(True, (2,), "bool"),
    ),
    declines(
        "or with a known side",
        "bool[2]",
        lambda x: two("or", x, number(True, "bool")),
        "bool would have to become",
    ),
    leaves("or with a known side", "i32[9]", lambda x: two("or", x, number(0, "int32"))),
    fires("first power", "f32[9]", lambda x: power(x, 1), same),
    leaves("first power", "f32[9]", lambda x: power(x, -1)),
    fires("known choice", "f32[9]; f32[9]", lambda x, y: choose(number(True, "bool"), y, x), same),
    fires("known choice", "f32; f32", lambda x, y: choose(number(2, "int32"), y, y, x), same),
    leaves("known choice", "f32; f32", lambda x, y: choose(number(3, "int32"), y, y, x)),
    leaves("known choice", "f32; f32", lambda x, y: choose(number(-1, "int32"), y, y, x)),
    fires("known choice", "f32[2]; bool[2]", lambda x, c: choose(c, x, x), same),
    fires(
        "known choice",
        "bool[2]",
        lambda c: choose(c, full(False, (2,), "bool"), full(True, (2,), "bool")),
        same,
    ),
    fires(
        "known choice",
        "bool[2]",
        lambda c: choose(c, full(True, (2,), "bool"), full(False, (2,), "bool")),
        lambda c: make("not", c),
    ),
    declines(
        "known choice",
        "~f32; f32",
        lambda x, y: choose(number(True, "bool"), y, x),
        "~f32 would have to become f32",
    ),
    leaves("known choice", "bool[2]; f32[2]; f32[2]", lambda c, x, y: choose(c, x, y)),
    leaves(
        "known choice",
        "bool",
        lambda c: choose(c, number(False, "bool"), full(False, (), "bool")),
    ),
    leaves("known choice", "bool[2]; bool[2]", lambda c, x: choose(c, x, full(True, (2,), "bool"))),
]

MOVEMENT_CASES = [
    fires("transpose of transpose", "f32[3, 3]", lambda x: transpose(x, 0, 1), same),
    fires(
        "transpose of transpose",
        "f32[2, 3, 4]",
        lambda x: transpose(transpose(x, 1, 2, 0), 1, 0, 2),
        lambda x: transpose(x, 2, 1, 0),
    ),
    leaves("transpose of transpose", "f32[3, 3]", lambda x: transpose(x, 1, 0)),
    fires("reshape of reshape", "f32[3, 3]", lambda x: reshape(x, (3, 3)), same),
    fires(
        "reshape of reshape",
        "f32[2, 6]",
        lambda x: reshape(reshape(x, (3, 4)), (12,)),
        lambda x: reshape(x, (12,)),
    ),
    leaves("reshape of reshape", "f32[9]", lambda x: reshape(x, (3, 3))),
    leaves("reshape of reshape", "f32[2, 3]", lambda x: reshape(transpose(x, 1, 0), (6,))),
    leaves("reshape of reshape", "f32[6]", lambda x: reordered_reshape(reshape(x, (2, 3)))),
    fires("broadcast of broadcast", "f32[9]", lambda x: broadcast_in_dim(x, (9,), (0,)), same),
    fires(
        "broadcast of broadcast",
        "f32[3]",
        lambda x: broadcast_in_dim(broadcast_in_dim(x, (2, 3), (1,)), (4, 2, 3), (1, 2)),
        lambda x: broadcast_in_dim(x, (4, 2, 3), (2,)),
    ),
    leaves("broadcast of broadcast", "f32[3]", lambda x: broadcast_in_dim(x, (3, 3), (0,))),
    fires("slice of everything", "f32[9]", lambda x: cut(x, (0,), (9,)), same),
    fires("slice of everything", "f32[9]", lambda x: cut(x, (0,), (9,), (1,)), same),
    leaves("slice of everything", "f32[9]", lambda x: cut(x, (0,), (8,))),
    leaves("slice of everything", "f32[9]", lambda x: cut(x, (1,), (9,))),
    leaves("slice of everything", "f32[9]", lambda x: cut(x, (0,), (9,), (2,))),
    fires("pad by nothing", "f32[9]", lambda x: pad(x, (0, 0, 0)), same),
    leaves("pad by nothing", "f32[9]", lambda x: pad(x, (0, 1, 0))),
    leaves("pad by nothing", "f32[9]", lambda x: pad(x, (-1, 1, 0))),
    leaves("pad by nothing", "f32[9]", lambda x: pad(x, (0, 0, 1))),
    fires("concatenate one", "f32[9]", lambda x: join(x), same),
    leaves("concatenate one", "f32[9]", lambda x: join(x, x)),
    fires("reverse twice", "f32[3, 3]", lambda x: reverse(reverse(x, 1), 1), same),
    leaves("reverse twice", "f32[3, 3]", lambda x: reverse(reverse(x, 0), 1)),
    fires("reduce over no axis", "f32[9]", lambda x: total("reduce_sum", x), same),
    fires("reduce over no axis", "i32[9]", lambda x: total("reduce_max", x), same),
    fires("reduce over no axis", "bool[2]", lambda x: total("reduce_and", x), same),
    leaves("reduce over no axis", "f32[9]", lambda x: total("reduce_sum", x, 0)),
    fires("cast of a widening cast", "f32[9]", lambda x: cast(x, "float32"), same),
    fires(
        "cast of a widening cast", "bf16[9]", lambda x: cast(cast(x, "float32"), "bfloat16"), same
    ),
    fires("cast of a widening cast", "bool[2]", lambda x: cast(cast(x, "int32"), "bool"), same),
    fires("cast of a widening cast", "i8[9]", lambda x: cast(cast(x, "float32"), "int8"), same),
    fires(
        "cast of a widening cast",
        "i8[9]",
        lambda x: cast(cast(x, "int32"), "int16"),
        lambda x: cast(x, "int16"),
    ),
    declines(
        "cast of a widening cast",
        "f32[9]",
        lambda x: cast(cast(x, "bfloat16"), "float32"),
        "the cast from float32 to bfloat16 loses digits",
    ),
    declines(
        "cast of a widening cast",
        "i32[9]",
        lambda x: cast(cast(x, "float32"), "int32"),
        "the cast from int32 to float32 loses digits",
    ),
    declines(
        "cast of a widening cast",
        "i32[9]",
        lambda x: cast(cast(x, "uint32"), "int32"),
        "the cast from int32 to uint32 loses digits",
    ),
    leaves("cast of a widening cast", "i8[9]", lambda x: cast(cast(x, "int32"), "float32")),
    leaves("cast of a widening cast", "f32[9]", lambda x: cast(x, "float16")),
    leaves("cast of a widening cast", "f32", weak_cast),
]

FORM_CASES = [
    fires("squeeze", "f32[3, 1]", lambda x: squeeze(x, 1), lambda x: reshape(x, (3,))),
    fires("squeeze", "f32[1, 3, 1]", lambda x: squeeze(x, -1, 0), lambda x: reshape(x, (3,))),
    leaves("squeeze", "key.fry[1]", lambda x: squeeze(x, 0)),
    fires("one part", "f32[3]", lambda x: parted(x, x.type, sizes=(3,)), lambda x: x),
    fires(
        "one part",
        "f32[1, 3]",
        lambda x: node("unstack", (x,), x.type.with_shape((3,)), {"axis": 0}),
        lambda x: reshape(x, (3,)),
    ),
    leaves("one part", "key.fry[1]", lambda x: parted(x, x.type, sizes=(1,))),
    fires("second power", "f32[9]", lambda x: power(x, 2), lambda x: make("square", x)),
    fires("second power", "i32[9]", lambda x: power(x, 2), lambda x: make("square", x)),
    leaves("second power", "f32[9]", lambda x: power(x, 3)),
    leaves("second power", "c64[9]", lambda x: power(x, 2)),
    fires("sum of cotangents", "f32[9]; f32[9]", cotangents, lambda x, y: two("add", x, y)),
    leaves("sum of cotangents", "f32[9]; f32[9]", lambda x, y: two("add", x, y)),
    fires(
        "scalar operand",
        "f32[9]; f32",
        lambda x, s: two("mul", x, broadcast_in_dim(s, (9,), ())),
        lambda x, s: two("mul", x, s),
    ),
    fires(
        "scalar operand",
        "i32[9]",
        lambda x: two("sub", full(3, (9,), "int32"), x),
        lambda x: two("sub", number(3, "int32"), x),
    ),
    fires(
        "scalar operand",
        "f32; f32",
        lambda s, t: two("lt", broadcast_in_dim(s, (9,), ()), broadcast_in_dim(t, (9,), ())),
        lambda s, t: two("lt", broadcast_in_dim(s, (9,), ()), t),
    ),
    leaves(
        "scalar operand",
        "f32[9]; f32[1]",
        lambda x, y: two("mul", x, broadcast_in_dim(y, (9,), (0,))),
    ),
    leaves("scalar operand", "f32[9]; f32", lambda x, s: two("mul", x, s)),
    leaves(
        "scalar operand",
        "f32[1, 3]; f32",
        lambda x, s: two("mul", broadcast_in_dim(s, (5, 1), ()), x),
    ),
    fires(
        "known position",
        "f32[9]",
        lambda x: moving_cut(x, number(2, "int32"), sizes=(3,)),
        lambda x: cut(x, (2,), (5,)),
    ),
    fires(
        "known position",
        "f32[9]",
        lambda x: moving_cut(x, number(8, "int32"), sizes=(3,)),
        lambda x: cut(x, (6,), (9,)),
    ),
    fires(
        "known position",
        "f32[3, 3]",
        lambda x: moving_cut(x, number(-5, "int32"), number(1, "int32"), sizes=(1, 2)),
        lambda x: cut(x, (0, 1), (1, 3)),
    ),
    leaves("known position", "f32[9]; i32", lambda x, i: moving_cut(x, i, sizes=(3,))),
]

_BOUNDS = "comparison settled by bounds"

INTERVAL_CASES = [
    fires(
        _BOUNDS,
        "i32",
        lambda x: two("lt", counting(9), number(9, "int32")),
        lambda x: full(True, (9,), "bool"),
    ),
    fires(
        _BOUNDS,
        "i32",
        lambda x: two("lt", two("sub", counting(9), number(8, "int32")), number(1, "int32")),
        lambda x: full(True, (9,), "bool"),
    ),
    fires(
        _BOUNDS,
        "i32",
        lambda x: two("ge", two("mul", counting(9), number(-2, "int32")), number(1, "int32")),
        lambda x: full(False, (9,), "bool"),
    ),
    fires(
        _BOUNDS,
        "i32",
        lambda x: two(
            "eq", two("rem", reverse(counting(9), 0), number(4, "int32")), number(4, "int32")
        ),
        lambda x: full(False, (9,), "bool"),
    ),
    fires(
        _BOUNDS,
        "bool[5]",
        lambda c: two(
            "gt",
            choose(c, counting(5), two("max", counting(5), number(3, "int32"))),
            number(4, "int32"),
        ),
        lambda c: full(False, (5,), "bool"),
    ),
    fires(
        _BOUNDS,
        "i32",
        lambda x: two("ne", join(counting(5), counting(2)), number(5, "int32")),
        lambda x: full(True, (7,), "bool"),
    ),
    fires(
        _BOUNDS,
        "f32[3, 5]",
        lambda x: two(
            "le",
            make("argmax", x, axes=(1,), index_dtype=np.dtype("int32")),
            number(4, "int32"),
        ),
        lambda x: full(True, (3,), "bool"),
    ),
    fires(_BOUNDS, "i32", lambda x: two("le", x, x), lambda x: number(True, "bool")),
    fires(_BOUNDS, "i32[3]", lambda x: two("ne", x, x), lambda x: full(False, (3,), "bool")),
    leaves(_BOUNDS, "f32", lambda x: two("le", x, x)),
    leaves(_BOUNDS, "i32", lambda x: two("le", x, number(9, "int32"))),
    leaves(_BOUNDS, "i32", lambda x: two("lt", counting(9), number(8, "int32"))),
    leaves(
        _BOUNDS,
        "i32",
        lambda x: two(
            "lt", two("add", counting(9, "int8"), number(120, "int8")), number(127, "int8")
        ),
    ),
    fires(
        "zeros of integers",
        "i32[9]",
        lambda x: two("mul", number(0, "int32"), x),
        lambda x: full(0, (9,), "int32"),
    ),
    fires(
        "zeros of integers", "u8[9]", lambda x: two("sub", x, x), lambda x: full(0, (9,), "uint8")
    ),
    leaves("zeros of integers", "f32[9]", lambda x: two("sub", x, x)),
    leaves("zeros of integers", "i32[9]", lambda x: two("mul", x, number(1, "int32"))),
]

CASES = [*ARITHMETIC_CASES, *INTERVAL_CASES, *MOVEMENT_CASES, *FORM_CASES]
