"""Functions of `ops` that read and write parts of arrays, and loops, with Keras's arguments."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def slice(inputs: Any, start_indices: Any, shape: Any) -> jax.Array:
    """Return the part of this shape that starts at these indices; -1 for what is left."""
    inputs = jnp.asarray(inputs)
    sizes = [
        full - int(start) if size == -1 else size
        for size, full, start in zip(shape, inputs.shape, start_indices, strict=True)
    ]
    return lax.dynamic_slice(inputs, tuple(start_indices), sizes)


def slice_update(inputs: Any, start_indices: Any, updates: Any) -> jax.Array:
    """Return `inputs` with `updates` written where `start_indices` says."""
    inputs = jnp.asarray(inputs)
    return lax.dynamic_update_slice(
        inputs, jnp.asarray(updates, inputs.dtype), tuple(start_indices)
    )


def scatter(indices: Any, values: Any, shape: Any) -> jax.Array:
    """Return zeros of a shape, to which `values` are added at `indices`, one index a row."""
    values = jnp.asarray(values)
    return jnp.zeros(shape, values.dtype).at[_columns(indices)].add(values)


def scatter_update(
    inputs: Any, indices: Any, updates: Any, reduction: str | None = None
) -> jax.Array:
    """Return `inputs` with `updates` written at `indices`, or combined with what is there."""
    inputs = jnp.asarray(inputs)
    places = inputs.at[_columns(indices)]
    ways = {
        None: places.set,
        "add": places.add,
        "max": places.max,
        "min": places.min,
        "mul": places.multiply,
    }
    if reduction not in ways:
        raise ValueError(
            f"Expected `reduction` to be one of {list(ways)}. Received: reduction={reduction!r}"
        )
    return ways[reduction](jnp.asarray(updates, inputs.dtype))


def _columns(indices: Any) -> tuple[jax.Array, ...]:
    return tuple(jnp.moveaxis(jnp.asarray(indices), -1, 0))


def get_item(x: Any, key: Any) -> jax.Array:
    """Return `x[key]`."""
    return jnp.asarray(x)[key]


def multi_hot(
    inputs: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> jax.Array:
    """Return, for each row of indices, a vector that is one at all of them."""
    inputs = jnp.asarray(inputs)
    hot = jax.nn.one_hot(inputs, num_classes, axis=axis, dtype=dtype or "float32")
    return hot.max(1 if inputs.ndim > 1 else 0)


def top_k(x: Any, k: int, sorted: bool = True) -> Any:
    """Return the `k` largest values along the last axis, and their indices."""
    return lax.top_k(jnp.asarray(x), k)


def in_top_k(targets: Any, predictions: Any, k: int) -> jax.Array:
    """Say for each row whether the target's prediction is among the `k` largest."""
    targets, predictions = jnp.asarray(targets), jnp.asarray(predictions)
    chosen = jnp.take_along_axis(predictions, targets[:, None], axis=-1)
    return (chosen >= lax.top_k(predictions, k)[0]).any(-1)


def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> jax.Array:
    """Return the windows of the last axis, one a row."""
    x = jnp.asarray(x)
    starts = jnp.arange(0, x.shape[-1] - sequence_length + 1, sequence_stride)
    return x[..., starts[:, None] + jnp.arange(sequence_length)]


def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    maximum_iterations: int | None = None,
) -> Any:
    """Repeat `body` on the variables while `cond` holds of them, so many times at most."""
    several = isinstance(loop_vars, list | tuple)
    start = tuple(loop_vars) if several else (loop_vars,)

    def goes_on(state: Any) -> Any:
        within = True if maximum_iterations is None else state[0] < maximum_iterations
        return jnp.logical_and(cond(*state[1]), within)

    def once(state: Any) -> Any:
        after = body(*state[1])
        return state[0] + 1, tuple(after) if isinstance(after, list | tuple) else (after,)

    last = lax.while_loop(goes_on, once, (jnp.asarray(0), jax.tree.map(jnp.asarray, start)))[1]
    return last if several else last[0]


def _segments(reduce: Callable[..., Any], what: str) -> Callable[..., Any]:
    def reduction(
        data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
    ) -> jax.Array:
        return reduce(
            jnp.asarray(data), jnp.asarray(segment_ids), num_segments, indices_are_sorted=sorted
        )

    reduction.__name__ = f"segment_{what}"
    reduction.__doc__ = f"Return the {what} of the entries of each segment."
    return reduction


segment_sum = _segments(jax.ops.segment_sum, "sum")
segment_max = _segments(jax.ops.segment_max, "max")
segment_min = _segments(jax.ops.segment_min, "min")
segment_prod = _segments(jax.ops.segment_prod, "prod")

FUNCTIONS: list[Callable[..., Any]] = [
    *(slice, slice_update, scatter, scatter_update, get_item, multi_hot, top_k, in_top_k),
    *(extract_sequences, while_loop, segment_sum, segment_max, segment_min, segment_prod),
]
