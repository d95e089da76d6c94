"""The optimizers by Keras's names, with its arguments, defaults and numbers, and `get`.

Where Keras places epsilon or momentum differently from optax, the update is written out here, so
that scripts give the numbers that they gave in Keras; any optax object can be used instead.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from xlathe.runtime.training.names import find, from_config
from xlathe.runtime.training.optimizers.loss_scaling import LossScaleOptimizer as LossScaleOptimizer
from xlathe.runtime.training.optimizers.optimizer import Optimizer as Optimizer
from xlathe.runtime.training.optimizers.optimizer import OptimizerState as OptimizerState

Array = jax.Array
Slots = dict[str, Array]


class SGD(Optimizer):
    """Gradient descent, with momentum if wanted."""

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, **kwargs)
        if not isinstance(momentum, float) or momentum < 0 or momentum > 1:
            raise ValueError(
                f"`momentum` must be a float between [0, 1]. Received: momentum={momentum!r}"
            )
        self.momentum = momentum
        self.nesterov = nesterov

    def slots(self, parameter: Array) -> Slots:
        return {"momentum": jnp.zeros_like(parameter)} if self.momentum else {}

    def step(
        self, parameter: Array, gradient: Array, slots: Slots, rate: Array, count: Array
    ) -> tuple[Array, Slots]:
        if not self.momentum:
            return parameter - gradient * rate, slots
        momentum = slots["momentum"] * self.momentum - gradient * rate
        move = momentum * self.momentum - gradient * rate if self.nesterov else momentum
        return parameter + move, {"momentum": momentum}


class RMSprop(Optimizer):
    """Gradients divided by the root of a moving average of their squares."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, **kwargs)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered

    def slots(self, parameter: Array) -> Slots:
        names = ["velocity"]
        names += ["momentum"] if self.momentum > 0 else []
        names += ["average_gradient"] if self.centered else []
        return {name: jnp.zeros_like(parameter) for name in names}

    def step(
        self, parameter: Array, gradient: Array, slots: Slots, rate: Array, count: Array
    ) -> tuple[Array, Slots]:
        new = {"velocity": self.rho * slots["velocity"] + (1 - self.rho) * jnp.square(gradient)}
        spread = new["velocity"]
        if self.centered:
            mean = self.rho * slots["average_gradient"] + (1 - self.rho) * gradient
            new["average_gradient"] = mean
            spread = spread - jnp.square(mean)
        move = rate * gradient / jnp.sqrt(spread + self.epsilon)
        if self.momentum > 0:
            move = self.momentum * slots["momentum"] + move
            new["momentum"] = move
        return parameter - move, new


def _towards(value: Array, target: Array, share: float) -> Array:
    """A moving average after one more value."""
    return value + (target - value) * share


class Adam(Optimizer):
    """Adaptive moments."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def slots(self, parameter: Array) -> Slots:
        names = ["momentum", "velocity"] + (["velocity_hat"] if self.amsgrad else [])
        return {name: jnp.zeros_like(parameter) for name in names}

    def step(
        self, parameter: Array, gradient: Array, slots: Slots, rate: Array, count: Array
    ) -> tuple[Array, Slots]:
        first, second = 1 - self.beta_1**count, 1 - self.beta_2**count
        alpha = rate * jnp.sqrt(second) / first
        momentum = _towards(slots["momentum"], gradient, 1 - self.beta_1)
        velocity = _towards(slots["velocity"], jnp.square(gradient), 1 - self.beta_2)
        new = {"momentum": momentum, "velocity": velocity}
        if self.amsgrad:
            velocity = new["velocity_hat"] = jnp.maximum(slots["velocity_hat"], velocity)
        return parameter - momentum * alpha / (jnp.sqrt(velocity) + self.epsilon), new


class AdamW(Adam):
    """Adam with decoupled weight decay."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, **kwargs)
        if weight_decay is None:
            raise ValueError("Argument `weight_decay` must be a float. Received: weight_decay=None")


class Adamax(Optimizer):
    """Adam with the infinity norm."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def slots(self, parameter: Array) -> Slots:
        return {name: jnp.zeros_like(parameter) for name in ("momentum", "norm")}

    def step(
        self, parameter: Array, gradient: Array, slots: Slots, rate: Array, count: Array
    ) -> tuple[Array, Slots]:
        momentum = _towards(slots["momentum"], gradient, 1 - self.beta_1)
        norm = jnp.maximum(self.beta_2 * slots["norm"], jnp.abs(gradient))
        scale = (1 - self.beta_1**count) * (norm + self.epsilon)
        return parameter - rate * momentum / scale, {"momentum": momentum, "norm": norm}


class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of their squares."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, **kwargs)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def slots(self, parameter: Array) -> Slots:
        return {"accumulator": jnp.full_like(parameter, self.initial_accumulator_value)}

    def step(
        self, parameter: Array, gradient: Array, slots: Slots, rate: Array, count: Array
    ) -> tuple[Array, Slots]:
        total = slots["accumulator"] + jnp.square(gradient)
        move = rate * gradient / jnp.sqrt(total + self.epsilon)
        return parameter - move, {"accumulator": total}


class Adadelta(Optimizer):
    """Steps scaled by the ratio of what moved to what the gradients were."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, **kwargs)
        self.rho = rho
        self.epsilon = epsilon

    def slots(self, parameter: Array) -> Slots:
        names = ("accumulated_grad", "accumulated_delta_var")
        return {name: jnp.zeros_like(parameter) for name in names}

    def step(
        self, parameter: Array, gradient: Array, slots: Slots, rate: Array, count: Array
    ) -> tuple[Array, Slots]:
        squares = self.rho * slots["accumulated_grad"] + (1 - self.rho) * jnp.square(gradient)
        moved = slots["accumulated_delta_var"]
        move = -jnp.sqrt(moved + self.epsilon) * gradient / jnp.sqrt(squares + self.epsilon)
        moved = self.rho * moved + (1 - self.rho) * jnp.square(move)
        new = {"accumulated_grad": squares, "accumulated_delta_var": moved}
        return parameter + rate * move, new


