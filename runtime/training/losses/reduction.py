"""Bringing targets and predictions to one shape, and the reduction of a loss to one number."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xlathe.tracer.settings import EPSILON as EPSILON

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)

Array = jax.Array


def same_rank(first: Array, second: Array, expand_rank_1: bool = True) -> tuple[Array, Array]:
    """Drop or add a last axis of length 1 where one array has it and the other lacks it."""
    if first.ndim == second.ndim + 1 and first.shape[-1] == 1:
        if second.ndim == 1 and expand_rank_1:
            return first, second[..., None]
        return first[..., 0], second
    if second.ndim == first.ndim + 1 and second.shape[-1] == 1:
        if first.ndim == 1 and expand_rank_1:
            return first[..., None], second
        return first, second[..., 0]
    return first, second


def divide_no_nan(numerator: Array, denominator: Any) -> Array:
    """Return the quotient, and zero where the denominator is zero."""
    denominator = jnp.asarray(denominator)
    safe = jnp.where(denominator == 0, 1, denominator)
    return jnp.where(denominator == 0, 0, numerator / safe)


def check_reduction(reduction: str | None) -> str | None:
    """Return a reduction that is known; raise `ValueError` otherwise."""
    if reduction not in REDUCTIONS:
        raise ValueError(
            "Invalid value for argument `reduction`. "
            f"Expected one of {REDUCTIONS}. Received: reduction={reduction!r}"
        )
    return reduction


def weights_of_mask(mask: Any, weights: Any, dtype: Any, reduction: str | None) -> Array:
    """Join a mask to sample weights, so that a mean runs over what the mask keeps.

    Args:
        mask: true where a value counts.
        weights: sample weights, or `None`.
        dtype: the type of the result.
        reduction: the reduction that the weights are meant for.

    Returns:
        Weights.
    """
    mask = jnp.asarray(mask).astype(bool)
    kept = mask.astype(dtype)
    if reduction in ("mean", "sum_over_batch_size"):
        kept = jnp.where(mask, divide_no_nan(jnp.asarray(mask.size, dtype), kept.sum()), 0)
    if weights is None:
        return kept
    kept, weights = same_rank(kept, jnp.asarray(weights, dtype))
    while weights.ndim < kept.ndim:
        weights = weights[..., None]
    while kept.ndim < weights.ndim:
        kept = kept[..., None]
    return weights * kept


def reduce_weighted(
    values: Any,
    weights: Any = None,
    mask: Any = None,
    reduction: str | None = "sum_over_batch_size",
    dtype: Any = None,
) -> Array:
    """Reduce the values of a loss as Keras does.

    Args:
        values: a loss for each sample, or each position of each sample.
        weights: sample weights, of the values' shape or of its leading axes; or `None`.
        mask: true where a value counts; or `None`.
        reduction: `"sum_over_batch_size"` or `"mean"` divides the sum by the number of values,
            `"mean_with_sample_weight"` by the sum of the weights; `"sum"` doesn't divide;
            `"none"` returns the weighted values.
        dtype: the type to compute in.

    Returns:
        A number, or the weighted values.
    """
    values = jnp.asarray(values, dtype)
    if mask is not None:
        weights = weights_of_mask(mask, weights, values.dtype, reduction)
    if weights is not None:
        weights = jnp.asarray(weights, values.dtype)
        values, weights = same_rank(values, weights)
        while weights.ndim < values.ndim:
            weights = weights[..., None]
        values = values * weights
    if reduction in (None, "none") or values.shape in ((), (0,)):
        return values
    total = values.sum()
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight" and weights is not None:
        return divide_no_nan(total, weights.sum())
    return total / max(values.size, 1)
