"""Layers that disturb their input in training: the dropout family, and noise."""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.random import SeedGenerator
from xlathe.tracer.layers.regularizers import L1L2
from xlathe.tracer.layers.specs import InputSpec

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


class _Random(Layer):
    """A layer with a rate and a seed, which does something in training alone."""

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 <= rate <= 1:
            raise ValueError(
                "Invalid value received for argument `rate`. Expected a float value between 0 and "
                f"1. Received: rate={rate}"
            )
        self.rate, self.seed = rate, seed
        if rate > 0:
            self.seed_generator = SeedGenerator(seed, self.name)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, training: Any = False) -> Any:
        return self._disturb(inputs) if training and self.rate > 0 else inputs

    def _disturb(self, inputs: Any) -> Any:
        raise NotImplementedError

    def _keep(self, inputs: Any, noise_shape: Any) -> Any:
        """Return which values are kept: a boolean array that broadcasts to the inputs."""
        shape = inputs.shape
        if noise_shape is not None:
            shape = tuple(
                n if n is not None else s for n, s in zip(noise_shape, shape, strict=True)
            )
        return jax.random.bernoulli(self.seed_generator.next_key(), 1.0 - self.rate, shape)

    def _drop(self, inputs: Any, noise_shape: Any) -> Any:
        if self.rate >= 1:
            return jnp.zeros_like(inputs)
        kept = inputs / jnp.asarray(1.0 - self.rate, inputs.dtype)
        return jnp.where(self._keep(inputs, noise_shape), kept, jnp.zeros_like(inputs))


class Dropout(_Random):
    """Set a fraction of the values to zero in training, and scale the others up.

    Arguments:
        rate: the fraction.
        noise_shape: the shape of what is drawn: an axis of size one is dropped as a whole.
        seed: an integer, to draw the same again.
    """

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any
    ):
        super().__init__(rate, seed, **kwargs)
        self.noise_shape = _noise_shape(noise_shape)

    def _disturb(self, inputs: Any) -> Any:
        return self._drop(inputs, self.noise_shape)


class AlphaDropout(_Random):
    """Dropout that keeps the mean and variance of self-normalising activations."""

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any
    ):
        super().__init__(rate, seed, **kwargs)
        self.noise_shape = _noise_shape(noise_shape)

    def _disturb(self, inputs: Any) -> Any:
        low = -_SELU_ALPHA * _SELU_SCALE
        scale = ((1 - self.rate) * (1 + self.rate * low**2)) ** -0.5
        kept = jnp.where(self._keep(inputs, self.noise_shape), inputs, low).astype(inputs.dtype)
        return scale * kept - scale * low * self.rate


class GaussianDropout(_Random):
    """Multiply by noise of mean one, whose variance is that of dropout at this rate."""

    def _disturb(self, inputs: Any) -> Any:
        spread = math.sqrt(self.rate / (1.0 - self.rate))
        noise = jax.random.normal(self.seed_generator.next_key(), inputs.shape, inputs.dtype)
        return inputs * (1 + spread * noise)


class _SpatialDropout(_Random):
    """Drop whole feature maps."""

    rank: ClassVar[int]

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(rate, seed, **kwargs)
        self.data_format = data_format or "channels_last"
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _disturb(self, inputs: Any) -> Any:
        ones = (1,) * self.rank
        if self.data_format == "channels_last":
            return self._drop(inputs, (None, *ones, None))
        return self._drop(inputs, (None, None, *ones))


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole feature maps over time."""

    rank = 1

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any):
        super().__init__(rate, seed=seed, **kwargs)


class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole feature maps of images."""

    rank = 2


class SpatialDropout3D(_SpatialDropout):
    """Dropout of whole feature maps of volumes."""

    rank = 3


class GaussianNoise(Layer):
    """Add noise of mean zero in training.

    Arguments:
        stddev: its standard deviation.
        seed: an integer, to draw the same again.
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 <= stddev <= 1:
            raise ValueError(
                "Invalid value received for argument `stddev`. Expected a float value between 0 "
                f"and 1. Received: stddev={stddev}"
            )
        self.stddev, self.seed = stddev, seed
        if stddev > 0:
            self.seed_generator = SeedGenerator(seed, self.name)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, training: Any = False) -> Any:
        if not training or self.stddev <= 0:
            return inputs
        key = self.seed_generator.next_key()
        return inputs + self.stddev * jax.random.normal(key, inputs.shape, inputs.dtype)


class ActivityRegularization(Layer):
    """The input as it is, with a penalty on it added to the loss."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any):
        super().__init__(activity_regularizer=L1L2(l1, l2), **kwargs)
        self.supports_masking = True
        self.l1, self.l2 = l1, l2
        self.built = True

    def call(self, inputs: Any) -> Any:
        return inputs


def _noise_shape(shape: Any) -> tuple[int | None, ...] | None:
    if shape is None:
        return None
    if isinstance(shape, str) or not all(
        n is None or (isinstance(n, int) and n > 0) for n in shape
    ):
        raise ValueError(
            "Invalid value received for argument `noise_shape`. Expected a tuple or list of "
            f"positive integers or None. Received: noise_shape={shape}"
        )
    return tuple(shape)


__all__ = [
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]
