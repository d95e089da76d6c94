"""What all optimizers share: state, learning rate, clipping, decay, accumulation and averages.

An optimizer is pure: `state = init(params)` and `params, state = apply(gradients, state, params)`
for any pytree; `update` makes it a transformation in optax's sense. Keras's face (`variables`,
`build`, `stateless_apply`, `apply_gradients`) is built on that.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from xlathe.runtime.training.once import run_once
from xlathe.runtime.training.optimizers.own_rules import OwnRule
from xlathe.tracer.layers.naming import snake_case
from xlathe.tracer.layers.variable import Variable, value_of

Array = jax.Array


class OptimizerState(NamedTuple):
    """An optimizer's state, a pytree; what an optimizer has no use for is empty."""

    iterations: Array
    learning_rate: Any
    rule: Any
    accumulated: Any
    averages: Any


class Optimizer(OwnRule):
    """Base of the optimizers: subclass it and write `slots` and `step`, or Keras's `update_step`.

    Args:
        learning_rate: a number, a schedule (a function of the step count), or a function without
            arguments.
        weight_decay: the share of each weight, times the learning rate, that a step takes off.
        clipnorm: the largest norm that each gradient may have.
        clipvalue: the largest absolute value that an element of a gradient may have.
        global_clipnorm: the largest norm that all gradients together may have.
        use_ema: whether to keep moving averages of the weights, which replace them after `fit`.
        ema_momentum: the momentum of the averages.
        ema_overwrite_frequency: after how many steps the averages replace the weights; or `None`.
        loss_scale_factor: a factor for the loss, taken off the gradients again.
        gradient_accumulation_steps: of how many steps the gradients are averaged for an update.
        name: a name.

    Source: Keras 3's `keras.optimizers.Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        if sum(value is not None for value in clips.values()) > 1:
            given = ", ".join(f"{key}={value}" for key, value in clips.items())
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. "
                f"Received: {given}"
            )
        if gradient_accumulation_steps is not None and gradient_accumulation_steps < 2:
            raise ValueError(
                "`gradient_accumulation_steps` must be an integer >= 2. Received: "
                f"gradient_accumulation_steps={gradient_accumulation_steps}"
            )
        if use_ema and not 0 <= ema_momentum <= 1:
            raise ValueError(
                f"`ema_momentum` must be in the range [0, 1]. Received: ema_momentum={ema_momentum}"
            )
        if use_ema and ema_overwrite_frequency is not None and ema_overwrite_frequency < 1:
            raise ValueError(
                "`ema_overwrite_frequency` must be an integer >= 1 or None. Received: "
                f"ema_overwrite_frequency={ema_overwrite_frequency}"
            )
        self.name = name or snake_case(type(self).__name__)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.built = False
        self._schedule: Any = learning_rate if callable(learning_rate) else None
        self._rate = 0.0 if self._schedule else _as_rate(learning_rate)
        self._variables: list[Variable] = []
        self._tree: Any = None
        self._parameters: list[Any] = []
        self._own: list[Variable] = []
        self._own_counted = 0
        self._undecayed: tuple[set[int], str | None] = (set(), None)

    def slots(self, parameter: Array) -> dict[str, Array]:
        """Return what the optimizer keeps for a parameter, before the first step."""
        return {}

    def step(
        self,
        parameter: Array,
        gradient: Array,
        slots: dict[str, Array],
        rate: Array,
        count: Array,
    ) -> tuple[Array, dict[str, Array]]:
        """Return a parameter and its slots after a step.

        Args:
            parameter: the parameter before.
            gradient: its gradient.
            slots: what is kept for it.
            rate: the learning rate, of the parameter's type.
            count: which step this is, from 1, of the parameter's type.

        Returns:
            The parameter and the slots after.
        """
        raise NotImplementedError

    def init_rule(self, parameters: list[Array]) -> Any:
        """Return the state of the update rule; `slots` of each parameter by default."""
        if self.has_own_rule():
            return self.own_state()
        return [self.slots(parameter) for parameter in parameters]

    def apply_rule(
        self, gradients: list[Array], rule: Any, parameters: list[Array], rate: Any, count: Array
    ) -> tuple[list[Array], Any]:
        """Return parameters and rule state after a step; `step` of each by default."""
        if self.has_own_rule():
            return self.apply_own_rule(gradients, rule, parameters, rate)
        results = []
        for parameter, gradient, slots in zip(parameters, gradients, rule, strict=True):
            kind = parameter.dtype
            values = (gradient.astype(kind), slots, rate.astype(kind), count.astype(kind))
            results.append(self.step(parameter, *values))
        return [new for new, _ in results], [slots for _, slots in results]

    def init(self, params: Any) -> OptimizerState:
        """Return the state before the first step for a pytree of parameters."""
        leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(params)]
        return OptimizerState(
            jnp.zeros((), jnp.int32),
            () if self._schedule else jnp.asarray(self._rate, jnp.float32),
            self.init_rule(leaves),
            [jnp.zeros_like(x) for x in leaves] if self.gradient_accumulation_steps else (),
            [jnp.zeros_like(x) for x in leaves] if self.use_ema else (),
        )

    def apply(self, gradients: Any, state: Any = None, params: Any = None) -> Any:
        """Return parameters and state after a step; or, as in Keras, update variables in place.

        Args:
            gradients: a pytree like `params`; `None` where there is no gradient.
            state: the state before; without `params` the variables to update, those that the
                optimizer was built with by default.
            params: the parameters before.

        Returns:
            Both after the step; `None` if variables were updated in place.
        """
        if params is None:
            variables = self._parameters if state is None else state
            Optimizer.apply_gradients(self, zip(gradients, variables, strict=True))
            return None
        leaves, tree = jax.tree.flatten(params)
        given = jax.tree.leaves(gradients, is_leaf=lambda x: x is None)
        grads = [
            jnp.zeros_like(leaf) if grad is None else grad
            for leaf, grad in zip(leaves, given, strict=True)
        ]
        if self.loss_scale_factor is not None:
            grads = [grad / self.loss_scale_factor for grad in grads]
        new, rule, accumulated = self._update(grads, state, leaves)
        averages = state.averages
        if self.use_ema:
            new, averages = self._average(new, averages, self._steps(state.iterations))
        state = OptimizerState(
            state.iterations + 1, state.learning_rate, rule, accumulated, averages
        )
        return jax.tree.unflatten(tree, new), state

    def update(
        self, updates: Any, state: OptimizerState, params: Any = None
    ) -> tuple[Any, OptimizerState]:
        """Return what to add to the parameters, and the new state: optax's form of `apply`."""
        if params is None:
            raise ValueError(f"{type(self).__name__}.update needs the parameters: pass `params`.")
        new, state = self.apply(updates, state, params)
        return jax.tree.map(lambda after, before: after - before, new, params), state

    def loss_scale(self, state: OptimizerState) -> Any:
        """Return the factor that the loss is to be multiplied by, or `None`."""
        return self.loss_scale_factor

    def _steps(self, iterations: Array) -> Array:
        """How many updates there were."""
        if self.gradient_accumulation_steps:
            return iterations // self.gradient_accumulation_steps
        return iterations

    def _current_rate(self, state: OptimizerState) -> Array:
        if self._schedule is None:
            return state.learning_rate
        takes_step = _takes_an_argument(self._schedule)
        rate = self._schedule(state.iterations) if takes_step else self._schedule()
        return jnp.asarray(rate, jnp.float32)

    def _update(
        self, grads: list[Array], state: OptimizerState, leaves: list[Array]
    ) -> tuple[list[Array], Any, Any]:
        rate, count = self._current_rate(state), self._steps(state.iterations) + 1

        def run(grads: list[Array]) -> tuple[list[Array], Any]:
            decayed = self._decay(leaves, rate)
            return self.apply_rule(self._clip(grads), state.rule, decayed, rate, count)

        steps = self.gradient_accumulation_steps
        if not steps:
            return *run(grads), ()
        sums = [total + grad for total, grad in zip(state.accumulated, grads, strict=True)]
        new, rule, sums = jax.lax.cond(
            (state.iterations + 1) % steps == 0,
            lambda: (*run([x / steps for x in sums]), [jnp.zeros_like(x) for x in sums]),
            lambda: (leaves, state.rule, sums),
        )
        return new, rule, sums

    def _clip(self, grads: list[Array]) -> list[Array]:
        if self.clipnorm and self.clipnorm > 0:
            norms = [jnp.sqrt(jnp.square(grad).sum()) for grad in grads]
            return [
                grad * self.clipnorm / jnp.maximum(norm, self.clipnorm)
                for grad, norm in zip(grads, norms, strict=True)
            ]
        if self.global_clipnorm and self.global_clipnorm > 0:
            norm = optax.tree.norm(grads)
            limit = self.global_clipnorm
            scale = limit * jnp.minimum(1.0 / norm, 1.0 / limit) + (norm - norm)
            return [grad * scale for grad in grads]
        if self.clipvalue and self.clipvalue > 0:
            return [jnp.clip(grad, -self.clipvalue, self.clipvalue) for grad in grads]
        return grads

    def _decay(self, leaves: list[Array], rate: Array) -> list[Array]:
        if self.weight_decay is None:
            return leaves
        return [
            leaf - leaf * self.weight_decay * rate.astype(leaf.dtype) if self._decays(i) else leaf
            for i, leaf in enumerate(leaves)
        ]

    def _decays(self, index: int) -> bool:
        excluded, pattern = self._undecayed
        if index >= len(self._parameters):
            return True
        variable = self._parameters[index]
        if id(variable) in excluded:
            return False
        return not (pattern and re.search(pattern, getattr(variable, "name", "")))

    def _average(
        self, leaves: list[Array], averages: list[Array], steps: Array
    ) -> tuple[list[Array], list[Array]]:
        momentum = jnp.where(steps == 0, 0.0, self.ema_momentum)
        averages = [
            (momentum * mean + (1 - momentum) * leaf).astype(leaf.dtype)
            for mean, leaf in zip(averages, leaves, strict=True)
        ]
        if self.ema_overwrite_frequency:
            replace = (steps + 1) % self.ema_overwrite_frequency == 0
            leaves = [
                jnp.where(replace, mean, leaf) for mean, leaf in zip(averages, leaves, strict=True)
            ]
        return leaves, averages

    @property
    def variables(self) -> list[Variable]:
        """The state as variables: the step count, the learning rate, and what a rule keeps."""
        # A `build` of the user's adds variables after that of this class has made the state.
        if not self._variables or (self.has_own_rule() and len(self._own) != self._own_counted):
            self._make_variables([variable.value for variable in self._parameters])
        return list(self._variables)

    def build(self, variables: Iterable[Any]) -> None:
        """Make the state for a list of variables, unless there is one already."""
        if self.built:
            return
        self._parameters = list(variables)
        self._make_variables([variable.value for variable in self._parameters])
        self.built = True

    def _make_variables(self, parameters: list[Array]) -> None:
        before = self._variables
        self._own_counted = len(self._own)
        state = run_once(self.init, parameters)
        paths, self._tree = jax.tree_util.tree_flatten_with_path(state)
        self._variables = [
            Variable(leaf, trainable=False, path=f"{self.name}/{_path_name(path)}")
            for path, leaf in paths
        ]
        # What was set before the optimizer was built stays: the step count and the rate.
        for old, new in zip(before, self._variables, strict=False):
            if old.path == new.path:
                new.assign(old.value)

    @property
    def iterations(self) -> Any:
        """How many updates there were."""
        return self._steps(self.variables[0].value)

    @property
    def learning_rate(self) -> Any:
        """The learning rate: a variable that can be assigned, or what the schedule says now."""
        if self._schedule is None:
            return self.variables[1]
        state = OptimizerState(self.variables[0].value, (), (), (), ())
        return self._current_rate(state)

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        if self._schedule is not None or callable(learning_rate):
            raise TypeError(
                "The learning rate of this optimizer comes from a schedule and is not settable. "
                "Make the optimizer with a float `learning_rate` to set it later."
                if self._schedule is not None
                else "A schedule can only be given when the optimizer is made. Received: "
                f"learning_rate={learning_rate!r}"
            )
        self.variables[1].assign(learning_rate)

    def state_of(self, values: Sequence[Any]) -> OptimizerState:
        """Return the state that a list of the variables' values stands for."""
        if len(values) != len(self.variables):
            raise ValueError(
                "Argument `optimizer_variables` must be a list of tensors corresponding 1:1 to "
                f"{type(self).__name__}().variables. Received list with length {len(values)}, "
                f"but expected {len(self._variables)} variables."
            )
        return jax.tree.unflatten(self._tree, [getattr(x, "value", x) for x in values])

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
    ) -> tuple[list[Any], list[Any]]:
        """Return the values of trainable and optimizer variables after a step.

        Args:
            optimizer_variables: the values of `variables`.
            grads: a gradient for each trainable variable.
            trainable_variables: the values of the variables that the optimizer was built with.

        Returns:
            Two lists of values.

        Raises:
            ValueError: the optimizer has not been built, or the lists don't fit.
        """
        if not self.built:
            raise ValueError(
                f"To call `stateless_apply`, {type(self).__name__} must be built (i.e. its "
                "variables must have been created). You can build it via "
                "`optimizer.build(trainable_variables)`."
            )
        if not len(grads) == len(trainable_variables) == len(self._parameters):
            raise ValueError(
                "`grads` and `trainable_variables` must be lists corresponding 1:1 to the "
                f"{len(self._parameters)} variables that the optimizer was built with. Received "
                f"{len(grads)} gradients and {len(trainable_variables)} variables."
            )
        values = [value_of(variable) for variable in trainable_variables]
        if type(self).apply is not Optimizer.apply:
            kept = dict(zip(self.variables, map(value_of, optimizer_variables), strict=True))
            return self.run_own_apply(grads, values, kept)
        return self._applied(optimizer_variables, grads, values)

    def _applied(
        self, optimizer_variables: Sequence[Any], grads: Sequence[Any], values: list[Any]
    ) -> tuple[list[Any], list[Any]]:
        state = self.state_of(optimizer_variables)
        new, state = Optimizer.apply(self, list(grads), state, values)
        new = [
            value if getattr(variable, "constraint", None) is None else variable.constraint(value)
            for variable, value in zip(self._parameters, new, strict=True)
        ]
        return new, jax.tree.leaves(state)

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> Array:
        """Update variables in place by `(gradient, variable)` pairs; return the step count."""
        pairs = list(grads_and_vars)
        self.build([variable for _, variable in pairs])
        new, state = self._applied(
            self.variables, [grad for grad, _ in pairs], [variable.value for _, variable in pairs]
        )
        for variable, value in zip(self._parameters + self._variables, new + state, strict=True):
            variable.assign(value)
        return self.iterations

    @property
    def averages(self) -> list[Variable]:
        """The variables of the weights' moving averages; none unless `use_ema`."""
        return list(self._state_variables().averages)

    def _state_variables(self) -> OptimizerState:
        """Return the state with a variable in the place of each value."""
        variables = self.variables  # which makes the tree
        return jax.tree.unflatten(self._tree, variables)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Replace weights by their moving averages, if these are kept."""
        averages = self.averages
        for variable, average in zip(var_list, averages, strict=True) if averages else ():
            variable.assign(average.value)

    def exclude_from_weight_decay(
        self, var_list: Iterable[Any] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave variables out of weight decay, given themselves or parts of their names."""
        names = "|".join(sorted(set(var_names or ())))
        self._undecayed = ({id(variable) for variable in var_list or ()}, names or None)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this optimizer again."""
        known = inspect.signature(type(self).__init__).parameters
        base = inspect.signature(Optimizer.__init__).parameters
        names = [name for name in {**known, **base} if name not in ("self", "learning_rate")]
        config = {name: getattr(self, name) for name in names if hasattr(self, name)}
        if self._schedule is None:
            return {"learning_rate": float(self.variables[1].value), **config}
        return {"learning_rate": self._schedule, **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Optimizer:
        """Make an optimizer of what `get_config` returned."""
        return cls(**config)


def _as_rate(learning_rate: Any) -> float:
    try:
        return float(getattr(learning_rate, "value", learning_rate))
    except (TypeError, ValueError):
        raise ValueError(
            "Argument `learning_rate` should be float, or an instance of LearningRateSchedule, or "
            "a callable (that takes in the current iteration value and returns the corresponding "
            f"learning rate value). Received instead: learning_rate={learning_rate!r}"
        ) from None


def _takes_an_argument(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(
        item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD, item.VAR_POSITIONAL)
        for item in parameters
    )


def _path_name(path: Sequence[Any]) -> str:
    parts = [getattr(key, "name", getattr(key, "key", getattr(key, "idx", key))) for key in path]
    return "/".join(map(str, parts))
