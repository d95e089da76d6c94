"""Optimizers written as Keras's: variables made in `build`, assigned in `update_step`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xlathe.tracer.layers import initializers
from xlathe.tracer.layers.scope import StatelessScope
from xlathe.tracer.layers.variable import Variable, value_of

Array = jax.Array


class OwnRule:
    """What an optimizer needs whose subclass overrides `update_step`.

    `update_step` assigns variables; it is run in a scope, so that a step stays a pure function of
    the values of the parameters and of the variables that the subclass made.
    """

    name: str
    _parameters: list[Any]
    _own: list[Variable]
    apply: Any

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update a variable in place by its gradient; a subclass may say how.

        Args:
            gradient: the gradient.
            variable: the variable.
            learning_rate: the learning rate now.
        """
        raise NotImplementedError

    def add_variable(
        self, shape: Sequence[int], initializer: Any = "zeros", dtype: Any = None, name: Any = None
    ) -> Variable:
        """Add a variable to the optimizer's state, in `build`.

        Args:
            shape: its shape.
            initializer: an initializer or its name.
            dtype: its element type; float32 by default.
            name: its name.
        """
        make: Any = initializers.get(initializer)
        dtype = dtype or "float32"
        path = f"{self.name}/{name or 'variable'}"
        made = Variable(make(tuple(shape), dtype), dtype=dtype, trainable=False, path=path)
        self._own.append(made)
        return made

    def add_variable_from_reference(
        self, reference_variable: Any, name: Any = None, initializer: Any = "zeros"
    ) -> Variable:
        """Add a variable of the shape and type of another one."""
        shape, dtype = reference_variable.shape, reference_variable.dtype
        return self.add_variable(shape, initializer, dtype, name)

    def assign(self, variable: Any, value: Any) -> None:
        """Set a variable, in `update_step`."""
        variable.assign(value)

    def assign_add(self, variable: Any, value: Any) -> None:
        """Add to a variable, in `update_step`."""
        variable.assign_add(value)

    def assign_sub(self, variable: Any, value: Any) -> None:
        """Subtract from a variable, in `update_step`."""
        variable.assign_sub(value)

    def _get_variable_index(self, variable: Any) -> int:
        return next(i for i, known in enumerate(self._parameters) if known is variable)

    def has_own_rule(self) -> bool:
        """Whether `update_step` is overridden."""
        return type(self).update_step is not OwnRule.update_step

    def own_state(self) -> list[Array]:
        """Return the values of the variables that the subclass made."""
        return [jnp.array(variable.value) for variable in self._own]

    def apply_own_rule(
        self, gradients: list[Array], state: list[Array], parameters: list[Array], rate: Any
    ) -> tuple[list[Array], list[Array]]:
        """Return parameters and state after `update_step` of each parameter."""
        values = dict(zip([*self._parameters, *self._own], [*parameters, *state], strict=True))
        with StatelessScope(values):
            for variable, gradient in zip(self._parameters, gradients, strict=True):
                self.update_step(gradient, variable, rate)
            after = [value_of(variable) for variable in (*self._parameters, *self._own)]
        return after[: len(parameters)], after[len(parameters) :]

    def run_own_apply(
        self, gradients: Sequence[Any], parameters: list[Any], kept: dict[Variable, Any]
    ) -> tuple[list[Any], list[Any]]:
        """Return the values of parameters and state after an `apply` that assigns variables."""
        values = {**dict(zip(self._parameters, parameters, strict=True)), **kept}
        with StatelessScope(values):
            self.apply(list(gradients), self._parameters)
            after = [value_of(variable) for variable in values]
        return after[: len(parameters)], after[len(parameters) :]
