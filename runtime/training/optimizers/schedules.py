"""Learning-rate schedules by Keras's names: functions of the step count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array


class LearningRateSchedule:
    """A schedule: subclass it and write `__call__(step)`; optax's schedules work as well."""

    def __call__(self, step: Any) -> Any:
        raise NotImplementedError(
            f"Learning rate schedule '{type(self).__name__}' must override `__call__(self, step)`."
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this schedule again."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearningRateSchedule:
        """Make a schedule of what `get_config` returned."""
        return cls(**config)


def _positive(name: str, value: float) -> float:
    if value <= 0:
        raise ValueError(f"Argument `{name}` must be > 0. Received: {name}={value}")
    return value


class ExponentialDecay(LearningRateSchedule):
    """`initial_learning_rate * decay_rate ** (step / decay_steps)`."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Any) -> Array:
        progress = jnp.asarray(step, jnp.float32) / self.decay_steps
        progress = jnp.floor(progress) if self.staircase else progress
        return self.initial_learning_rate * jnp.power(self.decay_rate, progress)


class PiecewiseConstantDecay(LearningRateSchedule):
    """One value up to each boundary, and a last one."""

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str = "PiecewiseConstant",
    ) -> None:
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "The length of boundaries should be 1 less than the length of values. Received: "
                f"boundaries={boundaries} of length {len(boundaries)}, and values={values} of "
                f"length {len(values)}."
            )
        self.boundaries = list(boundaries)
        self.values = list(values)
        self.name = name

    def __call__(self, step: Any) -> Array:
        passed = (jnp.asarray(step) > jnp.asarray(self.boundaries)).sum()
        return jnp.asarray(self.values, jnp.float32)[passed]


class PolynomialDecay(LearningRateSchedule):
    """From an initial to an end rate along a power of the progress."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def __call__(self, step: Any) -> Array:
        step = jnp.asarray(step, jnp.float32)
        length = jnp.asarray(self.decay_steps, jnp.float32)
        if self.cycle:
            length = length * jnp.where(step == 0, 1.0, jnp.ceil(step / self.decay_steps))
        else:
            step = jnp.minimum(step, length)
        span = self.initial_learning_rate - self.end_learning_rate
        return span * jnp.power(1 - step / length, self.power) + self.end_learning_rate


class InverseTimeDecay(LearningRateSchedule):
    """`initial_learning_rate / (1 + decay_rate * step / decay_steps)`."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Any) -> Array:
        progress = jnp.asarray(step, jnp.float32) / self.decay_steps
        progress = jnp.floor(progress) if self.staircase else progress
        return self.initial_learning_rate / (1 + self.decay_rate * progress)


class CosineDecay(LearningRateSchedule):
    """Half a cosine down to `alpha` of the rate, after a linear warm-up if wanted."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def _decayed(self, step: Array, peak: float) -> Array:
        cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * step / self.decay_steps))
        return peak * ((1 - self.alpha) * cosine + self.alpha)

    def __call__(self, step: Any) -> Array:
        step = jnp.asarray(step, jnp.float32)
        if self.warmup_target is None:
            return self._decayed(jnp.minimum(step, self.decay_steps), self.initial_learning_rate)
        step = jnp.minimum(step, self.decay_steps + self.warmup_steps)
        rise = (self.warmup_target - self.initial_learning_rate) / max(self.warmup_steps, 1)
        return jnp.where(
            step < self.warmup_steps,
            rise * step + self.initial_learning_rate,
            self._decayed(step - self.warmup_steps, self.warmup_target),
        )


class CosineDecayRestarts(LearningRateSchedule):
    """Half cosines one after the other, each longer by `t_mul` and lower by `m_mul`."""

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = _positive("first_decay_steps", first_decay_steps)
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def __call__(self, step: Any) -> Array:
        progress = jnp.asarray(step, jnp.float32) / self.first_decay_steps
        if self.t_mul == 1.0:
            restarts = jnp.floor(progress)
            progress = progress - restarts
        else:
            grown = 1.0 - progress * (1.0 - self.t_mul)
            restarts = jnp.floor(jnp.log(grown) / jnp.log(self.t_mul))
            length = jnp.power(self.t_mul, restarts)
            progress = (progress - (1.0 - length) / (1.0 - self.t_mul)) / length
        peak = jnp.power(self.m_mul, restarts)
        cosine = 0.5 * peak * (1.0 + jnp.cos(jnp.pi * progress))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)
