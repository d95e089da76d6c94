"""Dynamic loss scaling, for training in float16."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xlathe.runtime.training.optimizers.optimizer import Optimizer, OptimizerState
from xlathe.tracer.layers.variable import Variable

Array = jax.Array


class LossScaleOptimizer(Optimizer):
    """Scale the loss up as far as gradients stay finite; skip steps where they don't.

    Args:
        inner_optimizer: the optimizer that makes the steps.
        initial_scale: the first factor.
        dynamic_growth_steps: after how many finite steps the factor is doubled.
        name: a name.
    """

    def __init__(
        self,
        inner_optimizer: Optimizer,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
    ) -> None:
        super().__init__(lambda: 0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        inner_optimizer.loss_scale_factor = None

    def get_config(self) -> dict[str, Any]:
        return {
            "inner_optimizer": self.inner_optimizer,
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
            "name": self.name,
        }

    def init_rule(self, parameters: list[Array]) -> Any:
        return {
            "dynamic_scale": jnp.asarray(self.initial_scale, jnp.float32),
            "step_counter": jnp.zeros((), jnp.int32),
            "inner": self.inner_optimizer.init(parameters),
        }

    def loss_scale(self, state: OptimizerState) -> Any:
        return state.rule["dynamic_scale"]

    def apply_rule(
        self, gradients: list[Array], rule: Any, parameters: list[Array], rate: Any, count: Array
    ) -> tuple[list[Array], Any]:
        scale, counter = rule["dynamic_scale"], rule["step_counter"]
        finite = jnp.all(jnp.stack([jnp.isfinite(grad).all() for grad in gradients]))

        def go() -> tuple[list[Array], Any]:
            grads = [grad / scale.astype(grad.dtype) for grad in gradients]
            new, inner = self.inner_optimizer.apply(grads, rule["inner"], parameters)
            grow = counter == self.dynamic_growth_steps - 1
            return new, {
                "dynamic_scale": jnp.where(grow, scale * 2.0, scale),
                "step_counter": jnp.where(grow, 0, counter + 1),
                "inner": inner,
            }

        def skip() -> tuple[list[Array], Any]:
            smaller = {"dynamic_scale": scale * 0.5, "step_counter": jnp.zeros_like(counter)}
            return parameters, {**smaller, "inner": rule["inner"]}

        return jax.lax.cond(finite, go, skip)

    @property
    def averages(self) -> list[Variable]:
        """The variables of the inner optimizer's moving averages."""
        return list(self._state_variables().rule["inner"].averages)

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's learning rate."""
        rate = self.state_of(self.variables).rule["inner"].learning_rate
        return self.inner_optimizer.learning_rate if isinstance(rate, tuple) else rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        for variable in self.variables:
            if variable.path.endswith("rule/inner/learning_rate"):
                variable.assign(learning_rate)
                return
        raise TypeError(
            "The learning rate of this optimizer comes from a schedule and is not settable. "
            "Make the optimizer with a float `learning_rate` to set it later."
        )