class Nadam(Adam):
    """Adam with Nesterov momentum."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, False, weight_decay, **kwargs)

    def _decayed_beta(self, count: Array) -> Array:
        return self.beta_1 * (1.0 - 0.5 * 0.96**count)

    def init_rule(self, parameters: list[Array]) -> Any:
        kind = parameters[0].dtype if parameters else jnp.float32
        return {"u_product": jnp.ones((), kind), "slots": super().init_rule(parameters)}

    def apply_rule(
        self, gradients: list[Array], rule: Any, parameters: list[Array], rate: Any, count: Array
    ) -> tuple[list[Array], Any]:
        product = rule["u_product"]
        product = product * self._decayed_beta(count.astype(product.dtype))
        slots = [{**item, "u_product": product} for item in rule["slots"]]
        new, slots = super().apply_rule(gradients, slots, parameters, rate, count)
        return new, {"u_product": product, "slots": slots}

    def step(
        self, parameter: Array, gradient: Array, slots: Slots, rate: Array, count: Array
    ) -> tuple[Array, Slots]:
        now, ahead = self._decayed_beta(count), self._decayed_beta(count + 1)
        product = slots["u_product"].astype(parameter.dtype)
        momentum = _towards(slots["momentum"], gradient, 1 - self.beta_1)
        velocity = _towards(slots["velocity"], jnp.square(gradient), 1 - self.beta_2)
        expected = ahead * momentum / (1 - product * ahead) + (1 - now) * gradient / (1 - product)
        spread = velocity / (1 - self.beta_2**count)
        move = expected * rate / (jnp.sqrt(spread) + self.epsilon)
        return parameter - move, {"momentum": momentum, "velocity": velocity}


class Ftrl(Optimizer):
    """Follow the regularized leader."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        weight_decay: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, **kwargs)
        if learning_rate_power > 0.0:
            raise ValueError(
                "`learning_rate_power` needs to be negative or zero. Received: "
                f"learning_rate_power={learning_rate_power}."
            )
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta
        for name in (
            "initial_accumulator_value",
            "l1_regularization_strength",
            "l2_regularization_strength",
            "l2_shrinkage_regularization_strength",
        ):
            if getattr(self, name) < 0.0:
                raise ValueError(
                    f"`{name}` needs to be positive or zero. Received: "
                    f"{name}={getattr(self, name)}."
                )

    def slots(self, parameter: Array) -> Slots:
        total = jnp.full_like(parameter, self.initial_accumulator_value)
        return {"accumulator": total, "linear": jnp.zeros_like(parameter)}

    def step(
        self, parameter: Array, gradient: Array, slots: Slots, rate: Array, count: Array
    ) -> tuple[Array, Slots]:
        shrunk = gradient + 2 * self.l2_shrinkage_regularization_strength * parameter
        total = slots["accumulator"] + jnp.square(gradient)
        after = jnp.power(total, -self.learning_rate_power)
        before = jnp.power(slots["accumulator"], -self.learning_rate_power)
        linear = slots["linear"] + shrunk - (after - before) / rate * parameter
        l2 = self.l2_regularization_strength + self.beta / (2.0 * rate)
        bound = self.l1_regularization_strength
        new = (jnp.clip(linear, -bound, bound) - linear) / (after / rate + 2 * l2)
        return new, {"accumulator": total, "linear": linear}


