"""What a layer expects of its inputs, and the errors for what it doesn't."""

from dataclasses import dataclass, field
from typing import Any

import jax


@dataclass
class InputSpec:
    """The rank and sizes that an input must have, as Keras's `InputSpec`.

    Arguments:
        dtype: the element type.
        shape: the whole shape, None where any size will do.
        ndim: the rank.
        max_ndim: the largest rank.
        min_ndim: the smallest rank.
        axes: the sizes of single axes.
        name: what errors call the input.
    """

    dtype: str | None = None
    shape: Any = None
    ndim: int | None = None
    max_ndim: int | None = None
    min_ndim: int | None = None
    axes: dict[int, int | None] = field(default_factory=dict)
    name: str | None = None


def check_inputs(specs: Any, inputs: Any, layer: str) -> None:
    """Compare inputs with their specs.

    Raises:
        ValueError: saying which input was received, and what was expected.
    """
    specs = specs if isinstance(specs, list | tuple) else [specs]
    values = jax.tree.leaves(inputs, is_leaf=lambda leaf: leaf is None)
    if len(values) != len(specs):
        raise ValueError(
            f"Layer '{layer}' expects {len(specs)} input(s), but it received {len(values)} input "
            f"tensors. Inputs received: {inputs}"
        )
    for index, (value, spec) in enumerate(zip(values, specs, strict=True)):
        if spec is None:
            continue
        if not hasattr(value, "shape"):
            raise ValueError(
                f"Inputs to a layer should be tensors. Got '{value}' (of type {type(value)}) as "
                f"input for layer '{layer}'."
            )
        problem = _mismatch(spec, tuple(value.shape), value.dtype)
        if problem:
            named = f" with name '{spec.name}'" if spec.name else ""
            raise ValueError(
                f"Input {index}{named} of layer '{layer}' is incompatible with the layer: {problem}"
            )


def _mismatch(spec: InputSpec, shape: tuple[int | None, ...], dtype: Any) -> str | None:
    """Return what is wrong with an input of this shape, or None."""
    ndim = len(shape)
    if spec.ndim is not None and ndim != spec.ndim:
        return f"expected ndim={spec.ndim}, found ndim={ndim}. Full shape received: {shape}"
    if spec.max_ndim is not None and ndim > spec.max_ndim:
        return f"expected max_ndim={spec.max_ndim}, found ndim={ndim}. Full shape received: {shape}"
    if spec.min_ndim is not None and ndim < spec.min_ndim:
        return f"expected min_ndim={spec.min_ndim}, found ndim={ndim}. Full shape received: {shape}"
    if spec.dtype is not None and str(dtype) != spec.dtype:
        return f"expected dtype={spec.dtype}, found dtype={dtype}"
    for axis, size in spec.axes.items():
        if size is not None and shape[axis] not in (size, None):
            return (
                f"expected axis {axis} of input shape to have value {size}, but received input "
                f"with shape {shape}"
            )
    if spec.shape is not None and (
        len(spec.shape) != ndim
        or any(a != b for a, b in zip(spec.shape, shape, strict=True) if None not in (a, b))
    ):
        return f"expected shape={tuple(spec.shape)}, found shape={shape}"
    return None
