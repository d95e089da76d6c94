"""Regularizers: penalties on weights and activations, by Keras's names."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from xlathe.tracer.layers import serialization


class Regularizer(serialization.Configurable):
    """A penalty: a function from a weight to a scalar that is added to the loss."""

    def __call__(self, x: Any) -> Any:
        return jnp.zeros((), jnp.float32)


class L1L2(Regularizer):
    """`l1 * sum(|x|) + l2 * sum(x²)`."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0):
        self.l1 = _non_negative("l1", 0.0 if l1 is None else l1)
        self.l2 = _non_negative("l2", 0.0 if l2 is None else l2)

    def __call__(self, x: Any) -> Any:
        penalty = jnp.zeros((), x.dtype)
        if self.l1:
            penalty += self.l1 * jnp.sum(jnp.abs(x))
        if self.l2:
            penalty += self.l2 * jnp.sum(jnp.square(x))
        return penalty


class L1(Regularizer):
    """`l1 * sum(|x|)`."""

    def __init__(self, l1: float = 0.01):
        self.l1 = _non_negative("l1", 0.01 if l1 is None else l1)

    def __call__(self, x: Any) -> Any:
        return self.l1 * jnp.sum(jnp.abs(x))


class L2(Regularizer):
    """`l2 * sum(x²)`."""

    def __init__(self, l2: float = 0.01):
        self.l2 = _non_negative("l2", 0.01 if l2 is None else l2)

    def __call__(self, x: Any) -> Any:
        return self.l2 * jnp.sum(jnp.square(x))


class OrthogonalRegularizer(Regularizer):
    """`factor` times the mean cosine between the rows (or the columns) of a matrix."""

    def __init__(self, factor: float = 0.01, mode: str = "rows"):
        self.factor = _non_negative("factor", factor)
        if mode not in ("rows", "columns"):
            raise ValueError(
                'Invalid value for argument `mode`. Expected one of {"rows", "columns"}. '
                f"Received: mode={mode}"
            )
        self.mode = mode

    def __call__(self, x: Any) -> Any:
        if x.ndim != 2:
            raise ValueError(
                "Inputs to OrthogonalRegularizer must have rank 2. Received: "
                f"inputs.shape={x.shape}"
            )
        rows = x if self.mode == "rows" else x.T
        norm = jnp.sqrt(jnp.sum(jnp.square(rows), axis=1, keepdims=True))
        rows = rows / jnp.maximum(norm, 1e-6)
        size = rows.shape[0]
        if size < 2:
            return jnp.zeros((), x.dtype)
        cosines = jnp.abs((rows @ rows.T) * (1 - jnp.eye(size, dtype=x.dtype)))
        return self.factor * 0.5 * jnp.sum(cosines) / (size * (size - 1) / 2)


def _non_negative(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or not value >= 0 or value == float("inf"):
        raise ValueError(
            f"Invalid value for argument `{name}`: expected a non-negative float. "
            f"Received: {name}={value}"
        )
    return float(value)


l1 = L1
l2 = L2
l1_l2 = L1L2
_KNOWN = {
    **{cls.__name__: cls for cls in (Regularizer, L1L2, L1, L2, OrthogonalRegularizer)},
    **{"l1": L1, "l2": L2, "l1_l2": L1L2, "l1l2": L1L2},
    "orthogonal_regularizer": OrthogonalRegularizer,
}


def get(identifier: Any) -> Callable | None:
    """Return the regularizer that `identifier` names; None is none."""
    return None if identifier is None else serialization.lookup(identifier, _KNOWN, "regularizer")
