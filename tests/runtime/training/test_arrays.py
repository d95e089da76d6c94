"""Labels, rows and sequences in the form that models take."""

import numpy as np
import pytest

from xlathe import utils


def test_to_categorical():
    np.testing.assert_array_equal(utils.to_categorical([0, 2]), np.eye(3)[[0, 2]])
    np.testing.assert_array_equal(utils.to_categorical([[1], [0]], 2), np.eye(2)[[1, 0]])
    assert utils.to_categorical([[1, 0]], 4).shape == (1, 2, 4)
    assert utils.to_categorical([], 3).shape == (0, 3)
    with pytest.raises(ValueError, match=r"from 0 to 1.*from 0 to 2"):
        utils.to_categorical([0, 2], 2)


def test_normalize():
    x = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(utils.normalize(x), [[0.6, 0.8], [0, 0]])
    np.testing.assert_allclose(utils.normalize(x, axis=0, order=1), [[1, 1], [0, 0]])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[0, 0, 1], [2, 3, 4], [0, 0, 0]]),
        ({"padding": "post"}, [[1, 0, 0], [2, 3, 4], [0, 0, 0]]),
        ({"maxlen": 2}, [[0, 1], [3, 4], [0, 0]]),
        ({"maxlen": 2, "truncating": "post", "value": 9}, [[9, 1], [2, 3], [9, 9]]),
    ],
)
def test_pad_sequences(options, expected):
    received = utils.pad_sequences([[1], [2, 3, 4], []], **options)
    assert received.dtype == np.int32
    np.testing.assert_array_equal(received, expected)


def test_pad_sequences_of_rows():
    received = utils.pad_sequences([[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]], dtype="float32")
    np.testing.assert_array_equal(received[0], [[0, 0], [1, 2]])
    with pytest.raises(ValueError, match="'pre' or 'post'"):
        utils.pad_sequences([[1]], padding="left")
