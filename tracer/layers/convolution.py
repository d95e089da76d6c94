"""Convolutions over one, two and three axes of space."""

from typing import Any, ClassVar

from jax import lax

from xlathe.tracer.layers import activations, formats, options
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.specs import InputSpec

_SPACE = "DHW"


def dimension_numbers(rank: int, data_format: str) -> tuple[str, str, str]:
    """Return how the axes of inputs, kernels and outputs are laid out, as `lax` names them."""
    space = _SPACE[-rank:]
    layout = f"N{space}C" if data_format == "channels_last" else f"NC{space}"
    return layout, f"{space}IO", layout


class ConvolutionBase(Layer):
    """What every convolution has: sizes, strides, padding, activation, bias."""

    rank: ClassVar[int]

    def _set_up(
        self,
        kernel_size: Any,
        strides: Any,
        padding: str,
        data_format: str | None,
        dilation_rate: Any,
        activation: Any,
        use_bias: bool,
        *,
        allow_causal: bool = False,
    ) -> None:
        self.kernel_size = formats.sizes(kernel_size, self.rank, "kernel_size")
        self.strides = formats.sizes(strides, self.rank, "strides")
        self.dilation_rate = formats.sizes(dilation_rate, self.rank, "dilation_rate")
        self.padding = formats.padding(padding, allow_causal=allow_causal and self.rank == 1)
        self.data_format = formats.data_format(data_format)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.input_spec = InputSpec(min_ndim=self.rank + 2)

    def _refuse_strided_dilation(self) -> None:
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: "
                f"strides={self.strides} and dilation_rate={self.dilation_rate}"
            )

    def _channels(self, input_shape: Any) -> int:
        """Return the number of input channels, and expect it from now on."""
        axis = formats.channel_axis(self.data_format)
        channels = options.known(self, input_shape, axis)
        self._check_space(input_shape)
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={axis: channels})
        return channels

    def _check_space(self, input_shape: Any) -> None:
        """Refuse an input smaller than the kernel."""
        if self.padding != "valid":
            return
        axes = formats.spatial_axes(self.data_format, self.rank)
        for axis, size, rate in zip(axes, self.kernel_size, self.dilation_rate, strict=True):
            extent = rate * (size - 1) + 1
            if input_shape[axis] is not None and input_shape[axis] < extent:
                raise ValueError(
                    f"Computed output size would be negative or zero: the kernel of layer "
                    f"'{self.name}' reaches over {extent} in axis {axis}. Received: "
                    f"inputs_shape={tuple(input_shape)}, kernel_size={self.kernel_size}, "
                    f"dilation_rate={self.dilation_rate}."
                )

    def _convolve(self, x: Any, kernel: Any, groups: int = 1) -> Any:
        """Convolve with this layer's strides, padding and dilation."""
        padding: Any = self.padding.upper()
        if self.padding == "causal":
            padding = [(self.dilation_rate[0] * (self.kernel_size[0] - 1), 0)]
        return lax.conv_general_dilated(
            x,
            kernel,
            self.strides,
            padding,
            rhs_dilation=self.dilation_rate,
            dimension_numbers=dimension_numbers(self.rank, self.data_format),
            feature_group_count=groups,
        )

    def _finish(self, x: Any, bias: Any) -> Any:
        """Add the bias and apply the activation."""
        if bias is not None:
            bias = bias.value
            if self.data_format == "channels_first":
                bias = bias.reshape(-1, *(1,) * self.rank)
            x = x + bias
        return self.activation(x)


class _Conv(ConvolutionBase):
    """A convolution with a bias and an activation.

    Arguments:
        filters: the number of output channels.
        kernel_size: the extent of the kernel.
        strides: how far apart outputs are.
        padding: "valid", "same", and "causal" in one dimension.
        data_format: where the channels are.
        dilation_rate: how far apart the kernel's values are.
        groups: into how many groups the channels are divided.
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
        groups: int = 1,
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
        self.groups = options.positive("groups", groups)
        if filters % groups:
            raise ValueError(
                "The number of filters must be evenly divisible by the number of groups. "
                f"Received: groups={groups}, filters={filters}."
            )
        self._set_up(
            *(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias),
            allow_causal=True,
        )
        self._refuse_strided_dilation()
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
        if channels % self.groups:
            raise ValueError(
                "The number of input channels must be evenly divisible by the number of groups. "
                f"Received groups={self.groups}, but the input has {channels} channels (full "
                f"input shape is {tuple(input_shape)})."
            )
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        self.kernel = options.add(self, "kernel", shape)
        self.bias = options.add(self, "bias", (self.filters,)) if self.use_bias else None

    def call(self, inputs: Any) -> Any:
        return self._finish(self._convolve(inputs, self.kernel.value, self.groups), self.bias)


class Conv1D(_Conv):
    """A convolution over time."""

    rank = 1


class Conv2D(_Conv):
    """A convolution over images."""

    rank = 2


class Conv3D(_Conv):
    """A convolution over volumes."""

    rank = 3


Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D

__all__ = ["Conv1D", "Conv2D", "Conv3D", "Convolution1D", "Convolution2D", "Convolution3D"]
