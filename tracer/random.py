"""Random arrays by the names of Keras's `random`, from `jax.random`.

Every function takes `seed`: an integer, which gives the same values each time; a `SeedGenerator`,
which gives others each time; or None, which draws a seed.
"""

from typing import Any

import jax
import jax.core
import jax.numpy as jnp

from xlathe.tracer.layers import scope
from xlathe.tracer.layers.random import SeedGenerator, draw_seed

Seed = int | SeedGenerator | None


def _key(seed: Seed) -> jax.Array:
    if isinstance(seed, SeedGenerator):
        return seed.next_key()
    if seed is not None:
        return jax.random.key(seed)
    current = scope.current_scope()
    if current is not None and current.key is not None:
        return current.next_key("random")
    if isinstance(jnp.zeros(()), jax.core.Tracer) and not (current and current.abstract):
        raise ValueError(
            "A random function was called in a compiled one without `seed`: it would draw the "
            "same values at every call. Make `self.seed_generator = random.SeedGenerator(seed)` in "
            "the `__init__` of the layer or model, and pass `seed=self.seed_generator`."
        )
    return jax.random.key(draw_seed())


def normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Seed = None
) -> jax.Array:
    """Return normally distributed values."""
    dtype = dtype or "float32"
    return (jax.random.normal(_key(seed), tuple(shape), dtype) * stddev + mean).astype(dtype)


def uniform(
    shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Seed = None
) -> jax.Array:
    """Return uniformly distributed values between two bounds."""
    dtype = dtype or "float32"
    return jax.random.uniform(_key(seed), tuple(shape), dtype, minval, maxval)


def randint(
    shape: Any, minval: int, maxval: int, dtype: Any = "int32", seed: Seed = None
) -> jax.Array:
    """Return integers from `minval` up to, not including, `maxval`."""
    return jax.random.randint(_key(seed), tuple(shape), minval, maxval, dtype)


def truncated_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Seed = None
) -> jax.Array:
    """Return normally distributed values within two standard deviations."""
    dtype = dtype or "float32"
    drawn = jax.random.truncated_normal(_key(seed), -2, 2, tuple(shape), dtype)
    return (drawn * stddev + mean).astype(dtype)


def categorical(
    logits: Any, num_samples: int, dtype: Any = "int32", seed: Seed = None
) -> jax.Array:
    """Return indices drawn by unnormalised log-probabilities, `num_samples` for each row."""
    logits = jnp.asarray(logits)
    shape = (num_samples, *logits.shape[:-1])
    drawn = jax.random.categorical(_key(seed), logits, axis=-1, shape=shape)
    return jnp.moveaxis(drawn, 0, -1).astype(dtype)


def gamma(shape: Any, alpha: float, dtype: Any = None, seed: Seed = None) -> jax.Array:
    """Return values of the gamma distribution."""
    return jax.random.gamma(_key(seed), alpha, tuple(shape), dtype or "float32")


def beta(shape: Any, alpha: float, beta: float, dtype: Any = None, seed: Seed = None) -> jax.Array:
    """Return values of the beta distribution."""
    return jax.random.beta(_key(seed), alpha, beta, tuple(shape), dtype or "float32")


def binomial(
    shape: Any, counts: Any, probabilities: Any, dtype: Any = None, seed: Seed = None
) -> jax.Array:
    """Return how many of `counts` trials succeed."""
    return jax.random.binomial(_key(seed), counts, probabilities, tuple(shape)).astype(
        dtype or "float32"
    )


def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Seed = None) -> jax.Array:
    """Return the inputs with a share `rate` of them set to zero, and the rest scaled up."""
    inputs = jnp.asarray(inputs)
    shape = inputs.shape if noise_shape is None else tuple(noise_shape)
    kept = jax.random.bernoulli(_key(seed), 1 - rate, shape)
    return jnp.where(kept, inputs / (1 - rate), jnp.zeros_like(inputs))


def shuffle(x: Any, axis: int = 0, seed: Seed = None) -> jax.Array:
    """Return `x` in another order along an axis."""
    return jax.random.permutation(_key(seed), jnp.asarray(x), axis)
