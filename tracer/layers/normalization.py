"""Normalisation of activations."""

from typing import Any

import jax.numpy as jnp
from jax import lax

from xlathe.tracer.layers import options
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.specs import InputSpec


class BatchNormalization(Layer):
    """Normalise each feature by its mean and variance over the batch.

    In training the batch's own statistics are used, and moving averages of them are kept for
    inference. A layer with `trainable=False` uses the averages in training too.

    Arguments:
        axis: the axis of the features.
        momentum: how much of the old average stays.
        epsilon: added to the variance.
        center, scale: whether an offset `beta` and a factor `gamma` are learned.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        synchronized: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if synchronized:
            raise ValueError(
                "BatchNormalization takes no `synchronized=True`: statistics are those of the "
                "whole batch wherever it lies."
            )
        self.axis = int(axis)
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        self.center, self.scale = center, scale
        options.keep(
            self,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            moving_mean_initializer=moving_mean_initializer,
            moving_variance_initializer=moving_variance_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
        )
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        size = options.known(self, input_shape, self.axis)
        add = options.add
        self.gamma = add(self, "gamma", (size,), autocast=False) if self.scale else None
        self.beta = add(self, "beta", (size,), autocast=False) if self.center else None
        statistics: dict[str, Any] = {"trainable": False, "autocast": False}
        self.moving_mean = add(self, "moving_mean", (size,), **statistics)
        self.moving_variance = add(self, "moving_variance", (size,), **statistics)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: size})

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        x = inputs.astype(jnp.promote_types(inputs.dtype, jnp.float32))
        axis = self.axis % x.ndim
        if training and self.trainable:
            mean, variance = _moments(x, axis, mask)
            for variable, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
                kept = variable.value * self.momentum
                variable.assign(kept + lax.stop_gradient(new) * (1.0 - self.momentum))
        else:
            mean, variance = self.moving_mean.value, self.moving_variance.value
        shape = [1] * x.ndim
        shape[axis] = x.shape[axis]
        factor = lax.rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            factor = factor * self.gamma.value
        x = (x - mean.reshape(shape)) * factor.reshape(shape)
        if self.beta is not None:
            x = x + self.beta.value.reshape(shape)
        return x.astype(self.compute_dtype)


def _moments(x: Any, axis: int, mask: Any) -> tuple[Any, Any]:
    """Return the mean and variance over all axes but `axis`, where `mask` allows."""
    axes = tuple(i for i in range(x.ndim) if i != axis)
    if mask is None:
        return jnp.mean(x, axis=axes), jnp.var(x, axis=axes)
    if mask.ndim != x.ndim - 1:
        raise ValueError(
            "The mask provided should be one dimension less than the inputs. Received: "
            f"mask.shape={mask.shape}, inputs.shape={x.shape}"
        )
    weights = jnp.broadcast_to(mask[..., None], x.shape).astype(x.dtype)
    count = jnp.sum(weights, axis=axes, keepdims=True) + 1e-7
    mean = jnp.sum(x * weights, axis=axes, keepdims=True) / count
    variance = jnp.sum(jnp.square(x - mean) * weights, axis=axes) / count.reshape(-1)
    return mean.reshape(-1), variance


class _Affine(Layer):
    """A normalisation followed by a learned factor `gamma` and offset `beta`.

    Arguments:
        axis: the axis, or axes, of the features.
        epsilon: added to the variance.
        center, scale: whether `beta` and `gamma` are learned.
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.axis: Any = list(axis) if isinstance(axis, list | tuple) else axis
        self.epsilon, self.center, self.scale = epsilon, center, scale
        options.keep(
            self,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
        )
        self.supports_masking = True
        self.autocast = False

    def _add_weights(self, shape: tuple[int, ...]) -> None:
        add = options.add
        self.gamma = add(self, "gamma", shape, autocast=False) if self.scale else None
        self.beta = add(self, "beta", shape, autocast=False) if self.center else None

    def _transform(self, x: Any, shape: Any) -> Any:
        """Apply `gamma` and `beta`, brought to a shape that broadcasts."""
        if self.gamma is not None:
            x = x * self.gamma.value.reshape(shape)
        if self.beta is not None:
            x = x + self.beta.value.reshape(shape)
        return x.astype(self.compute_dtype)


