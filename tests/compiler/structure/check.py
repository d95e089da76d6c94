"""What holds for every rewrite that rests on structure: it is logged, and errs no more than jit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.compiler.ir import Graph, verify
from xlathe.compiler.lowering import lower
from xlathe.compiler.pipeline import Numerics, Step, pipeline, run_passes
from xlathe.compiler.rules import Miss, Rewrite
from xlathe.compiler.targets import CPU, Target
from xlathe.tracer.capture import capture


class Improved:
    """A function after the passes.

    Attributes:
        graph: the final graph.
        rewrites: what was rewritten,
        misses: and what nearly was.
        source: the printed program.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        numerics: Numerics = "relaxed",
        target: Target = CPU,
        steps: tuple[Step, ...] = (),
    ) -> None:
        captured = capture(function, *arguments)
        self.graph, records = run_passes(captured.graph, steps or pipeline(numerics, target))
        verify(self.graph)
        self.rewrites: list[Rewrite] = [r for item in records for r in item.rules.rewrites]
        self.misses: list[Miss] = [m for item in records for m in item.rules.misses]
        self._program = lower(self.graph, constant_count=captured.constant_count)
        self._constants = captured.constants
        self._tree = captured.result_tree
        self.source = self._program.source
        assert self.graph.result_types == captured.graph.result_types

    def __call__(self, *arguments: Any) -> Any:
        leaves = self._program(*jax.tree.leaves(arguments), *self._constants)
        return jax.tree.unflatten(self._tree, leaves)

    @property
    def rules(self) -> set[str]:
        return {item.rule for item in self.rewrites}

    def operations(self) -> set[str]:
        return {item.operation for graph in _graphs(self.graph) for item in graph.nodes}


def _graphs(graph: Graph) -> list[Graph]:
    return list(graph.walk())


def improved(
    function: Callable[..., Any],
    *arguments: Any,
    numerics: Numerics = "relaxed",
    target: Target = CPU,
    runs: bool = True,
) -> Improved:
    """Run the passes over a function; where it runs, compare what it computes with jit."""
    found = Improved(function, arguments, numerics, target)
    assert "assume" not in found.operations()
    assert "xlathe" not in found.source.split('"""')[2]
    if runs:
        assert_no_worse(jax.jit(found), function, *arguments)
    return found


def assert_no_worse(got: Callable[..., Any], function: Callable[..., Any], *arguments: Any) -> None:
    """The error against float64 is at most twice that of jit, plus a floor."""
    ours, theirs = got(*arguments), jax.jit(function)(*arguments)
    with jax.enable_x64(True):
        wide = jax.tree.map(_widened, arguments)
        exact = jax.tree.map(np.asarray, jax.jit(function)(*wide))
    for one, other, true in zip(*map(jax.tree.leaves, (ours, theirs, exact)), strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        scale = 1.0 + float(np.max(np.abs(true), initial=0.0))
        floor = 20 * float(jnp.finfo(one.dtype).eps) if one.dtype.kind in "fcV" else 0.0
        allowed = 2 * _error(other, true) + floor * scale
        assert _error(one, true) <= allowed


def _widened(x: Any) -> Any:
    wide = {"f": jnp.float64, "V": jnp.float64, "c": jnp.complex128}.get(np.asarray(x).dtype.kind)
    return jnp.asarray(np.asarray(x)) if wide is None else jnp.asarray(np.asarray(x)).astype(wide)


def _error(x: Any, true: np.ndarray) -> float:
    kind = np.complex128 if np.iscomplexobj(true) else np.float64
    return float(np.max(np.abs(np.asarray(x).astype(kind) - true), initial=0.0))


def normal(seed: int, *shape: int, dtype: Any = jnp.float32) -> jax.Array:
    """Random numbers, the same on each call."""
    return jax.random.normal(jax.random.key(seed), shape, dtype)


def matrix_of(kind: str, n: int) -> jax.Array:
    """A well conditioned matrix of a kind."""
    a = normal(0, n, n) + 2 * n**0.5 * jnp.eye(n)
    unit = a / (2 * n) + jnp.eye(n) - jnp.diag(jnp.diag(a)) / (2 * n)
    return {
        "lower_triangular": lambda: jnp.tril(a),
        "upper_triangular": lambda: jnp.triu(a),
        "unit_lower_triangular": lambda: jnp.tril(unit),
        "unit_upper_triangular": lambda: jnp.triu(unit),
        "diagonal": lambda: jnp.diag(jnp.diag(a)),
        "tridiagonal": lambda: jnp.triu(jnp.tril(a, 1), -1),
        "symmetric": lambda: (a + a.T) / 2,
        "hermitian": lambda: (a + a.T) / 2,
        "positive_definite": lambda: a @ a.T / n,
        "orthogonal": lambda: jnp.linalg.qr(a)[0],
        "permutation": lambda: jnp.eye(n)[jax.random.permutation(jax.random.key(1), n)],
    }[kind]()
