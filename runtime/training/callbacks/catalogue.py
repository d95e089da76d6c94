"""The callbacks by Keras's names."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xlathe.runtime.training.callbacks.averages import SwapEMAWeights as SwapEMAWeights
from xlathe.runtime.training.callbacks.callback import Callback as Callback
from xlathe.runtime.training.callbacks.callback import CallbackList as CallbackList
from xlathe.runtime.training.callbacks.callback import LambdaCallback as LambdaCallback
from xlathe.runtime.training.callbacks.callback import Logs
from xlathe.runtime.training.callbacks.checkpoints import BackupAndRestore as BackupAndRestore
from xlathe.runtime.training.callbacks.checkpoints import ModelCheckpoint as ModelCheckpoint
from xlathe.runtime.training.callbacks.monitors import EarlyStopping as EarlyStopping
from xlathe.runtime.training.callbacks.monitors import ReduceLROnPlateau as ReduceLROnPlateau
from xlathe.runtime.training.callbacks.progress import Progbar
from xlathe.runtime.training.callbacks.remote import RemoteMonitor as RemoteMonitor
from xlathe.runtime.training.callbacks.tensorboard import TensorBoard as TensorBoard


class History(Callback):
    """What the metrics were after each epoch: `history.history["loss"]`."""

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []
        self.history = {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def plot(self, *names: str) -> Any:
        """Draw metrics over epochs, those of validation beside those of training.

        Args:
            *names: which metrics; all by default.

        Returns:
            A matplotlib figure.

        Raises:
            ImportError: matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError(
                "`History.plot` needs matplotlib, which is not installed: pip install matplotlib."
            ) from error
        chosen = names or tuple(name for name in self.history if not name.startswith("val_"))
        figure = Figure(figsize=(5 * max(len(chosen), 1), 4), layout="constrained")
        for place, name in enumerate(chosen, 1):
            axes = figure.add_subplot(1, len(chosen), place)
            epochs = [epoch + 1 for epoch in self.epoch]
            for key, label in ((name, "training"), (f"val_{name}", "validation")):
                if key in self.history:
                    axes.plot(epochs[-len(self.history[key]) :], self.history[key], label=label)
            axes.set_xlabel("epoch")
            axes.set_title(name)
            axes.legend()
        return figure


class ProgbarLogger(Callback):
    """Shows the progress bar."""

    every_batch = False

    def __init__(self) -> None:
        super().__init__()
        self._progbar: Progbar | None = None
        self._seen = 0
        self._in_fit = False

    def _start(self) -> None:
        verbose = self.params.get("verbose", 1)
        self._progbar = Progbar(self.params.get("steps"), 1 if verbose == "auto" else verbose)
        self._seen = 0

    def _show(self, batch: int, logs: Logs | None) -> None:
        self._seen = batch + 1
        if self._progbar is not None:
            self._progbar.update(self._seen, logs or {}, finalize=False)

    def _end(self, logs: Logs | None) -> None:
        if self._progbar is not None:
            self._progbar.target = self.params["steps"] = self.params.get("steps") or self._seen
            self._progbar.update(self._seen or self._progbar.target, logs or {}, finalize=True)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._in_fit = True

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self.params.get("verbose") and self.params.get("epochs", 1) > 1:
            print(f"Epoch {epoch + 1}/{self.params['epochs']}")
        self._start()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._show(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._end(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._start()

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._show(batch, logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._end(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._start()

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._show(batch, None)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._end(None)


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch.

    Args:
        schedule: a function of the epoch and the learning rate, or of the epoch.
        verbose: 1 to print what is set.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        try:
            rate = self.schedule(epoch, float(np.asarray(self.model.optimizer.learning_rate)))
        except TypeError:
            rate = self.schedule(epoch)
        if not isinstance(rate, float | np.floating) and not (
            hasattr(rate, "dtype") and np.ndim(rate) == 0
        ):
            raise ValueError(
                "The output of the `schedule` function should be a float. "
                f"Received: {rate!r} (of type {type(rate).__name__})"
            )
        self.model.optimizer.learning_rate = float(rate)
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(np.asarray(self.model.optimizer.learning_rate))


class CSVLogger(Callback):
    """Writes the metrics of each epoch to a CSV file.

    Args:
        filename: the file.
        separator: what stands between values.
        append: whether to go on with a file that there is.
    """

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename = Path(filename)
        self.separator = separator
        self.append = append
        self._file: Any = None
        self._writer: Any = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._has_header = (
            self.append and self.filename.exists() and self.filename.stat().st_size > 0
        )
        self._file = self.filename.open("a" if self.append else "w", newline="")
        self._writer = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        values = {key: _cell(value) for key, value in (logs or {}).items()}
        if self._writer is None:
            keys = sorted(values)
            if not any(key.startswith("val_") for key in keys):
                keys += [f"val_{key}" for key in keys]
            self._writer = csv.DictWriter(
                self._file,
                ["epoch", *keys],
                restval="NA",
                extrasaction="ignore",
                delimiter=self.separator,
            )
            if not self._has_header:
                self._writer.writeheader()
        self._writer.writerow({"epoch": epoch, **values})
        self._file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._writer = None


def _cell(value: Any) -> Any:
    if isinstance(value, np.ndarray | list | tuple):
        return f'"[{", ".join(map(str, value))}]"'
    return value


class TerminateOnNaN(Callback):
    """Stops training when the loss is no number."""

    every_batch = False

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            print(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True
