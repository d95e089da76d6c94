"""Callbacks that save: the model after epochs, and training itself, to go on where it stopped."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from xlathe.runtime.training.archive import read_archive, write_archive
from xlathe.runtime.training.callbacks.callback import Callback, Logs
from xlathe.runtime.training.callbacks.monitors import MonitorCallback


class _Saving:
    """Counts batches and says when to save."""

    def __init__(self, save_freq: Any) -> None:
        if save_freq != "epoch" and not (isinstance(save_freq, int) and save_freq > 0):
            raise ValueError(
                f"Unrecognized save_freq: {save_freq!r}. Expected 'epoch' or a number of batches."
            )
        self.save_freq: Any = save_freq
        self.seen = 0
        self.last = -1

    def due(self, batch: int) -> bool:
        """Whether to save after a batch."""
        if self.save_freq == "epoch":
            return False
        self.seen += batch + 1 if batch <= self.last else batch - self.last
        self.last = batch
        if self.seen < self.save_freq:
            return False
        self.seen = 0
        return True


class ModelCheckpoint(MonitorCallback):
    """Saves the model, or its weights, after epochs or batches.

    Args:
        filepath: the file; it may hold `{epoch}`, `{batch}` and metrics' names.
        monitor: the metric's name in the logs.
        verbose: 1 to print what happens.
        save_best_only: whether to save only when the metric improved.
        save_weights_only: whether to save the weights alone.
        mode: `"min"`, `"max"` or `"auto"`.
        save_freq: `"epoch"`, or after how many batches to save.
        initial_value_threshold: the value to beat at first.
    """

    def __init__(
        self,
        filepath: str | Path,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        self.filepath = str(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self._saving = _Saving(save_freq)
        self.every_batch = save_freq != "epoch"
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._saving.due(batch):
            self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self._saving.save_freq == "epoch":
            self._save(epoch, None, logs or {})

    def _save(self, epoch: int, batch: int | None, logs: Logs) -> None:
        path = self._path(epoch, batch, logs)
        if not self._should_save(epoch, path, logs):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        self._say(epoch, f"finished saving model to {path}")

    def _should_save(self, epoch: int, path: Path, logs: Logs) -> bool:
        current = self.value(logs) if self.save_best_only else None
        if current is None:
            self._say(epoch, f"saving model to {path}")
            return True
        best = "None" if self.best is None else f"{self.best:.5f}"
        if not self.improves(current, self.best):
            self._say(epoch, f"{self.monitor} did not improve from {best}")
            return False
        self._say(
            epoch, f"{self.monitor} improved from {best} to {current:.5f}, saving model to {path}"
        )
        self.best = current
        return True

    def _say(self, epoch: int, text: str) -> None:
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: {text}")

    def _path(self, epoch: int, batch: int | None, logs: Logs) -> Path:
        """Return the file, with numbers and metrics in the place of their names."""
        known = {"epoch": epoch + 1, **({} if batch is None else {"batch": batch + 1}), **logs}
        try:
            return Path(self.filepath.format(**known))
        except KeyError as error:
            raise KeyError(
                f'Failed to format this callback filepath: "{self.filepath}". Reason: {error}. '
                f"Known names: {', '.join(known)}"
            ) from error


class BackupAndRestore(Callback):
    """Saves the state of training, and goes on from there when the same script is run again.

    Weights, statistics, seeds, optimizer, metrics and the order of the data are restored, so that
    training goes on bit for bit as if it had not been interrupted.

    Args:
        backup_dir: the folder that the state is kept in.
        save_freq: `"epoch"`, or after how many batches to save.
        delete_checkpoint: whether the folder is removed after training has ended.
    """

    def __init__(
        self, backup_dir: str | Path, save_freq: Any = "epoch", delete_checkpoint: bool = True
    ) -> None:
        super().__init__()
        if not str(backup_dir):
            raise ValueError("Empty `backup_dir` argument passed")
        self.path = Path(backup_dir) / "training.backup"
        self.save_freq = save_freq
        self.delete_checkpoint = delete_checkpoint
        self.every_batch = save_freq != "epoch"
        self.seed = 0
        self.resumed: tuple[int, int, int] | None = None
        self._saving = _Saving(save_freq)
        self._epoch = 0

    def _variables(self) -> list[Any]:
        model = self.model
        weights = model.trainable_variables + model.non_trainable_variables
        return weights + model.optimizer_variables + model.metrics_variables

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.resumed = None
        self._saving = _Saving(self.save_freq)
        if not self.path.exists():
            return
        arrays, config = read_archive(self.path)
        variables = self._variables()
        shapes = [(array.shape, array.dtype) for array in arrays.values()]
        if shapes != [(variable.shape, variable.dtype) for variable in variables]:
            raise ValueError(
                f"The backup in {str(self.path)!r} is of another model or optimizer: its arrays "
                "have other shapes. Remove it, or give another `backup_dir`."
            )
        for variable, array in zip(variables, arrays.values(), strict=True):
            variable.assign(jnp.asarray(array))
        self.resumed = (int(config["epoch"]), int(config["step"]), int(config["seed"]))

    def _save(self, epoch: int, step: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {
            f"{number}/{variable.path}": np.asarray(variable.value)
            for number, variable in enumerate(self._variables())
        }
        write_archive(self.path, arrays, {"epoch": epoch, "step": step, "seed": self.seed})

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._saving.due(batch):
            self._save(self._epoch, batch + 1)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self._saving.save_freq == "epoch":
            self._save(epoch + 1, 0)

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.delete_checkpoint and self.path.exists():
            self.path.unlink()
            if not any(self.path.parent.iterdir()):
                shutil.rmtree(self.path.parent)
