"""Layers that make one tensor of several."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from xlathe.tracer.layers.layer import Layer


class _Merge(Layer):
    """An elementwise operation on several tensors; ranks are made equal by axes of size one."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        shapes = _shapes(self, input_shape)
        batches = {shape[0] for shape in shapes if shape} - {None}
        if len(batches) > 1:
            raise ValueError(
                "Cannot merge tensors with different batch sizes. Received tensors with shapes "
                f"{input_shape}"
            )
        rank = max(map(len, shapes))
        padded = [(*shape[:1], *(1,) * (rank - len(shape)), *shape[1:]) for shape in shapes]
        for sizes in zip(*padded, strict=True):
            if len(set(sizes) - {1, None}) > 1:
                raise ValueError(
                    f"Inputs have incompatible shapes. Received shapes {shapes} by layer "
                    f"'{self.name}'."
                )

    def call(self, inputs: Any) -> Any:
        if not isinstance(inputs, list | tuple):
            raise ValueError(
                "A merge layer should be called on a list of inputs. Received: "
                f"inputs={inputs} (not a list of tensors)"
            )
        rank = max(x.ndim for x in inputs)
        same_rank = [x.reshape(x.shape[:1] + (1,) * (rank - x.ndim) + x.shape[1:]) for x in inputs]
        return self._merge(same_rank)

    def _merge(self, inputs: list[Any]) -> Any:
        total = inputs[0]
        for x in inputs[1:]:
            total = self._combine(total, x)
        return total

    def _combine(self, x: Any, y: Any) -> Any:
        raise NotImplementedError

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        masks = [m for m in previous_mask or [] if m is not None]
        if not masks or len(masks) < len(inputs):
            return None
        total = masks[0]
        for mask in masks[1:]:
            total = total | mask
        return total


class Add(_Merge):
    """The sum of the inputs."""

    def _combine(self, x: Any, y: Any) -> Any:
        return x + y


