"""Functions of `ops` from which layers are made: convolutions, pooling, norms, cross-entropies."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from xlathe.tracer import settings
from xlathe.tracer.layers import formats, pooling, transposed
from xlathe.tracer.layers.convolution import dimension_numbers


def conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> jax.Array:
    """Return a convolution; fewer channels in the kernel than in the inputs make groups."""
    inputs, kernel = jnp.asarray(inputs), jnp.asarray(kernel)
    where = formats.data_format(data_format)
    channels = inputs.shape[formats.channel_axis(where)]
    if channels % kernel.shape[-2]:
        raise ValueError(
            "The number of input channels must be evenly divisible by the kernel's. Received: "
            f"inputs.shape={inputs.shape}, kernel.shape={kernel.shape}"
        )
    groups = channels // kernel.shape[-2]
    return _convolved(inputs, kernel, strides, padding, where, dilation_rate, groups)


def _convolved(
    x: Any, kernel: Any, strides: Any, padding: str, where: str, dilation: Any, groups: int
) -> jax.Array:
    rank = x.ndim - 2
    return lax.conv_general_dilated(
        x,
        kernel,
        formats.sizes(strides, rank, "strides"),
        formats.padding(padding).upper(),
        rhs_dilation=formats.sizes(dilation, rank, "dilation_rate"),
        dimension_numbers=dimension_numbers(rank, where),
        feature_group_count=groups,
    )


def depthwise_conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> jax.Array:
    """Return a convolution of each channel by kernels of its own."""
    inputs, kernel = jnp.asarray(inputs), jnp.asarray(kernel)
    where = formats.data_format(data_format)
    channels = inputs.shape[formats.channel_axis(where)]
    kernel = kernel.reshape(*kernel.shape[:-2], 1, -1)
    return _convolved(inputs, kernel, strides, padding, where, dilation_rate, channels)


def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> jax.Array:
    """Return a depthwise convolution followed by one over the channels."""
    x = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(x, pointwise_kernel, 1, "valid", data_format)


def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> jax.Array:
    """Return the transpose of a convolution."""
    inputs, kernel = jnp.asarray(inputs), jnp.asarray(kernel)
    kinds = (
        transposed.Conv1DTranspose,
        transposed.Conv2DTranspose,
        transposed.Conv3DTranspose,
    )
    layer = kinds[inputs.ndim - 3](
        kernel.shape[-2],
        kernel.shape[:-2],
        strides,
        padding,
        output_padding,
        data_format,
        dilation_rate,
        name="conv_transpose",
    )
    return layer.transpose(inputs, kernel)


def max_pool(
    inputs: Any,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> jax.Array:
    """Return the largest value of each window."""
    kinds = (pooling.MaxPooling1D, pooling.MaxPooling2D, pooling.MaxPooling3D)
    inputs = jnp.asarray(inputs)
    layer = kinds[inputs.ndim - 3](pool_size, strides, padding, data_format, "max_pool")
    return layer.call(inputs)


def average_pool(
    inputs: Any,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> jax.Array:
    """Return the mean of each window."""
    kinds = (pooling.AveragePooling1D, pooling.AveragePooling2D, pooling.AveragePooling3D)
    inputs = jnp.asarray(inputs)
    layer = kinds[inputs.ndim - 3](pool_size, strides, padding, data_format, "average_pool")
    return layer.call(inputs)


def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    axis: int,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 1e-3,
) -> jax.Array:
    """Return `x` shifted and scaled by the statistics of each channel."""
    x = jnp.asarray(x)
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis]
    mean, variance = jnp.reshape(mean, shape), jnp.reshape(variance, shape)
    inverse = lax.rsqrt(variance + epsilon)
    if scale is not None:
        inverse = inverse * jnp.reshape(scale, shape)
    shift = -mean * inverse
    return x * inverse + (shift if offset is None else shift + jnp.reshape(offset, shape))


def layer_normalization(
    x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: float | None = None
) -> jax.Array:
    """Return `x` with mean zero and variance one over axes."""
    x = jnp.asarray(x)
    variance = x.var(axis, keepdims=True)
    y = (x - x.mean(axis, keepdims=True)) * lax.rsqrt(variance + _epsilon(epsilon))
    y = y if gamma is None else y * gamma
    return y if beta is None else y + beta


def rms_normalization(
    x: Any, scale: Any = None, axis: Any = -1, epsilon: float | None = None
) -> jax.Array:
    """Return `x` divided by the root of its mean square over axes."""
    x = jnp.asarray(x)
    y = x * lax.rsqrt(jnp.square(x).mean(axis, keepdims=True) + _epsilon(epsilon))
    return y if scale is None else y * scale


def _epsilon(value: float | None) -> float:
    return settings.epsilon() if value is None else value


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> jax.Array:
    """Return the cross-entropy of each element."""
    target, output = jnp.asarray(target), jnp.asarray(output)
    _check_same_shape(target, output)
    if from_logits:
        return -target * jax.nn.log_sigmoid(output) - (1 - target) * jax.nn.log_sigmoid(-output)
    output = _clipped(output)
    return -(target * jnp.log(output) + (1 - target) * jnp.log(1 - output))


def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> jax.Array:
    """Return the cross-entropy of each distribution along an axis."""
    target, output = jnp.asarray(target), jnp.asarray(output)
    _check_same_shape(target, output)
    return -jnp.sum(target * _log_probabilities(output, from_logits, axis), axis)


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> jax.Array:
    """Return the cross-entropy with each class of `target`."""
    target, output = jnp.asarray(target, "int32"), jnp.asarray(output)
    if target.ndim == output.ndim and target.shape[-1] == 1:
        target = target[..., 0]
    if target.shape != output.shape[:-1]:
        raise ValueError(
            "Arguments `target` and `output` must have the same shape up until the last dimension. "
            f"Received: target.shape={target.shape}, output.shape={output.shape}"
        )
    hot = jax.nn.one_hot(target, output.shape[axis], axis=axis)
    return -jnp.sum(hot * _log_probabilities(output, from_logits, axis), axis)


def _log_probabilities(output: Any, from_logits: bool, axis: int) -> jax.Array:
    if from_logits:
        return jax.nn.log_softmax(output, axis)
    return jnp.log(_clipped(output / output.sum(axis, keepdims=True)))


def _clipped(output: Any) -> jax.Array:
    return jnp.clip(output, settings.epsilon(), 1 - settings.epsilon())


def _check_same_shape(target: Any, output: Any) -> None:
    if target.shape != output.shape:
        raise ValueError(
            "Arguments `target` and `output` must have the same shape. Received: "
            f"target.shape={target.shape}, output.shape={output.shape}"
        )


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
) -> jax.Array:
    """Return attention over arrays of shape (batch, length, heads, size)."""
    return jax.nn.dot_product_attention(
        query, key, value, bias, mask, scale=scale, is_causal=is_causal
    )


FUNCTIONS: list[Callable[..., Any]] = [
    *(conv, depthwise_conv, separable_conv, conv_transpose, max_pool, average_pool),
    *(batch_normalization, layer_normalization, rms_normalization, dot_product_attention),
    *(binary_crossentropy, categorical_crossentropy, sparse_categorical_crossentropy),
]
