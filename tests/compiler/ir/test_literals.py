"""Static values as Python expressions, to the bit."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec

from xlathe.compiler.ir.literals import (
    NoTextForm,
    array_literal,
    float_literal,
    literal,
    scalar_literal,
)

SCOPE = {"jax": jax, "jnp": jnp, "lax": lax, "np": np}


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**70),
        0.1,
        -0.0,
        1e-320,
        "quote ' and \" and \n",
        b"\xff",
        (),
        (1,),
        (1, (2.5, "a")),
        np.dtype("bfloat16"),
        np.dtype("float8_e5m2"),
        lax.Precision.HIGH,
        lax.GatherScatterMode.FILL_OR_DROP,
        lax.ScatterDimensionNumbers((0,), (1,), (2,)),
    ],
    ids=repr,
)
def test_a_literal_evaluates_to_its_value(value: object):
    again = eval(literal(value), SCOPE)
    assert type(again) is type(value)
    assert repr(again) == repr(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(math.inf, "jnp.inf"), (-math.inf, "-jnp.inf"), (math.nan, "jnp.nan"), (-0.0, "-0.0")],
)
def test_floats_that_python_cannot_spell(value: float, text: str):
    assert float_literal(value) == text


def test_what_cannot_be_written_is_referred_to():
    value = object()
    assert literal(value, lambda item: "object_3" if item is value else "") == "object_3"
    assert literal((1, value), lambda item: "object_3") == "(1, object_3)"


@pytest.mark.parametrize("value", [object(), np.float32(1), PartitionSpec("x"), [1], {1: 2}])
def test_what_cannot_be_written_is_refused_without_a_name_for_it(value: object):
    with pytest.raises(NoTextForm, match=type(value).__name__):
        literal(value)


@pytest.mark.parametrize(
    "value",
    [
        np.float32(0.1),
        np.float32(1e-45),
        np.float64(5e-324),
        np.float16(65504),
        np.float32(np.nan),
        np.float32(-np.inf),
        jnp.bfloat16(3.14),
        jnp.float8_e4m3fn(0.0078125),
        jnp.int4(-8),
        jnp.uint4(15),
        np.complex64(complex(0.1, -0.0)),
        np.complex128(complex(np.nan, np.inf)),
        np.uint64(2**64 - 1),
        np.bool_(False),
    ],
    ids=lambda value: f"{value.dtype}({value})",
)
def test_a_scalar_reads_back_to_the_bit(value: np.generic):
    array = np.asarray(value)
    again = np.array(eval(scalar_literal(array), SCOPE), array.dtype)
    assert again.tobytes() == array.tobytes()


def test_a_float32_is_as_short_as_its_dtype_allows():
    assert scalar_literal(np.asarray(np.float32(0.1))) == "0.1"
    assert scalar_literal(np.asarray(np.float16(0.1))) == "0.1"


@pytest.mark.parametrize("bits", [0xFFC00000, 0x7FC00001, 0x7F800001])
def test_a_nan_of_other_bits_has_no_text(bits: int):
    value = np.array([bits], np.uint32).view(np.float32)
    with pytest.raises(NoTextForm, match="same bits"):
        array_literal(value)


def test_nested_arrays():
    assert array_literal(np.array([[1, 2], [3, 4]])) == "[[1, 2], [3, 4]]"
    assert array_literal(np.zeros((2, 0))) == "[[], []]"
    assert array_literal(np.array([0.1, np.inf], np.float32)) == "[0.1, jnp.inf]"
