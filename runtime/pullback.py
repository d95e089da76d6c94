"""The pullback of a graph, as JAX derives it."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from xlathe.compiler.ir import Graph
from xlathe.compiler.lowering import lower
from xlathe.compiler.pipeline import EXACT, run_passes
from xlathe.runtime.reference import tracing_settings
from xlathe.tracer.capture import UnsupportedProgram, capture


def pullback(graph: Graph) -> Graph | None:
    """Derive a graph by JAX and bring what JAX makes of it to its normal form.

    Args:
        graph: a graph of one result.

    Returns:
        A graph of the same parameters and a cotangent of the result, whose results are the
        cotangents of those parameters that are floating point numbers, in order; None where the
        graph has none, or cannot hold its own derivative.
    """
    return _derived(graph, tracing_settings())


@functools.lru_cache(maxsize=64)
def _derived(graph: Graph, settings: object) -> Graph | None:
    program = lower(graph)
    real = [jnp.issubdtype(type_.dtype, jnp.floating) for type_ in graph.parameter_types]
    if not any(real):
        return None

    def joint(*values: Any) -> Any:
        *primals, cotangent = values

        def of_real(*chosen: Any) -> Any:
            given = iter(chosen)
            merged = [
                next(given) if is_real else value
                for value, is_real in zip(primals, real, strict=True)
            ]
            return program(*merged)[0]

        chosen = [value for value, is_real in zip(primals, real, strict=True) if is_real]
        return jax.vjp(of_real, *chosen)[1](cotangent)

    types = (*graph.parameter_types, *graph.result_types)
    structs = [jax.ShapeDtypeStruct(t.shape, t.dtype, weak_type=t.weak) for t in types]
    try:
        captured = capture(joint, *structs)
    except UnsupportedProgram:
        return None
    if captured.constants:
        return None
    derived, _ = run_passes(captured.graph, EXACT)
    return derived
