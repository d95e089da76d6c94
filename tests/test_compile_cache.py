"""One trace for each signature, whatever JAX's configuration, and from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl

from .traces import counted, type_of

_X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


def test_traced_once_for_each_signature() -> None:
    f, traces = counted(lambda x, y: x + y)
    compiled = xl.compile(f)
    for x, y, expected in [
        (_X, 1.0, 1), (_X * 2, 3.0, 1), (jnp.asarray(_X), 1.0, 1), (_X, 1, 2), (_X, 2, 2),
        (_X[0], 1, 3), (_X.astype(np.int32), 1, 4), (_X, np.float32(1), 5), (_X, 7.0, 5),
    ]:  # fmt: skip
        compiled(x, y)
        assert len(traces) == expected
    compiled.clear_cache()
    compiled(_X, 1.0)
    assert len(traces) == 6


def test_traced_once_by_the_stages_together() -> None:
    f, traces = counted(lambda x: x + 1)
    compiled = xl.compile(f)
    compiled.lower(_X)
    compiled.trace(_X)
    compiled(_X)
    compiled(_X)
    plain, wanted = counted(lambda x: x + 1)
    jitted = jax.jit(plain)
    jitted.lower(_X)
    jitted.trace(_X)
    jitted(_X)
    jitted(_X)
    assert len(traces) == len(wanted)


@pytest.mark.parametrize("enabled", [False, True])
def test_x64(enabled: bool) -> None:
    def f(x, n):
        return x * 2.5, jnp.arange(3) + n, jnp.zeros(2), x.astype(float), jnp.float32(1) * x, n

    with jax.enable_x64(enabled):
        got = xl.compile(f)(np.linspace(0, 1, 3), 2)
        want = jax.jit(f)(np.linspace(0, 1, 3), 2)
    assert [x.dtype for x in got] == [x.dtype for x in want]
    assert got[0].dtype == (jnp.float64 if enabled else jnp.float32)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-15 if enabled else 1e-6)


def test_x64_switched_between_calls() -> None:
    compiled = xl.compile(lambda x: x * 2)
    x = np.ones(2)
    assert compiled(x).dtype == jnp.float32
    with jax.enable_x64(True):
        assert compiled(x).dtype == jnp.float64
    assert compiled(x).dtype == jnp.float32


def _broadcasts(x):
    return x + jnp.ones((4, 2, 3)).sum(0), jnp.expand_dims(x[0], 0) * x, x @ x.T, x.mean(-1)


@pytest.mark.parametrize("make", [xl.compile, xl.optimize])
@pytest.mark.parametrize(
    "context",
    [
        lambda: jax.numpy_rank_promotion("raise"),
        lambda: jax.numpy_dtype_promotion("strict"),
        lambda: jax.debug_nans(True),
        lambda: jax.default_matmul_precision("highest"),
        lambda: jax.default_matmul_precision("bfloat16"),
        lambda: jax.checking_leaks(),
        lambda: jax.disable_jit(),
        lambda: jax.transfer_guard("log"),
        lambda: jax.log_compiles(False),
        lambda: jax.default_prng_impl("rbg"),
        lambda: jax.threefry_partitionable(False),
    ],
    ids=[
        "rank",
        "dtype",
        "nans",
        "highest",
        "bf16",
        "leaks",
        "disable_jit",
        "transfer",
        "log",
        "rbg",
        "threefry",
    ],
)
def test_jax_contexts(make: Callable[..., Any], context: Callable[[], Any]) -> None:
    def f(x):
        noise = jax.random.normal(jax.random.key(1), x.shape)
        return *_broadcasts(x), jax.lax.scan(lambda c, v: (c + v, c), x[0], x), noise

    with context():
        got, want = make(f)(jnp.asarray(_X)), jax.jit(f)(jnp.asarray(_X))
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert type_of(a) == type_of(b)
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(
    ("context", "f"),
    [
        (lambda: jax.numpy_rank_promotion("raise"), lambda x: x + x[0]),
        (lambda: jax.numpy_dtype_promotion("strict"), lambda x: x + jnp.arange(3)),
        (lambda: jax.debug_nans(True), lambda x: jnp.log(x)),
    ],
    ids=["rank", "dtype", "nans"],
)
def test_jax_contexts_that_raise(context: Callable[[], Any], f: Callable[..., Any]) -> None:
    with context():
        with pytest.raises(Exception) as want:
            jax.jit(f)(jnp.asarray(_X))
        with pytest.raises(type(want.value)):
            xl.compile(f)(jnp.asarray(_X))


def test_leaks_are_found() -> None:
    leaked = []
    with jax.checking_leaks(), pytest.raises(Exception, match=r"[Ll]eaked"):
        xl.compile(lambda x: leaked.append(x) or x + 1)(_X)


def test_matmul_precision_is_part_of_the_cache_key() -> None:
    compiled = xl.compile(lambda x: x @ x.T)
    assert "HIGHEST" not in compiled.lower(_X).as_text()
    with jax.default_matmul_precision("highest"):
        assert "HIGHEST" in compiled.lower(_X).as_text()


def test_threads() -> None:
    compiled = xl.compile(lambda params, x: jnp.tanh(x @ params["w"]))
    results: dict[int, Any] = {}

    def work(i: int) -> None:
        w = np.full((3, 2 + i % 3), i, np.float32)
        results[i] = [compiled({"w": w}, _X + k) for k in range(5)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, outs in results.items():
        for k, out in enumerate(outs):
            want = np.tanh((_X + k) @ np.full((3, 2 + i % 3), i, np.float32))
            np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-6)
    assert len(results) == 8
