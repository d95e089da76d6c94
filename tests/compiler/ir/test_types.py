"""Types: interned, and named so that the name reads back."""

import pickle
import threading

import jax
import numpy as np
import pytest

from xlathe.compiler.ir import TOKEN, Node, make_type, parameter
from xlathe.compiler.ir.types import array_type, dtype_name, dtype_named, key_dtype, type_text

DTYPES = (
    "bool int2 int4 int8 int16 int32 int64 uint2 uint4 uint8 uint16 uint32 uint64 "
    "float4_e2m1fn float8_e3m4 float8_e4m3 float8_e4m3b11fnuz float8_e4m3fn float8_e4m3fnuz "
    "float8_e5m2 float8_e5m2fnuz float8_e8m0fnu bfloat16 float16 float32 float64 complex64 "
    "complex128"
).split()
SHORT = {"float32": "f32", "bfloat16": "bf16", "int4": "i4", "uint8": "u8", "complex64": "c64"}


@pytest.mark.parametrize("name", DTYPES)
def test_dtype_name_reads_back(name: str):
    dtype = np.dtype(name)
    assert dtype_named(dtype_name(dtype)) == dtype


def test_dtype_names_differ():
    assert len({dtype_name(np.dtype(name)) for name in DTYPES}) == len(DTYPES)


@pytest.mark.parametrize(("name", "short"), SHORT.items())
def test_common_dtypes_have_short_names(name: str, short: str):
    assert dtype_name(np.dtype(name)) == short


def test_float0_reads_back():
    assert dtype_name(jax.dtypes.float0) == "float0"
    assert dtype_named("float0") == jax.dtypes.float0


@pytest.mark.parametrize("name", ["f31", "f32x", "i", "object_0", ""])
def test_unknown_dtype_is_refused(name: str):
    with pytest.raises(ValueError, match="is not a dtype's name"):
        dtype_named(name)


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_key_dtype_reads_back_from_its_tag(implementation: str):
    key = jax.eval_shape(lambda: jax.random.key(0, impl=implementation))
    text = type_text(make_type((), key.dtype))
    prefix, tag = text.split(".")
    assert prefix == "key"
    assert key_dtype(tag) == key.dtype


def test_equal_types_are_one_object():
    assert array_type((2, 3), "float32") is array_type((2, 3), np.float32)
    assert array_type((2, 3), "float32") is not array_type((3, 2), "float32")
    assert array_type((), "float32") is not array_type((), "float32", weak=True)
    assert make_type((), None, extra="a") is not make_type((), None, extra="b")


def test_a_pickled_type_is_the_same_object():
    type_ = array_type((4,), "int8", weak=True)
    assert pickle.loads(pickle.dumps(type_)) is type_


def test_threads_get_the_same_type_and_node():
    barrier = threading.Barrier(8)
    found: list[tuple[object, Node]] = []

    def build() -> None:
        barrier.wait()
        for size in range(1000, 1200):
            type_ = array_type((size, 7), "float32")
            found.append((type_, parameter(size, type_)))

    threads = [threading.Thread(target=build) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 * 200
    assert len(set(found)) == 200


def test_size_and_bytes():
    assert array_type((3, 4), "float32").size == 12
    assert array_type((3, 4), "float32").nbytes == 48
    assert array_type((0, 4), "float64").nbytes == 0
    assert array_type((), "bfloat16").nbytes == 2
    assert TOKEN.nbytes == 0
    assert array_type((3, 4), "int32").rank == 2


def test_with_shape_keeps_all_else():
    type_ = array_type((3,), "int32", weak=True)
    assert type_.with_shape((2, 2)) is array_type((2, 2), "int32", weak=True)


def test_only_numpy_dtypes_are_plain():
    assert array_type((2,), "bfloat16").is_plain
    assert not TOKEN.is_plain
    assert not make_type((), key_dtype("fry")).is_plain
    assert not make_type((2,), np.dtype("float32"), extra="a sharding").is_plain


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (array_type((3, 5), "float32"), "f32[3, 5]"),
        (array_type((), "float32", weak=True), "~f32"),
        (array_type((7,), "bool"), "bool[7]"),
        (make_type((2,), key_dtype("fry")), "key.fry[2]"),
        (TOKEN, "token"),
    ],
)
def test_text(type_, text: str):
    assert str(type_) == text
