"""Functions of arrays by the names of Keras's `ops`: JAX's own where the names agree."""

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from xlathe.tracer.layers import activations

_NUMPY = """abs absolute add all allclose amax amin angle any append arange arccos arccosh arcsin
arcsinh arctan arctan2 arctanh argmax argmin argpartition argsort array array_split average bartlett
bincount bitwise_and bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift
bitwise_xor blackman broadcast_to cbrt ceil clip concatenate conj conjugate copy corrcoef correlate
cos cosh count_nonzero cross cumprod cumsum deg2rad diag diagflat diagonal diff digitize divide dot
einsum empty empty_like equal exp exp2 expand_dims expm1 eye flip fliplr flipud floor floor_divide
fmax fmin fmod full full_like gcd greater greater_equal hamming hanning heaviside histogram hstack
hypot identity imag inner isclose isfinite isin isinf isnan isneginf isposinf isreal kaiser kron lcm
ldexp left_shift less less_equal linspace log log10 log1p log2 logaddexp logaddexp2 logical_and
logical_not logical_or logical_xor logspace matmul max maximum mean median meshgrid min minimum mod
moveaxis multiply nan_to_num nanmax nanmean nanmin nanprod nanstd nansum nanvar ndim negative
nonzero not_equal ones ones_like outer pad percentile power prod ptp quantile rad2deg ravel real
reciprocal repeat reshape right_shift roll rot90 round searchsorted select sign signbit sin sinc
sinh size sort split sqrt square squeeze stack std subtract sum swapaxes take take_along_axis tan
tensordot tile trace transpose trapezoid tri tril triu true_divide trunc vander var vdot vstack
where zeros zeros_like""".split()
_ACTIVATIONS = """celu elu gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu
log_sigmoid log_softmax relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign
sparse_plus sparse_sigmoid sparsemax squareplus tanh tanh_shrink threshold""".split()
_LINALG = "cholesky det eigh inv matrix_rank norm pinv qr slogdet solve svd".split()
_OPERATORS = """add sub mul truediv floordiv mod pow matmul neg abs lt le gt ge eq ne
getitem""".split()


def cast(x: Any, dtype: Any) -> jax.Array:
    """Return `x` with another element type."""
    return jnp.asarray(x).astype(dtype)


def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    """Return `x` as an array of JAX."""
    if sparse or ragged:
        raise ValueError("There are no sparse or ragged tensors here.")
    return jnp.asarray(x, dtype)


def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None) -> jax.Array:
    """Return vectors that are one at the places that `x` gives, zero elsewhere."""
    return jax.nn.one_hot(x, num_classes, axis=axis, dtype=dtype or jnp.float32)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> jax.Array:
    """Return the logarithm of the sum of exponentials."""
    return jax.nn.logsumexp(x, axis=axis, keepdims=keepdims)


def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> Any:
    """Return mean and variance over axes."""
    return jnp.mean(x, axes, keepdims=keepdims), jnp.var(x, axes, keepdims=keepdims)


def normalize(x: Any, axis: Any = -1, order: int = 2, epsilon: Any = 1e-12) -> jax.Array:
    """Return `x` divided by its norm along an axis."""
    length = jnp.linalg.norm(x, ord=order, axis=axis, keepdims=True)
    return x / jnp.maximum(length, epsilon)


def divide_no_nan(x1: Any, x2: Any) -> jax.Array:
    """Return the quotient, and zero where the divisor is zero."""
    safe = jnp.where(x2 == 0, 1, x2)
    return jnp.where(x2 == 0, 0, jnp.divide(x1, safe))


def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Any]:
    """Return the parts of `x` along an axis, as a list."""
    return list(jnp.unstack(x, axis=axis))


def shape(x: Any) -> tuple[int | None, ...]:
    """Return the shape of an array or symbolic tensor."""
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)


def is_tensor(x: Any) -> bool:
    """Say whether `x` is an array of JAX."""
    return isinstance(x, jax.Array)


def vectorized_map(function: Callable[..., Any], elements: Any) -> Any:
    """Return what `function` gives for each element along the first axis, all at once."""
    return jax.vmap(function)(elements)


_OWN = [
    *(cast, convert_to_tensor, one_hot, logsumexp, moments, normalize, divide_no_nan, unstack),
    *(vectorized_map,),
]
NAMED: dict[str, Callable[..., Any]] = {
    **{name: getattr(jnp, name) for name in _NUMPY},
    **{name: getattr(activations, name) for name in _ACTIVATIONS},
    **{name: getattr(jnp.linalg, name) for name in _LINALG},
    **{function.__name__: function for function in _OWN},
    "swish": activations.silu,
    "hard_swish": activations.hard_silu,
    "dot_product_attention": jax.nn.dot_product_attention,
    "erf": jax.scipy.special.erf,
    "erfinv": lax.erf_inv,
    "rsqrt": lax.rsqrt,
    "top_k": lax.top_k,
    "stop_gradient": lax.stop_gradient,
    "slice": lax.dynamic_slice,
    "slice_update": lax.dynamic_update_slice,
    "segment_sum": jax.ops.segment_sum,
    "segment_max": jax.ops.segment_max,
    "cond": lax.cond,
    "switch": lax.switch,
    "scan": lax.scan,
    "associative_scan": lax.associative_scan,
    "fori_loop": lax.fori_loop,
    "map": lax.map,
}
OPERATORS: dict[str, Callable[..., Any]] = {name: getattr(operator, name) for name in _OPERATORS}
"""Python's operators, by their names in the module `operator`."""
EAGER = {"shape": shape, "is_tensor": is_tensor, "convert_to_numpy": np.asarray}
"""Functions that give no array of JAX."""
