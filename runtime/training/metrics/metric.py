"""What a metric is: a state on the device, an update for each batch, and a result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.tracer.layers.naming import snake_case
from xlathe.tracer.layers.scope import StatelessScope
from xlathe.tracer.layers.serialization import Remembering
from xlathe.tracer.layers.variable import Variable, value_of

Array = jax.Array
State = tuple[Array, ...]


@functools.cache
def _zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    """Zeros on the device: a new epoch needs them again, and each transfer takes its time."""
    with jax.ensure_compile_time_eval():
        return jnp.asarray(np.zeros(shape, dtype))


class Metric(Remembering):
    """A metric: subclass it, make its variables by `add_weight`, write `update_state` and `result`.

    Every metric is also pure: `state = init()`, `state = update(state, y_true, y_pred, weights)`,
    `stateless_result(state)`, where the state is a tuple of arrays, one for each variable.

    Args:
        dtype: the type of the state; float32 by default.
        name: the name that logs show.

    Source: Keras 3's `keras.metrics.Metric`.
    """

    by_row = False
    """Whether an update adds up over samples, so that samples of weight zero change nothing."""
    direction: str | None = None
    """`"up"` or `"down"`: which way is better, if that is known."""

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or snake_case(type(self).__name__)
        self.dtype = jnp.dtype(dtype or "float32")
        self._variables: list[Variable] = []

    def add_variable(
        self,
        shape: Sequence[int] = (),
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "sum",
        name: str | None = None,
    ) -> Variable:
        """Add a variable to the metric's state.

        Args:
            shape: its shape.
            initializer: `"zeros"`, `"ones"`, or a function of shape and dtype.
            dtype: its element type; the metric's by default.
            aggregation: accepted for Keras's sake.
            name: its name.

        Returns:
            The variable.
        """
        fill: dict[Any, Callable[..., Any]] = {"zeros": np.zeros, None: np.zeros, "ones": np.ones}
        dtype = jnp.dtype(dtype or self.dtype)
        make = fill[initializer] if isinstance(initializer, str | None) else initializer
        variable = Variable(
            make(tuple(shape), dtype), trainable=False, name=name, path=f"{self.name}/{name}"
        )
        self._variables.append(variable)
        return variable

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = "zeros",
        dtype: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Add a variable to the metric's state: `add_variable` by its older name."""
        return self.add_variable(shape, initializer, dtype, name=name)

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Make the variables whose shapes follow from those of targets and predictions."""

    @property
    def variables(self) -> list[Variable]:
        """The variables of the metric and of the metrics that it holds."""
        inner = [item for item in vars(self).values() if isinstance(item, Metric)]
        return self._variables + [item for metric in inner for item in metric.variables]

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Take a batch in."""
        raise NotImplementedError

    def result(self) -> Any:
        """Return the metric's value for what was taken in since the last reset."""
        raise NotImplementedError

    def reset_state(self) -> None:
        """Forget what was taken in."""
        for variable in self.variables:
            variable.assign(_zeros(variable.shape, variable.dtype))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.update_state(*args, **kwargs)
        return self.result()

    def init(self) -> State:
        """Return the state before any batch."""
        return tuple(self.stateless_reset_state())

    def update(
        self, state: Sequence[Array], y_true: Any, y_pred: Any, weights: Any = None
    ) -> State:
        """Return the state after a batch, with weights for its samples if there are any."""
        if weights is None:
            return tuple(self.stateless_update_state(state, y_true, y_pred))
        return tuple(self.stateless_update_state(state, y_true, y_pred, sample_weight=weights))

    def stateless_update_state(
        self, metric_variables: Sequence[Any], *args: Any, **kwargs: Any
    ) -> list[Any]:
        """Return the variables' values after `update_state`, given those before."""
        return self._pure(metric_variables, lambda: self.update_state(*args, **kwargs))[1]

    def stateless_result(self, metric_variables: Sequence[Any]) -> Any:
        """Return `result`, given the variables' values."""
        return self._pure(metric_variables, self.result)[0]

    def stateless_reset_state(self) -> list[Any]:
        """Return the variables' values after `reset_state`."""
        return self._pure([variable.value for variable in self.variables], self.reset_state)[1]

    def _pure(self, values: Sequence[Any], action: Callable[[], Any]) -> tuple[Any, list[Any]]:
        variables = self.variables
        if len(values) != len(variables):
            raise ValueError(
                "Argument `metric_variables` must be a list of tensors corresponding 1:1 to "
                f"{type(self).__name__}().variables. Received list with length {len(values)}, "
                f"but expected {len(variables)} variables."
            )
        with StatelessScope(dict(zip(variables, values, strict=True))):
            outcome = jax.tree.map(value_of, action())
            return outcome, [variable.value for variable in variables]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this metric again."""
        return {**self._arguments, "name": self.name, "dtype": str(self.dtype)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """Make a metric of what `get_config` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class AdditiveMetric(Metric):
    """A metric whose state is a sum over batches: what each batch adds, and a result of the sums.

    Subclasses write `add_up`, which returns a batch's summands, and `compute`.
    """

    by_row = True

    def add_up(self, y_true: Any, y_pred: Any, weights: Any) -> State:
        """Return what a batch adds to each variable."""
        raise NotImplementedError

    def compute(self, state: Sequence[Array]) -> Any:
        """Return the result of a state."""
        raise NotImplementedError

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.build(y_true, y_pred)
        for variable, addend in zip(
            self.variables, self.add_up(y_true, y_pred, sample_weight), strict=True
        ):
            variable.assign(variable.value + addend.astype(variable.dtype))

    def result(self, state: Sequence[Array] | None = None) -> Any:
        if state is None:
            state = [variable.value for variable in self.variables]
        return self.compute(state)
