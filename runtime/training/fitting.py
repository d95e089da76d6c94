"""`fit` and `train_on_batch`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from xlathe.runtime.training import steps
from xlathe.runtime.training.callbacks.callback import CallbackList, as_python
from xlathe.runtime.training.callbacks.catalogue import BackupAndRestore, History, ProgbarLogger
from xlathe.runtime.training.checks import check_values
from xlathe.runtime.training.data.sources import (
    Batch,
    check_counts,
    make_data,
    pack,
    split_arrays,
    unpack,
)
from xlathe.runtime.training.dispatch import Program, States, uninterrupted
from xlathe.runtime.training.evaluation import Evaluator
from xlathe.runtime.training.preparation import prepare
from xlathe.runtime.training.running import Runner
from xlathe.tracer.layers.random import draw_seed


def training_program(model: Any) -> tuple[Program, States]:
    """Return the compiled training step and the variables that it works on."""
    state = model.fit_state
    if "train" not in state.programs:
        default = model.has_default_steps(training=True)
        step = partial(steps.training_step, model) if default else _own_step(model)
        step.__name__ = "train_step"  # pyright: ignore[reportAttributeAccessIssue]
        logs = (lambda values: steps.logs_of(model, values[3])) if default else None
        state.programs["train"] = Program(step, logs, state.options, state.run_eagerly)
        state.states["train"] = States(
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer_variables,
            model.metrics_variables,
        )
    return state.programs["train"], state.states["train"]


def _own_step(model: Any) -> Any:
    def train_step(state: Any, data: Any, rows: Any = None) -> Any:
        return model.train_step(state, pack(*data))

    return train_step


def fit(
    model: Any,
    x: Any,
    y: Any,
    *,
    batch_size: int | None,
    epochs: int,
    verbose: Any,
    callbacks: Any,
    validation_split: float,
    validation_data: Any,
    shuffle: bool | str,
    class_weight: Mapping[int, float] | None,
    sample_weight: Any,
    initial_epoch: int,
    steps_per_epoch: int | None,
    validation_steps: int | None,
    validation_batch_size: int | None,
    validation_freq: Any,
) -> History:
    """Train a compiled model; the arguments are those of `Trainer.fit`."""
    check_counts(
        steps_per_epoch=steps_per_epoch,
        validation_steps=validation_steps,
        validation_batch_size=validation_batch_size,
        validation_freq=validation_freq if isinstance(validation_freq, int | float) else None,
    )
    if validation_split and validation_data is None:
        (x, y, sample_weight), validation_data = split_arrays(
            (x, y, sample_weight), validation_split
        )
    data = make_data(
        x,
        y,
        sample_weight,
        batch_size=batch_size,
        shuffle=shuffle,
        class_weight=class_weight,
    )
    validation = None
    if validation_data is not None:
        val_x, val_y, val_weights = unpack(validation_data)
        validation = make_data(
            val_x, val_y, val_weights, batch_size=validation_batch_size or batch_size
        )
    prepare(model, data.first(), training=True)
    check_values(model, data)
    if validation is not None:
        prepare(model, validation.first(), training=False)
        check_values(model, validation)
    run = _Fit(model, data, steps_per_epoch, verbose, callbacks, epochs)
    evaluator = None
    if validation is not None:
        evaluator = Evaluator(model, validation, run.callbacks, validation_steps)
    return run.train(initial_epoch, epochs, evaluator, validation_freq)


class _Fit:
    """One call of `fit`."""

    def __init__(
        self,
        model: Any,
        data: Any,
        steps_per_epoch: int | None,
        verbose: Any,
        callbacks: Any,
        epochs: int,
    ) -> None:
        state = model.fit_state
        self.model = model
        self.data = data
        self.limit = steps_per_epoch
        self.seed = draw_seed()
        known = data.steps if steps_per_epoch is None else steps_per_epoch
        params = {"verbose": verbose, "epochs": epochs, "steps": known}
        added = [History(), *([ProgbarLogger()] if verbose else [])]
        self.callbacks = CallbackList(callbacks, added, model, params)
        each = self.callbacks.wants_train_batches()
        fixed = state.steps_per_execution if each or state.steps_per_execution > 1 else None
        program, states = training_program(model)
        self.runner = Runner(
            program,
            states,
            data,
            pads=state.pads[True],
            loops=state.loops,
            fixed=fixed,
            before=self._before if each else None,
            report=self._report,
        )
        self.runner.stopped = lambda: model.stop_training

    def _before(self, step: int) -> None:
        self.callbacks.call("on_train_batch_begin", step)

    def _report(self, done: int, logs: Any) -> None:
        self.callbacks.call("on_train_batch_end", done - 1, logs=logs)

    def train(
        self, initial_epoch: int, epochs: int, evaluator: Evaluator | None, validation_freq: Any
    ) -> History:
        """Run the epochs."""
        model = self.model
        history = self.callbacks.find(History)
        model.history = history
        model.stop_training = False
        self.callbacks.call("on_train_begin")
        first = 0
        backup = self.callbacks.find(BackupAndRestore)
        if backup is not None and backup.resumed is not None:
            initial_epoch, first, self.seed = backup.resumed
        if backup is not None:
            backup.seed = self.seed
        logs: dict[str, Any] = {}
        for epoch in range(initial_epoch, epochs):
            if not first:
                model.reset_metrics()
            self.callbacks.call("on_epoch_begin", epoch)
            # The order of an epoch depends on the seed and its number alone: a resumed run has it.
            random = np.random.default_rng([self.seed, epoch])
            found, done = self.runner.epoch(random, first, self.limit)
            first = 0
            if not done:
                break
            logs = as_python(found) if found is not None else as_python(model.get_metrics_result())
            if evaluator is not None and _due(epoch, validation_freq):
                measured = evaluator.run()
                logs.update({f"val_{name}": value for name, value in measured.items()})
            self.callbacks.call("on_epoch_end", epoch, logs=logs)
            if model.stop_training:
                break
        model.optimizer.finalize_variable_values(self.runner.states.groups[0])
        self.callbacks.call("on_train_end", logs=logs)
        return history


def _due(epoch: int, validation_freq: Any) -> bool:
    if isinstance(validation_freq, int):
        return (epoch + 1) % validation_freq == 0
    return epoch + 1 in validation_freq


def train_one(model: Any, batch: Batch) -> dict[str, Any]:
    """Run one training step on a batch; return the metrics of that batch."""
    prepare(model, batch, training=True)
    check_values(model, batch)
    program, states = training_program(model)
    model.reset_metrics()
    with uninterrupted():
        logs, state = program.one(states.take(), tuple(batch))
        states.put(state)
    return as_python(logs)