class Subtract(_Merge):
    """The first of two inputs less the second."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        if len(input_shape) != 2:
            raise ValueError(
                "A `Subtract` layer should be called on exactly 2 inputs. Received: "
                f"input_shape={input_shape}"
            )

    def _combine(self, x: Any, y: Any) -> Any:
        return x - y


class Multiply(_Merge):
    """The product of the inputs; masked values count as one."""

    def _combine(self, x: Any, y: Any) -> Any:
        return x * y

    def call(self, inputs: Any, mask: Any = None) -> Any:
        masks = mask if isinstance(mask, list | tuple) else [None] * len(inputs)
        if all(m is None for m in masks):
            return super().call(inputs)
        factors = [
            x if m is None else jnp.where(_over(m, x), x, jnp.ones_like(x))
            for x, m in zip(inputs, masks, strict=True)
        ]
        total = super().call(factors)
        if any(m is None for m in masks):
            return total
        return jnp.where(_over(self.compute_mask(inputs, masks), total), total, 0)


class Average(_Merge):
    """The mean of the inputs."""

    def _merge(self, inputs: list[Any]) -> Any:
        return super()._merge(inputs) / len(inputs)

    def _combine(self, x: Any, y: Any) -> Any:
        return x + y


class _Extremum(_Merge):
    """The largest or smallest of the inputs; where one is masked, the others count."""

    def call(self, inputs: Any, mask: Any = None) -> Any:
        masks = mask if isinstance(mask, list | tuple) else [None] * len(inputs)
        if all(m is None for m in masks):
            return super().call(inputs)
        total, known = inputs[0], masks[0]
        for x, m in zip(inputs[1:], masks[1:], strict=True):
            x = x if m is None else jnp.where(_over(m, x), x, total)
            total = total if known is None else jnp.where(_over(known, total), total, x)
            known = None if m is None or known is None else known | m
            total = self._combine(total, x)
        return total


class Maximum(_Extremum):
    """The largest of the inputs, elementwise."""

    def _combine(self, x: Any, y: Any) -> Any:
        return jnp.maximum(x, y)


class Minimum(_Extremum):
    """The smallest of the inputs, elementwise."""

    def _combine(self, x: Any, y: Any) -> Any:
        return jnp.minimum(x, y)


class Concatenate(_Merge):
    """The inputs one after another along `axis`."""

    def __init__(self, axis: int = -1, **kwargs: Any):
        super().__init__(**kwargs)
        self.axis = axis

    def build(self, input_shape: Any) -> None:
        shapes = _shapes(self, input_shape)
        ranks = {len(shape) for shape in shapes}
        others = [
            {size for i, size in enumerate(sizes) if size is not None}
            for sizes in zip(*(_without(shape, self.axis) for shape in shapes), strict=False)
        ]
        if len(ranks) > 1 or any(len(sizes) > 1 for sizes in others):
            raise ValueError(
                "A `Concatenate` layer requires inputs with matching shapes except for the "
                f"concatenation axis. Received: input_shape={input_shape}"
            )

    def call(self, inputs: Any) -> Any:
        return jnp.concatenate(inputs, axis=self.axis)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        if not previous_mask or all(mask is None for mask in previous_mask):
            return None
        masks = [
            jnp.ones(x.shape, bool) if m is None else jnp.broadcast_to(_over(m, x), x.shape)
            for x, m in zip(inputs, previous_mask, strict=True)
        ]
        return jnp.any(jnp.concatenate(masks, axis=self.axis), axis=-1)


class Dot(Layer):
    """The product of two tensors, summed over one axis of each.

    Arguments:
        axes: the axis, or one for each tensor; not that of the batch.
        normalize: whether both are first divided by their norms along it.
    """

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(axes, int | list | tuple):
            raise TypeError(
                "Invalid type for argument `axes`: it should be a list or an int. "
                f"Received: axes={axes}"
            )
        if not isinstance(axes, int) and (
            len(axes) != 2 or not all(isinstance(axis, int) for axis in axes)
        ):
            raise ValueError(
                "Invalid format for argument `axes`: it should contain two integers. "
                f"Received: axes={axes}"
            )
        self.axes, self.normalize = axes, normalize
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        shapes = _shapes(self, input_shape)
        if len(shapes) != 2:
            raise ValueError(
                "A `Dot` layer should be called on a list of 2 inputs. "
                f"Received: input_shape={input_shape}"
            )
        sizes = [s[axis] for s, axis in zip(shapes, self._pair(*map(len, shapes)), strict=True)]
        if sizes[0] != sizes[1] and None not in sizes:
            raise ValueError(
                f"Incompatible input shapes: axis values {sizes[0]} != {sizes[1]} along axes "
                f"{self.axes}. Full input shapes: {shapes[0]}, {shapes[1]}"
            )

    def _pair(self, first: int, second: int) -> tuple[int, int]:
        axes = [self.axes] * 2 if isinstance(self.axes, int) else self.axes
        pair = axes[0] % first, axes[1] % second
        if 0 in pair:
            raise ValueError(f"A `Dot` layer cannot sum over the batch. Received: axes={self.axes}")
        return pair

    def call(self, inputs: Any) -> Any:
        x, y = inputs
        a, b = self._pair(x.ndim, y.ndim)
        if self.normalize:
            x, y = _unit(x, a), _unit(y, b)
        product = lax.dot_general(x, y, (((a,), (b,)), ((0,), (0,))))
        return product[:, None] if product.ndim == 1 else product

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None


def _unit(x: Any, axis: int) -> Any:
    squares = jnp.sum(jnp.square(x), axis=axis, keepdims=True)
    return x * jnp.minimum(lax.rsqrt(squares), 1e7)


def _over(mask: Any, x: Any) -> Any:
    """Return a mask with axes of size one added at its end, to the rank of `x`."""
    return mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))


def _without(shape: Any, axis: int) -> list[Any]:
    sizes = list(shape)
    if -len(sizes) <= axis < len(sizes):
        del sizes[axis]
    return sizes


def _shapes(layer: Layer, input_shape: Any) -> list[Any]:
    if not isinstance(input_shape, list | tuple) or not all(
        isinstance(shape, list | tuple) for shape in input_shape
    ):
        raise ValueError(
            f"A `{type(layer).__name__}` layer should be called on a list of inputs. Received: "
            f"input_shape={input_shape} (not a list of shapes)"
        )
    return list(input_shape)


def add(inputs: Any, **kwargs: Any) -> jax.Array:
    """Return `Add(**kwargs)(inputs)`."""
    return Add(**kwargs)(inputs)


def subtract(inputs: Any, **kwargs: Any) -> jax.Array:
    """Return `Subtract(**kwargs)(inputs)`."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs: Any) -> jax.Array:
    """Return `Multiply(**kwargs)(inputs)`."""
    return Multiply(**kwargs)(inputs)


def average(inputs: Any, **kwargs: Any) -> jax.Array:
    """Return `Average(**kwargs)(inputs)`."""
    return Average(**kwargs)(inputs)


def maximum(inputs: Any, **kwargs: Any) -> jax.Array:
    """Return `Maximum(**kwargs)(inputs)`."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Any, **kwargs: Any) -> jax.Array:
    """Return `Minimum(**kwargs)(inputs)`."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> jax.Array:
    """Return `Concatenate(axis, **kwargs)(inputs)`."""
    return Concatenate(axis, **kwargs)(inputs)


def dot(inputs: Any, axes: Any = -1, **kwargs: Any) -> jax.Array:
    """Return `Dot(axes, **kwargs)(inputs)`."""
    return Dot(axes, **kwargs)(inputs)


__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]
