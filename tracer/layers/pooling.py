"""Pooling: maxima and averages over windows, and over all of space."""

from typing import Any, ClassVar

import jax.numpy as jnp
from jax import lax

from xlathe.tracer.layers import formats
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.specs import InputSpec


class _Pooling(Layer):
    """A reduction over windows.

    Arguments:
        pool_size: the size of a window.
        strides: how far apart windows are; `pool_size` unless given.
        padding: "valid" or "same".
        data_format: where the channels are.
    """

    rank: ClassVar[int]

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.pool_size = formats.sizes(pool_size, self.rank, "pool_size")
        self.strides = formats.sizes(
            pool_size if strides is None else strides, self.rank, "strides"
        )
        self.padding = formats.padding(padding)
        self.data_format = formats.data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = True

    def _window(self, values: tuple[int, ...]) -> tuple[int, ...]:
        return (1, *values, 1) if self.data_format == "channels_last" else (1, 1, *values)

    def _reduce(self, x: Any, start: Any, operation: Any) -> Any:
        window, strides = self._window(self.pool_size), self._window(self.strides)
        return lax.reduce_window(x, start, operation, window, strides, self.padding.upper())


class _MaxPooling(_Pooling):
    """The largest value of each window."""

    def call(self, inputs: Any) -> Any:
        if jnp.issubdtype(inputs.dtype, jnp.floating):
            return self._reduce(inputs, -jnp.inf, lax.max)
        return self._reduce(inputs, jnp.iinfo(inputs.dtype).min, lax.max)


class _AveragePooling(_Pooling):
    """The mean of each window; what lies outside the input isn't counted."""

    def __init__(
        self,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)

    def call(self, inputs: Any) -> Any:
        total = self._reduce(inputs, 0.0, lax.add)
        if self.padding == "valid":
            count = 1
            for size in self.pool_size:
                count *= size
            return total / jnp.asarray(count, inputs.dtype)
        return total / self._reduce(jnp.ones_like(inputs), 0.0, lax.add)


class MaxPooling1D(_MaxPooling):
    """The largest value of each window in time."""

    rank = 1


class MaxPooling2D(_MaxPooling):
    """The largest value of each window of an image."""

    rank = 2

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class MaxPooling3D(_MaxPooling):
    """The largest value of each window of a volume."""

    rank = 3

    def __init__(
        self,
        pool_size: Any = (2, 2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class AveragePooling1D(_AveragePooling):
    """The mean of each window in time."""

    rank = 1


class AveragePooling2D(_AveragePooling):
    """The mean of each window of an image."""

    rank = 2


class AveragePooling3D(_AveragePooling):
    """The mean of each window of a volume."""

    rank = 3


class _GlobalPooling(Layer):
    """A reduction over all of space.

    Arguments:
        data_format: where the channels are.
        keepdims: whether the axes of space stay, with size one.
    """

    rank: ClassVar[int]

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.data_format = formats.data_format(data_format)
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = True

    @property
    def _axes(self) -> tuple[int, ...]:
        return formats.spatial_axes(self.data_format, self.rank)


class _GlobalMaxPooling(_GlobalPooling):
    """The largest value over all of space."""

    def call(self, inputs: Any) -> Any:
        return jnp.max(inputs, axis=self._axes, keepdims=self.keepdims)


class _GlobalAveragePooling(_GlobalPooling):
    """The mean over all of space."""

    def call(self, inputs: Any) -> Any:
        return jnp.mean(inputs, axis=self._axes, keepdims=self.keepdims)


class GlobalMaxPooling1D(_GlobalMaxPooling):
    """The largest value over time."""

    rank = 1


class GlobalMaxPooling2D(_GlobalMaxPooling):
    """The largest value of each channel of an image."""

    rank = 2


class GlobalMaxPooling3D(_GlobalMaxPooling):
    """The largest value of each channel of a volume."""

    rank = 3


class GlobalAveragePooling1D(_GlobalAveragePooling):
    """The mean over time; what `mask` excludes isn't counted."""

    rank = 1

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any):
        super().__init__(data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return super().call(inputs)
        (axis,) = self._axes
        weights = jnp.expand_dims(mask.astype(inputs.dtype), 3 - axis)
        total = jnp.sum(inputs * weights, axis=axis, keepdims=self.keepdims)
        return total / jnp.sum(weights, axis=axis, keepdims=self.keepdims)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None


class GlobalAveragePooling2D(_GlobalAveragePooling):
    """The mean of each channel of an image."""

    rank = 2


class GlobalAveragePooling3D(_GlobalAveragePooling):
    """The mean of each channel of a volume."""

    rank = 3


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalMaxPool1D, GlobalMaxPool2D = GlobalMaxPooling1D, GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D

__all__ = [
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
]
