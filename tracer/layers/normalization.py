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
        statistics = {"trainable": False, "autocast": False}
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


__all__ = ["BatchNormalization"]
