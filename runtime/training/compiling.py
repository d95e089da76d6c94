"""What a model was compiled with, as plain data, and the way back."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from xlathe.runtime.training.losses import catalogue as losses
from xlathe.runtime.training.metrics import catalogue as metrics
from xlathe.runtime.training.names import find
from xlathe.runtime.training.optimizers import catalogue as optimizers
from xlathe.runtime.training.optimizers import schedules
from xlathe.tracer.layers import serialization

_SCHEDULES = {
    name: item
    for name, item in vars(schedules).items()
    if isinstance(item, type) and issubclass(item, schedules.LearningRateSchedule)
}
OPTIMIZERS: dict[str, Any] = {
    **optimizers.NAMED,
    "LossScaleOptimizer": optimizers.LossScaleOptimizer,
    **_SCHEDULES,
}
_KNOWN: dict[str, Mapping[str, Any]] = {
    "optimizer": OPTIMIZERS,
    "loss": losses.NAMED,
    "metrics": {**losses.NAMED, **metrics.NAMED, "MeanMetricWrapper": metrics.MeanMetricWrapper},
}
_KNOWN = {**_KNOWN, "weighted_metrics": _KNOWN["metrics"]}


def compile_config(model: Any) -> dict[str, Any]:
    """Return the arguments that a model was compiled with, as data that JSON can hold.

    Args:
        model: a compiled model.

    Raises:
        TypeError: an argument has no name to be found by again: an optax transformation, a
            function without a name.
    """
    state = model.fit_state
    arguments = {
        "optimizer": state.optimizer,
        "loss": None if state.losses is None else state.losses.given,
        "loss_weights": None if state.losses is None else state.losses.weights_given,
        "metrics": None if state.metrics is None else state.metrics.given,
        "weighted_metrics": None if state.metrics is None else state.metrics.weighted_given,
        "run_eagerly": state.run_eagerly,
        "steps_per_execution": state.steps_per_execution,
        **state.options,
    }
    return {name: _write(value) for name, value in arguments.items()}


def compile_arguments(
    config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the arguments of `compile` that `compile_config` wrote.

    Args:
        config: the plain data.
        custom_objects: classes and functions of your own, by name.

    Raises:
        ValueError: a class or function is not known.
    """
    custom = {**serialization.get_custom_objects(), **(custom_objects or {})}
    return {
        name: _read(value, {**_KNOWN.get(name, {}), **custom}, name)
        for name, value in config.items()
    }


def serialize(value: Any) -> Any:
    """Return an optimizer, loss, metric, schedule, layer or function as data that JSON can hold.

    Args:
        value: the object.

    Raises:
        TypeError: it has no name to be found by again.
    """
    written = _write(value)
    # A loss and a metric may have the same name.
    for module, kind in (("losses", losses.Loss), ("metrics", metrics.Metric)):
        if isinstance(value, kind):
            return {"module": module, **written}
    return written


def deserialize(
    config: Any, custom_objects: Mapping[str, Any] | None = None, kind: str | None = None
) -> Any:
    """Return the object that `serialize` wrote.

    Args:
        config: the plain data.
        custom_objects: classes and functions of your own, by name.
        kind: "loss", "metrics" or "optimizer", if the data doesn't say it.

    Raises:
        ValueError: a class or function is not known.
    """
    custom = {**serialization.get_custom_objects(), **(custom_objects or {})}
    if not isinstance(config, Mapping):
        return serialization.deserialize(config, custom)
    module = str(config.get("module")).rpartition(".")[2]
    config = {key: config[key] for key in ("class_name", "config") if key in config}
    kind = kind or {"losses": "loss", "metrics": "metrics"}.get(module)
    trained = _KNOWN[kind] if kind else {**_KNOWN["metrics"], **OPTIMIZERS}
    name = config.get("class_name")
    named = config.get("config") if name == "function" else name
    if named in trained or (kind and named in custom):
        return _read(config, {**trained, **custom}, kind or "object")
    return serialization.deserialize(config, custom)


deserialize_loss = functools.partial(deserialize, kind="loss")
deserialize_metric = functools.partial(deserialize, kind="metrics")
deserialize_optimizer = functools.partial(deserialize, kind="optimizer")


def _write(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_write(item) for item in value]
    if isinstance(value, dict):
        return {key: _write(item) for key, item in value.items()}
    if isinstance(value, type):
        return {"class_name": "function", "config": value.__name__}
    if isinstance(value, optimizers.Optax) or getattr(value, "__name__", "") == "<lambda>":
        raise TypeError(f"{value!r} has no name by which it could be found again.")
    if hasattr(value, "get_config"):
        return {"class_name": type(value).__name__, "config": _write(value.get_config())}
    return serialization.serialize(value)


def _read(value: Any, known: Mapping[str, Any], kind: str) -> Any:
    if isinstance(value, list):
        return [_read(item, known, kind) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {"class_name", "config"}:
        return {key: _read(item, known, kind) for key, item in value.items()}
    name, config = value["class_name"], value["config"]
    if name.startswith("__"):
        return serialization.deserialize(value)
    if name == "function":
        return _find(kind, config, known)
    return _find(kind, name, known).from_config(_read(config, known, kind))


def _find(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    try:
        return find(kind, name, known)
    except ValueError as error:
        raise ValueError(
            f"{error} Pass one of your own in `custom_objects={{{name!r}: ...}}`, or load the "
            "model without its compile settings by `compile=False`."
        ) from None
