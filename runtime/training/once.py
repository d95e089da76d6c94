"""Programs that run once, such as those of initial values: compiled fast rather than well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax

_Result = TypeVar("_Result")


def run_once(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Compile and run a function, in one program rather than one for each operation.

    Args:
        function: of pytrees of arrays.
        *arguments: its arguments.

    Returns:
        Its result.
    """
    # On CPU, XLA would take up to six times as long to optimise it.
    quick = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    options: Any = quick if jax.default_backend() == "cpu" else None
    return jax.jit(function, compiler_options=options)(*arguments)
