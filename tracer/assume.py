"""What a user tells xlathe of a matrix that the program does not show."""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from typing import Any

import jax
import jax.extend.source_info_util as source_info_util
import jax.numpy as jnp
import numpy as np

from xlathe.compiler.ops.assume import ASSUME, KINDS, TRIANGULAR

# The line of a hint is the user's.
source_info_util.register_exclusion(str(__file__))


class FalseAssumption(UserWarning):
    """A matrix is not what `assume` says it is."""


def assume(x: Any, kind: str) -> jax.Array:
    """Give `x` back, with the promise that the matrices in its last two axes are of a kind.

    xlathe's rewrites rely on the promise: `assume(a, "lower_triangular")` in
    `jnp.linalg.solve` costs a triangular solve. In plain JAX, and with `numerics="strict"`, it is
    the identity, and its derivative is that of the identity. So it is in a compiled function that
    takes a derivative itself; where a compiled function is differentiated from outside, entries
    that are said to be zero may get a gradient of zero.

    With XLATHE_CHECK_ASSUMPTIONS=1 in the environment while a program is traced, the program
    checks at run time that the promise holds, and warns with the line where it was made if it
    does not.

    Args:
        x: an array of two or more dimensions.
        kind: `"lower_triangular"`, `"upper_triangular"`, the same with `unit_` in front for ones
            on the diagonal, `"diagonal"`, `"tridiagonal"`, `"symmetric"`, `"hermitian"`,
            `"positive_definite"`, `"orthogonal"` (for complex numbers, unitary) or
            `"permutation"`. More than one holds by `assume(assume(x, ...), ...)`.

    Returns:
        `x`.

    Raises:
        ValueError: there is no such kind, or `x` has not the shape of such matrices.
    """
    if kind not in KINDS:
        close = difflib.get_close_matches(str(kind), KINDS, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"Unknown kind {kind!r}.{hint} The kinds are: {', '.join(KINDS)}.")
    x = jnp.asarray(x)
    square = x.ndim >= 2 and x.shape[-1] == x.shape[-2]
    if not square and not (x.ndim >= 2 and kind in TRIANGULAR):
        wanted = "two or more dimensions" if x.ndim < 2 else "the same size in the last two axes"
        raise ValueError(f"{kind!r} is said of matrices: expected {wanted}, got {x.shape}.")
    if os.environ.get("XLATHE_CHECK_ASSUMPTIONS", "") not in ("", "0"):
        caller = sys._getframe(1)
        place = f"{caller.f_code.co_filename}:{caller.f_lineno}"
        jax.debug.callback(_Check(kind, place), x)
    return ASSUME.bind(x, kind=kind)


class _Check:
    """Looks at a matrix while the program runs."""

    def __init__(self, kind: str, place: str) -> None:
        self.kind = kind
        self.place = place

    def __call__(self, x: Any) -> None:
        fault = fault_of(np.asarray(x), self.kind)
        if fault:
            warnings.warn(
                f"{self.place}: xl.assume says {self.kind!r} ({KINDS[self.kind]}), but {fault}.",
                FalseAssumption,
                stacklevel=2,
            )


def fault_of(x: np.ndarray, kind: str) -> str:
    """Why matrices are not of a kind; empty if they are, up to rounding, or are not finite."""
    exact = x.dtype.kind in "iub"
    tolerance = 0.0 if exact else float(jnp.finfo(x.dtype).eps) ** 0.5
    values = x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
    if not np.all(np.isfinite(values)):
        return ""
    conjugate = np.conj(np.swapaxes(values, -1, -2))
    rest = {
        "lower_triangular": lambda: np.triu(values, 1),
        "upper_triangular": lambda: np.tril(values, -1),
        "unit_lower_triangular": lambda: np.triu(values - _eye(values), 0),
        "unit_upper_triangular": lambda: np.tril(values - _eye(values), 0),
        "diagonal": lambda: values * (1 - _eye(values)),
        "tridiagonal": lambda: np.triu(values, 2) + np.tril(values, -2),
        "symmetric": lambda: values - np.swapaxes(values, -1, -2),
        "hermitian": lambda: values - conjugate,
        "positive_definite": lambda: values - conjugate,
        "orthogonal": lambda: conjugate @ values - _eye(values),
        "permutation": lambda: conjugate @ values - _eye(values) + (values != 0) - values,
    }[kind]()
    found = float(np.max(np.abs(rest), initial=0.0))
    scale = float(np.max(np.abs(values), initial=0.0))
    if kind in ("orthogonal", "permutation") or kind.startswith("unit_"):
        scale = max(scale, 1.0)
    if found > tolerance * scale:
        return f"one entry is off by {found:.3g}"
    if kind == "positive_definite" and values.size:
        least = float(np.min(np.linalg.eigvalsh((values + conjugate) / 2)))
        if least <= 0:
            return f"one eigenvalue is {least:.3g}"
    return ""


def _eye(values: np.ndarray) -> np.ndarray:
    return np.eye(values.shape[-2], values.shape[-1])
