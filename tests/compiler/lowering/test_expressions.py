"""Expressions in printed programs: precedence, constants, the dtypes that they give."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl
from xlathe.compiler.ir import Graph, Node, constant
from xlathe.compiler.lowering import Program, lower

from .printing import printed


def returned(program: Program) -> str:
    """The expression that a program of one statement returns."""
    statement = program.source.rstrip().splitlines()[-1].strip()
    assert statement.startswith("return ")
    return statement.removeprefix("return ")


A, B, C, D = (jnp.float32(value) for value in (2.0, 3.0, 5.0, 7.0))
L, J, K = (jnp.int32(value) for value in (12, 5, 3))
P, Q, R = (jnp.bool_(value) for value in (True, False, True))

PRECEDENCE = {
    "a - (b - c)": (lambda a, b, c: a - (b - c), (A, B, C)),
    "a - b - c": (lambda a, b, c: (a - b) - c, (A, B, C)),
    "a / (b * c)": (lambda a, b, c: a / (b * c), (A, B, C)),
    "a / b * c": (lambda a, b, c: (a / b) * c, (A, B, C)),
    "a / (b / c)": (lambda a, b, c: a / (b / c), (A, B, C)),
    "a * (b + c)": (lambda a, b, c: a * (b + c), (A, B, C)),
    "a + b * c": (lambda a, b, c: a + b * c, (A, B, C)),
    "(a + b) * c": (lambda a, b, c: (a + b) * c, (A, B, C)),
    "a * (b * c)": (lambda a, b, c: a * (b * c), (A, B, C)),
    "-(a * b)": (lambda a, b: -(a * b), (A, B)),
    "-a * b": (lambda a, b: -a * b, (A, B)),
    "-(a + b)": (lambda a, b: -(a + b), (A, B)),
    "a - -b": (lambda a, b: a - (-b), (A, B)),
    "a * -b": (lambda a, b: a * (-b), (A, B)),
    "lax.square(-a)": (lambda a: (-a) ** 2, (A,)),
    "-lax.square(a)": (lambda a: -(a**2), (A,)),
    "lax.integer_pow(-a, 3)": (lambda a: (-a) ** 3, (A,)),
    "(a < b) == c": (lambda a, b, c: (a < b) == c, (A, B, P)),
    "a == (b < c)": (lambda a, b, c: a == (b < c), (P, B, C)),
    "a + b < c * b": (lambda a, b, c: a + b < c * b, (A, B, C)),
    "(a < b) & (b < c)": (lambda a, b, c: (a < b) & (b < c), (A, B, C)),
    "(a != b) != c": (lambda a, b, c: (a != b) != c, (A, B, P)),
    "~(a & b)": (lambda a, b: ~(a & b), (P, Q)),
    "~a & b": (lambda a, b: ~a & b, (P, Q)),
    "a & (b | c)": (lambda a, b, c: a & (b | c), (P, Q, R)),
    "a & b | c": (lambda a, b, c: (a & b) | c, (P, Q, R)),
    "(a ^ b) & c": (lambda a, b, c: (a ^ b) & c, (P, Q, R)),
    "a ^ b & c": (lambda a, b, c: a ^ (b & c), (P, Q, R)),
    "a | (b | c)": (lambda a, b, c: a | (b | c), (P, Q, R)),
    "~(a < b)": (lambda a, b: ~(a < b), (A, B)),
    "(a < b) | ~(b < c)": (lambda a, b, c: (a < b) | ~(b < c), (A, B, C)),
    "a - 1.0 - (b - 2.0)": (lambda a, b: (a - 1) - (b - 2), (A, B)),
    "1.0 / a": (lambda a: 1 / a, (A,)),
    "2.0 - a": (lambda a: 2 - a, (A,)),
    "a - -2.0": (lambda a: a - (-2.0), (A,)),
    "-2.0 * a": (lambda a: -2.0 * a, (A,)),
    "a + -2.0": (lambda a: a + (-2.0), (A,)),
    "(a + b).astype(jnp.int32)": (lambda a, b: (a + b).astype(jnp.int32), (A, B)),
    "(a + b).reshape(1, 1)": (lambda a, b: (a + b).reshape(1, 1), (A, B)),
    "(-a).astype(jnp.int32)": (lambda a: (-a).astype(jnp.int32), (A,)),
    "i - (j - k)": (lambda i, j, k: i - (j - k), (L, J, K)),
    "-i * (j + 1)": (lambda i, j: -i * (j + 1), (L, J)),
}


@pytest.mark.parametrize("text", PRECEDENCE)
def test_precedence(text: str):
    function, arguments = PRECEDENCE[text]
    program = printed(function, *arguments)
    assert returned(program).replace("x, ", "") == text
    wanted = function(*arguments)
    (got,) = program(*arguments)
    assert got == wanted
    assert got.dtype == wanted.dtype


M, N, W = jnp.arange(6.0).reshape(2, 3), jnp.arange(12.0).reshape(3, 4), jnp.arange(4.0)


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("m @ n @ w", lambda m, n, w: (m @ n) @ w),
        ("m @ (n @ w)", lambda m, n, w: m @ (n @ w)),
        ("m @ (2.0 * n) @ w", lambda m, n, w: m @ (2.0 * n) @ w),
        ("-(m @ n @ w)", lambda m, n, w: -(m @ n @ w)),
        ("(m @ n).T", lambda m, n, w: (m @ n).T),
        ("(m + 1.0) @ n", lambda m, n, w: (m + 1) @ n),
        ("(m @ n).sum(axis=-1)", lambda m, n, w: (m @ n).sum(axis=-1)),
    ],
)
def test_precedence_of_products(text: str, function):
    program = printed(function, M, N, W)
    assert returned(program) == text
    np.testing.assert_array_equal(program(M, N, W)[0], function(M, N, W))


SCALARS = [
    np.bool_(True),
    np.int8(-128),
    np.uint8(255),
    np.int16(-5),
    np.uint16(65535),
    np.int32(-(2**31)),
    np.uint32(2**32 - 1),
    np.float16(0.1),
    np.float32(0.1),
    np.float32(-0.0),
    np.float32(np.nan),
    np.float32(np.inf),
    np.float32(-np.inf),
    np.float32(1e-38),
    np.float32(3.4e38),
    jnp.bfloat16(0.1),
    jnp.bfloat16(-0.0),
    jnp.float8_e4m3fn(-448),
    jnp.float8_e5m2(np.inf),
    jnp.int4(-8),
    jnp.uint4(15),
    np.complex64(complex(0.1, -0.0)),
    np.complex64(complex(np.inf, np.nan)),
    np.frombuffer(b"\x01\x00\xc0\x7f", np.float32)[0],
]
WIDE = [np.int64(-(2**63)), np.uint64(2**64 - 1), np.float64(0.1), np.complex128(1e300j)]


def assert_same_value(got, item: Node) -> None:
    value = jnp.asarray(got)
    assert value.dtype == item.type.dtype
    assert value.weak_type == item.type.weak
    assert np.asarray(value).tobytes() == item.value.tobytes()


@pytest.mark.parametrize("weak", [False, True])
@pytest.mark.parametrize("value", SCALARS, ids=lambda value: f"{value.dtype}({value})")
def test_scalar_constants_of_every_dtype(value, weak: bool):
    item = constant(value, weak)
    assert_same_value(lower(Graph([], [item]))()[0], item)


@pytest.mark.parametrize("weak", [False, True])
@pytest.mark.parametrize("value", WIDE, ids=lambda value: f"{value.dtype}({value})")
def test_scalar_constants_of_64_bits(value, weak: bool):
    item = constant(value, weak)
    with jax.enable_x64(True):
        assert_same_value(lower(Graph([], [item]))()[0], item)


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((0,), np.float32),
        np.zeros((2, 0, 3), np.int8),
        np.array([[1.5, -0.0], [np.nan, np.inf]], np.float32),
        np.array([1, 2, 3], np.uint8),
        np.array([True, False]),
        np.array([0.1, 2], jnp.bfloat16),
        np.array([-8, 7], jnp.int4),
        np.array([1j, 2], np.complex64),
        np.array([b"\x01\x00\xc0\x7f", b"\x00\x00\xc0\xff"]).view(np.float32),
    ],
    ids=lambda value: f"{value.dtype}{value.shape}",
)
def test_array_constants(value: np.ndarray):
    item = constant(value)
    assert_same_value(lower(Graph([], [item]))()[0], item)


OPERANDS = ["float32", "float16", "bfloat16", "int32", "uint32", "int8", "uint8", "complex64"]
SMALL = ["int4", "uint4", "float8_e4m3fn", "float8_e5m2"]


@pytest.mark.parametrize("dtype", OPERANDS)
@pytest.mark.parametrize("number", [0, 1, 2, 100, -3])
def test_constants_beside_an_operand_keep_its_dtype(dtype: str, number: int):
    if dtype.startswith("u") and number < 0:
        number = 200
    x = jnp.arange(3).astype(dtype)
    scalar = jnp.asarray(number, dtype)

    def f(x):
        return x * scalar + scalar - x, scalar - x, x < scalar if dtype != "complex64" else x == x

    got, wanted = printed(f, x)(x), f(x)
    for one, other in zip(got, wanted, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", SMALL)
def test_constants_beside_small_numbers(dtype: str):
    x = jnp.arange(3).astype(dtype)

    def f(x):
        return x * 2, x + jnp.asarray(1, dtype), 3 - x, jnp.maximum(x, 1)

    for one, other in zip(printed(f, x)(x), f(x), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("number", [2, 2.5, True, 1j, -0.0, 100])
@pytest.mark.parametrize("dtype", [*OPERANDS, "bool"])
def test_weak_scalars_promote_as_they_did(number, dtype: str):
    x = jnp.arange(3).astype(dtype)

    def f(x):
        return x * number, jnp.where(x != 0, number, x), jnp.maximum(jnp.abs(x), abs(number))

    for one, other in zip(printed(f, x)(x), f(x), strict=True):
        assert (one.dtype, one.weak_type) == (other.dtype, other.weak_type)
        np.testing.assert_array_equal(one, other)


def test_weak_arguments_stay_weak():
    def f(s, x):
        return s * 2, s + 1, x * s, jnp.where(s > 0, s, 0)

    for one, other in zip(printed(f, 2.0, M)(2.0, M), f(2.0, M), strict=True):
        one, other = jnp.asarray(one), jnp.asarray(other)
        assert (one.dtype, one.weak_type) == (other.dtype, other.weak_type)


def test_products_of_narrow_numbers_in_float64():
    def products(x, w):
        wide = {"preferred_element_type": jnp.float64}
        return jax.lax.conv(x, w, (1, 1), "SAME", **wide), jnp.dot(x[0, 0], w[0, 0], **wide)

    with jax.enable_x64(True):
        x, w = jnp.ones((1, 2, 5, 3), "float32"), jnp.ones((4, 2, 3, 3), "float32")
        for found, wanted in zip(xl.compile(products)(x, w), jax.jit(products)(x, w), strict=True):
            assert found.dtype == wanted.dtype == np.float64
            np.testing.assert_array_equal(found, wanted)
