"""Runs one train step under `jax.jit` and under `xlathe.compile`, and compares the two runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import xlathe as xl

Step = Callable[..., Any]

# Gradients that are zero in exact arithmetic, as of a bias before a normalisation, come out as what
# rounding left of them. Adam would make whole steps of that, were its epsilon not above it.
EPSILON = 1e-3


def images(seed: int = 0) -> tuple[jax.Array, jax.Array]:
    """Four small pictures with their classes."""
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(4, 8, 8, 1)), jnp.float32), jnp.array([0, 2, 1, 2])


def rows(seed: int = 0) -> tuple[jax.Array, jax.Array]:
    """Eight rows of five features with their targets."""
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.normal(size=(8, 5)), jnp.float32)
    return x, jnp.sin(x.sum(1, keepdims=True))


def assert_trains_as_under_jit(
    step: Step, state: Any, batch: Any, *, steps: int = 3, tolerance: float = 1e-5
) -> None:
    """Runs `state, loss = step(state, i, batch)` both ways, and compares each step.

    The loss must change: a step that does nothing would compare equal too.
    """
    compiled, jitted = xl.compile(step), jax.jit(step)
    got = want = state
    losses = []
    for i in range(steps):
        got, loss = compiled(got, i, batch)
        want, wanted = jitted(want, i, batch)
        np.testing.assert_allclose(loss, wanted, rtol=tolerance)
        losses.append(float(loss))
        assert_same_state(got, want, tolerance)
    assert len(set(losses)) == steps, losses


def assert_same_state(got: Any, want: Any, tolerance: float) -> None:
    """The same tree of the same types, and nearly the same values."""
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert jax.typeof(a) == jax.typeof(b)
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
