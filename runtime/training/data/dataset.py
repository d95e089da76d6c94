"""`PyDataset`: a sequence of batches that worker threads prepare ahead."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np


class PyDataset:
    """A sequence of batches: subclass it and write `__len__` and `__getitem__`.

    Args:
        workers: how many threads prepare batches.
        use_multiprocessing: accepted for Keras's sake; threads are used.
        max_queue_size: how many batches are prepared ahead.

    Source: Keras 3's `keras.utils.PyDataset`.
    """

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ) -> None:
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def num_batches(self) -> int | None:
        """How many batches there are; override it to return `None` if that is not known."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


def items_of(source: Any, random: np.random.Generator | None) -> Iterable[Any]:
    """Return what a source yields in an epoch, prepared ahead by threads where it has workers.

    Args:
        source: a `PyDataset`, an iterable, or an object with `__getitem__` and `__len__`.
        random: draws the order of a sequence's batches; `None` to keep it.

    Returns:
        An iterable of batches.
    """
    if isinstance(source, Iterable) and not isinstance(source, PyDataset):
        return source
    sequence: Any = source
    if isinstance(source, PyDataset):
        if "workers" not in vars(source):
            warnings.warn(
                f"Your `PyDataset` class should call `super().__init__(**kwargs)` in its "
                f"constructor: {type(source).__name__} has no `workers`.",
                stacklevel=2,
            )
        source.on_epoch_begin()
        count = source.num_batches
    else:
        count = len(sequence)
    indices: Iterable[int] = iter(range(2**62)) if count is None else range(count)
    if random is not None and count is not None:
        indices = random.permutation(count).tolist()
    workers = int(getattr(sequence, "workers", 1))
    if workers < 2:
        return (sequence[index] for index in indices)
    ahead = max(int(getattr(sequence, "max_queue_size", 10)), workers)
    return _prepared(sequence.__getitem__, indices, workers, ahead)


def _prepared(
    get: Callable[[int], Any], indices: Iterable[int], workers: int, ahead: int
) -> Iterator[Any]:
    """Yield `get(index)` in order, while threads work on those that follow."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="xlathe-data")
    pending: deque[Any] = deque()
    try:
        for index in indices:
            pending.append(pool.submit(get, index))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
