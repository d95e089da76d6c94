"""How often a function is traced, and what JAX calls a type."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax


def type_of(x: Any) -> tuple[Any, ...]:
    """The type as JAX sees it, also of what `optimize` hands through as it came."""
    return jax.typeof(x).shape, jax.typeof(x).dtype, jax.typeof(x).weak_type


def counted(f: Callable[..., Any]) -> tuple[Callable[..., Any], list[int]]:
    """`f` with a Python side effect: the list grows each time that it is traced."""
    traces: list[int] = []

    @functools.wraps(f)
    def g(*args: Any, **kwargs: Any) -> Any:
        traces.append(len(traces))
        return f(*args, **kwargs)

    return g, traces
