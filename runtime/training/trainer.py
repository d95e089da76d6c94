"""`compile`, `fit`, `evaluate`, `predict` and their relatives: what makes a model trainable."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from xlathe.runtime.options import split_options
from xlathe.runtime.training import steps
from xlathe.runtime.training.callbacks.catalogue import History
from xlathe.runtime.training.data.sources import Batch, batch_of
from xlathe.runtime.training.evaluation import evaluate, predict, predict_batch, test_one
from xlathe.runtime.training.fit_state import FitState
from xlathe.runtime.training.fitting import fit, train_one
from xlathe.runtime.training.metrics.metric import Metric
from xlathe.runtime.training.optimizers import catalogue as optimizers_module
from xlathe.runtime.training.optimizers.optimizer import Optimizer
from xlathe.runtime.training.outputs import OutputLosses, OutputMetrics
from xlathe.runtime.training.preparation import Trace, trace_call, trace_step
from xlathe.runtime.training.saving import load_weights, model_to_json, save_model, save_weights
from xlathe.tracer.layers.variable import Variable, value_of
from xlathe.tracer.models.model import Model as _Untrained

_Base = _Untrained if TYPE_CHECKING else object


class Trainer(_Base):
    """What `Model` and `Sequential` are trained by; Keras's methods with Keras's arguments.

    Source: Keras 3's `keras.src.trainers.trainer.Trainer`.
    """

    history: History
    stop_training = False

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
        **options: Any,
    ) -> None:
        """Set what the model is trained by.

        Args:
            optimizer: a name, an optimizer, or an optax transformation.
            loss: a name, a loss or a function; one for all outputs, a list, or a dict by output.
            loss_weights: the weights of the outputs' losses.
            metrics: names, metrics or functions; a list, or a list or dict of lists by output.
            weighted_metrics: the same, weighted by sample and class weights.
            run_eagerly: whether to run step by step without compiling, for debugging.
            steps_per_execution: how many batches lie between calls of batch callbacks.
            jit_compile: accepted for Keras's sake: everything is compiled by xlathe unless
                `run_eagerly`.
            auto_scale_loss: whether the loss is scaled if the model computes in float16.
            **options: of `xlathe.compile`: `numerics`, `target` and others.

        Raises:
            ValueError: a name is not known; the message names the nearest.
            TypeError: an option is not known.
        """
        if steps_per_execution < 1:
            raise ValueError(
                "`steps_per_execution` must be at least 1. "
                f"Received: steps_per_execution={steps_per_execution}"
            )
        known = inspect.signature(Trainer.compile).parameters
        split_options(options, others=[name for name in known if name not in ("self", "options")])
        optimizer = optimizers_module.get(optimizer)
        half = self.dtype_policy.name == "mixed_float16"
        scaled = isinstance(optimizer, optimizers_module.LossScaleOptimizer)
        if auto_scale_loss and half and not scaled:
            optimizer = optimizers_module.LossScaleOptimizer(optimizer)
        names = self.output_names or None
        self.__dict__["_predictor"] = None
        self.loss = loss
        self._fit_state = FitState(
            optimizer,
            None if loss is None else OutputLosses(loss, loss_weights, names),
            OutputMetrics(metrics, weighted_metrics, names)
            if metrics or weighted_metrics
            else None,
            options,
            run_eagerly,
            steps_per_execution,
        )

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return "_fit_state" in self.__dict__

    @property
    def fit_state(self) -> FitState:
        """What `compile` was given and what training made of it.

        Raises:
            ValueError: the model has not been compiled.
        """
        if not self.compiled:
            raise ValueError(
                "You must call `compile()` before training or evaluating the model: "
                "model.compile(optimizer=..., loss=...)."
            )
        return self._fit_state

    @property
    def optimizer(self) -> Any:
        """The optimizer; `None` before `compile`."""
        return self._fit_state.optimizer if self.compiled else None

    @property
    def optimizer_variables(self) -> list[Variable]:
        """The variables of `optimizer`, and of the optimizers that the model holds as attributes.

        A `train_step` of one's own is given the values of all of them, in this order: one after
        the other, as the attributes were set.
        """
        held = [value for value in vars(self).values() if isinstance(value, Optimizer)]
        found = [self.optimizer, *(each for each in held if each is not self.optimizer)]
        return [variable for each in found for variable in each.variables]

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> History:
        """Train the model.

        Args:
            x: arrays, a list or dict of arrays, a frame, a `PyDataset`, a generator, or any
                iterable of `(x, y)` or `(x, y, sample_weight)` batches.
            y: targets, if `x` is arrays.
            batch_size: how many samples a batch has, 32 by default, if `x` is arrays.
            epochs: the number of the last epoch.
            verbose: 1 or `"auto"` for a progress bar, 2 for a line an epoch, 0 for nothing.
            callbacks: callbacks.
            validation_split: which share of the samples, from the end, to validate on.
            validation_data: `(x, y)`, `(x, y, sample_weight)`, or a source of batches.
            shuffle: whether samples are drawn in a new order in each epoch; `"batch"` for
                batches.
            class_weight: the weight of each class.
            sample_weight: the weight of each sample.
            initial_epoch: the epoch to start from.
            steps_per_epoch: how many batches an epoch has; all there are by default.
            validation_steps: how many batches to validate on; all by default.
            validation_batch_size: how many samples a batch of validation has.
            validation_freq: after how many epochs to validate, or after which.

        Returns:
            The metrics of each epoch; `.history` is a dict of lists.

        Raises:
            ValueError: the model isn't compiled, or the data doesn't fit; before any step.
        """
        self._check_compiled()
        return fit(
            self,
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            class_weight=class_weight,
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Return loss and metrics on data.

        Args:
            x: as for `fit`.
            y: as for `fit`.
            batch_size: as for `fit`.
            verbose: as for `fit`.
            sample_weight: as for `fit`.
            steps: how many batches to take; all by default.
            callbacks: callbacks.
            return_dict: whether to return a dict by name rather than a list.

        Returns:
            The loss, or a list of it and the metrics, or a dict.
        """
        self._check_compiled()
        logs = evaluate(
            self,
            x,
            y,
            batch_size=batch_size,
            verbose=verbose,
            sample_weight=sample_weight,
            steps=steps,
            callbacks=callbacks,
        )
        return logs if return_dict else self._in_order(logs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Return the model's outputs as NumPy arrays.

        Args:
            x: as for `fit`.
            batch_size: as for `fit`.
            verbose: as for `fit`.
            steps: how many batches to take; all by default.
            callbacks: callbacks.

        Returns:
            An array, or a structure of them.
        """
        return predict(
            self, x, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks
        )

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Make one training step, on one batch.

        Args:
            x: inputs.
            y: targets.
            sample_weight: weights of the samples.
            class_weight: weights of the classes.
            return_dict: whether to return a dict by name rather than a list.

        Returns:
            The loss, or a list of it and the metrics, or a dict.
        """
        self._check_compiled()
        logs = train_one(self, batch_of(x, y, sample_weight, class_weight))
        return logs if return_dict else self._in_order(logs)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Return loss and metrics on one batch; the arguments are those of `train_on_batch`."""
        self._check_compiled()
        logs = test_one(self, batch_of(x, y, sample_weight))
        return logs if return_dict else self._in_order(logs)

    def predict_on_batch(self, x: Any) -> Any:
        """Return the model's outputs for one batch as NumPy arrays."""
        return predict_batch(self, x)

    def train_step(self, state: Any, data: Any) -> tuple[Any, Any]:
        """Return logs and state after a training step; override it to train in another way.

        Args:
            state: lists of values: of the trainable variables, the other variables, the
                optimizer's (`optimizer_variables`) and the metrics'.
            data: a batch: `x`, `(x, y)` or `(x, y, sample_weight)`.

        Returns:
            Logs by name, and the state after.
        """
        return steps.training_step(self, state, data)

    def test_step(self, state: Any, data: Any) -> tuple[Any, Any]:
        """Return logs and state after an evaluation step; the state has no optimizer's values."""
        return steps.evaluation_step(self, state, data)

    def predict_step(self, state: Any, data: Any) -> tuple[Any, Any]:
        """Return outputs and the other variables' values, given those of all variables."""
        return steps.prediction_step(self, state, data)

    @property
    def needs_outputs(self) -> bool:
        """Whether loss and metrics are computed of the model's outputs."""
        return True

    def trace(self, batch: Batch, training: bool) -> Trace:
        """Return what a step computes of a batch, given its shapes."""
        own = type(self).train_step if training else type(self).test_step
        default = Trainer.train_step if training else Trainer.test_step
        if own is default or self._graph is not None:
            return trace_call(self, batch.x, training)
        if type(self).call is _Untrained.call:
            return trace_step(self, batch, training)
        try:
            return trace_call(self, batch.x, training)
        except (TypeError, ValueError):
            # `call` may be meant for something else than `x`, which the step makes.
            if not all(layer.built for layer in self._flatten_layers()):
                raise
            return trace_step(self, batch, training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the total loss of a batch; override it for a loss of your own.

        Args:
            x: inputs.
            y: targets.
            y_pred: the model's outputs.
            sample_weight: weights of the samples.
            training: whether the model is training.

        Returns:
            A number.
        """
        total: Any = jnp.zeros((), jnp.float32)
        state = self.fit_state
        if state.losses is not None and y is not None:
            total = total + state.losses(y, y_pred, sample_weight, state.rows)
        for loss in self.losses:
            total = total + jnp.sum(loss)
        return total

    def call_compute_loss(self, x: Any, y: Any, y_pred: Any, weights: Any, training: bool) -> Any:
        """Call `compute_loss`, which may have been overridden without `training`."""
        if "training" in inspect.signature(self.compute_loss).parameters:
            return self.compute_loss(x, y, y_pred, weights, training=training)
        return self.compute_loss(x, y, y_pred, weights)

    def stateless_compute_loss(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        metrics_variables: Any,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tuple[Any, tuple[Any, Any, Any]]:
        """Return `compute_loss`, given the variables' values, and the values after it.

        Args:
            trainable_variables: values of the trainable variables.
            non_trainable_variables: values of the other variables.
            metrics_variables: values of the metrics' variables.
            x: inputs.
            y: targets.
            y_pred: the model's outputs.
            sample_weight: weights of the samples.
            training: whether the model is training.

        Returns:
            The loss, and the three lists of values.
        """
        values = (trainable_variables, non_trainable_variables, metrics_variables)
        with steps.bind(self, *values):
            loss = self.call_compute_loss(x, y, y_pred, sample_weight, training)
            others = [variable.value for variable in self.non_trainable_variables]
            metrics = [variable.value for variable in self.metrics_variables]
        return loss, (trainable_variables, others, metrics)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Update the metrics by a batch and return their results; override it for your own.

        Args:
            x: inputs.
            y: targets.
            y_pred: the model's outputs.
            sample_weight: weights of the samples.

        Returns:
            The metrics by name.
        """
        state = self.fit_state
        if state.metrics is not None and y is not None:
            state.metrics.update_state(y, y_pred, sample_weight, state.rows)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        """Return the metrics' results by name, the loss among them."""
        results: dict[str, Any] = {}
        for metric in self.metrics:
            value = jax.tree.map(value_of, metric.result())
            results.update(value if isinstance(value, dict) else {metric.name: value})
        return results

    @property
    def metrics(self) -> list[Metric]:
        """The metrics: the loss, those of `compile` as one, and those that the model holds."""
        found: list[Metric] = []
        if self.compiled:
            state = self._fit_state
            found = [state.loss_tracker]
            found += [] if state.metrics is None else [state.metrics]
            found += [] if state.losses is None else state.losses.metrics
        return found + self.own_metrics()

    def own_metrics(self) -> list[Metric]:
        """The metrics that the model and its layers hold as attributes."""
        found: dict[int, Metric] = {}
        for layer in self._flatten_layers():
            for value in vars(layer).values():
                if isinstance(value, (Metric, list, tuple)):
                    items = [value] if isinstance(value, Metric) else value
                    found.update({id(item): item for item in items if isinstance(item, Metric)})
        return list(found.values())

    @property
    def metrics_names(self) -> list[str]:
        """The metrics' names."""
        return [metric.name for metric in self.metrics]

    @property
    def metrics_variables(self) -> list[Variable]:
        """The variables of the metrics."""
        return [variable for metric in self.metrics for variable in metric.variables]

    def reset_metrics(self) -> None:
        """Set the metrics back to before the first batch."""
        for metric in self.metrics:
            metric.reset_state()

    def metric_directions(self) -> dict[str, str]:
        """Return which way is better, `"up"` or `"down"`, for the metrics of which it is known."""
        state = self.fit_state
        named = {metric.name: metric for metric in self.metrics}
        if state.metrics is not None:
            named.update({name: metric for name, _, metric, _ in state.metrics.entries})
        return {name: item.direction for name, item in named.items() if item.direction}

    def has_default_loss(self) -> bool:
        """Whether `compute_loss` and `compute_metrics` are those of this class."""
        kind = type(self)
        return (
            kind.compute_loss is Trainer.compute_loss
            and kind.compute_metrics is Trainer.compute_metrics
        )

    def has_default_steps(self, training: bool) -> bool:
        """Whether the steps, losses and metrics are computed by the methods of this class."""
        kind = type(self)
        step = (
            kind.train_step is Trainer.train_step
            if training
            else kind.test_step is Trainer.test_step
        )
        return step and self.has_default_loss() and kind.metrics is Trainer.metrics

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the model to a file, from which `xlathe.load_model` makes it again.

        Args:
            filepath: the file, by custom ending in `.xlathe`.
            overwrite: whether a file that there is may be replaced.
        """
        save_model(self, filepath, overwrite)

    def to_json(self, **options: Any) -> str:
        """Return the architecture as a JSON string; `options` are those of `json.dumps`."""
        return model_to_json(self, **options)

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the weights to a file; the arguments are those of `save`."""
        save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Read the weights from a file that `save_weights` or `save` wrote."""
        load_weights(self, filepath)

    def _check_compiled(self) -> None:
        _ = self.fit_state

    def _in_order(self, logs: dict[str, Any]) -> Any:
        """The logs as a list in Keras's order: the loss, metrics, outputs' losses, the rest."""
        state = self.fit_state
        first = ["loss"]
        if state.metrics is not None:
            first += [name for name, _, metric, _ in state.metrics.entries if name == metric.name]
        if state.losses is not None:
            first += [metric.name for metric in state.losses.metrics]
        names = [name for name in first if name in logs]
        names += sorted(name for name in logs if name not in names)
        values = [logs[name] for name in names]
        return values[0] if len(values) == 1 else values
