"""Callbacks that watch a metric: early stopping, and a lower rate where it stops improving."""

from __future__ import annotations

import operator
import warnings

import numpy as np

from xlathe.runtime.training.callbacks.callback import Callback, Logs


class MonitorCallback(Callback):
    """A callback that watches a metric.

    Args:
        monitor: the metric's name in the logs.
        mode: `"min"`, `"max"`, or `"auto"` to go by the metric.
        baseline: the value to beat at first; or `None`.
        min_delta: by how much a value must be better.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        baseline: float | None = None,
        min_delta: float = 0,
    ) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(
                f"{type(self).__name__} mode '{mode}' is unknown, fallback to auto mode.",
                stacklevel=3,
            )
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.best = baseline
        self.min_delta = abs(min_delta)
        self._less: bool | None = None

    def improves(self, value: float, reference: float | None) -> bool:
        """Whether a value is better than a reference by more than `min_delta`."""
        if self._less is None:
            self._less = self._lower_is_better()
        if reference is None:
            return True
        if self._less:
            return operator.lt(value + self.min_delta, reference)
        return operator.gt(value - self.min_delta, reference)

    def _lower_is_better(self) -> bool:
        if self.mode != "auto":
            return self.mode == "min"
        name = self.monitor.removeprefix("val_")
        if name == "loss" or name.endswith("_loss"):
            return True
        direction = self.model.metric_directions().get(name)
        if direction is None:
            raise ValueError(
                f"{type(self).__name__} callback received monitor={self.monitor}, and it is not "
                "known whether that metric should be maximized or minimized. Pass `mode='max'` or "
                "`mode='min'`."
            )
        return direction == "down"

    def value(self, logs: Logs | None) -> float | None:
        """Return the metric's value, and warn if there is none."""
        known: Logs = logs or {}
        if self.monitor not in known:
            warnings.warn(
                f"{type(self).__name__} conditioned on metric `{self.monitor}` which is not "
                f"available. Available metrics are: {','.join(known)}",
                stacklevel=3,
            )
            return None
        return float(known[self.monitor])


class EarlyStopping(MonitorCallback):
    """Stops training when a metric has stopped improving.

    Args:
        monitor: the metric's name in the logs.
        min_delta: by how much it must improve.
        patience: for how many epochs it may not.
        verbose: 1 to print what happens.
        mode: `"min"`, `"max"` or `"auto"`.
        baseline: the value to beat.
        restore_best_weights: whether the weights of the best epoch are put back at the end.
        start_from_epoch: how many epochs to wait first.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.wait = 0
        self.stopped_epoch = 0
        self.best_epoch = 0
        self.best_weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.best_weights = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        current = self.value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep(epoch)
        self.wait += 1
        if self.improves(current, self.best):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self._keep(epoch)
            if self.baseline is None or self.improves(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _keep(self, epoch: int) -> None:
        self.best_weights = [np.array(weight) for weight in self.model.get_weights()]
        self.best_epoch = epoch

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                print(
                    "Restoring model weights from the end of the best epoch: "
                    f"{self.best_epoch + 1}."
                )
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(MonitorCallback):
    """Lowers the learning rate when a metric has stopped improving.

    Args:
        monitor: the metric's name in the logs.
        factor: what the rate is multiplied by.
        patience: for how many epochs the metric may not improve.
        verbose: 1 to print what happens.
        mode: `"min"`, `"max"` or `"auto"`.
        min_delta: by how much the metric must improve.
        cooldown: for how many epochs to wait after a change.
        min_lr: the lowest rate.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        if factor >= 1.0:
            raise ValueError(
                f"ReduceLROnPlateau does not support a factor >= 1.0. Received factor={factor}"
            )
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.wait = 0
        self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best = None
        self.wait = self.cooldown_counter = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        rate = float(np.asarray(optimizer.learning_rate))
        if logs is not None:
            logs["learning_rate"] = rate
        current = self.value(logs)
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improves(current, self.best):
            self.best = current
            self.wait = 0
        elif self.cooldown_counter <= 0:
            self.wait += 1
            if self.wait >= self.patience and rate > np.float32(self.min_lr):
                rate = max(rate * self.factor, self.min_lr)
                optimizer.learning_rate = rate
                if self.verbose > 0:
                    print(
                        f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {rate}."
                    )
                self.cooldown_counter = self.cooldown
                self.wait = 0
