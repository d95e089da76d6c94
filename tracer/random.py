"""Random numbers by Keras's names and arguments, from seeds and generators of seeds."""

from typing import Any

import jax
import jax.numpy as jnp

from xlathe.tracer.layers import scope
from xlathe.tracer.layers.random import key_of


def _key(name: str, seed: Any) -> jax.Array:
    if seed is None and scope.current_scope() is not None:
        raise ValueError(
            f"`random.{name}` was called without a seed inside a model, where each compiled step "
            "would draw the same numbers. Make a generator in the layer's `__init__`, "
            "`self.seed_generator = SeedGenerator()`, and pass `seed=self.seed_generator`."
        )
    return key_of(seed)


def normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None
) -> jax.Array:
    """Return draws from a normal distribution.

    Args:
        shape: their shape.
        mean: the distribution's mean.
        stddev: its standard deviation.
        dtype: float32 unless given.
        seed: an integer, which gives the same draws each time, or a `SeedGenerator`.

    Returns:
        An array.
    """
    drawn = jax.random.normal(_key("normal", seed), shape, dtype or "float32")
    return drawn * jnp.asarray(stddev, drawn.dtype) + jnp.asarray(mean, drawn.dtype)


def truncated_normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None
) -> jax.Array:
    """Return draws from a normal distribution cut off at two standard deviations."""
    key = _key("truncated_normal", seed)
    drawn = jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype or "float32")
    return drawn * jnp.asarray(stddev, drawn.dtype) + jnp.asarray(mean, drawn.dtype)


def uniform(
    shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Any = None
) -> jax.Array:
    """Return draws from between `minval` and `maxval`, all as likely."""
    return jax.random.uniform(_key("uniform", seed), shape, dtype or "float32", minval, maxval)


def randint(
    shape: Any, minval: Any, maxval: Any, dtype: Any = "int32", seed: Any = None
) -> jax.Array:
    """Return integers from `minval` on and below `maxval`, all as likely."""
    return jax.random.randint(_key("randint", seed), shape, minval, maxval, dtype)


def categorical(
    logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None
) -> jax.Array:
    """Return `num_samples` classes for each row of logits."""
    shape = (num_samples, logits.shape[0])
    drawn = jax.random.categorical(_key("categorical", seed), logits, shape=shape)
    return drawn.T.astype(dtype)


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> jax.Array:
    """Return an array in random order along an axis."""
    return jax.random.permutation(_key("shuffle", seed), jnp.asarray(x), axis)
