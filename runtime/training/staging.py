"""What lies on the device in an epoch: rows in the epoch's order, so that a batch is one slice.

Rows are put in order outside of the loop over steps. Inside it, XLA:CPU takes the few rows of a
batch by several threads, as if it read the whole of the arrays, and starting those costs more than
all else that a small step does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.runtime.training.data.sources import ArrayData

_RESIDENT_BYTES = {"cpu": 0}
_RESIDENT_BYTES_ELSEWHERE = 1 << 31
_PIECE_BYTES = 1 << 26
_ALIGNMENT = 64


class Piece(NamedTuple):
    """The rows of consecutive steps.

    Attributes:
        start: the first step.
        stop: the step after the last.
        arrays: the rows in order, repeated to whole batches.
        rows: how many of them count.
    """

    start: int
    stop: int
    arrays: Any
    rows: int


class Staging:
    """Puts arrays on the device for an epoch, whole or in pieces of one shape.

    Where the device has a memory of its own and they fit in it, they are put there once, and in
    order there. From elsewhere, rows are sent in order.

    Args:
        data: the arrays.
    """

    def __init__(self, data: ArrayData) -> None:
        self.data = data
        most = _RESIDENT_BYTES.get(jax.default_backend(), _RESIDENT_BYTES_ELSEWHERE)
        self._resident = jax.device_put(tuple(data.batch)) if data.nbytes <= most else None

    def pieces(self, order: np.ndarray | None, steps: int) -> Iterator[Piece]:
        """Yield the pieces of an epoch.

        Args:
            order: the order of the rows; `None` for theirs.
            steps: how many steps the epoch has.
        """
        data, size = self.data, self.data.batch_size
        count = 1 if self._resident else math.ceil(data.nbytes / _PIECE_BYTES)
        each = math.ceil(steps / count)
        for start in range(0, steps, each):
            first = start * size
            rows = min(each * size, data.rows - first)
            places = np.arange(data.rows) if order is None else order
            places = np.resize(places[first : first + rows], each * size)
            if self._resident is not None:
                arrays = _in_order(self._resident, places.astype(np.int32))
            else:
                arrays = jax.device_put(tuple(_on_host(data.batch, places)))
            yield Piece(start, min(start + each, steps), arrays, rows)


@jax.jit
def _in_order(arrays: Any, places: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.take(leaf, places, axis=0, mode="clip"), arrays)


def _on_host(arrays: Any, places: np.ndarray) -> Any:
    def take(leaf: Any) -> np.ndarray:
        values = np.asarray(leaf)
        rows = _aligned((len(places), *values.shape[1:]), values.dtype)
        # With bounds to check, NumPy would fill an array of its own first.
        return np.take(values, places, axis=0, out=rows, mode="clip")

    return jax.tree.map(take, arrays)


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array that JAX on CPU takes as it is: it copies those that begin anywhere else."""
    nbytes = math.prod(shape) * dtype.itemsize
    memory = np.empty(nbytes + _ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    return memory[first : first + nbytes].view(dtype).reshape(shape)
