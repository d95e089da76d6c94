"""The callback that evaluates and saves moving averages of the weights."""

from __future__ import annotations

from typing import Any

from xlathe.runtime.training.callbacks.callback import Callback, Logs


class SwapEMAWeights(Callback):
    """Puts the optimizer's moving averages in the place of the weights for evaluation.

    The optimizer is one with `use_ema=True`. The trained weights are put back afterwards.

    Args:
        swap_on_epoch: whether the averages are in place from the end of an epoch to the start of
            the next one too, for callbacks after this one that save the model.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._trained: list[Any] | None = None

    def _swap_in(self) -> None:
        if self._trained is not None:
            return
        averages = self.model.optimizer.averages
        if not averages:
            raise ValueError(
                "SwapEMAWeights must be used when `use_ema=True` is set on the optimizer. "
                f"Received: optimizer={type(self.model.optimizer).__name__}, which keeps no "
                "averages."
            )
        variables = self.model.trainable_variables
        self._trained = [variable.value for variable in variables]
        for variable, average in zip(variables, averages, strict=True):
            variable.assign(average.value)

    def _swap_out(self) -> None:
        if self._trained is None:
            return
        for variable, value in zip(self.model.trainable_variables, self._trained, strict=True):
            variable.assign(value)
        self._trained = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._trained = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._swap_out()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.swap_on_epoch:
            self._swap_in()

    def on_train_end(self, logs: Logs | None = None) -> None:
        # At the end of `fit` the averages replace the weights for good.
        self._trained = None

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._swap_in()

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._swap_out()

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._swap_in()

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._swap_out()
