"""Layers that move, repeat, pad and crop values."""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from xlathe.tracer.layers import formats
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.specs import InputSpec


class Flatten(Layer):
    """All axes but the first as one."""

    def __init__(self, data_format: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.data_format = formats.data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)
        self.built = True

    def call(self, inputs: Any) -> Any:
        if self.data_format == "channels_first" and inputs.ndim > 2:
            inputs = jnp.moveaxis(inputs, 1, -1)
        return inputs.reshape(inputs.shape[0], math.prod(inputs.shape[1:]))


class Reshape(Layer):
    """The values of each example in another shape.

    Arguments:
        target_shape: the shape of one example; one size may be -1, for what remains.
    """

    def __init__(self, target_shape: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.target_shape = tuple(target_shape)
        if self.target_shape.count(-1) > 1 or any(size < -1 for size in self.target_shape):
            raise ValueError(
                "There must be at most one unknown dimension (-1) in `target_shape`. "
                f"Received: target_shape={target_shape}."
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        total, known = math.prod(inputs.shape[1:]), math.prod(n for n in self.target_shape if n > 0)
        open_ended = -1 in self.target_shape
        if total % known if open_ended and known else total != known:
            raise ValueError(
                "The total size of the tensor must be unchanged. Received: "
                f"input_shape={tuple(inputs.shape[1:])}, target_shape={self.target_shape}"
            )
        return inputs.reshape(inputs.shape[0], *self.target_shape)


class Permute(Layer):
    """The axes of each example in another order; the first of them is 1."""

    def __init__(self, dims: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                "Invalid permutation argument `dims` for Permute Layer. The set of indices in "
                f"`dims` must be consecutive and start from 1. Received dims={dims}"
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)
        self.built = True

    def call(self, inputs: Any) -> Any:
        return jnp.transpose(inputs, (0, *self.dims))


class RepeatVector(Layer):
    """Each vector `n` times, as a sequence."""

    def __init__(self, n: int, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(n, int) or isinstance(n, bool):
            raise TypeError(f"Expected an integer value for `n`, got {type(n)}.")
        if n <= 0:
            raise ValueError(f"Argument `n` should be a positive integer. Received: n={n}")
        self.n = n
        self.input_spec = InputSpec(ndim=2)
        self.built = True

    def call(self, inputs: Any) -> Any:
        return jnp.repeat(inputs[:, None], self.n, axis=1)


class _Spatial(Layer):
    """A layer that changes the sizes of space.

    Arguments:
        data_format: where the channels are.
    """

    rank: ClassVar[int]

    def __init__(self, data_format: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.data_format = formats.data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = True

    @property
    def _axes(self) -> tuple[int, ...]:
        return formats.spatial_axes(self.data_format, self.rank)

    def _pairs(self, value: Any, name: str) -> tuple[tuple[int, ...], ...]:
        """Return an amount before and after for each axis of space."""
        if self.rank == 1:
            return (formats.sizes(value, 2, name, allow_zero=True),)
        if isinstance(value, int):
            value = (value,) * self.rank
        if len(value) != self.rank:
            raise ValueError(f"`{name}` should have {self.rank} elements. Received: {value}.")
        return tuple(formats.sizes(part, 2, name, allow_zero=True) for part in value)


class _ZeroPadding(_Spatial):
    """Zeros around the input.

    Arguments:
        padding: how many: a number, one an axis, or a pair an axis.
        data_format: where the channels are.
    """

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any):
        super().__init__(data_format, **kwargs)
        self.padding = self._pairs(padding, "padding")

    def call(self, inputs: Any) -> Any:
        widths = [(0, 0)] * inputs.ndim
        for axis, pair in zip(self._axes, self.padding, strict=True):
            widths[axis] = (pair[0], pair[1])
        return jnp.pad(inputs, widths)


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after a sequence."""

    rank = 1


class ZeroPadding2D(_ZeroPadding):
    """Zeros around images."""

    rank = 2


class ZeroPadding3D(_ZeroPadding):
    """Zeros around volumes."""

    rank = 3


class _Cropping(_Spatial):
    """The input without its borders.

    Arguments:
        cropping: how much of each side: a number, one an axis, or a pair an axis.
        data_format: where the channels are.
    """

    default: ClassVar[Any]

    def __init__(self, cropping: Any = None, data_format: str | None = None, **kwargs: Any):
        super().__init__(data_format, **kwargs)
        self.cropping = self._pairs(self.default if cropping is None else cropping, "cropping")

    def call(self, inputs: Any) -> Any:
        kept = [slice(None)] * inputs.ndim
        for axis, (before, after) in zip(self._axes, self.cropping, strict=True):
            if before + after >= inputs.shape[axis]:
                raise ValueError(
                    "Values in `cropping` argument should be smaller than the corresponding "
                    f"spatial dimension of the input. Received: inputs.shape={inputs.shape}, "
                    f"cropping={self.cropping}"
                )
            kept[axis] = slice(before, inputs.shape[axis] - after)
        return inputs[tuple(kept)]


class Cropping1D(_Cropping):
    """A sequence without its ends."""

    rank, default = 1, (1, 1)


class Cropping2D(_Cropping):
    """Images without their borders."""

    rank, default = 2, ((0, 0), (0, 0))


class Cropping3D(_Cropping):
    """Volumes without their borders."""

    rank, default = 3, ((1, 1), (1, 1), (1, 1))


class _UpSampling(_Spatial):
    """Each value repeated along the axes of space.

    Arguments:
        size: how often.
        data_format: where the channels are.
    """

    def __init__(self, size: Any = 2, data_format: str | None = None, **kwargs: Any):
        super().__init__(data_format, **kwargs)
        self.size = formats.sizes(size, self.rank, "size")

    def call(self, inputs: Any) -> Any:
        for axis, count in zip(self._axes, self.size, strict=True):
            inputs = jnp.repeat(inputs, count, axis=axis)
        return inputs


class UpSampling1D(_UpSampling):
    """Each time step repeated."""

    rank = 1

    def __init__(self, size: int = 2, **kwargs: Any):
        super().__init__(size, **kwargs)


class UpSampling2D(_UpSampling):
    """Images enlarged, by repetition or by another interpolation.

    Arguments:
        size: how often each row and column is repeated.
        data_format: where the channels are.
        interpolation: "nearest", "bilinear", "bicubic", "lanczos3" or "lanczos5".
    """

    rank = 2

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ):
        super().__init__(size, data_format, **kwargs)
        self.interpolation = formats.interpolation(interpolation)

    def call(self, inputs: Any) -> Any:
        if self.interpolation == "nearest":
            return super().call(inputs)
        shape = list(inputs.shape)
        for axis, count in zip(self._axes, self.size, strict=True):
            shape[axis] *= count
        return jax.image.resize(inputs, shape, self.interpolation, antialias=False)


class UpSampling3D(_UpSampling):
    """Each value of a volume repeated."""

    rank = 3


__all__ = [
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Flatten",
    "Permute",
    "RepeatVector",
    "Reshape",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]
