"""Seeds: where initializers and random layers get their keys from."""

import random as python_random
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.tracer.layers import scope
from xlathe.tracer.layers.variable import Variable

_source = python_random.Random()


def set_random_seed(seed: int) -> None:
    """Seed Python, NumPy, and the initializers and random layers made from now on."""
    python_random.seed(seed)
    np.random.seed(seed)
    _source.seed(seed)


def draw_seed() -> int:
    """Return a seed for an object that was given none."""
    return _source.randint(0, 2**31 - 1)


class SeedGenerator:
    """A stream of keys whose position is a variable, as Keras's `SeedGenerator`.

    Arguments:
        seed: an integer, or None to draw one.
        name: what errors call it.
    """

    def __init__(self, seed: int | None = None, name: str = "seed_generator", **kwargs: Any):
        self.seed = draw_seed() if seed is None else int(seed)
        self.name = name
        self.state = Variable(
            np.array([self.seed, 0], np.uint32),
            trainable=False,
            name="seed_generator_state",
            path=f"{name}/seed_generator_state",
            kind="seed",
        )

    def next_key(self) -> jax.Array:
        """Return the next key; in a scope with a key of its own, one derived from that."""
        current = scope.current_scope()
        if current is not None and current.explicit_keys:
            return current.next_key(self.name)
        state = self.state.value
        self.state.assign(jnp.asarray(state) + jnp.array([0, 1], jnp.uint32))
        return jax.random.fold_in(jax.random.key(state[0]), state[1])

    next = next_key


def key_of(seed: Any) -> jax.Array:
    """Return a key: the next one of a generator, or the one that an integer stands for."""
    if isinstance(seed, SeedGenerator):
        return seed.next_key()
    return jax.random.key(draw_seed() if seed is None else seed)
