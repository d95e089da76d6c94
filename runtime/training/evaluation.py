"""`evaluate`, `predict`, and their forms for one batch."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np

from xlathe.runtime.program import compile as compile_program
from xlathe.runtime.training import steps
from xlathe.runtime.training.callbacks.callback import CallbackList, as_python
from xlathe.runtime.training.callbacks.catalogue import ProgbarLogger
from xlathe.runtime.training.checks import check_values
from xlathe.runtime.training.data.sources import (
    ArrayData,
    Batch,
    as_arrays,
    check_counts,
    make_data,
    pack,
)
from xlathe.runtime.training.dispatch import Program, States, pad_rows, uninterrupted
from xlathe.runtime.training.inline import Inline
from xlathe.runtime.training.preparation import build, prepare, works_by_row
from xlathe.runtime.training.running import Runner

_NO_SHUFFLE = np.random.default_rng(0)
_OWN_OPTIONS = frozenset(["numerics", "precision", "target"])


def test_program(model: Any) -> tuple[Program, States]:
    """Return the compiled evaluation step and the variables that it works on."""
    state = model.fit_state
    if "test" not in state.programs:
        default = model.has_default_steps(training=False)
        step = partial(steps.evaluation_step, model) if default else _own_step(model)
        step.__name__ = "test_step"  # pyright: ignore[reportAttributeAccessIssue]
        logs = (lambda values: steps.logs_of(model, values[2])) if default else None
        state.programs["test"] = Program(step, logs, state.options, state.run_eagerly)
        state.states["test"] = States(
            model.trainable_variables, model.non_trainable_variables, model.metrics_variables
        )
    return state.programs["test"], state.states["test"]


def _own_step(model: Any) -> Any:
    def test_step(state: Any, data: Any, rows: Any = None) -> Any:
        return model.test_step(state, pack(*data))

    return test_step


class Evaluator:
    """Evaluates a model on the same data again and again, with the data kept on the device.

    Args:
        model: a prepared model.
        data: where batches come from.
        callbacks: who is told.
        limit: how many batches to take; all if `None`.
    """

    def __init__(self, model: Any, data: Any, callbacks: CallbackList, limit: int | None) -> None:
        state = model.fit_state
        program, states = test_program(model)
        each = callbacks.wants_each("on_test_batch_begin", "on_test_batch_end")
        self.model = model
        self.callbacks = callbacks
        self.limit = limit
        self.runner = Runner(
            program,
            states,
            data,
            pads=state.pads[False],
            loops=state.loops,
            fixed=state.steps_per_execution if each else None,
            before=(lambda step: callbacks.call("on_test_batch_begin", step)) if each else None,
            report=lambda done, logs: callbacks.call("on_test_batch_end", done - 1, logs=logs),
        )

    def run(self) -> dict[str, Any]:
        """Return the metrics of the data by name."""
        self.model.reset_metrics()
        self.callbacks.call("on_test_begin")
        logs, _ = self.runner.epoch(_NO_SHUFFLE, 0, self.limit)
        result = as_python(logs)
        self.callbacks.call("on_test_end", logs=result)
        return result


def evaluate(
    model: Any,
    x: Any,
    y: Any,
    *,
    batch_size: int | None,
    verbose: Any,
    sample_weight: Any,
    steps: int | None,
    callbacks: Any,
) -> dict[str, Any]:
    """Evaluate a compiled model; the arguments are those of `Trainer.evaluate`."""
    check_counts(steps=steps)
    data = make_data(x, y, sample_weight, batch_size=batch_size)
    prepare(model, data.first(), training=False)
    check_values(model, data)
    params = {"verbose": verbose, "epochs": 1, "steps": data.steps if steps is None else steps}
    added = [ProgbarLogger()] if verbose else []
    called = CallbackList(callbacks, added, model, params)
    return Evaluator(model, data, called, steps).run()


def test_one(model: Any, batch: Batch) -> dict[str, Any]:
    """Return the metrics of one batch."""
    prepare(model, batch, training=False)
    check_values(model, batch)
    program, states = test_program(model)
    model.reset_metrics()
    with uninterrupted():
        logs, state = program.one(states.take(), tuple(batch))
        states.put(state)
    return as_python(logs)


class Predictor:
    """The compiled prediction of a model, whose weights are read at each call."""

    def __init__(self, model: Any, options: dict[str, Any], eager: bool) -> None:
        def run(trainable: Any, others: Any, x: Any) -> Any:
            outputs, after = model.predict_step((trainable, others), (x,))
            pairs = enumerate(zip(others, after, strict=True))
            self.written = [index for index, (old, new) in pairs if old is not new]
            return outputs, [after[index] for index in self.written]

        run.__name__ = "predict"
        self.written: list[int] = []
        self.trainable = model.trainable_variables
        self.others = model.non_trainable_variables
        for variable in self.trainable:
            _ = variable.stored
        self.by_row = works_by_row(model, training=False) and not eager
        self._run = run if eager else compile_program(run, **options)
        self._inline = Inline(self._run)
        self._inline.off = eager or not _OWN_OPTIONS.issuperset(options)

    def __call__(self, x: Any) -> Any:
        """Return the outputs for a batch, on the device."""
        # Each has its value: reading them by the property takes longer than all else here.
        trainable = [variable._value for variable in self.trainable]
        outputs, after = self._run(trainable, [variable.stored for variable in self.others], x)
        if after:
            # Seeds, and what stateful layers carry: most models write none.
            for index, value in zip(self.written, after, strict=True):
                self.others[index].assign(value)
        return outputs

    def at_once(self, x: Any) -> Any:
        """Return the outputs for a batch that is waited for, as NumPy arrays."""
        inline = self._inline
        if not inline.off and type(x) is np.ndarray:
            trainable = [variable._value for variable in self.trainable]
            found = inline(trainable, [variable.stored for variable in self.others], x)
            if found is not None:
                outputs, after = found
                if not after:
                    return _as_numpy(outputs)
                # What is drawn or carried is not its to keep: it is computed once more.
                inline.off = True
        return _as_numpy(self(x))


def predictor_of(model: Any, x: Any) -> Predictor:
    """Return the model's compiled prediction, made at first use."""
    found = model.__dict__.get("_predictor")
    if found is None or not model.built:
        build(model, Batch(x))
        state = model.__dict__.get("_fit_state")
        options = {} if state is None else state.options
        found = Predictor(model, options, state is not None and state.run_eagerly)
        model.__dict__["_predictor"] = found
    return found


