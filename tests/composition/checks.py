"""Comparison of what two functions do: results to the weak type, effects to their order."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .kinds import LOG


@dataclass(frozen=True)
class Outcome:
    """What a call gave: its results or its exception, and what it told the host."""

    value: Any
    error: Exception | None
    log: list[Any]
    printed: list[str]


def outcome(f: Callable[..., Any], *args: Any) -> Outcome:
    """Calls `f`, waits for its effects, and returns all that it did."""
    LOG.clear()
    value, error, stdout = None, None, io.StringIO()
    with contextlib.redirect_stdout(stdout):
        try:
            value = jax.block_until_ready(f(*args))
        except Exception as raised:
            error = raised
        jax.effects_barrier()
    return Outcome(value, error, list(LOG), stdout.getvalue().splitlines())


def assert_same_outcome(got: Outcome, want: Outcome, *, ordered: bool = True) -> None:
    """The same results and effects, or the same type of exception."""
    if want.error is not None:
        assert type(got.error) is type(want.error), f"{got.error!r} is not {want.error!r}"
        return
    if got.error is not None:
        raise got.error
    assert_same(got.value, want.value)
    assert len(got.log) == len(want.log)
    key = (lambda entries: entries) if ordered else sorted
    for (name, value), (wanted_name, wanted) in zip(key(got.log), key(want.log), strict=True):
        assert name == wanted_name
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)
    assert key(got.printed) == key(want.printed)


def assert_same(got: Any, want: Any, tolerance: float = 1e-5) -> None:
    """The same tree, and in each leaf the same shape, dtype, weak type and value."""
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for (path, a), (_, b) in zip(
        jax.tree_util.tree_leaves_with_path(got),
        jax.tree_util.tree_leaves_with_path(want),
        strict=True,
    ):
        where = jax.tree_util.keystr(path)
        assert jnp.shape(a) == jnp.shape(b), where
        assert a.dtype == b.dtype, f"{where}: {a.dtype} is not {b.dtype}"
        weak = getattr(a, "weak_type", False), getattr(b, "weak_type", False)
        assert weak[0] == weak[1], f"{where}: weak_type is {weak[0]}, not {weak[1]}"
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        _assert_close(np.asarray(a), np.asarray(b), where, tolerance)


def _assert_close(a: np.ndarray, b: np.ndarray, where: str, tolerance: float) -> None:
    if not jnp.issubdtype(a.dtype, jnp.inexact):
        np.testing.assert_array_equal(a, b, err_msg=where)
        return
    wide = np.complex128 if jnp.issubdtype(a.dtype, jnp.complexfloating) else np.float64
    a, b = a.astype(wide), b.astype(wide)
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance / 5, err_msg=where)
