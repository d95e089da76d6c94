"""Layers that move values around."""

import math
from typing import Any

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


__all__ = ["Flatten"]