def predict_batch(model: Any, x: Any) -> Any:
    """Return the outputs for one batch as NumPy arrays."""
    x = as_arrays(x)
    return predictor_of(model, x).at_once(x)


def predict(
    model: Any,
    x: Any,
    *,
    batch_size: int | None,
    verbose: Any,
    steps: int | None,
    callbacks: Any,
) -> Any:
    """Predict; the arguments are those of `Trainer.predict`."""
    if batch_size is not None or steps is not None:
        check_counts(batch_size=batch_size, steps=steps)
    quiet = not verbose and callbacks is None and steps is None
    if quiet and isinstance(x, np.ndarray) and x.ndim:
        rows = len(x)
        if 0 < rows <= (batch_size or 32) and not rows & (rows - 1):
            # A single batch of a usual size needs nothing of what follows.
            return predict_batch(model, x)
    data = make_data(x, batch_size=batch_size)
    predictor = predictor_of(model, data.first().x)
    known = data.steps if steps is None else steps
    params = {"verbose": verbose, "epochs": 1, "steps": known}
    called = CallbackList(callbacks, [ProgbarLogger()] if verbose else [], model, params)
    called.call("on_predict_begin")
    each = called.wants_each("on_predict_batch_begin", "on_predict_batch_end")
    outputs: list[Any] = []
    batches = data.batches(_NO_SHUFFLE)
    while steps is None or len(outputs) < steps:
        batch = next(batches, None)
        if batch is None:
            break
        index = len(outputs)
        if each:
            called.call("on_predict_batch_begin", index)
        outputs.append(_outputs_of(predictor, data, batch))
        if each or verbose:
            called.call(
                "on_predict_batch_end", index, logs={"outputs": outputs[-1]} if each else None
            )
    called.call("on_predict_end")
    if not outputs:
        raise ValueError("There is no data: the dataset yielded no batch to predict.")
    return jax.tree.map(_joined, *outputs)


def _outputs_of(predictor: Predictor, data: Any, batch: Batch) -> Any:
    """The outputs of a batch; one smaller than others is padded, so that it needs no program."""
    rows = batch.rows
    whole = data.batch_size if isinstance(data, ArrayData) and data.steps > 1 else _round(rows)
    run = predictor.at_once if data.steps == 1 else predictor
    if not predictor.by_row or rows >= whole:
        return run(batch.x)
    outputs = run(pad_rows(batch.x, whole))
    if any(np.ndim(leaf) == 0 or leaf.shape[0] != whole for leaf in jax.tree.leaves(outputs)):
        return run(batch.x)
    return jax.tree.map(lambda leaf: leaf[:rows], outputs)


def _as_numpy(outputs: Any) -> Any:
    if isinstance(outputs, jax.Array):
        return np.array(outputs)
    return jax.tree.map(np.array, outputs)


def _round(rows: int) -> int:
    return 1 << max(rows - 1, 0).bit_length()


def _joined(*parts: Any) -> np.ndarray:
    return np.array(parts[0]) if len(parts) == 1 else np.concatenate([np.asarray(p) for p in parts])
