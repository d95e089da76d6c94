"""What the tests of attention share: recognising it, running it by a kernel, and its error."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.compiler.ir import Graph, verify
from xlathe.compiler.lowering import lower
from xlathe.compiler.passes.choose_kernels import ChooseKernels
from xlathe.compiler.passes.recognise_attention import RecogniseAttention
from xlathe.compiler.pipeline import EXACT, PassRecord, Step, pipeline, run_passes
from xlathe.compiler.targets import CPU, Target
from xlathe.runtime.pullback import pullback
from xlathe.tracer.capture import capture

from .spellings import Spelling

RECOGNISE = (*EXACT, Step(RecogniseAttention(pullback), "what is tested"))
BLOCKED = replace(CPU, large_scores=0)
"""A target that computes every attention by blocks of queries."""


_CUDNN = re.compile(
    r"jax\.nn\.dot_product_attention((?:(?!dot_product).)*?),\s*implementation=\"cudnn\"", re.DOTALL
)


def abstract(spelling: Spelling) -> list[jax.ShapeDtypeStruct]:
    """The arrays that an attention is differentiated by, without values."""
    return [jax.ShapeDtypeStruct(shape, spelling.dtype) for shape in spelling.shapes]


def concrete(spelling: Spelling, seed: int = 0) -> list[jax.Array]:
    """The same with values."""
    keys = jax.random.split(jax.random.key(seed), len(spelling.shapes))
    return [
        jax.random.normal(key, shape, spelling.dtype)
        for key, shape in zip(keys, spelling.shapes, strict=True)
    ]


def joint(spelling: Spelling) -> Callable[..., Any]:
    """The attention's value and gradients, as a training step computes them."""
    count = len(spelling.shapes)

    def step(*arguments: Any) -> Any:
        def loss(*chosen: Any) -> Any:
            result = spelling.function(*chosen, *arguments[count:])
            return sum((x.astype(jnp.float32) ** 2).sum() for x in jax.tree.leaves(result)), result

        (_, result), gradients = jax.value_and_grad(loss, tuple(range(count)), has_aux=True)(
            *arguments[:count]
        )
        return result, gradients

    return step


def recognised(function: Callable[..., Any], *arguments: Any) -> tuple[Graph, PassRecord]:
    """The graph in which attention was looked for, and what was noted."""
    graph, records = run_passes(capture(function, *arguments).graph, RECOGNISE)
    verify(graph)
    return graph, records[-1]


def operations(graph: Graph) -> list[str]:
    """The operations of a graph and of those nested in it, bodies of attention left out."""
    found: list[str] = []
    stack = [graph]
    while stack:
        for item in stack.pop().nodes:
            found.append(item.operation)
            if item.operation not in ("attention", "attention_grad"):
                for value in item.attributes.values():
                    stack += [value] if isinstance(value, Graph) else []
    return found


def improved(
    function: Callable[..., Any], arguments: Sequence[Any], target: Target
) -> tuple[str, list[PassRecord]]:
    """The program for a target, and what the two passes noted."""
    graph, records = run_passes(
        capture(function, *arguments).graph, pipeline("relaxed", target, pullback)
    )
    verify(graph)
    noted = [r for r in records if r.name in (ChooseKernels.__name__, RecogniseAttention.__name__)]
    return lower(graph).source, noted


def runnable(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    target: Target,
    kernel: Callable[..., Any] = jax.nn.dot_product_attention,
) -> Any:
    """The program for a target as a function; XLA's attention stands for cuDNN's.

    The two take the same arguments, which is what can be tested where there is no GPU.
    """
    captured = capture(function, *arguments)
    graph, _ = run_passes(captured.graph, pipeline("relaxed", target, pullback))
    program = lower(graph, constant_count=captured.constant_count)
    source = _CUDNN.sub(r"kernel\1", program.source)
    names: dict[str, Any] = {**program.objects, "kernel": kernel}
    exec(compile(source, "<kernel>", "exec"), names)
    constants = dict(zip(program.constant_names, captured.constants, strict=True))

    def run(*values: Any) -> Any:
        results = names[program.name](*values, **constants)
        leaves = [results] if program.result_count == 1 else list(results)
        return jax.tree.unflatten(captured.result_tree, leaves)

    return source, run


def errors(results: Any, exact: Any) -> list[float]:
    """The error of each array, in units of the largest number in it."""
    return [
        float(np.max(np.abs(np.asarray(r, np.float64) - e)) / np.max(np.abs(e)))
        for r, e in zip(jax.tree.leaves(results), jax.tree.leaves(exact), strict=True)
    ]
