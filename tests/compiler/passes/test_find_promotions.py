"""A NumPy scalar that widens an array of low precision is found, with the user's line."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl

SCALE = np.float64(3.0)
Q = jnp.ones((4, 64), jnp.bfloat16)


def by_numpy(q):
    return jax.nn.softmax(q @ q.T / np.sqrt(64.0))


def by_array(q):
    return SCALE * jnp.tanh(q)


def in_a_loop(q):
    total, _ = jax.lax.scan(lambda c, x: (c + (x * np.sqrt(2)).sum(), None), jnp.zeros(()), q)
    return total


def by_number(q):
    return jax.nn.softmax(q @ q.T / 8.0)


def by_hand(q):
    scores = (q @ q.T).astype(jnp.float32) / np.sqrt(64.0)
    return scores * 2.0


def by_library(q):
    return jax.nn.gelu(q).mean() + q.var() + jnp.linalg.norm(q) + jax.nn.silu(q * 2).sum()


def by_array_of_weights(q):
    return q * jnp.linspace(0, 1, 64, dtype=jnp.float32)


@pytest.mark.parametrize("function", [by_numpy, by_array, in_a_loop])
def test_a_scalar_that_widens_is_found(function: Any):
    line = function.__code__.co_firstlineno + 1
    compiled: Any = xl.compile(function, precision="bfloat16")
    with pytest.warns(xl.PrecisionWarning, match=rf"test_find_promotions\.py:{line}: a scalar"):
        compiled(Q)
    again: Any = xl.compile(function, precision="bfloat16")
    with pytest.warns(xl.PrecisionWarning, match="turns bfloat16 into float32"):
        explained = again.trace(Q).explain()
    assert f"silent promotion, test_find_promotions.py:{line}" in explained


@pytest.mark.parametrize("function", [by_number, by_hand, by_library, by_array_of_weights])
def test_what_is_meant_is_not(function: Any):
    compiled: Any = xl.compile(function, precision="bfloat16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(Q)


def test_nobody_is_warned_who_did_not_ask_for_low_precision():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xl.compile(by_numpy)(Q)
        xl.compile(by_numpy, precision="tensorfloat32")(Q)
