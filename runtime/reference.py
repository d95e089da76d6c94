"""References: library functions as graphs, to compare regions of programs with."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from xlathe.compiler.ir import Graph, Type
from xlathe.compiler.pipeline import EXACT, run_passes
from xlathe.tracer.capture import UnsupportedProgram, capture

Keywords = tuple[tuple[str, Any], ...]


def reference(
    function: Callable[..., Any], keywords: Keywords, types: tuple[Type, ...]
) -> Graph | None:
    """Capture a function and bring it to its normal form.

    Args:
        function: a function of arrays.
        keywords: its keyword arguments.
        types: the types of the arrays.

    Returns:
        Its graph; None where the function doesn't take such arrays, or the graph cannot hold it.
    """
    return _captured(function, keywords, types, tracing_settings())


def tracing_settings() -> tuple[object, ...]:
    """What decides how JAX traces its own functions."""
    names = ("jax_enable_x64", "jax_softmax_custom_jvp")
    return (*(getattr(jax.config, name) for name in names), jax.sharding.get_abstract_mesh())


@functools.lru_cache(maxsize=256)
def _captured(
    function: Callable[..., Any], keywords: Keywords, types: tuple[Type, ...], settings: object
) -> Graph | None:
    structs = [jax.ShapeDtypeStruct(t.shape, t.dtype, weak_type=t.weak) for t in types]
    try:
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            captured = capture(functools.partial(function, **dict(keywords)), *structs)
    except (TypeError, ValueError, UnsupportedProgram):
        return None
    if captured.constants:
        return None
    graph, _ = run_passes(captured.graph, EXACT)
    return graph if graph.parameter_types == types else None
