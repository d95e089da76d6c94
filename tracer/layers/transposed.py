"""Transposed convolutions: from small to large."""

from typing import Any

from jax import lax

from xlathe.tracer.layers import formats, options
from xlathe.tracer.layers.convolution import ConvolutionBase, dimension_numbers


class _ConvTranspose(ConvolutionBase):
    """The transpose of a convolution, with a bias and an activation.

    Arguments:
        filters: the number of output channels.
        kernel_size: the extent of the kernel.
        strides: how far apart the inputs lie in the output.
        padding: "valid" or "same".
        output_padding: what is added to the output's sizes; from the other arguments unless given.
        data_format: where the channels are.
        dilation_rate: how far apart the kernel's values are.
        activation: a function or its name.
        use_bias: whether a bias is added.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = options.positive("filters", filters)
        self._set_up(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias
        )
        self._refuse_strided_dilation()
        self.output_padding = None
        if output_padding is not None:
            self.output_padding = formats.sizes(
                output_padding, self.rank, "output_padding", allow_zero=True
            )
            if any(p >= s for p, s in zip(self.output_padding, self.strides, strict=True)):
                raise ValueError(
                    "`output_padding` must be strictly less than `strides` for all dimensions. "
                    f"Received: output_padding={self.output_padding}, strides={self.strides}"
                )
        options.keep(
            self,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        self.kernel = options.add(self, "kernel", (*self.kernel_size, self.filters, channels))
        self.bias = options.add(self, "bias", (self.filters,)) if self.use_bias else None

    def _check_space(self, input_shape: Any) -> None:
        """Accept every input: the output is larger."""

    def _padding(self, axis: int) -> tuple[int, int]:
        """Return how much the spread-out input is padded on both sides of an axis."""
        stride = self.strides[axis]
        extent = (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1
        extra = None if self.output_padding is None else self.output_padding[axis]
        if self.padding == "valid":
            after = max(extent, stride) - extent if extra is None else extra
            return extent - 1, extent - 1 + after
        total = stride + extent - 2 if extra is None else extent + extent % 2 - 2 + extra
        before = min(total // 2 + total % 2, extent - 1)
        return before, total - before

    def call(self, inputs: Any) -> Any:
        return self._finish(self.transpose(inputs, self.kernel.value), self.bias)

    def transpose(self, inputs: Any, kernel: Any) -> Any:
        """Return the transposed convolution alone, by any kernel of this layer's size."""
        return lax.conv_transpose(
            inputs,
            kernel,
            self.strides,
            [self._padding(axis) for axis in range(self.rank)],
            rhs_dilation=self.dilation_rate,
            dimension_numbers=dimension_numbers(self.rank, self.data_format),
            transpose_kernel=True,
        )


class Conv1DTranspose(_ConvTranspose):
    """A transposed convolution over time."""

    rank = 1


class Conv2DTranspose(_ConvTranspose):
    """A transposed convolution over images."""

    rank = 2


class Conv3DTranspose(_ConvTranspose):
    """A transposed convolution over volumes."""

    rank = 3


Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose

__all__ = [
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "Convolution1DTranspose",
    "Convolution2DTranspose",
    "Convolution3DTranspose",
]
