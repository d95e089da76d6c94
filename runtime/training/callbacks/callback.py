"""What a callback is, and the list of them that training calls."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Logs = dict[str, Any]
_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


class Callback:
    """Something called during training: subclass it and override some of its methods.

    `self.model` is the model, `self.params` a dict of `verbose`, `epochs` and `steps`.

    Source: Keras 3's `keras.callbacks.Callback`.
    """

    every_batch = True
    """Whether batch hooks, where overridden, must be called after each batch."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._model: Any = None

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self._model

    def set_params(self, params: dict[str, Any]) -> None:
        """Take the parameters of the run."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Take the model."""
        self._model = model

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """An older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """An older name of `on_train_batch_end`."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called at the start of an epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called at the end of an epoch, with its metrics and those of validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a training batch."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a training batch, with the metrics of the epoch so far."""
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before an evaluation batch."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after an evaluation batch."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a prediction batch."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a prediction batch, with its outputs."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called at the start of training."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called at the end of training."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called at the start of evaluation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called at the end of evaluation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called at the start of prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called at the end of prediction."""


class CallbackList:
    """Callbacks called as one.

    Args:
        callbacks: the user's: one, several, or `None`.
        added: those that training adds, unless the user gave one of their class.
        model: the model.
        params: `verbose`, `epochs` and `steps`.
    """

    def __init__(
        self, callbacks: Any, added: Iterable[Callback], model: Any, params: dict[str, Any]
    ) -> None:
        self.callbacks: list[Any] = _flatten(callbacks)
        for item in self.callbacks:
            if not hasattr(item, "on_epoch_end"):
                raise ValueError(
                    "`callbacks` must hold callbacks.Callback objects. "
                    f"Received: {item!r} (of type {type(item).__name__})"
                )
        for item in added:
            if not any(isinstance(other, type(item)) for other in self.callbacks):
                self.callbacks.append(item)
        self.params = params
        for item in self.callbacks:
            item.set_model(model)
            item.set_params(params)

    def find(self, kind: type) -> Any:
        """Return the first callback of a class, or `None`."""
        return next((item for item in self.callbacks if isinstance(item, kind)), None)

    def wants_each(self, *hooks: str) -> bool:
        """Whether a callback overrides one of these hooks and needs it after each batch."""
        return any(
            getattr(item, "every_batch", True) and _overrides(item, hook)
            for item in self.callbacks
            for hook in hooks
        )

    def wants_train_batches(self) -> bool:
        """Whether a callback needs to be called after each training batch."""
        return self.wants_each(*_BATCH_HOOKS)

    def wants(self, hook: str) -> bool:
        """Whether any callback overrides a hook."""
        return any(_overrides(item, hook) for item in self.callbacks)

    def call(self, hook: str, *arguments: Any, logs: Any = None) -> None:
        """Call a hook of all callbacks, with logs as Python numbers."""
        if not self.wants(hook) and not (
            hook.startswith("on_train_batch") and self.wants(hook.replace("train_", ""))
        ):
            return
        plain = as_python(logs)
        for item in self.callbacks:
            getattr(item, hook)(*arguments, logs=plain)


def _overrides(item: Any, hook: str) -> bool:
    own = getattr(type(item), hook, None)
    return own is not getattr(Callback, hook) or hook in vars(item)


def _flatten(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    if isinstance(callbacks, list | tuple):
        return [item for one in callbacks for item in _flatten(one)]
    return [callbacks]


def as_python(logs: Any) -> Logs:
    """Return logs with numbers for scalar arrays, NumPy arrays for others, and no dicts inside."""
    result: Logs = {}
    for name, value in (logs or {}).items():
        if isinstance(value, dict):
            result.update(as_python(value))
            continue
        array = value if isinstance(value, float | int | str) else np.asarray(value)
        result[name] = array.item() if getattr(array, "ndim", None) == 0 else array  # pyright: ignore[reportAttributeAccessIssue]
    return result


class LambdaCallback(Callback):
    """A callback made of functions.

    Args:
        on_epoch_begin: called with `(epoch, logs)`.
        on_epoch_end: called with `(epoch, logs)`.
        on_train_begin: called with `(logs)`.
        on_train_end: called with `(logs)`.
        on_train_batch_begin: called with `(batch, logs)`.
        on_train_batch_end: called with `(batch, logs)`.
        **kwargs: any other hook by its name.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **kwargs: Callable[..., Any],
    ) -> None:
        super().__init__()
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        for name, function in given.items():
            if not hasattr(Callback, name):
                warnings.warn(f"LambdaCallback: there is no hook {name!r}.", stacklevel=2)
            if function is not None:
                setattr(self, name, _with_logs(function))


def _with_logs(function: Callable[..., Any]) -> Callable[..., Any]:
    def hook(*arguments: Any, logs: Any = None) -> Any:
        return function(*arguments, logs)

    return hook
