"""What holds for every pass: the graph stays in order, a second run finds nothing more to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from xlathe.compiler.ir import Graph, parse, to_text, verify
from xlathe.compiler.lowering import lower
from xlathe.tracer.capture import capture

Transform = Callable[[Graph], Graph]


def run(transform: Transform, graph: Graph | str) -> Graph:
    """Run a pass over a graph or its text, and check what holds for every pass."""
    before = parse(graph) if isinstance(graph, str) else graph
    verify(before)
    after = transform(before)
    verify(after)
    assert after.parameter_types == before.parameter_types
    assert after.result_types == before.result_types
    assert after.has_effects == before.has_effects
    assert transform(after) == after
    assert parse(to_text(after), after.objects()) == after
    return after


def run_on(transform: Transform, function: Callable[..., Any], *arguments: Any) -> Graph:
    """Run a pass over a captured function, and compare what the program computes with JAX."""
    captured = capture(function, *arguments)
    after = run(transform, captured.graph)
    program = lower(after, constant_count=captured.constant_count)
    got = program(*jax.tree.leaves(arguments), *captured.constants)
    wanted = jax.tree.leaves(function(*arguments))
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
        assert jax.numpy.asarray(one).dtype == jax.numpy.asarray(other).dtype
    return after


def operations(graph: Graph) -> Counter[str]:
    """How often each operation stands in a graph and in those nested in it."""
    return Counter(item.operation for inner in graph.walk() for item in inner.nodes)
