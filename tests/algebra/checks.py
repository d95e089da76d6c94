"""What is asked of a formula under xlathe: errors, types, where NaN goes, and what it costs."""

import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import xlathe as xl
from xlathe.compiler.cost import graph_cost

from .generator import Formula

Function = Callable[..., Any]
TIMES_JIT = 2.0
QUICK = {"xla_backend_optimization_level": 0}
FLOOR = 8.0
"""In units of the dtype's rounding error, times the sum of the absolute values of the monomials."""


def setting(dtype: Any) -> AbstractContextManager[None]:
    """64-bit types are on where the formula is of one."""
    return jax.enable_x64(True) if np.dtype(dtype).name == "float64" else nullcontext()


def operands(formula: Formula, dtype: Any, seed: int, spread: float = 0.0) -> list[np.ndarray]:
    """Random operands; with a spread, times powers of ten from minus the spread to plus it."""
    rng = np.random.default_rng(seed)
    made = []
    for shape in formula.shapes:
        if np.issubdtype(dtype, np.integer):
            made.append(np.asarray(rng.integers(-9, 10, shape), dtype))
            continue
        values = np.asarray(rng.uniform(-1, 1, shape))
        if np.issubdtype(dtype, np.complexfloating):
            values = values + 1j * rng.uniform(-1, 1, shape)
        made.append(np.asarray(values * 10.0 ** rng.uniform(-spread, spread, shape), dtype))
    return made


def applied(formula: Formula) -> Function:
    """The formula as a function of its operands, in jax.numpy."""
    function = formula.function

    def formula_of_operands(*values: Any) -> Any:
        return function(jnp, *values)

    return formula_of_operands


def both(ours: Function, plain: Function, arguments: list[np.ndarray]) -> tuple[Any, Any]:
    """The results of two functions, compiled together and quickly, because that takes the time.

    A barrier keeps XLA from sharing work between them.
    """

    def pair(*values: Any) -> tuple[Any, Any]:
        return ours(*values), plain(*jax.lax.optimization_barrier(values))

    return jax.jit(pair, compiler_options=QUICK)(*arguments)


def check_errors(formula: Formula, arguments: list[np.ndarray], ours: Any, jits: Any) -> None:
    """The error is at most twice jit's plus a floor, against a much more precise reference."""
    wide = [widened(value) for value in arguments]
    references = formula.function(np, *wide)
    bounds = formula.bound(np, *(np.abs(value) for value in wide))
    check_against(ours, jits, references, bounds)


def check_against(ours: Any, jits: Any, references: Any, bounds: Any) -> None:
    """Each result's error, in units of its bound's rounding error, against jit's."""
    for got, plain, reference, bound in zip(ours, jits, references, bounds, strict=True):
        assert jax.typeof(got) == jax.typeof(plain)
        of_ours, of_jit = (relative_error(value, reference, bound) for value in (got, plain))
        assert of_ours <= TIMES_JIT * of_jit + FLOOR, (of_ours, of_jit)


def relative_error(value: Any, reference: np.ndarray, bound: np.ndarray) -> float:
    """The largest error of an array, in units of the rounding error of its bound."""
    found = jnp.finfo(value.dtype)
    unit = float(found.eps) * np.asarray(bound, np.longdouble) + float(found.tiny)
    errors = np.abs(widened(np.asarray(value)) - reference) / unit
    return float(np.max(errors, initial=0.0))


def widened(value: np.ndarray) -> np.ndarray:
    """The same numbers in more precision than any dtype under test has."""
    return value.astype(np.clongdouble if np.iscomplexobj(value) else np.longdouble)


def loss(f: Function) -> Function:
    """One real number that depends on each result differently."""

    def total(*values: Any) -> jax.Array:
        parts = [
            jnp.sum(result * (1.5 + jnp.cos(jnp.arange(result.size))).reshape(result.shape))
            for result in f(*values)
        ]
        return sum(parts, start=jnp.zeros((), parts[0].dtype))

    return total


def check_cost(f: Function, arguments: list[np.ndarray], numerics: str = "relaxed") -> None:
    """The improved graph is not estimated to take more operations than the graph as traced."""
    traced = xl.compile(f, numerics=numerics).trace(*arguments)
    before, after = graph_cost(traced.captured), graph_cost(traced.graph)
    assert after.flops <= before.flops, traced.explain()


def poisoned(arguments: list[np.ndarray], poison: float, seed: int) -> list[np.ndarray]:
    """The arguments with one element of one of them replaced."""
    rng = np.random.default_rng(seed)
    chosen = [place for place, value in enumerate(arguments) if value.size]
    copies = [value.copy() for value in arguments]
    target = copies[int(rng.choice(chosen))]
    target[np.unravel_index(int(rng.integers(target.size)), target.shape)] = poison
    return copies


def seed_of(*parts: Any) -> int:
    """A number that is the same in each run for the same parts, and another for others."""
    return zlib.crc32(repr(parts).encode())