class LayerNormalization(_Affine):
    """Normalise each example by the mean and variance of its own features."""

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        **kwargs: Any,
    ):
        if not isinstance(axis, int | list | tuple):
            raise TypeError(
                "Expected an int or a list/tuple of ints for the argument 'axis', but received: "
                f"{axis!r}"
            )
        super().__init__(axis, epsilon, center, scale, **kwargs)

    def build(self, input_shape: Any) -> None:
        axes = sorted(_axes(self.axis, len(input_shape)))
        self._add_weights(tuple(options.known(self, input_shape, axis) for axis in axes))

    def call(self, inputs: Any) -> Any:
        x = inputs.astype(jnp.promote_types(inputs.dtype, jnp.float32))
        axes = _axes(self.axis, x.ndim)
        mean = jnp.mean(x, axis=axes, keepdims=True)
        variance = jnp.var(x, axis=axes, keepdims=True)
        shape = [x.shape[i] if i in axes else 1 for i in range(x.ndim)]
        return self._transform((x - mean) * lax.rsqrt(variance + self.epsilon), shape)


class GroupNormalization(_Affine):
    """Normalise groups of channels by their own mean and variance.

    Arguments:
        groups: the number of groups; -1 for one a channel.
        axis: the axis of the channels.
        epsilon: added to the variance.
        center, scale: whether `beta` and `gamma` are learned.
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        **kwargs: Any,
    ):
        if not isinstance(groups, int) or (groups <= 0 and groups != -1):
            raise ValueError(
                "Received an invalid value for argument `groups`, expected a positive integer (or "
                f"`-1` for instance normalization). Received: groups={groups}"
            )
        super().__init__(axis, epsilon, center, scale, **kwargs)
        self.groups = groups

    def build(self, input_shape: Any) -> None:
        channels = options.known(self, input_shape, self.axis)
        self.groups = channels if self.groups == -1 else self.groups
        if channels < self.groups or channels % self.groups:
            raise ValueError(
                f"Number of channels ({channels}) must be a multiple of the number of groups "
                f"({self.groups})."
            )
        self._add_weights((channels,))
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: channels})

    def call(self, inputs: Any) -> Any:
        axis = self.axis % inputs.ndim
        x = inputs.astype(jnp.promote_types(inputs.dtype, jnp.float32))
        channels = x.shape[axis]
        grouped = (*x.shape[:axis], self.groups, channels // self.groups, *x.shape[axis + 1 :])
        x = x.reshape(grouped)
        axes = tuple(i for i in range(1, x.ndim) if i != axis)
        mean = jnp.mean(x, axis=axes, keepdims=True)
        variance = jnp.var(x, axis=axes, keepdims=True)
        x = ((x - mean) * lax.rsqrt(variance + self.epsilon)).reshape(inputs.shape)
        return self._transform(x, [channels if i == axis else 1 for i in range(x.ndim)])


class RMSNormalization(Layer):
    """Divide by the root mean square of the features, and multiply by a learned `scale`.

    Arguments:
        axis: the axis, or axes, of the features.
        epsilon: added to the mean square.
    """

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any):
        super().__init__(**kwargs)
        self.axis, self.epsilon = axis, epsilon

    def build(self, input_shape: Any) -> None:
        axes = sorted(_axes(self.axis, len(input_shape)))
        shape = [options.known(self, input_shape, axis) for axis in axes]
        self.scale = self.add_weight(shape, "ones", name="scale")

    def call(self, x: Any) -> Any:
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        axes = _axes(self.axis, x.ndim)
        shape = [x.shape[i] if i in axes else 1 for i in range(x.ndim)]
        mean = jnp.mean(jnp.square(wide), axis=axes, keepdims=True)
        scaled = wide * lax.rsqrt(mean + self.epsilon) * self.scale.value.reshape(shape)
        return scaled.astype(x.dtype)


class UnitNormalization(Layer):
    """Divide by the Euclidean norm along `axis`."""

    def __init__(self, axis: Any = -1, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(axis, int | list | tuple):
            raise TypeError(
                "Invalid value for `axis` argument: expected an int or a list/tuple of ints. "
                f"Received: axis={axis}"
            )
        self.axis = axis
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        axes = _axes(self.axis, inputs.ndim)
        squares = jnp.sum(jnp.square(inputs), axis=axes, keepdims=True)
        return inputs * jnp.minimum(lax.rsqrt(squares), 1e12)


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return an axis, or several, counted from the front.

    Raises:
        ValueError: for one that the input doesn't have.
    """
    axes = axis if isinstance(axis, list | tuple) else [axis]
    if any(not -ndim <= a < ndim for a in axes):
        raise ValueError(f"Axis {axis} is out of bounds for an input of rank {ndim}.")
    return tuple(a % ndim for a in axes)


__all__ = [
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "UnitNormalization",
]
