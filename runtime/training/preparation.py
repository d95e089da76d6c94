"""Before the first step: build the model, its losses and metrics, and look at what it computes."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.runtime.training.checks import check_fit, check_targets
from xlathe.runtime.training.data.sources import Batch, pack
from xlathe.runtime.training.dispatch import loops_well
from xlathe.runtime.training.once import run_once
from xlathe.tracer.layers import scope
from xlathe.tracer.layers.core import Lambda
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.normalization import BatchNormalization
from xlathe.tracer.layers.operations import OPERATORS
from xlathe.tracer.layers.operator import Operator
from xlathe.tracer.layers.random import SeedGenerator
from xlathe.tracer.layers.variable import Variable
from xlathe.tracer.models.model import Model


def build(model: Any, batch: Batch) -> None:
    """Make the model's weights for a batch, if they aren't made yet."""
    if not model.built or not all(layer.built for layer in model._flatten_layers()):
        with scope.StatelessScope(abstract=True):
            jax.eval_shape(lambda x: model(x), _specs(batch.x))
        model.built = True
    _initialize(model.variables)


def _initialize(variables: list[Variable]) -> None:
    """Compute initial values that nobody has read yet.

    Those that are drawn take one program rather than one for each, most others none.
    """
    unset = [variable for variable in variables if variable._value is None and _is_pure(variable)]
    for drawn in (True, False):
        _compute([v for v in unset if getattr(v.initializer, "takes_key", False) == drawn])


def _compute(unset: list[Variable]) -> None:
    if not unset:
        return
    seeds = [_seed_of(variable) for variable in unset]

    def initial(seeds: list[Any]) -> list[Any]:
        return [
            jnp.asarray(variable.initializer(variable.shape, variable.dtype, **_drawn_from(seed)))  # pyright: ignore[reportOptionalCall]
            for variable, seed in zip(unset, seeds, strict=True)
        ]

    values = run_once(initial, seeds)
    for variable, value in zip(unset, values, strict=True):
        variable.assign(value)


def _seed_of(variable: Variable) -> Any:
    """The seed of an initial value as an array, so that the program is the same for all seeds."""
    initializer = variable.initializer
    seed = getattr(initializer, "seed", None)
    takes_key = getattr(initializer, "takes_key", False)
    if not takes_key or type(seed) is not int or not 0 <= seed < 1 << 31:
        return None
    return np.int32(seed)


def _drawn_from(seed: Any) -> dict[str, Any]:
    return {} if seed is None else {"key": jax.random.key(seed)}


def _is_pure(variable: Variable) -> bool:
    """Whether an initial value depends on numbers alone: others are computed when read."""
    initializer = variable.initializer
    return type(initializer).__module__.startswith("xlathe.") and not isinstance(
        getattr(initializer, "seed", None), SeedGenerator
    )


def prepare(model: Any, batch: Batch, training: bool) -> None:
    """Build the model, its optimizer, losses and metrics, by the shapes of a batch.

    Args:
        model: a compiled model.
        batch: the first batch.
        training: whether for training.
    """
    state = model.fit_state
    trained = tuple(id(variable) for variable in model.trainable_variables)
    if state.trained and trained != state.trained:
        # Layers were frozen or freed: the lists of variables are others.
        state.drop_programs()
    key = (training, str(jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), batch)))
    if key in state.ready and trained == state.trained:
        return
    build(model, batch)
    if training:
        model.optimizer.build(model.trainable_variables)
    y = _specs(batch.y)
    traced = model.trace(_specs(batch), training)
    y_pred = state.outputs = traced.outputs
    state.loops = not state.run_eagerly and loops_well(traced.jaxpr)
    check_targets(model, y, any_loss=traced.adds_losses or traced.penalised)
    compares = y is not None and y_pred is not None
    if compares and state.losses is not None:
        state.losses.build(y, y_pred)
    if compares and state.metrics is not None:
        state.metrics.build(y, y_pred)
    check_fit(model, y, _specs(batch.weights))
    state.trained = tuple(id(variable) for variable in model.trainable_variables)
    state.pads[training] = (
        not traced.adds_losses
        and not state.run_eagerly
        and works_by_row(model, training)
        and model.has_default_steps(training)
        and (state.losses is None or state.losses.by_row)
        and (state.metrics is None or state.metrics.by_row)
        and not model.own_metrics()
    )
    state.ready.add(key)


class Trace(NamedTuple):
    """What is known of a model's computation before it runs.

    Attributes:
        jaxpr: the computation.
        outputs: the shapes of the outputs.
        adds_losses: whether the call adds losses.
        penalised: whether weights have penalties.
    """

    jaxpr: Any
    outputs: Any
    adds_losses: bool
    penalised: bool


def trace_call(model: Any, x: Any, training: bool) -> Trace:
    """Return what a model's call computes of inputs of some shapes."""
    found: list[bool] = []

    def forward(x: Any) -> Any:
        with scope.StatelessScope(abstract=True) as current:
            outputs = model(x, training=training)
            added = len(current.losses)
            found.extend((added > 0, len(model.losses) > added))
            return outputs

    jaxpr, outputs = jax.make_jaxpr(forward, return_shape=True)(x)
    return Trace(jaxpr, outputs, *found)


def trace_step(model: Any, batch: Batch, training: bool) -> Trace:
    """Return what a step computes, of a model that has steps of its own and no call."""
    groups = [model.trainable_variables, model.non_trainable_variables, model.metrics_variables]
    if training:
        groups.insert(2, model.optimizer_variables)
    state = tuple(
        [jax.ShapeDtypeStruct(variable.shape, variable.dtype) for variable in group]
        for group in groups
    )
    step = model.train_step if training else model.test_step
    return Trace(jax.make_jaxpr(step)(state, pack(*batch)), None, True, True)


def _specs(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def works_by_row(model: Any, training: bool) -> bool:
    """Whether each row of the outputs depends on that row of the inputs alone, as far as known."""
    return all(_layer_works_by_row(layer, training) for layer in model._flatten_layers())


def _layer_works_by_row(layer: Layer, training: bool) -> bool:
    known = getattr(layer, "works_by_row", None)
    if known is not None:
        return known
    if isinstance(layer, Model):
        return type(layer).__module__.startswith("xlathe.")
    if not type(layer).__module__.startswith("xlathe."):
        return False
    if isinstance(layer, BatchNormalization):
        return not training
    if isinstance(layer, Operator):
        return layer.operation in OPERATORS and layer.operation not in ("getitem", "matmul")
    return not isinstance(layer, Lambda) and not getattr(layer, "stateful", False)
