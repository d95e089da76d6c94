"""An epoch of steps over a source of batches, in training and in evaluation."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from xlathe.runtime.training.data.sources import ArrayData, Batch, StreamData
from xlathe.runtime.training.dispatch import (
    Pace,
    Program,
    States,
    pad_rows,
    uninterrupted,
)
from xlathe.runtime.training.staging import Staging

_SECONDS_BETWEEN_REPORTS = 0.1

Report = Callable[[int, Any], None]


class Runner:
    """Runs the steps of epochs, one program after another, and keeps the state in the variables.

    Args:
        program: the step.
        states: the variables.
        data: where batches come from.
        pads: whether a smaller batch may be padded, and its rows counted.
        loops: whether many steps may run in one program.
        fixed: how many steps lie between reports; `None` to choose by time.
        before: called with the step's number before a dispatch; or `None`.
        report: called with the number of steps done and the logs after a dispatch.
    """

    def __init__(
        self,
        program: Program,
        states: States,
        data: ArrayData | StreamData,
        *,
        pads: bool,
        loops: bool,
        fixed: int | None,
        before: Callable[[int], None] | None,
        report: Report,
    ) -> None:
        self.program = program
        self.states = states
        self.data = data
        self.pads = pads
        self.pace = self._pace(fixed)
        self.before = before
        self.report = report
        self.stopped: Callable[[], bool] = lambda: False
        self._staging = Staging(data) if loops and isinstance(data, ArrayData) else None
        self._largest = 0
        self._last_report = 0.0
        self._reported = 0

    def _pace(self, fixed: int | None) -> Pace:
        """What is known from earlier calls of how long steps over such batches take."""
        if fixed is not None or not isinstance(self.data, ArrayData):
            return Pace(fixed)
        shapes = [leaf.shape[1:] for leaf in jax.tree.leaves(self.data.batch)]
        return self.program.paces.setdefault((self.data.batch_size, *shapes), Pace(None))

    def epoch(
        self, random: np.random.Generator, first: int = 0, limit: int | None = None
    ) -> tuple[Any, int]:
        """Run an epoch.

        Args:
            random: draws the order.
            first: the step to start from.
            limit: how many steps the epoch has; as many as the data has if `None`.

        Returns:
            The logs of the last dispatch, and how many steps of the epoch are done.
        """
        if self._staging is not None:
            logs, done = self._looped(self._staging, random, first, limit)
        else:
            logs, done = self._stepped(random, first, limit)
        if logs is not None and self._reported != done:
            self.report(done, logs)
        self._reported = 0
        return logs, done

    def _dispatch(self, index: int, count: int, run: Callable[[Any], tuple[Any, Any]]) -> Any:
        """Run `count` steps from `index`, and store the state before anything else can happen."""
        if self.before is not None:
            self.before(index)
        with uninterrupted():
            logs, state = run(self.states.take())
            self.states.put(state)
        done = index + count
        now = time.perf_counter()
        if self.pace.fixed or now - self._last_report > _SECONDS_BETWEEN_REPORTS:
            self._last_report = now
            self._reported = done
            self.report(done, logs)
        return logs

    def _looped(
        self, staging: Staging, random: np.random.Generator, first: int, limit: int | None
    ) -> tuple[Any, int]:
        data = staging.data
        steps = data.steps if limit is None else min(limit, data.steps)
        size, ragged = data.batch_size, data.rows % data.batch_size != 0
        whole = steps if self.pads or not ragged else min(steps, data.rows // size)
        counts = self.pads and ragged
        order = data.order(random)
        logs: Any = None
        at = first
        for piece in staging.pieces(order, whole):
            while at < piece.stop and not self.stopped():
                count = min(self.pace.size, piece.stop - at)
                began = time.perf_counter()
                logs = self._dispatch(
                    at,
                    count,
                    lambda state, at=at - piece.start, count=count, piece=piece: self.program.many(
                        state, piece.arrays, piece.rows if counts else None, at, at + count, size
                    ),
                )
                if self.pace.fixed is None:
                    jax.block_until_ready(logs)
                self.pace.took(count, time.perf_counter() - began)
                at += count
        if at == whole < steps and not self.stopped():
            rows = np.arange(whole * size, data.rows) if order is None else order[whole * size :]
            batch = jax.tree.map(lambda leaf: leaf[rows], data.batch)
            logs = self._dispatch(at, 1, lambda state: self.program.one(state, tuple(batch)))
            at += 1
        return logs, at

    def _stepped(
        self, random: np.random.Generator, first: int, limit: int | None
    ) -> tuple[Any, int]:
        logs: Any = None
        at = 0
        batch: Batch | None = None
        batches = self.data.batches(random)
        while (limit is None or at < limit) and not self.stopped():
            batch = next(batches, None)
            if batch is None:
                if limit is not None:
                    warnings.warn(
                        "Your input ran out of data; interrupting training. Make sure that your "
                        "dataset or generator can generate at least `steps_per_epoch * epochs` "
                        "batches.",
                        stacklevel=5,
                    )
                break
            if at >= first:
                logs = self._dispatch(
                    at, 1, lambda state, batch=batch: self.program.one(state, *self._padded(batch))
                )
            at += 1
        if isinstance(self.data, StreamData) and (limit is None or batch is None):
            self.data.end_epoch()
        return logs, at

    def _padded(self, batch: Batch) -> tuple[Any, Any]:
        """A batch as a step takes it: padded to the largest so far, with the rows that count."""
        data, rows = self.data, batch.rows
        whole = isinstance(data, ArrayData) and data.rows % data.batch_size == 0
        if not self.pads or whole:
            return tuple(batch), None
        self._largest = max(self._largest, rows)
        counted = np.arange(self._largest) < rows
        if rows < self._largest:
            batch = pad_rows(batch, self._largest)
        return tuple(batch), counted
