"""Activation functions as layers."""

from typing import Any

import jax
import jax.numpy as jnp

from xlathe.tracer.layers import activations, options
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.specs import InputSpec


class Activation(Layer):
    """An activation function, by itself or by its name."""

    def __init__(self, activation: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        return self.activation(inputs)


class ReLU(Layer):
    """max(x, 0), with a slope below `threshold` and a bound above."""

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for name, value in (
            ("max_value", max_value if max_value is not None else 0.0),
            ("negative_slope", negative_slope),
            ("threshold", threshold),
        ):
            if value is None or value < 0:
                raise ValueError(
                    f"{name} of a ReLU layer cannot be a negative value or None. Received: "
                    f"{name}={value}"
                )
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(Layer):
    """x where it is positive, and `negative_slope * x` elsewhere."""

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any):
        super().__init__(**kwargs)
        if negative_slope is None or negative_slope < 0:
            raise ValueError(
                "The negative_slope value of a Leaky ReLU layer cannot be None or negative value. "
                f"Expected a float. Received: negative_slope={negative_slope}"
            )
        self.negative_slope = negative_slope
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        return activations.leaky_relu(inputs, self.negative_slope)


class ELU(Layer):
    """x where it is positive, and `alpha * (exp(x) - 1)` elsewhere."""

    def __init__(self, alpha: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.alpha = alpha
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        return activations.elu(inputs, self.alpha)


class PReLU(Layer):
    """x where it is positive, and `alpha * x` elsewhere, with `alpha` learned.

    Arguments:
        alpha_initializer, alpha_regularizer, alpha_constraint: of the slopes.
        shared_axes: axes over which the slope is the same.
    """

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        options.keep(
            self,
            alpha_initializer=alpha_initializer,
            alpha_regularizer=alpha_regularizer,
            alpha_constraint=alpha_constraint,
        )
        axes = shared_axes if isinstance(shared_axes, list | tuple) else [shared_axes]
        self.shared_axes = [] if shared_axes is None else list(axes)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        shape = [1 if i + 1 in self.shared_axes else n for i, n in enumerate(input_shape[1:])]
        self.alpha = options.add(self, "alpha", shape)
        sizes = {i + 1: n for i, n in enumerate(input_shape[1:]) if i + 1 not in self.shared_axes}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=sizes)

    def call(self, inputs: Any) -> Any:
        return activations.relu(inputs) - self.alpha.value * activations.relu(-inputs)


class Softmax(Layer):
    """exp(x) normalised to sum to one along `axis`; what `mask` excludes counts nothing."""

    def __init__(self, axis: Any = -1, **kwargs: Any):
        super().__init__(**kwargs)
        self.axis = axis
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is not None:
            mask = mask if mask.dtype == bool else mask > 0.5
            lowest = jnp.asarray(-3e4 if inputs.dtype == jnp.float16 else -1e9, inputs.dtype)
            inputs = jnp.where(mask, inputs, lowest)
        axis = tuple(self.axis) if isinstance(self.axis, list | tuple) else self.axis
        outputs = jax.nn.softmax(inputs, axis)
        return outputs if mask is None else jnp.where(mask, outputs, jnp.zeros_like(outputs))


__all__ = ["ELU", "Activation", "LeakyReLU", "PReLU", "ReLU", "Softmax"]
