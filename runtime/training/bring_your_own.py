"""`fit` for what is no model of xlathe: modules of other libraries, functions, steps."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from xlathe.runtime.options import split_options
from xlathe.runtime.training.adapters.functions import FunctionModel, StepModel
from xlathe.runtime.training.callbacks.catalogue import History
from xlathe.runtime.training.trainer import Trainer

_COMPILE = frozenset(inspect.signature(Trainer.compile).parameters) - {"self", "options"}
_FIT = frozenset(inspect.signature(Trainer.fit).parameters) - {"self", "x", "y"}


def as_model(
    module: Any,
    *,
    params: Any = None,
    state: Any = None,
    loss_fn: Callable[..., Any] | None = None,
    test_step: Callable[..., Any] | None = None,
    trainable: Any = None,
    batched: bool = False,
    seed: int | None = None,
) -> Any:
    """Return a module, function or step as a model, with `compile`, `fit`, `evaluate`, `predict`.

    Args:
        module: a Flax NNX module; an Equinox module, written for one sample; with `params`, a
            function `(params, x)` to outputs; without, a step `(state, batch)` to
            `(state, logs)`. Functions and calls get `training` and `key` too, if they have
            parameters of these names, and a `state`, of which they then return the new one:
            `(outputs, state)`.
        params: the parameters of a function: any pytree.
        state: the state of a step, of an Equinox module (`equinox.nn.State`), or of a function.
        loss_fn: `(module, x, y)`, or `(params, x, y)`, to a loss, or to a loss and a dict of
            logs, in place of `compile`'s `loss`.
        test_step: of a step: `(state, batch)` to logs.
        trainable: what is trained: an NNX filter; otherwise a function of a leaf, or a tree of
            booleans. All floating-point parameters unless given.
        batched: whether an Equinox module takes whole batches rather than one sample.
        seed: what keys of random numbers are made from.

    Returns:
        The model. Its `unwrap()` returns what was given, with what training made of it.

    Raises:
        TypeError: it is none of these.
    """
    nnx, equinox = sys.modules.get("flax.nnx"), sys.modules.get("equinox")
    if nnx is not None and isinstance(module, nnx.Module):
        from xlathe.runtime.training.adapters.flax_nnx import NNXModel

        _refuse("a Flax NNX module", params=params, state=state, test_step=test_step)
        return NNXModel(module, loss_fn, trainable, seed)
    if equinox is not None and isinstance(module, equinox.Module):
        from xlathe.runtime.training.adapters.equinox_modules import EquinoxModel

        _refuse("an Equinox module", params=params, test_step=test_step)
        return EquinoxModel(module, state, loss_fn, trainable, batched, seed)
    linen = sys.modules.get("flax.linen")
    if linen is not None and isinstance(module, linen.Module):
        raise TypeError(
            "A Flax Linen module is a function of its parameters. Pass that function: "
            "xlathe.fit(lambda params, x: module.apply(params, x), x, y, params=params, loss=...)."
        )
    if params is not None and (module is None or callable(module)):
        _refuse("a function of parameters", test_step=test_step)
        return FunctionModel(module, params, state, loss_fn, trainable, seed)
    if callable(module) and state is not None:
        _refuse("a step", loss_fn=loss_fn, trainable=trainable, seed=seed)
        return StepModel(module, state, test_step)
    raise TypeError(
        "Expected a Flax NNX module, an Equinox module, a function with `params=`, or a step with "
        f"`state=`. Received: {module!r} (of type {type(module).__name__})"
    )


def _refuse(kind: str, **arguments: Any) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"`{name}` doesn't go with {kind}. Received: {name}={value!r}")


def fit(
    module: Any,
    x: Any = None,
    y: Any = None,
    *,
    params: Any = None,
    state: Any = None,
    loss: Any = None,
    loss_fn: Callable[..., Any] | None = None,
    test_step: Callable[..., Any] | None = None,
    optimizer: Any = None,
    metrics: Any = None,
    trainable: Any = None,
    batched: bool = False,
    seed: int | None = None,
    **options: Any,
) -> tuple[Any, History]:
    """Train a module, a function or a step by the loop of `Model.fit`.

    Args:
        module: as for `as_model`. A function given with `params`, without `loss` and `loss_fn`,
            is the loss itself: `(params, x, y)` to a number.
        x: data of any kind that `Model.fit` takes.
        y: targets, if `x` is arrays.
        params: as for `as_model`.
        state: as for `as_model`.
        loss: a name, a loss, or a function `(y_true, y_pred)`.
        loss_fn: as for `as_model`.
        test_step: as for `as_model`.
        optimizer: a name, an optimizer or an optax transformation; `"rmsprop"` unless given.
        metrics: as for `Model.compile`.
        trainable: as for `as_model`.
        batched: as for `as_model`.
        seed: as for `as_model`.
        **options: arguments of `Model.fit` (`epochs`, `batch_size`, `callbacks`, …), of
            `Model.compile`, and options of `xlathe.compile` (`precision`, `numerics`, …).

    Returns:
        What was given, trained, and the `History`, whose `model` evaluates and predicts. An NNX
        module is the same object; an Equinox module, parameters or a state are new ones. A module
        or parameters with a `state` come as a pair.

    Raises:
        TypeError: it is nothing that can be trained, or an option is not known.
        ValueError: the arguments don't go together, or the data doesn't fit; before any step.
    """
    if params is not None and loss is None and loss_fn is None:
        module, loss_fn = None, module
    model = as_model(
        module,
        params=params,
        state=state,
        loss_fn=loss_fn,
        test_step=test_step,
        trainable=trainable,
        batched=batched,
        seed=seed,
    )
    fitting = {name: options.pop(name) for name in _FIT & set(options)}
    extra = {name: value for name, value in options.items() if name not in _COMPILE}
    split_options(extra, others=sorted(_FIT | _COMPILE))
    if optimizer is not None:
        options["optimizer"] = optimizer
    model.compile(loss=loss, metrics=metrics, **options)
    try:
        history = model.fit(x, y, **fitting)
    finally:
        trained = model.unwrap()
    return trained, history
