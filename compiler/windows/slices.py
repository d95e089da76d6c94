"""Cutting, as all rewrites of windows need it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import jax.numpy as jnp
import numpy as np

from xlathe.compiler.ir import Node
from xlathe.compiler.ops.build import make

_FLOATING = frozenset(map(jnp.dtype, ("float16", "bfloat16", "float32", "float64")))


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


def is_floating(dtype: np.dtype) -> bool:
    """Whether a dtype is one of the usual floating point numbers."""
    return dtype in _FLOATING
