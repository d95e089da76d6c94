"""A dense layer whose product is any einsum."""

import re
from typing import Any

import jax.numpy as jnp

from xlathe.tracer.layers import activations, options
from xlathe.tracer.layers.layer import Layer


class EinsumDense(Layer):
    """`activation(einsum(equation, x, kernel) + bias)`.

    Arguments:
        equation: as `jnp.einsum` takes it, with two operands; "..." stands for leading axes.
        output_shape: the shape of the output without the batch; None for a size that the input has.
        activation: a function or its name.
        bias_axes: the axes of the output that the bias has, by their letters.
    """

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not re.fullmatch(r"(\.\.\.)?[a-zA-Z]+,[a-zA-Z]+->(\.\.\.)?[a-zA-Z]+", equation):
            raise ValueError(
                f"Invalid einsum equation '{equation}'. Equations must be in the form "
                "[X],[Y]->[Z] or ...[X],[Y]->...[Z]."
            )
        self.equation = equation
        whole = isinstance(output_shape, int)
        self.partial_output_shape = (output_shape,) if whole else tuple(output_shape)
        self.bias_axes = bias_axes
        self.activation = activations.get(activation)
        options.keep(
            self,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        terms = self.equation.replace("...", "")
        inputs, kernel, outputs = re.split(",|->", terms)
        sizes = dict(zip(reversed(outputs), reversed(self.partial_output_shape), strict=False))
        given = dict(zip(reversed(inputs), reversed(input_shape), strict=False))
        sizes = {name: size for name, size in sizes.items() if size is not None}
        for name, size in given.items():
            if size is not None and sizes.setdefault(name, size) != size:
                raise ValueError(
                    f"Input shape {tuple(input_shape)} and output shape "
                    f"{self.partial_output_shape} do not match for equation '{self.equation}': "
                    f"axis '{name}' has sizes {size} and {sizes[name]}."
                )
        missing = [name for name in kernel if name not in sizes]
        if missing:
            raise ValueError(
                f"The size of axis {missing} of the kernel is not known from input shape "
                f"{tuple(input_shape)} and output shape {self.partial_output_shape}."
            )
        self.kernel = options.add(self, "kernel", [sizes[name] for name in kernel])
        self.bias = None
        if self.bias_axes:
            first = min(outputs.index(name) for name in self.bias_axes)
            shape = [sizes[name] if name in self.bias_axes else 1 for name in outputs[first:]]
            self.bias = options.add(self, "bias", shape)

    def call(self, inputs: Any, training: Any = None) -> Any:
        x = jnp.einsum(self.equation, inputs, self.kernel.value)
        return self.activation(x if self.bias is None else x + self.bias.value)


__all__ = ["EinsumDense"]
