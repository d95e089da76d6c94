"""Initializers by Keras's names, from `jax.nn.initializers`.

Each takes `(shape, dtype)`, and draws from its own seed, or from the `key` it is given.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.tracer.layers import naming, random, serialization


class Initializer(serialization.Configurable):
    """A function from a shape and an element type to an array."""

    takes_key = False

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> jax.Array:
        raise NotImplementedError("Initializer subclasses must implement `__call__()`.")

    def clone(self) -> "Initializer":
        return type(self).from_config(self.get_config())


class RandomInitializer(Initializer):
    """An initializer that draws: with its own seed, always the same; or with a key."""

    takes_key = True

    def __init__(self, seed: Any = None):
        self.seed = random.draw_seed() if seed is None else seed

    def __call__(self, shape: Any, dtype: Any = None, *, key: Any = None, **kwargs: Any):
        key = random.key_of(self.seed) if key is None else key
        return self._draw(key, tuple(shape), jnp.dtype(dtype or "float32"))

    def _draw(self, key: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        raise NotImplementedError


class Zeros(Initializer):
    """All zeros."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> jax.Array:
        return jnp.zeros(shape, dtype or "float32")


class Ones(Initializer):
    """All ones."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> jax.Array:
        return jnp.ones(shape, dtype or "float32")


class Constant(Initializer):
    """One value, or an array of the right shape."""

    def __init__(self, value: Any = 0.0):
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> jax.Array:
        value = jnp.asarray(self.value, dtype or "float32")
        return jnp.broadcast_to(value, tuple(shape))


class Identity(Initializer):
    """The identity matrix times `gain`."""

    def __init__(self, gain: float = 1.0):
        self.gain = gain

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> jax.Array:
        if len(shape) != 2:
            raise ValueError(
                "Identity matrix initializer can only be used for 2D matrices. Received: "
                f"shape={shape} of rank {len(shape)}."
            )
        return self.gain * jnp.eye(*shape, dtype=dtype or "float32")


class RandomNormal(RandomInitializer):
    """Normally distributed values."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None):
        super().__init__(seed)
        self.mean, self.stddev = mean, stddev

    def _draw(self, key, shape, dtype):
        return self.mean + self.stddev * jax.random.normal(key, shape, dtype)


class TruncatedNormal(RandomInitializer):
    """Normally distributed values, drawn again beyond two standard deviations."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None):
        super().__init__(seed)
        self.mean, self.stddev = mean, stddev

    def _draw(self, key, shape, dtype):
        return self.mean + self.stddev * jax.random.truncated_normal(key, -2, 2, shape, dtype)


class RandomUniform(RandomInitializer):
    """Uniformly distributed values."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Any = None):
        super().__init__(seed)
        self.minval, self.maxval = minval, maxval

    def _draw(self, key, shape, dtype):
        if jnp.issubdtype(dtype, jnp.integer):
            return jax.random.randint(key, shape, int(self.minval), int(self.maxval), dtype)
        return jax.random.uniform(key, shape, dtype, self.minval, self.maxval)


class VarianceScaling(RandomInitializer):
    """Values whose variance is `scale` over the number of inputs, outputs, or their mean."""

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
    ):
        super().__init__(seed)
        if scale <= 0.0:
            raise ValueError(f"Argument `scale` must be positive float. Received: scale={scale}")
        _choice("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        distribution = distribution.lower()
        _choice(
            "distribution",
            distribution,
            ("normal", "truncated_normal", "untruncated_normal", "uniform"),
        )
        self.scale, self.mode = scale, mode
        self.distribution = "truncated_normal" if distribution == "normal" else distribution

    def _draw(self, key, shape, dtype):
        name: Any = self.distribution.replace("untruncated_", "")
        mode: Any = self.mode
        if len(shape) < 2:
            # A vector counts as having as many inputs as outputs.
            draw = jax.nn.initializers.variance_scaling(self.scale, "fan_in", name)
            return draw(key, (*shape, 1)[-2:] if shape else (1, 1), dtype).reshape(shape)
        return jax.nn.initializers.variance_scaling(self.scale, mode, name)(key, shape, dtype)


class _Fixed(VarianceScaling):
    """A `VarianceScaling` with its numbers fixed by the class."""

    settings: tuple[float, str, str]

    def __init__(self, seed: Any = None):
        scale, mode, distribution = self.settings
        super().__init__(scale, mode, distribution, seed)


class GlorotUniform(_Fixed):
    """Uniform, with variance two over the sum of the numbers of inputs and outputs."""

    settings = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Fixed):
    """Truncated normal, with variance two over the sum of the numbers of inputs and outputs."""

    settings = (1.0, "fan_avg", "truncated_normal")


class LecunUniform(_Fixed):
    """Uniform, with variance one over the number of inputs."""

    settings = (1.0, "fan_in", "uniform")


class LecunNormal(_Fixed):
    """Truncated normal, with variance one over the number of inputs."""

    settings = (1.0, "fan_in", "truncated_normal")


class HeUniform(_Fixed):
    """Uniform, with variance two over the number of inputs."""

    settings = (2.0, "fan_in", "uniform")


class HeNormal(_Fixed):
    """Truncated normal, with variance two over the number of inputs."""

    settings = (2.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """An orthogonal matrix times `gain`; leading axes are taken together."""

    def __init__(self, gain: float = 1.0, seed: Any = None):
        super().__init__(seed)
        self.gain = gain

    def _draw(self, key, shape, dtype):
        if len(shape) < 2:
            raise ValueError(
                "The tensor to initialize must be at least two-dimensional. Received: "
                f"shape={shape} of rank {len(shape)}."
            )
        return jax.nn.initializers.orthogonal(self.gain)(key, shape, dtype)


def _choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"Invalid `{name}` argument: {value!r}. Please use one of {allowed}.")


_CLASSES = [
    *(Zeros, Ones, Constant, Identity, RandomNormal, TruncatedNormal, RandomUniform),
    *(VarianceScaling, GlorotUniform, GlorotNormal, LecunUniform, LecunNormal, HeUniform),
    *(HeNormal, Orthogonal),
]
_KNOWN: dict[str, Any] = {}
for _cls in _CLASSES:
    _KNOWN[_cls.__name__] = _cls
    _KNOWN[naming.snake_case(_cls.__name__)] = _cls
_KNOWN |= {"zero": Zeros, "one": Ones, "normal": RandomNormal, "uniform": RandomUniform}


def get(identifier: Any) -> Callable[..., jax.Array] | None:
    """Return the initializer that `identifier` names; an array is its own value.

    Raises:
        ValueError: for a name that isn't known, with the nearest one that is.
    """
    if identifier is None:
        return None
    if isinstance(identifier, np.ndarray | np.generic | jax.Array):
        return Constant(identifier)
    return serialization.lookup(identifier, _KNOWN, "initializer")
