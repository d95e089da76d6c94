"""What lies on the device in an epoch."""

import jax
import numpy as np
import pytest

from xlathe.runtime.training import staging
from xlathe.runtime.training.data.sources import ArrayData, make_data

ROWS = 40


def pieces_of(x, y, order, steps=5):
    data = make_data(x, y, None, batch_size=8)
    assert isinstance(data, ArrayData)
    return list(staging.Staging(data).pieces(order, steps))


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "bool"])
def test_rows_lie_in_the_order_of_the_epoch(dtype):
    x = (np.arange(ROWS * 3).reshape(ROWS, 3) % 7).astype(dtype)
    order = np.random.default_rng(0).permutation(ROWS)
    (piece,) = pieces_of(x, np.arange(ROWS), order)
    assert piece.arrays[0].dtype == dtype
    np.testing.assert_array_equal(piece.arrays[0], x[order])
    np.testing.assert_array_equal(piece.arrays[1], order)


def test_arrays_that_do_not_lie_in_one_piece_are_taken_from(monkeypatch):
    monkeypatch.setattr(staging, "_PIECE_BYTES", 512)
    x = np.arange(ROWS * 6, dtype="float32").reshape(6, ROWS).T[:, ::2]
    order = np.random.default_rng(0).permutation(ROWS)
    found = pieces_of(x, np.arange(ROWS), order)
    assert len(found) > 1
    rows = np.concatenate([piece.arrays[0] for piece in found])[:ROWS]
    np.testing.assert_array_equal(rows, x[order])


@pytest.mark.parametrize("shape", [(3,), (5, 7), (0, 4)])
def test_the_device_takes_rows_without_a_copy(shape):
    rows = staging._aligned(shape, np.dtype("float32"))
    assert rows.shape == shape
    assert rows.dtype == np.float32
    rows[...] = 1
    on_device = jax.device_put(rows)
    np.testing.assert_array_equal(on_device, np.ones(shape, "float32"))
    if rows.size:
        assert on_device.unsafe_buffer_pointer() == rows.ctypes.data
