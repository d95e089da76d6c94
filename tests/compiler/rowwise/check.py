"""What the tests of losses by blocks share: a target on which small ones pay, and running them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from xlathe.compiler.ir import Graph, verify
from xlathe.compiler.lowering import lower
from xlathe.compiler.passes import block_rows
from xlathe.compiler.pipeline import PassRecord, pipeline, run_passes
from xlathe.compiler.targets import CPU, Target
from xlathe.runtime.pullback import pullback
from xlathe.tracer.capture import capture

from .spellings import Spelling, labels

SMALL = replace(CPU, large_logits=0, large_scores=0, block_tokens=32)
"""A target that computes every loss by blocks."""


def arguments(spelling: Spelling, dtype: Any = None) -> list[jax.Array]:
    """Hidden states, weights, perhaps a bias, and labels."""
    keys = jax.random.split(jax.random.key(0), len(spelling.shapes))
    arrays = [
        jax.random.normal(key, shape, spelling.dtype)
        for key, shape in zip(keys, spelling.shapes, strict=True)
    ]
    return [*(x if dtype is None else x.astype(dtype) for x in arrays), labels(spelling)]


def joint(spelling: Spelling) -> Callable[..., Any]:
    """The loss and its gradients, as a training step computes them."""
    return jax.value_and_grad(spelling.function, tuple(range(len(spelling.shapes))))


def improved(
    function: Callable[..., Any], given: list[Any], target: Target = SMALL
) -> tuple[Graph, PassRecord, Callable[..., Any]]:
    """The graph after all passes, what the pass over losses noted, and the program."""
    captured = capture(function, *given)
    graph, records = run_passes(captured.graph, pipeline("relaxed", target, pullback))
    verify(graph)
    program = lower(graph, constant_count=captured.constant_count)

    def run(*values: Any) -> Any:
        results = program(*jax.tree.leaves(values), *captured.constants)
        return jax.tree.unflatten(captured.result_tree, list(results))

    (record,) = [r for r in records if r.name == block_rows.BlockRows.__name__]
    return graph, record, run


def largest(graph: Graph) -> int:
    """The number of elements of the largest array that a program makes, at any depth."""
    return max(
        type_.size
        for inner in graph.walk()
        for item in inner.nodes
        for type_ in item.types
        if not item.is_constant
    )


def errors(results: Any, exact: Any) -> list[float]:
    """The error of each array, in units of the largest number in it."""
    return [
        float(np.max(np.abs(np.asarray(r, np.float64) - e)) / np.max(np.abs(e)))
        for r, e in zip(jax.tree.leaves(results), jax.tree.leaves(exact), strict=True)
    ]
