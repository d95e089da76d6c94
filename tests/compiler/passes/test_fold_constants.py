"""Constant folding: what is known is computed to the last bit, and nothing else is touched."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from xlathe.compiler.ir import Graph, Node, constant, get, make_type, node, parameter, parse
from xlathe.compiler.ops import make
from xlathe.compiler.ops.build import broadcast_in_dim, reshape
from xlathe.compiler.ops.primitives import primitive_of
from xlathe.compiler.passes.fold_constants import FoldConstants, fold_node
from xlathe.tracer.capture import capture

from .check import operations, run, run_on


def known(value, dtype: str = "float32") -> Node:
    return constant(np.asarray(value).astype(dtype))


def cast(source: Node, dtype: str) -> Node:
    attributes = {"new_dtype": np.dtype(dtype), "weak_type": False, "sharding": None}
    return make("convert_element_type", source, **attributes)


I32 = "int32"
FOLDED = {
    "add": (make("add", known(1.5), known(2.25)), known(3.75)),
    "add wraps": (make("add", known(2**31 - 1, I32), known(1, I32)), known(-(2**31), I32)),
    "sub": (make("sub", known(1, "uint8"), known(2, "uint8")), known(255, "uint8")),
    "mul": (make("mul", known([1, -2], I32), known([3, 4], I32)), known([3, -8], I32)),
    "mul to infinity": (make("mul", known(3e38), known(10)), known(np.inf)),
    "div": (make("div", known(1), known(3)), known(np.float32(1) / np.float32(3))),
    "div by zero": (make("div", known(-1), known(0)), known(-np.inf)),
    "neg": (make("neg", known(0.0)), known(-0.0)),
    "neg of the least": (make("neg", known(-128, "int8")), known(-128, "int8")),
    "square": (make("square", known(-3, I32)), known(9, I32)),
    "stop_gradient": (make("stop_gradient", known(0.1)), known(0.1)),
    "max": (make("max", known(1.0), known(np.nan)), known(np.nan)),
    "min": (make("min", known(1, I32), known(-1, I32)), known(-1, I32)),
    "eq of nan": (make("eq", known(np.nan), known(np.nan)), known(False, "bool")),
    "ne": (make("ne", known(1), known(2)), known(True, "bool")),
    "to bfloat16": (cast(known(1.1), "bfloat16"), known(1.1, "bfloat16")),
    "lt of bfloat16": (make("lt", known(1, "bfloat16"), known(2, "bfloat16")), known(True, "bool")),
    "ge of zeros": (make("ge", known(-0.0), known(0.0)), known(True, "bool")),
    "and": (make("and", known(True, "bool"), known(False, "bool")), known(False, "bool")),
    "and of bits": (make("and", known(6, I32), known(3, I32)), known(2, I32)),
    "xor": (make("xor", known(6, "uint8"), known(3, "uint8")), known(5, "uint8")),
    "not": (make("not", known(True, "bool")), known(False, "bool")),
    "not of bits": (make("not", known(0, "uint8")), known(255, "uint8")),
    "int to float rounds to even": (cast(known(2**24 + 1, I32), "float32"), known(2**24)),
    "float to int": (cast(known(-1.9), I32), known(-1, I32)),
    "float to the greatest below": (cast(known(2147483520.0), I32), known(2147483520, I32)),
    "float to the least": (cast(known(-2147483648.0), I32), known(-(2**31), I32)),
    "nan to bool": (cast(known(np.nan), "bool"), known(True, "bool")),
    "double to float": (cast(known(1e300, "float64"), "float32"), known(np.inf)),
    "int to int wraps": (cast(known(300, I32), "uint8"), known(44, "uint8")),
    "select": (
        make("select_n", known(2, I32), known(5), known(6), known(7)),
        known(7),
    ),
    "clamp": (make("clamp", known(0, I32), known(9, I32), known(5, I32)), known(5, I32)),
    "reshape": (reshape(known([1, 2, 3, 4]), (2, 2)), known([[1, 2], [3, 4]])),
}


@pytest.mark.parametrize("name", FOLDED)
def test_is_folded_to_the_bit(name: str):
    item, expected = FOLDED[name]
    folded = fold_node(item)
    assert folded is not None
    assert folded.type is item.type
    number = expected.value == expected.value
    assert np.array_equal(folded.value == folded.value, number)
    if number.all():
        assert folded is expected


@pytest.mark.parametrize("name", FOLDED)
def test_is_what_jax_computes(name: str):
    item, _ = FOLDED[name]
    folded = fold_node(item)
    assert folded is not None
    values = [source.value for source in item.inputs]
    with jax.enable_x64(True):
        computed = primitive_of(item).bind(*values, **item.attributes)
    np.testing.assert_array_equal(np.asarray(computed), folded.value)
    if folded.value.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(computed), np.signbit(folded.value))


X = parameter(0, known(1.0).type)
OWN = {"primitive": "another primitive of this name"}
LEFT = {
    "an argument": make("add", X, known(1.0)),
    "sin, which targets round differently": make("sin", known(1.0)),
    "exp": make("exp", known(1.0)),
    "div of integers": make("div", known(7, I32), known(2, I32)),
    "max of zeros": make("max", known(0.0), known(-0.0)),
    "min of zeros": make("min", known(-0.0), known(0.0)),
    "arithmetic in bfloat16": make("add", known(1, "bfloat16"), known(2, "bfloat16")),
    "arithmetic in float8": make("mul", known(1, "float8_e5m2"), known(2, "float8_e5m2")),
    "arithmetic of complex numbers": make("mul", known(1j, "complex64"), known(1j, "complex64")),
    "float beyond int32": cast(known(2147483648.0), I32),
    "float beyond int64": cast(known(9.3e18), "int64"),
    "float below uint8": cast(known(-1.0), "uint8"),
    "half beyond int32": cast(known(np.inf, "float16"), I32),
    "nan to int": cast(known(np.nan), I32),
    "double to bfloat16": cast(known(1.1, "float64"), "bfloat16"),
    "to complex": cast(known(1.0), "complex64"),
    "a choice out of range": make("select_n", known(3, I32), known(5), known(6), known(7)),
    "a negative choice": make("select_n", known(-1, I32), known(5), known(6)),
    "clamp of floats": make("clamp", known(0.0), known(9.0), known(5.0)),
    "a random draw": node("rng_uniform", (known(0.0), known(1.0)), X.type, {"draw": 1}),
    "a pair": node("pair", (known(1.0),), (X.type, X.type)),
    "nothing to compute from": node("iota", (), make_type((3,), np.dtype("int32"))),
}


@pytest.mark.parametrize("name", LEFT)
def test_is_left_to_the_target(name: str):
    assert fold_node(LEFT[name]) is None


def test_a_result_of_one_is_not_taken_from_a_pair():
    pair = node("pair", (known(1.0),), (X.type, X.type))
    assert fold_node(get(pair, 0)) is None


@pytest.mark.parametrize(("size", "folds"), [(16, True), (17, False), (0, True)])
def test_large_results_are_left(size: int, folds: bool):
    item = make("add", known(np.ones(size)), known(1.0))
    assert (fold_node(item) is not None) == folds


def test_the_size_cap_is_an_option():
    item = make("neg", known(np.ones(5)))
    graph = Graph([], [item])
    assert FoldConstants(max_elements=4)(graph) is graph
    assert FoldConstants(max_elements=5)(graph) == Graph([], [known(-np.ones(5))])


def test_filled_arrays_stay_filled():
    item = make("mul", broadcast_in_dim(known(2.0), (100, 100), ()), known(3.0))
    assert fold_node(item) is broadcast_in_dim(known(6.0), (100, 100), ())


def test_filled_arrays_of_unknown_numbers_are_left():
    assert fold_node(make("mul", broadcast_in_dim(X, (9,), ()), known(3.0))) is None


def test_weak_results_are_weak():
    weak = constant(np.float32(2), weak=True)
    folded = fold_node(make("mul", weak, weak))
    assert folded is constant(np.float32(4), weak=True)


def test_before_and_after():
    before = """
def f(x: f32):
    a: f32 = constant(2.0)
    b: f32 = constant(3.0)
    c: f32 = mul(a, b)
    d: f32 = add(c, a)
    e: f32 = mul(x, d)
    return (e, c)
"""
    after = """
def f(x: f32):
    d: f32 = constant(8.0)
    e: f32 = mul(x, d)
    c: f32 = constant(6.0)
    return (e, c)
"""
    assert run(FoldConstants(), before) == parse(after)


def test_inside_loops_and_branches():
    def double(x):
        return x * lax.neg(lax.add(jnp.float32(1), jnp.float32(1)))

    def f(x):
        return lax.scan(lambda c, y: (lax.cond(y > 0, double, jnp.sin, c), y), x, jnp.arange(6.0))

    assert operations(capture(f, 1.0).graph)["neg"] == 1
    assert operations(run_on(FoldConstants(), f, 1.0))["neg"] == 0


def test_nothing_to_fold_is_the_same_object():
    graph = parse("def f(x: f32):\n    y: f32 = sin(x)\n    return (y,)\n")
    assert FoldConstants()(graph) is graph


def test_a_users_operation_of_a_known_name_is_left():
    assert fold_node(node("other_neg", (known(1.0),), X.type)) is None
