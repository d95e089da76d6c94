"""One step of training, evaluation and prediction, as pure functions of variables' values.

The state of a training step is four lists of arrays: the values of the trainable variables, the
other variables, the optimizer's and the metrics'. Evaluation has no optimizer's; prediction only
the first two.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xlathe.runtime.training.data.sources import rows_of, unpack
from xlathe.runtime.training.outputs import carry_mask
from xlathe.tracer.layers.scope import StatelessScope, get_mask

State = tuple[list[Any], ...]


def bind(model: Any, trainable: Any, others: Any, metrics: Any = None) -> StatelessScope:
    """Return a scope in which the model's variables have the given values."""
    values = dict(zip(model.trainable_variables, trainable, strict=True))
    values |= dict(zip(model.non_trainable_variables, others, strict=True))
    if metrics is not None:
        values |= dict(zip(model.metrics_variables, metrics, strict=True))
    return StatelessScope({key: jnp.asarray(value) for key, value in values.items()})


def forward(
    model: Any,
    trainable: Any,
    others: Any,
    metrics: Any,
    data: Any,
    rows: Any,
    training: bool,
) -> tuple[Any, tuple[list[Any], list[Any]]]:
    """Return the loss of a batch, and what other and metrics variables are after it.

    Args:
        model: the model.
        trainable: values of the trainable variables.
        others: values of the other variables.
        metrics: values of the metrics' variables.
        data: inputs, targets and weights.
        rows: true for the rows that count, or `None` for all.
        training: whether the model is training.

    Returns:
        The loss, and two lists of values.
    """
    x, y, weights = unpack(data)
    with bind(model, trainable, others, metrics):
        y_pred = model(x, training=training) if model.needs_outputs else None
        model.fit_state.rows = rows
        try:
            loss = model.call_compute_loss(x, y, y_pred, weights, training)
        finally:
            model.fit_state.rows = None
        fixed = jax.tree.map(
            lambda leaf: carry_mask(jax.lax.stop_gradient(leaf), get_mask(leaf)), y_pred
        )
        count = rows_of(x) if rows is None else rows.sum()
        model.fit_state.loss_tracker.update_state(jax.lax.stop_gradient(loss), sample_weight=count)
        model.fit_state.rows = rows
        try:
            model.compute_metrics(x, y, fixed, weights)
        finally:
            model.fit_state.rows = None
        after = [variable.value for variable in model.non_trainable_variables]
        measured = [variable.value for variable in model.metrics_variables]
    return loss, (after, measured)


def training_step(model: Any, state: Any, data: Any, rows: Any = None) -> tuple[Any, State]:
    """Return logs and state after a training step: forward, gradient, update."""
    trainable, others, optimizer, metrics = state

    def scaled_loss(values: Any) -> tuple[Any, Any]:
        loss, aux = forward(model, values, others, metrics, data, rows, training=True)
        factor = model.optimizer.loss_scale(model.optimizer.state_of(optimizer))
        return (loss if factor is None else loss * factor), aux

    grads, (others, metrics) = jax.grad(scaled_loss, has_aux=True)(list(trainable))
    trainable, optimizer = model.optimizer.stateless_apply(optimizer, grads, trainable)
    return logs_of(model, metrics), (trainable, others, optimizer, metrics)


def evaluation_step(model: Any, state: Any, data: Any, rows: Any = None) -> tuple[Any, State]:
    """Return logs and state after an evaluation step."""
    trainable, others, metrics = state
    _, (others, metrics) = forward(model, trainable, others, metrics, data, rows, training=False)
    return logs_of(model, metrics), (list(trainable), others, metrics)


def prediction_step(model: Any, state: Any, data: Any) -> tuple[Any, list[Any]]:
    """Return the model's outputs for a batch, and the other variables' values after it."""
    trainable, others = state
    x, _, _ = unpack(data)
    with bind(model, trainable, others):
        outputs = model(x, training=False)
        return outputs, [variable.value for variable in model.non_trainable_variables]


def logs_of(model: Any, metrics: Any) -> dict[str, Any]:
    """Return the metrics' results by name, given the values of their variables."""
    with StatelessScope(dict(zip(model.metrics_variables, metrics, strict=True))):
        return model.get_metrics_result()
