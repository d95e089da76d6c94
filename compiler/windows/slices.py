"""Cutting, padding and casting, as all rewrites of windows need it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import jax.numpy as jnp
import numpy as np

from xlathe.compiler.ir import Node
from xlathe.compiler.ops.build import filled, make

_FLOAT32 = np.dtype(np.float32)
_FLOATING = frozenset(map(jnp.dtype, ("float16", "bfloat16", "float32", "float64")))

Paddings = Sequence[tuple[int, int, int]]
"""For each axis what is added below, above and between elements; less than none cuts off."""


def padded(source: Node, config: Paddings, value: float) -> Node:
    """The array with a number around and between its elements."""
    if not any(any(amounts) for amounts in config):
        return source
    number = filled(value, source.type.with_shape(()))
    return make("pad", source, number, padding_config=tuple(map(tuple, config)))


def strided(
    source: Node, starts: Sequence[int], sizes: Sequence[int], strides: Sequence[int]
) -> Node:
    """So many elements along each axis, from a start and a stride apart."""
    limits = [
        start + (size - 1) * stride + 1
        for start, size, stride in zip(starts, sizes, strides, strict=True)
    ]
    if source.type.shape == tuple(sizes):
        return source
    return make(
        "slice",
        source,
        start_indices=tuple(starts),
        limit_indices=tuple(limits),
        strides=None if set(strides) == {1} else tuple(strides),
    )


def offsets(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """The places in a window, in row-major order."""
    return list(product(*map(range, sizes)))


def cast(source: Node, dtype: np.dtype) -> Node:
    """The array in another dtype; the node itself if it has it."""
    if source.type.dtype == dtype:
        return source
    return make("convert_element_type", source, new_dtype=dtype, weak_type=False, sharding=None)


def is_floating(dtype: np.dtype) -> bool:
    """Whether a dtype is one of the usual floating point numbers."""
    return dtype in _FLOATING


def wide(dtype: np.dtype) -> np.dtype:
    """The dtype in which to add up: that of short floats is float32."""
    return _FLOAT32 if is_floating(dtype) and dtype.itemsize < 4 else dtype