class Lion(Optimizer):
    """The sign of a momentum."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        weight_decay: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, **kwargs)
        if beta_1 <= 0 or beta_1 > 1:
            raise ValueError(
                "Argument `beta_1` must be in the [0, 1] range. Otherwise, the optimizer "
                f"degenerates to SignSGD. Received: beta_1={beta_1}."
            )
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def slots(self, parameter: Array) -> Slots:
        return {"momentum": jnp.zeros_like(parameter)}

    def step(
        self, parameter: Array, gradient: Array, slots: Slots, rate: Array, count: Array
    ) -> tuple[Array, Slots]:
        old = slots["momentum"]
        move = jnp.sign(old * self.beta_1 + gradient * (1.0 - self.beta_1))
        momentum = old * self.beta_2 + gradient * (1.0 - self.beta_2)
        return parameter - rate * move, {"momentum": momentum}


class Lamb(Adam):
    """Adam with steps in proportion to each weight's norm."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, False, weight_decay, **kwargs)

    def step(
        self, parameter: Array, gradient: Array, slots: Slots, rate: Array, count: Array
    ) -> tuple[Array, Slots]:
        momentum = _towards(slots["momentum"], gradient, 1 - self.beta_1)
        velocity = _towards(slots["velocity"], jnp.square(gradient), 1 - self.beta_2)
        spread = jnp.sqrt(velocity / (1.0 - self.beta_2**count)) + self.epsilon
        move = momentum / (1.0 - self.beta_1**count) / spread
        weight_norm = jnp.sqrt(jnp.square(parameter).sum())
        move_norm = jnp.sqrt(jnp.square(move).sum())
        known = (weight_norm > 0) & (move_norm > 0)
        ratio = jnp.where(known, weight_norm / jnp.where(known, move_norm, 1.0), 1.0)
        return parameter - ratio * rate * move, {"momentum": momentum, "velocity": velocity}


class Adafactor(Optimizer):
    """Adam with second moments kept by rows and columns."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        weight_decay: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, **kwargs)
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step

    def slots(self, parameter: Array) -> Slots:
        if parameter.ndim < 2:
            return {"velocity": jnp.zeros_like(parameter)}
        rows, columns = parameter.shape[:-1], parameter.shape[:-2] + parameter.shape[-1:]
        return {
            "row": jnp.zeros(rows, parameter.dtype),
            "column": jnp.zeros(columns, parameter.dtype),
        }

    def step(
        self, parameter: Array, gradient: Array, slots: Slots, rate: Array, count: Array
    ) -> tuple[Array, Slots]:
        relative = jnp.minimum(rate, 1 / jnp.sqrt(count))
        alpha = jnp.maximum(self.epsilon_2, _root_mean_square(parameter)) * relative
        squares = jnp.square(gradient) + self.epsilon_1
        decay = 1 - jnp.power(count, self.beta_2_decay)
        if parameter.ndim < 2:
            velocity = decay * slots["velocity"] + (1 - decay) * squares
            new = {"velocity": velocity}
        else:
            row = decay * slots["row"] + (1 - decay) * squares.mean(-1)
            column = decay * slots["column"] + (1 - decay) * squares.mean(-2)
            velocity = (row / row.mean(-1, keepdims=True))[..., None] * column[..., None, :]
            new = {"row": row, "column": column}
        move = gradient / jnp.sqrt(velocity)
        move = move / jnp.maximum(1.0, _root_mean_square(move) / self.clip_threshold)
        return parameter - alpha * move, new


def _root_mean_square(values: Array) -> Array:
    return jnp.sqrt(jnp.square(values).mean())


class Optax(Optimizer):
    """An optax transformation as an optimizer.

    Args:
        transformation: the transformation, its learning rate included.
        name: a name.
    """

    def __init__(
        self, transformation: optax.GradientTransformation, name: str = "optax", **kwargs: Any
    ) -> None:
        # The transformation has its own rate; a schedule leaves none in the state.
        super().__init__(lambda: 1.0, name=name, **kwargs)
        self.transformation = transformation

    def init_rule(self, parameters: list[Array]) -> Any:
        return self.transformation.init(parameters)

    def apply_rule(
        self, gradients: list[Array], rule: Any, parameters: list[Array], rate: Any, count: Array
    ) -> tuple[list[Array], Any]:
        updates, rule = self.transformation.update(gradients, rule, parameters)
        return list(optax.apply_updates(parameters, updates)), rule  # pyright: ignore[reportArgumentType]


_CLASSES = (
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    AdamW,
    Adamax,
    Ftrl,
    Lamb,
    Lion,
    Nadam,
    RMSprop,
    SGD,
)
NAMED: dict[str, Any] = {
    **{item.__name__: item for item in _CLASSES},
    **{item.__name__.lower(): item for item in _CLASSES},
}


def get(identifier: Any) -> Optimizer:
    """Return an optimizer of what a user gives: a name, a config, a class, an object, or optax's.

    Args:
        identifier: the above.

    Returns:
        The optimizer.

    Raises:
        ValueError: the name is not known, or the object is not an optimizer.
    """
    if isinstance(identifier, str):
        known = identifier if identifier in NAMED else identifier.lower()
        identifier = NAMED[known] if known in NAMED else find("optimizer", identifier, NAMED)
    if isinstance(identifier, dict):
        identifier = from_config("optimizer", identifier)
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        identifier = identifier()  # pyright: ignore[reportCallIssue]
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, optax.GradientTransformation):
        return Optax(identifier)
    raise ValueError(
        f"Could not interpret optimizer identifier: {identifier!r}. Expected a name, an "
        "optimizers.Optimizer, or an optax.GradientTransformation."
    )
