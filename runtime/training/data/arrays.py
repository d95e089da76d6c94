"""Labels, rows and sequences brought into the form that models take, with NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """Return class numbers as vectors that are one at the class, zero elsewhere.

    Args:
        x: integers.
        num_classes: how long the vectors are; one more than the largest number by default.

    Raises:
        ValueError: a number is not that of a class.
    """
    labels = np.asarray(x).astype("int64")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    count = int(labels.max(initial=-1)) + 1 if num_classes is None else num_classes
    if labels.size and not 0 <= labels.min() <= labels.max() < count:
        raise ValueError(
            f"Expected classes from 0 to {count - 1}. Received numbers from {labels.min()} to "
            f"{labels.max()}."
        )
    return np.eye(count, dtype="float32")[labels]


def normalize(x: Any, axis: int = -1, order: int = 2) -> np.ndarray:
    """Return an array divided by its norms along an axis; what is zero stays.

    Args:
        x: the array.
        axis: the axis.
        order: the order of the norm.
    """
    norms = np.linalg.norm(np.atleast_1d(x), order, axis, keepdims=True)
    return np.asarray(x) / np.where(norms == 0, 1, norms)


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: float = 0.0,
) -> np.ndarray:
    """Return sequences as the rows of one array, padded or cut to one length.

    Args:
        sequences: lists.
        maxlen: the length; that of the longest by default.
        dtype: the element type.
        padding: `"pre"` or `"post"`: where shorter ones are padded.
        truncating: `"pre"` or `"post"`: where longer ones are cut.
        value: what they are padded with.

    Raises:
        ValueError: `padding` or `truncating` is something else.
    """
    for name, given in (("padding", padding), ("truncating", truncating)):
        if given not in ("pre", "post"):
            raise ValueError(f"`{name}` must be 'pre' or 'post'. Received: {name}={given!r}")
    rows = [np.asarray(sequence) for sequence in sequences]
    length = max(map(len, rows), default=0) if maxlen is None else maxlen
    inner = next((row.shape[1:] for row in rows if len(row)), ())
    result = np.full((len(rows), length, *inner), value, dtype)
    for target, row in zip(result, rows, strict=True):
        kept = row[max(len(row) - length, 0) :] if truncating == "pre" else row[:length]
        if not len(kept):
            continue
        target[slice(-len(kept), None) if padding == "pre" else slice(len(kept))] = kept
    return result
