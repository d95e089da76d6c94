"""The callback that writes what TensorBoard shows."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xlathe.runtime.training.callbacks.callback import Callback, Logs
from xlathe.tracer.models.drawing import Show, drawing_of


class TensorBoard(Callback):
    """Writes metrics, weights, the model's graph and profiles for TensorBoard.

    Metrics of training and of validation are under the same names, `epoch_loss` for one, in the
    folders `train` and `validation` of `log_dir`.

    Args:
        log_dir: the folder.
        histogram_freq: after how many epochs histograms of the weights are written; 0 for never.
        write_graph: whether the graph of the model's layers is written.
        write_steps_per_second: whether the number of steps a second is written after each epoch.
        update_freq: `"epoch"`; or after how many batches metrics are written too, `"batch"` for 1.
        profile_batch: the batch to profile, counted from 1, or the first and the last; 0 for none.

    Raises:
        ImportError: tensorboardX, which writes the files, is not installed.
        ValueError: an argument has no such value.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: int | str | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        _events()
        if update_freq != "epoch" and update_freq != "batch":
            if not isinstance(update_freq, int) or update_freq < 1:
                raise ValueError(
                    "`update_freq` must be 'epoch', 'batch' or a number of batches. Received: "
                    f"update_freq={update_freq!r}"
                )
        self.log_dir = Path(log_dir)
        self.histogram_freq = histogram_freq
        self.write_graph = write_graph
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self.profiled = _batches_of(profile_batch)
        self.every_batch = update_freq != "epoch" or self.profiled is not None
        self._writers: dict[str, Any] = {}
        self._batches = 0
        self._batches_before = 0
        self._began = 0.0
        self._tracing = False

    def _writer(self, name: str) -> Any:
        if name not in self._writers:
            self._writers[name] = _events().SummaryWriter(str(self.log_dir / name))
        return self._writers[name]

    def _write(self, name: str, prefix: str, logs: Logs, step: int) -> None:
        for key, value in logs.items():
            if np.ndim(value) == 0:
                self._writer(name).add_scalar(prefix + key, float(value), step)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._batches = 0
        if self.write_graph:
            events = _events()
            event = events.proto.event_pb2.Event(graph_def=_graph_of(self.model))
            self._writer("train").file_writer.add_event(event)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._batches_before, self._began = self._batches, time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        if self.profiled and self._batches + 1 == self.profiled[0]:
            jax.profiler.start_trace(str(self.log_dir))
            self._tracing = True

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._batches = self._batches_before + batch + 1
        if self._tracing and self.profiled and self._batches >= self.profiled[1]:
            self._stop_tracing()
        frequency = self.update_freq
        if isinstance(frequency, int) and self._batches % frequency == 0:
            self._write("train", "batch_", logs or {}, self._batches)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        measured = {key[4:]: value for key, value in logs.items() if key.startswith("val_")}
        trained = {key: value for key, value in logs.items() if not key.startswith("val_")}
        if self.write_steps_per_second:
            seconds = max(time.perf_counter() - self._began, 1e-9)
            trained["steps_per_second"] = (self._batches - self._batches_before) / seconds
        self._write("train", "epoch_", trained, epoch)
        if measured:
            self._write("validation", "epoch_", measured, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for weight in self.model.weights:
                name = f"{weight.path}/histogram"
                self._writer("train").add_histogram(name, np.asarray(weight.value), epoch)
        self._flush()

    def on_test_end(self, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        for key, value in (logs or {}).items():
            if optimizer is not None and np.ndim(value) == 0:
                name = f"evaluation_{key}_vs_iterations"
                self._writer("validation").add_scalar(name, float(value), int(optimizer.iterations))
        self._flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._tracing:
            self._stop_tracing()
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def _stop_tracing(self) -> None:
        jax.profiler.stop_trace()
        self._tracing = False


def _events() -> Any:
    try:
        import tensorboardX  # pyright: ignore[reportMissingImports]
        import tensorboardX.proto.event_pb2  # pyright: ignore[reportMissingImports]
        import tensorboardX.proto.graph_pb2  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(
            "The TensorBoard callback needs tensorboardX, which is not installed: "
            "pip install tensorboardX."
        ) from error
    return tensorboardX


def _batches_of(profile_batch: Any) -> tuple[int, int] | None:
    """Return the first and the last batch to profile, of what a user gives."""
    given = profile_batch
    if isinstance(given, str):
        given = [int(part) for part in given.split(",")] if given else 0
    pair = [given, given] if isinstance(given, int) else list(given)
    if pair == [0, 0]:
        return None
    if len(pair) != 2 or not 1 <= pair[0] <= pair[-1]:
        raise ValueError(
            "`profile_batch` must be a batch's number, from 1, or the first and the last. "
            f"Received: profile_batch={profile_batch!r}"
        )
    return pair[0], pair[1]


def _graph_of(model: Any) -> bytes:
    """Return the graph of a model's layers in TensorFlow's form."""
    graph = _events().proto.graph_pb2.GraphDef()
    drawing = drawing_of(model, Show())
    for box in drawing.boxes:
        sources = [start for start, end in drawing.edges if end == box.key != start]
        graph.node.add(name=box.key, op=box.lines[0], input=sources)
    return graph.SerializeToString()
