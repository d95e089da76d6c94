"""Windows of a time series, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
) -> Windows:
    """Return the windows of a time series, each with the target of its first step, in batches.

    Args:
        data: an array of consecutive steps.
        targets: an array whose row `i` belongs to the window that starts at step `i`; or `None`.
        sequence_length: how many steps a window has.
        sequence_stride: how far apart windows start.
        sampling_rate: how far apart the steps of a window are.
        batch_size: how many windows a batch has; `None` for windows one by one.
        shuffle: whether windows are in random order.
        seed: what the order is drawn with.
        start_index: the first step used; 0 by default.
        end_index: the step before which to stop; all by default.

    Raises:
        ValueError: an argument is outside of its range.

    Source: Keras 3's `keras.utils.timeseries_dataset_from_array`.
    """
    first, last = start_index or 0, len(data) if end_index is None else end_index
    if not 0 <= first < last <= len(data):
        raise ValueError(
            f"Expected 0 <= start_index < end_index <= {len(data)}, the length of the data. "
            f"Received: start_index={start_index}, end_index={end_index}"
        )
    for name, value in (
        ("sequence_length", sequence_length),
        ("sequence_stride", sequence_stride),
        ("sampling_rate", sampling_rate),
    ):
        if not 0 < value <= len(data):
            raise ValueError(
                f"`{name}` must be higher than 0 and not above the length of the data, "
                f"{len(data)}. Received: {name}={value}"
            )
    count = last - first - (sequence_length - 1) * sampling_rate
    if targets is not None:
        count = min(count, len(targets))
    starts = np.arange(0, count, sequence_stride)
    if shuffle:
        starts = np.random.default_rng(seed).permutation(starts)
    steps = np.arange(sequence_length) * sampling_rate
    targets = None if targets is None else np.asarray(targets)[first:]
    return Windows(np.asarray(data)[first:last], targets, starts, steps, batch_size)


class Windows:
    """Batches of windows; it can be gone through any number of times.

    Args:
        data: the steps.
        targets: what belongs to the window that starts at each of them; or `None`.
        starts: where windows start.
        steps: what steps a window has, counted from its start.
        batch_size: how many windows a batch has; `None` for windows one by one.
    """

    def __init__(
        self,
        data: np.ndarray,
        targets: np.ndarray | None,
        starts: np.ndarray,
        steps: np.ndarray,
        batch_size: int | None,
    ) -> None:
        self._data, self._targets, self._starts, self._steps = data, targets, starts, steps
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._starts) // (self._batch_size or 1))

    def __iter__(self) -> Iterator[Any]:
        size = self._batch_size
        batches: Any = self._starts
        if size is not None:
            batches = (self._starts[i : i + size] for i in range(0, len(self._starts), size))
        for starts in batches:
            windows = self._data[np.expand_dims(starts, -1) + self._steps]
            yield windows if self._targets is None else (windows, self._targets[starts])
