"""Functions of arrays by the names of Keras's `ops`: JAX's own where the names agree."""

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from xlathe.tracer.layers import (
    activations,
    image_operations,
    indexing_operations,
    neural_operations,
    signal_operations,
)
from xlathe.tracer.layers.keras_names import with_keras_names

_NUMPY = """abs absolute add all allclose amax amin angle any append arange arccos arccosh arcsin
arcsinh arctan arctan2 arctanh argmax argmin argpartition argsort array array_split average
bartlett bincount bitwise_and bitwise_invert bitwise_left_shift bitwise_not bitwise_or
bitwise_right_shift bitwise_xor blackman broadcast_to cbrt ceil clip concatenate conj conjugate
copy corrcoef correlate cos cosh count_nonzero cross cumprod cumsum deg2rad diag diagflat diagonal
diff digitize divide dot dsplit dstack einsum empty empty_like equal exp exp2 expand_dims expm1 eye
fabs flip fliplr flipud floor floor_divide fmax fmin fmod full full_like gcd geomspace greater
greater_equal hamming hanning heaviside histogram hsplit hstack hypot i0 identity imag inner
isclose isfinite isin isinf isnan isneginf isposinf isreal kaiser kron lcm ldexp left_shift less
less_equal linspace log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or
logical_xor logspace matmul max maximum mean median meshgrid min minimum mod moveaxis multiply
nan_to_num nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanpercentile
nanprod nanquantile nanstd nansum nanvar ndim negative nextafter nonzero not_equal ones ones_like
outer pad percentile power prod ptp quantile rad2deg ravel real reciprocal repeat reshape
right_shift roll rot90 round searchsorted select sign signbit sin sinc sinh size sort split sqrt
square squeeze stack std subtract sum swapaxes take take_along_axis tan tensordot tile trace
transpose trapezoid tri tril triu true_divide trunc unique unravel_index vander var vdot vsplit
vstack where zeros zeros_like""".split()
_ACTIVATIONS = """celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu
hard_tanh leaky_relu linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu
soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax squareplus tanh
tanh_shrink threshold""".split()
_LINALG = "cholesky det eigh inv matrix_rank norm pinv qr slogdet solve svd".split()
_OPERATORS = """add sub mul truediv floordiv mod pow matmul neg pos abs lt le gt ge eq ne invert
and_ or_ xor getitem""".split()


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
    return list(jnp.unstack(jnp.asarray(x), axis=axis))


def saturate_cast(x: Any, dtype: Any) -> jax.Array:
    """Return `x` with another element type, its values within that type's limits."""
    x = jnp.asarray(x)
    integral = jnp.issubdtype(dtype, jnp.integer)
    limits: Any = jnp.iinfo(dtype) if integral else jnp.finfo(dtype)
    return jnp.clip(x, limits.min, limits.max).astype(dtype)


def logdet(x: Any) -> jax.Array:
    """Return the logarithm of the determinant of a Hermitian positive definite matrix."""
    return jnp.linalg.slogdet(jnp.asarray(x))[1]


def solve_triangular(a: Any, b: Any, lower: bool = False) -> jax.Array:
    """Return the solution of `a @ x = b` for a triangular `a`."""
    return jax.scipy.linalg.solve_triangular(a, b, lower=lower)


def lstsq(a: Any, b: Any, rcond: float | None = None) -> jax.Array:
    """Return the least-squares solution of `a @ x = b`."""
    return jnp.linalg.lstsq(a, b, rcond=rcond)[0]


def dtype(x: Any) -> str:
    """Return the name of the element type of an array or symbolic tensor."""
    return jnp.dtype(x.dtype if hasattr(x, "dtype") else jnp.asarray(x).dtype).name


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
    *(vectorized_map, saturate_cast, logdet, solve_triangular, lstsq),
    *indexing_operations.FUNCTIONS,
    *neural_operations.FUNCTIONS,
    *signal_operations.FUNCTIONS,
]
_JAX: dict[str, Callable[..., Any]] = {
    **{name: getattr(jnp, name) for name in _NUMPY},
    **{name: getattr(jnp.linalg, name) for name in _LINALG},
    "erf": jax.scipy.special.erf,
    "erfc": jax.scipy.special.erfc,
    "erfinv": lax.erf_inv,
    "rsqrt": lax.rsqrt,
    "stop_gradient": lax.stop_gradient,
    "cond": lax.cond,
    "switch": lax.switch,
    "scan": lax.scan,
    "associative_scan": lax.associative_scan,
    "fori_loop": lax.fori_loop,
    "map": lax.map,
}
NAMED: dict[str, Callable[..., Any]] = {
    **{name: with_keras_names(name, function) for name, function in _JAX.items()},
    **{name: with_keras_names(name, getattr(activations, name)) for name in _ACTIVATIONS},
    **{function.__name__: function for function in _OWN},
    **{f"image.{function.__name__}": function for function in image_operations.FUNCTIONS},
    "swish": activations.silu,
    "hard_swish": activations.hard_silu,
}
"""Functions by their names in `ops`."""
OPERATORS: dict[str, Callable[..., Any]] = {name: getattr(operator, name) for name in _OPERATORS}
"""Python's operators, by their names in the module `operator`."""
EAGER = {
    "shape": shape,
    "dtype": dtype,
    "is_tensor": is_tensor,
    "convert_to_numpy": np.asarray,
    "custom_gradient": jax.custom_gradient,
    "vectorize": jnp.vectorize,
}
"""Functions that take or give something else than arrays of JAX."""
