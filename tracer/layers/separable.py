"""Convolutions of each channel by itself: depthwise and separable."""

from typing import Any

import jax.numpy as jnp
from jax import lax

from xlathe.tracer.layers import options
from xlathe.tracer.layers.convolution import ConvolutionBase, dimension_numbers


class _Depthwise(ConvolutionBase):
    """A convolution of each channel by itself.

    Arguments:
        kernel_size: the extent of the kernel.
        strides: how far apart outputs are.
        padding: "valid" or "same".
        depth_multiplier: the number of outputs of each channel.
        data_format: where the channels are.
        dilation_rate: how far apart the kernel's values are.
        activation: a function or its name.
        use_bias: whether a bias is added.
    """

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.depth_multiplier = options.positive("depth_multiplier", depth_multiplier)
        self._set_up(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias
        )
        options.keep(
            self,
            depthwise_initializer=depthwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            bias_regularizer=bias_regularizer,
            depthwise_constraint=depthwise_constraint,
            bias_constraint=bias_constraint,
        )

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.kernel = options.add(self, "kernel", shape, prefix="depthwise")
        self.bias = None
        if self.use_bias:
            self.bias = options.add(self, "bias", (self.depth_multiplier * channels,))

    def call(self, inputs: Any) -> Any:
        kernel, groups = _one_group_each(self.kernel.value)
        return self._finish(self._convolve(inputs, kernel, groups), self.bias)


class DepthwiseConv1D(_Depthwise):
    """A convolution of each channel over time."""

    rank = 1


class DepthwiseConv2D(_Depthwise):
    """A convolution of each channel of images."""

    rank = 2


class _Separable(ConvolutionBase):
    """A convolution of each channel by itself, then a mixture of channels at each place.

    Arguments:
        filters: the number of output channels.
        kernel_size: the extent of the kernel.
        strides: how far apart outputs are.
        padding: "valid", "same", and "causal" in one dimension.
        data_format: where the channels are.
        dilation_rate: how far apart the kernel's values are.
        depth_multiplier: the number of channels made of each before they are mixed.
        activation: a function or its name.
        use_bias: whether a bias is added.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = options.positive("filters", filters)
        self.depth_multiplier = options.positive("depth_multiplier", depth_multiplier)
        self._set_up(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias
        )
        options.keep(
            self,
            depthwise_initializer=depthwise_initializer,
            pointwise_initializer=pointwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            pointwise_regularizer=pointwise_regularizer,
            bias_regularizer=bias_regularizer,
            depthwise_constraint=depthwise_constraint,
            pointwise_constraint=pointwise_constraint,
            bias_constraint=bias_constraint,
        )

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        inner = self.depth_multiplier * channels
        self.depthwise_kernel = options.add(
            self,
            "depthwise_kernel",
            (*self.kernel_size, channels, self.depth_multiplier),
            prefix="depthwise",
        )
        self.pointwise_kernel = options.add(
            self, "pointwise_kernel", (*(1,) * self.rank, inner, self.filters), prefix="pointwise"
        )
        self.bias = options.add(self, "bias", (self.filters,)) if self.use_bias else None

    def call(self, inputs: Any) -> Any:
        kernel, groups = _one_group_each(self.depthwise_kernel.value)
        outputs = lax.conv_general_dilated(
            self._convolve(inputs, kernel, groups),
            self.pointwise_kernel.value,
            (1,) * self.rank,
            "VALID",
            dimension_numbers=dimension_numbers(self.rank, self.data_format),
        )
        return self._finish(outputs, self.bias)


class SeparableConv1D(_Separable):
    """A separable convolution over time."""

    rank = 1


class SeparableConv2D(_Separable):
    """A separable convolution over images."""

    rank = 2


def _one_group_each(kernel: Any) -> tuple[Any, int]:
    """Return a depthwise kernel as `lax` takes it, with the number of groups."""
    *space, channels, multiplier = kernel.shape
    return jnp.reshape(kernel, (*space, 1, channels * multiplier)), channels


SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D

__all__ = [
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
]
