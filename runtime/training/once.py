"""Programs that run once, such as those of initial values: compiled fast rather than well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.core
import numpy as np

_Result = TypeVar("_Result")

_MAX_PROGRAMS = 64
_MAX_TEXT = 1 << 17
_MAX_FILLED_BYTES = 1 << 24
_programs: dict[Any, Any] = {}

# On CPU, XLA would take up to six times as long to optimise it. With its newer emitters, which not
# every version can do without, it takes two to four times as long to write the code.
_QUICK: dict[str, Any] = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
_QUICKEST = {**_QUICK, "xla_cpu_use_fusion_emitters": False}


def run_once(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Compile and run a function, in one program rather than one for each operation.

    A model is often built again: programs are remembered by their text, and not compiled twice.
    What only fills arrays with numbers, as most initial states do, needs no program.

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
    if not any(getattr(leaf, "committed", False) for leaf in leaves):
        filled = _filled(traced.jaxpr.jaxpr)
        if filled is not None:
            return jax.tree.unflatten(jax.tree.structure(traced.out_info), jax.device_put(filled))
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


def _filled(jaxpr: Any) -> list[np.ndarray] | None:
    """The results of a program, if each is one number repeated, and they are not large."""
    numbers = {
        equation.outvars[0]: equation.invars[0]
        for equation in jaxpr.eqns
        if equation.primitive.name == "broadcast_in_dim"
    }
    found: list[np.ndarray] = []
    for variable in jaxpr.outvars:
        source: Any = variable if _is_number(variable) else numbers.get(variable)
        type_ = variable.aval
        if not _is_number(source) or type_.weak_type:
            return None
        found.append(np.broadcast_to(np.asarray(source.val, type_.dtype), type_.shape))
    return found if sum(array.nbytes for array in found) <= _MAX_FILLED_BYTES else None


def _is_number(item: Any) -> bool:
    return hasattr(item, "val") and np.ndim(item.val) == 0


def _compiled(lowered: Any) -> Any:
    if jax.default_backend() != "cpu":
        return lowered.compile()
    try:
        return lowered.compile(_QUICKEST)
    except jax.errors.JaxRuntimeError:
        return lowered.compile(_QUICK)
