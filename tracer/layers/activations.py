"""Activation functions by Keras's names, from `jax.nn` where it has them."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp

from xlathe.tracer.layers import scope, serialization, symbolic

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _of_tensors(function: _Function) -> _Function:
    """Let an activation function be called on symbolic tensors, too."""

    @functools.wraps(function)
    def apply(x: Any, *args: Any, **kwargs: Any) -> Any:
        if not symbolic.is_symbolic(x):
            return function(x, *args, **kwargs)
        from xlathe.tracer.layers.operator import Operator

        return Operator(function.__name__)(x, *args, **kwargs)

    return cast(_Function, apply)


@_of_tensors
def relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    """Return max(x, 0), with a slope below `threshold` and a bound above, as Keras's `relu`."""
    if not negative_slope and not threshold:
        if max_value is None:
            return jax.nn.relu(x)
        return jax.nn.relu6(x) if max_value == 6 else jnp.clip(x, 0, max_value)
    below = negative_slope * (x - threshold)
    result = jnp.where(x >= threshold if threshold else x > 0, x, below)
    return result if max_value is None else jnp.minimum(result, max_value)


@_of_tensors
def leaky_relu(x, negative_slope=0.2):
    """Return x where it is positive, and `negative_slope * x` elsewhere."""
    return jax.nn.leaky_relu(x, negative_slope)


@_of_tensors
def relu6(x):
    """Return x clipped to [0, 6]."""
    return jax.nn.relu6(x)


@_of_tensors
def softmax(x, axis=-1):
    """Return exp(x) normalised to sum to one along `axis`."""
    outputs = jax.nn.softmax(x, axis)
    if isinstance(axis, int):
        scope.set_normalised(outputs, axis)
    return outputs


@_of_tensors
def log_softmax(x, axis=-1):
    """Return the logarithm of `softmax(x)`."""
    return jax.nn.log_softmax(x, axis)


@_of_tensors
def elu(x, alpha=1.0):
    """Return x where it is positive, and `alpha * (exp(x) - 1)` elsewhere."""
    return jax.nn.elu(x, alpha)


@_of_tensors
def selu(x):
    """Return the scaled exponential linear unit of x."""
    return jax.nn.selu(x)


@_of_tensors
def celu(x, alpha=1.0):
    """Return the continuously differentiable exponential linear unit of x."""
    return jax.nn.celu(x, alpha)


@_of_tensors
def glu(x, axis=-1):
    """Return one half of x along `axis` times the sigmoid of the other."""
    return jax.nn.glu(x, axis)


@_of_tensors
def gelu(x, approximate=False):
    """Return x times the normal distribution function of x."""
    return jax.nn.gelu(x, approximate)


@_of_tensors
def silu(x):
    """Return `x * sigmoid(x)`."""
    return jax.nn.silu(x)


@_of_tensors
def mish(x):
    """Return `x * tanh(softplus(x))`."""
    return jax.nn.mish(x)


@_of_tensors
def tanh(x):
    """Return the hyperbolic tangent of x."""
    return jnp.tanh(x)


@_of_tensors
def tanh_shrink(x):
    """Return `x - tanh(x)`."""
    return x - jnp.tanh(x)


@_of_tensors
def sigmoid(x):
    """Return `1 / (1 + exp(-x))`."""
    return jax.nn.sigmoid(x)


@_of_tensors
def hard_sigmoid(x):
    """Return x / 6 + 0.5, clipped to [0, 1]."""
    return jax.nn.hard_sigmoid(x)


@_of_tensors
def log_sigmoid(x):
    """Return the logarithm of `sigmoid(x)`."""
    return jax.nn.log_sigmoid(x)


@_of_tensors
def sparse_sigmoid(x):
    """Return (x + 1) / 2, clipped to [0, 1]."""
    return jax.nn.sparse_sigmoid(x)


@_of_tensors
def hard_silu(x):
    """Return `x * hard_sigmoid(x)`."""
    return jax.nn.hard_silu(x)


@_of_tensors
def hard_tanh(x):
    """Return x clipped to [-1, 1]."""
    return jax.nn.hard_tanh(x)


@_of_tensors
def hard_shrink(x, threshold=0.5):
    """Return x where its magnitude exceeds `threshold`, and zero elsewhere."""
    return jnp.where(jnp.abs(x) > threshold, x, jnp.zeros_like(x))


@_of_tensors
def soft_shrink(x, threshold=0.5):
    """Return x moved towards zero by `threshold`, and zero within it."""
    return jnp.sign(x) * jax.nn.relu(jnp.abs(x) - threshold)


@_of_tensors
def threshold(x, threshold, default_value):
    """Return x where it exceeds `threshold`, and `default_value` elsewhere."""
    return jnp.where(x > threshold, x, default_value)


@_of_tensors
def softplus(x):
    """Return `log(1 + exp(x))`."""
    return jax.nn.softplus(x)


@_of_tensors
def softsign(x):
    """Return `x / (1 + |x|)`."""
    return jax.nn.soft_sign(x)


@_of_tensors
def squareplus(x, b=4):
    """Return `(x + sqrt(x² + b)) / 2`."""
    return jax.nn.squareplus(x, b)


@_of_tensors
def sparse_plus(x):
    """Return zero below -1, x above 1, and a parabola between."""
    return jax.nn.sparse_plus(x)


@_of_tensors
def sparsemax(x, axis=-1):
    """Return the nearest point of the probability simplex to x along `axis`."""
    descending = -jnp.sort(-x, axis=axis)
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis]
    rank = jnp.arange(1, x.shape[axis] + 1, dtype=x.dtype).reshape(shape)
    total = jnp.cumsum(descending, axis=axis)
    support = jnp.where(1 + rank * descending > total, rank, 0)
    count = jnp.max(support, axis=axis, keepdims=True)
    excess = jnp.sum(jnp.where(support > 0, descending, 0), axis=axis, keepdims=True) - 1
    return jax.nn.relu(x - excess / count)


@_of_tensors
def exponential(x):
    """Return exp(x)."""
    return jnp.exp(x)


@_of_tensors
def linear(x):
    """Return x."""
    return x


_FUNCTIONS = [
    *(relu, leaky_relu, relu6, softmax, log_softmax, elu, selu, celu, glu, gelu, silu, mish),
    *(tanh, tanh_shrink, sigmoid, hard_sigmoid, log_sigmoid, sparse_sigmoid, hard_silu, hard_tanh),
    *(hard_shrink, soft_shrink, threshold, softplus, softsign, squareplus, sparse_plus, sparsemax),
    *(exponential, linear),
]
_KNOWN = {function.__name__: function for function in _FUNCTIONS}
for _function in _FUNCTIONS:
    serialization.register(_function)
_KNOWN |= {"swish": silu, "hard_swish": hard_silu}


def get(identifier: Any) -> Callable[[jax.Array], jax.Array]:
    """Return the activation function that `identifier` names; None is `linear`.

    Raises:
        ValueError: for a name that isn't known, with the nearest one that is.
    """
    if identifier is None:
        return linear
    return serialization.lookup(identifier, _KNOWN, "activation function")


def serialize(activation: Callable) -> Any:
    """Return the config of an activation: its name."""
    return serialization.serialize(activation)


deserialize = get
