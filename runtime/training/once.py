"""Programs that run once, such as those of initial values: compiled fast rather than well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.core

_Result = TypeVar("_Result")

_MAX_PROGRAMS = 64
_MAX_TEXT = 1 << 17
_programs: dict[Any, Any] = {}


def run_once(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Compile and run a function, in one program rather than one for each operation.

    A model is often built again: programs are remembered by their text, and not compiled twice.

    Args:
        function: of pytrees of arrays.
        *arguments: its arguments.

    Returns:
        Its result.
    """
    jitted = jax.jit(function)
    leaves = jax.tree.leaves(arguments)
    is_off = jax.config.jax_disable_jit  # pyright: ignore[reportAttributeAccessIssue]
    if is_off or any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
        return jitted(*arguments)
    traced = jitted.trace(*arguments)
    lowered = traced.lower()
    text = lowered.as_text()
    if len(text) > _MAX_TEXT:
        # It holds the elements of arrays.
        return _compiled(lowered)(*arguments)
    types = tuple(str(variable.aval) for variable in traced.jaxpr.jaxpr.outvars)
    # Arguments that nothing is computed of are not in the text.
    taken = tuple((str(jax.typeof(leaf)), _place(leaf)) for leaf in leaves)
    device: Any = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    key = (text, lowered.in_tree, lowered.out_tree, types, taken, device)
    program = _programs.pop(key, None) or _compiled(lowered)
    _programs[key] = program
    while len(_programs) > _MAX_PROGRAMS:
        del _programs[next(iter(_programs))]
    return program(*arguments)


def _place(leaf: Any) -> Any:
    return (leaf.sharding, leaf.committed) if isinstance(leaf, jax.Array) else None


def _compiled(lowered: Any) -> Any:
    # On CPU, XLA would take up to six times as long to optimise it.
    quick = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    return lowered.compile(quick if jax.default_backend() == "cpu" else None)
