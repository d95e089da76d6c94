"""Dense, and the layers that only connect others."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from xlathe.tracer.layers import activations, options, scope
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.specs import InputSpec
from xlathe.tracer.layers.symbolic import Node, SymbolicTensor


class Dense(Layer):
    """`activation(x @ kernel + bias)` over the last axis.

    Arguments:
        units: the size of the output's last axis.
        activation: a function or its name; none unless given.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer: how weights start.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties added to the loss.
        kernel_constraint, bias_constraint: applied after each update.
    """

    def __init__(
        self,
        units: int,
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
        self.units = options.positive("units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        options.keep(
            self,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        size = options.known(self, input_shape, -1)
        self.kernel = options.add(self, "kernel", (size, self.units))
        self.bias = options.add(self, "bias", (self.units,)) if self.use_bias else None
        self.input_spec = InputSpec(min_ndim=2, axes={-1: size})

    def call(self, inputs: Any, training: Any = None) -> Any:
        x = inputs @ self.kernel.value
        if self.bias is not None:
            x = x + self.bias.value
        return self.activation(x)


class Lambda(Layer):
    """A function as a layer.

    Arguments:
        function: any function of arrays that JAX can trace.
        output_shape: accepted as Keras's; shapes come from the function itself.
        mask: the mask of the output, or a function `(inputs, mask)` that gives it.
        arguments: keyword arguments of `function`.
    """

    def __init__(
        self,
        function: Callable,
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.function = function
        self.mask = mask
        self.arguments = arguments or {}
        self.supports_masking = mask is not None
        parameters = getattr(getattr(function, "__code__", None), "co_varnames", ())
        self._takes = {name for name in ("training", "mask") if name in parameters}
        self.built = True

    def call(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
        extra = {"mask": mask, "training": training}
        chosen = {name: value for name, value in extra.items() if name in self._takes}
        return self.function(inputs, **{**self.arguments, **chosen})

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return self.mask(inputs, previous_mask) if callable(self.mask) else self.mask


class Identity(Layer):
    """The input as it is."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        return inputs


class Masking(Layer):
    """Mask the time steps whose features all equal `mask_value`, and set them to zero."""

    def __init__(self, mask_value: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.mask_value = mask_value
        self.supports_masking = True
        self.built = True

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return jnp.any(inputs != self.mask_value, axis=-1)

    def call(self, inputs: Any) -> Any:
        mask = jnp.any(inputs != self.mask_value, axis=-1, keepdims=True)
        outputs = inputs * mask.astype(inputs.dtype)
        scope.set_mask(outputs, mask[..., 0])
        return outputs


class Embedding(Layer):
    """Rows of a table, by index.

    Arguments:
        input_dim: the number of rows: one more than the largest index.
        output_dim: the size of a row.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint: of the table.
        mask_zero: whether the index 0 is padding, to be masked in the layers that follow.
        weights: the table itself.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        **kwargs: Any,
    ):
        length = kwargs.pop("input_length", None)
        del length
        super().__init__(**kwargs)
        self.input_dim = options.positive("input_dim", input_dim)
        self.output_dim = options.positive("output_dim", output_dim)
        options.keep(
            self,
            embeddings_initializer=embeddings_initializer,
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
        )
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        self.autocast = False
        self._given = weights

    def build(self, input_shape: Any = None) -> None:
        self.embeddings = options.add(self, "embeddings", (self.input_dim, self.output_dim))
        if self._given is not None:
            given = self._given
            self.set_weights(given if isinstance(given, list | tuple) else [given])

    def call(self, inputs: Any) -> Any:
        indices = inputs if jnp.issubdtype(inputs.dtype, jnp.integer) else inputs.astype("int32")
        return jnp.take(self.embeddings.value, indices, axis=0).astype(self.compute_dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return inputs != 0 if self.mask_zero else None


class InputLayer(Layer):
    """The start of a model: it makes the symbolic tensor that `Input` returns.

    Arguments:
        shape: the shape of one example.
        batch_size: the number of examples, if it is fixed.
        dtype: element type.
        name: its name.
        batch_shape: the whole shape, instead of `shape` and `batch_size`.
    """

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: Any = None,
        ragged: Any = None,
        batch_shape: Any = None,
        input_tensor: Any = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        if sparse or ragged or input_tensor is not None:
            raise ValueError("`Input` takes no `sparse`, `ragged` or `input_tensor`.")
        if shape is None and batch_shape is None:
            raise ValueError("You must pass a `shape` argument.")
        if shape is not None and batch_shape is not None:
            raise ValueError(
                "You cannot pass both `shape` and `batch_shape` at the same time. Received: "
                f"shape={shape}, batch_shape={batch_shape}"
            )
        if shape is not None:
            batch_shape = (batch_size, *([shape] if isinstance(shape, int) else shape))
        self.batch_shape = tuple(batch_shape or ())
        self._dtype = jnp.dtype(dtype or "float32").name
        self.optional = optional
        self.supports_masking = True
        self.built = True
        tensor = SymbolicTensor(self.batch_shape, self._dtype, self.name)
        Node(self, (), {}, tensor)

    @property
    def dtype(self) -> str:
        return self._dtype

    def call(self, *args: Any) -> Any:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {"batch_shape": list(self.batch_shape), "dtype": self._dtype, "name": self.name}


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: Any = None,
    ragged: Any = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
) -> SymbolicTensor:
    """Return a symbolic tensor: an input of a model to be built by calling layers on it.

    Arguments:
        shape: the shape of one example; None where a size isn't fixed.
        batch_size: the number of examples, if it is fixed.
        dtype: element type, "float32" unless given.
        batch_shape: the whole shape, instead of `shape` and `batch_size`.
        name: its name.
        sparse, ragged, tensor: accepted when not used, as Keras's signature has them.
        optional: whether None may be passed for it.
    """
    layer = InputLayer(
        shape, batch_size, dtype, sparse, ragged, batch_shape, tensor, optional, name=name
    )
    return layer.output


__all__ = ["Dense", "Embedding", "Identity", "Input", "InputLayer", "Lambda", "Masking"]
