"""Plain functions of pytrees as models: a forward pass, a loss, or a whole step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

from xlathe.runtime.training import steps
from xlathe.runtime.training.adapters.adapter import Adapter
from xlathe.runtime.training.adapters.calling import (
    accepted,
    grouped,
    parameters_of,
    parts_of,
    without_state,
)
from xlathe.runtime.training.adapters.trees import is_inexact, is_number
from xlathe.runtime.training.data.sources import rows_of, unpack
from xlathe.runtime.training.preparation import Trace
from xlathe.tracer.layers.scope import StatelessScope


class FunctionModel(Adapter):
    """A function of parameters and inputs as a model.

    Args:
        function: `(params, x)` to outputs; or `None` if there is only a `loss_fn`. It may also
            take `training`, `key`, and `state`; with a state it returns `(outputs, state)`.
        params: a pytree; its floating-point arrays are trained.
        state: a pytree that a call may change, or `None`.
        loss_fn: `(params, x, y)` to a loss; or `None`.
        trainable: a function of a leaf, or a tree of booleans, that says what is trained.
        seed: what `key` is made from, if a function takes one.
    """

    def __init__(
        self,
        function: Callable[..., Any] | None,
        params: Any,
        state: Any = None,
        loss_fn: Callable[..., Any] | None = None,
        trainable: Any = None,
        seed: int | None = None,
    ) -> None:
        flags = _flags(params, is_inexact if trainable is None else trainable)
        trained = jax.tree.map(lambda leaf, flag: leaf if flag else None, params, flags)
        rest = jax.tree.map(lambda leaf, flag: None if flag else leaf, params, flags)
        if not jax.tree.leaves(trained):
            raise ValueError(
                "`params` has no floating-point array to train. Received: "
                f"{jax.tree.structure(params)}"
            )
        self._function = function
        self._has_state = state is not None
        named = function or loss_fn
        super().__init__(
            getattr(named, "__name__", "function").strip("<>"),
            trained,
            (rest, state),
            loss_fn,
            seed,
        )

    def run(self, function: Callable[..., Any] | None, inputs: Any, training: bool) -> Any:
        called: Any = function or self._function
        if called is None:
            raise ValueError(
                "There is no function from inputs to outputs here, only a `loss_fn`. Pass the "
                "forward pass too: xlathe.as_model(apply, params=params, loss_fn=loss_fn)."
            )
        rest, state = self._others.read()
        offered = self.offers(training)
        if self._has_state:
            offered["state"] = lambda: state
        result = called(_joined(self._trained.read(), rest), *inputs, **accepted(called, offered))
        if not self._has_state or "state" not in parameters_of(called):
            return result
        result, state = without_state(result)
        self._others.write((rest, state))
        return result

    def unwrap(self) -> Any:
        """Return new parameters; and the state, if there was one."""
        rest, state = self._others.snapshot()
        params = _joined(self._trained.snapshot(), rest)
        return (params, state) if self._has_state else params


class StepModel(Adapter):
    """A step of a user's own as a model that `fit` and `evaluate` run.

    Args:
        step: `(state, batch)` to `(state, logs)`; a batch is `(x, y)`, or what the data yields.
        state: a pytree.
        test_step: `(state, batch)` to logs, for validation; or `None`.
    """

    def __init__(
        self, step: Callable[..., Any], state: Any, test_step: Callable[..., Any] | None = None
    ) -> None:
        if not any(map(is_number, jax.tree.leaves(state))):
            raise ValueError(
                "`state` must be a pytree with arrays, such as (params, opt_state). Received: "
                f"{type(state).__name__}"
            )
        self._step = step
        self._test_step = test_step
        name = getattr(step, "__name__", "step").strip("<>")
        super().__init__(name, (), state, None, None)

    def compile(self, optimizer: Any = None, *args: Any, **kwargs: Any) -> None:
        if optimizer is not None:
            raise ValueError(
                "A step makes its own updates: it takes no `optimizer`. Received: "
                f"optimizer={optimizer!r}"
            )
        super().compile(optax.identity(), *args, **kwargs)
        if self.loss is not None or self.fit_state.metrics:
            raise ValueError(
                "A step computes its own loss: return losses and metrics in its logs instead of "
                "passing `loss` and `metrics`."
            )

    def call(self, x: Any, training: Any = None) -> Any:
        raise NotImplementedError(
            "A step has no outputs to predict. Call your forward pass on the state that "
            "`unwrap()` returns."
        )

    def trace(self, batch: Any, training: bool) -> Trace:
        if not training and self._test_step is None:
            raise ValueError(
                "To validate, a step needs a `test_step` beside it: `(state, batch)` to logs."
            )
        function = self._train if training else self._test

        def compute(parts: Any) -> Any:
            with StatelessScope(abstract=True):
                return function(*parts)

        jaxpr, logs = jax.make_jaxpr(compute, return_shape=True)(parts_of(*batch))
        self._expect_logs(logs)
        return Trace(jaxpr, None, True, True)

    def _train(self, *parts: Any) -> Any:
        result = self._step(self._others.read(), *grouped(self._step, parts, ()))
        if not isinstance(result, tuple) or len(result) != 2:
            raise ValueError(
                f"A step must return `(state, logs)`. Received: {type(result).__name__}"
            )
        state, logs = result
        self._others.write(state)
        return _named(logs)

    def _test(self, *parts: Any) -> Any:
        function: Any = self._test_step
        return _named(function(self._others.read(), *grouped(function, parts, ())))

    def train_step(self, state: Any, data: Any) -> tuple[Any, Any]:
        trainable, others, optimizer, metrics = state
        logs, others, metrics = self._logged(self._train, trainable, others, metrics, data)
        return logs, (trainable, others, optimizer, metrics)

    def test_step(self, state: Any, data: Any) -> tuple[Any, Any]:
        trainable, others, metrics = state
        logs, others, metrics = self._logged(self._test, trainable, others, metrics, data)
        return logs, (trainable, others, metrics)

    def _logged(
        self, function: Any, trainable: Any, others: Any, metrics: Any, data: Any
    ) -> tuple[Any, list[Any], list[Any]]:
        """Return the means of the logs so far, and the variables' values after."""
        parts = parts_of(*unpack(data))
        with steps.bind(self, trainable, others, metrics):
            logs = function(*parts)
            self._record(logs, rows_of(parts))
            results = {mean.name: mean.result() for mean in self.log_means if mean.name in logs}
            after = [variable.value for variable in self.non_trainable_variables]
            return results, after, [variable.value for variable in self.metrics_variables]

    def unwrap(self) -> Any:
        """Return the state after the last step."""
        return self._others.snapshot()


def _flags(tree: Any, trainable: Any) -> Any:
    """Return a tree of booleans, of a function of a leaf or a tree with fewer branches."""
    if callable(trainable):
        return jax.tree.map(lambda leaf: bool(trainable(leaf)), tree)
    return jax.tree.map(
        lambda flag, inner: jax.tree.map(lambda leaf: bool(flag) and is_inexact(leaf), inner),
        trainable,
        tree,
    )


def _joined(trained: Any, rest: Any) -> Any:
    """Return one tree of two, each of which has `None` where the other has a leaf."""
    return jax.tree.map(
        lambda one, other: other if one is None else one,
        trained,
        rest,
        is_leaf=lambda leaf: leaf is None,
    )


def _named(logs: Any) -> Any:
    """Return logs as a dict; a number alone is the loss."""
    return logs if isinstance(logs, Mapping) else {"loss": logs}
