"""What an expression of the benchmark is, and the numbers that it is measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

Function = Callable[..., Any]


@dataclass(frozen=True)
class Expression:
    """A formula as one types it, and the best program for it that one would write by hand.

    Attributes:
        name: the formula.
        family: which kind of rewrite it asks for.
        typed: the function as typed.
        by_hand: the function as an expert writes it.
        operands: makes the arguments for a size.
        numerics: what `xl.compile` must be allowed: `finite` where zeros of the structure are
            skipped.
        largest: the largest size that it is measured at.
        wrt: the arguments that the gradient is taken with respect to; all floats by default.
        gradient: the gradient by hand, where that of `by_hand` is not the best.
        gradient_numerics: what `xl.compile` must be allowed for the gradient; `numerics` by
            default. The gradient by hand of a slice skips the zeros around it: `finite`.
    """

    name: str
    family: str
    typed: Function
    by_hand: Function
    operands: Callable[[Numbers, int], tuple[jax.Array, ...]]
    numerics: Literal["relaxed", "finite"] = "relaxed"
    largest: int | None = None
    wrt: tuple[int, ...] | None = None
    gradient: Function | None = None
    gradient_numerics: Literal["relaxed", "finite"] | None = None

    def arguments(self, n: int) -> tuple[jax.Array, ...]:
        """The arguments for a size, the same ones each time."""
        return self.operands(Numbers(np.random.default_rng(n)), min(n, self.largest or n))

    def numerics_of(self, gradient: bool) -> Literal["relaxed", "finite"]:
        """What `xl.compile` must be allowed, for the value or for the gradient."""
        return (gradient and self.gradient_numerics) or self.numerics

    def argnums(self, arguments: tuple[jax.Array, ...]) -> tuple[int, ...]:
        """The arguments that the gradient is taken with respect to."""
        if self.wrt is not None:
            return self.wrt
        return tuple(
            place
            for place, value in enumerate(arguments)
            if jnp.issubdtype(value.dtype, jnp.floating)
        )


def half_square(f: Function) -> Function:
    """The scalar function whose gradient is measured: half the sum of the squares of `f`."""

    @wraps(f)
    def loss(*arguments: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum(jnp.square(f(*arguments)))

    return loss


@dataclass(frozen=True)
class Numbers:
    """Random operands: positive, so that no sum cancels, and so small that products stay near 1."""

    rng: np.random.Generator

    def array(self, *shape: int) -> jax.Array:
        """Numbers around one."""
        return jnp.asarray(self.rng.uniform(0.5, 1.5, shape).astype(np.float32))

    def matrix(self, rows: int, columns: int | None = None) -> jax.Array:
        """A matrix whose rows sum to about one, square by default."""
        columns = rows if columns is None else columns
        return self.array(rows, columns) / columns

    def invertible(self, n: int) -> jax.Array:
        """A matrix near the identity."""
        return jnp.eye(n) + self.matrix(n) / 2

    def near_triangular(self, n: int) -> jax.Array:
        """A full matrix whose triangles have a determinant near one."""
        return self.invertible(n).at[jnp.diag_indices(n)].set(1 + (self.array(n) - 1) / 50)

    def positive_definite(self, n: int) -> jax.Array:
        """A symmetric positive definite matrix."""
        matrix = self.matrix(n)
        return jnp.eye(n) + (matrix + matrix.T) / 4

    def orthogonal(self, n: int) -> jax.Array:
        """A reflection."""
        v = self.array(n)
        return jnp.eye(n) - 2 / (v @ v) * jnp.outer(v, v)

    def banded(self, n: int, below: int, above: int) -> jax.Array:
        """A matrix with so many diagonals below and above the main one, which dominates."""
        return jnp.triu(jnp.tril(self.array(n, n) / 8 + jnp.eye(n), above), -below)

    def indices(self, count: int, n: int) -> jax.Array:
        """Indices below n."""
        return jnp.asarray(self.rng.integers(0, n, count).astype(np.int32))

    def permutation(self, n: int) -> jax.Array:
        """The numbers below n in some order."""
        return jnp.asarray(self.rng.permutation(n).astype(np.int32))
