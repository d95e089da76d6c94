"""Functions of JAX called as Keras's: with its names and order of arguments, and with lists."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

_REDUCTIONS = """all amax amin any argmax argmin max mean min nanmax nanmean nanmin nanprod nanstd
nansum nanvar prod std sum var""".split()
_BINARY = """add allclose arctan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift
bitwise_xor correlate cross divide dot equal floor_divide fmax fmin fmod gcd greater greater_equal
heaviside hypot inner isclose isin kron lcm ldexp left_shift less less_equal logaddexp logaddexp2
logical_and logical_or logical_xor matmul maximum minimum mod multiply nextafter not_equal outer
power right_shift subtract true_divide vdot""".split()
_NO_ARRAY = """arange array associative_scan bartlett blackman einsum empty eye fori_loop full
geomspace hamming hanning identity kaiser linspace logspace meshgrid ones scan switch tri vectorize
zeros""".split()
# Up to the bar: what JAX takes by position, in the same order. After it: what it takes by name.
_ARGUMENTS = {
    "argpartition": "x kth | axis",
    "argsort": "x | axis",
    "array_split": "x indices_or_sections axis",
    "average": "x axis weights",
    "broadcast_to": "x shape",
    "clip": "x x_min x_max",
    "concatenate": "xs axis",
    "cond": "pred true_fn false_fn",
    "count_nonzero": "x | axis",
    "cumprod": "x | axis dtype",
    "cumsum": "x | axis dtype",
    "diag": "x k",
    "diagflat": "x k",
    "digitize": "x bins",
    "expand_dims": "x axis",
    "full_like": "x fill_value dtype",
    "hstack": "xs",
    "map": "f xs",
    "median": "x | axis keepdims",
    "moveaxis": "x source destination",
    "nan_to_num": "x | nan posinf neginf",
    "norm": "x ord axis keepdims",
    "pad": "x pad_width mode | constant_values",
    "percentile": "x q | axis method keepdims",
    "quantile": "x q | axis method keepdims",
    "repeat": "x repeats axis",
    "reshape": "x newshape",
    "roll": "x shift axis",
    "searchsorted": "sorted_sequence values side",
    "split": "x indices_or_sections axis",
    "stack": "x axis",
    "swapaxes": "x axis1 axis2",
    "take": "x indices axis",
    "take_along_axis": "x indices axis",
    "tensordot": "x1 x2 axes",
    "tile": "x repeats",
    "vstack": "xs",
    "where": "condition x1 x2",
    **dict.fromkeys(_REDUCTIONS, "x | axis keepdims"),
    **dict.fromkeys(_BINARY, "x1 x2"),
    **dict.fromkeys(_NO_ARRAY, ""),
}
_ARRAYS = {"x", "x1", "x2", "condition", "indices", "q", "bins", "sorted_sequence", "values"}
_OF_SEQUENCES = {"stack"}


def with_keras_names(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` of JAX, to be called as Keras's function `name`.

    Lists of numbers in the place of arrays become arrays; other lists become tuples.
    """
    positional, _, by_name = (part.split() for part in _ARGUMENTS.get(name, "x").partition("|"))
    arrays = set() if name in _OF_SEQUENCES else _ARRAYS

    @functools.wraps(function, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        extra = args[len(positional) :]
        if len(extra) <= len(by_name):
            args = args[: len(positional)]
            kwargs |= dict(zip(by_name, extra, strict=False))
        values = list(args)
        for place in positional[len(values) :]:
            if place not in kwargs:
                break
            values.append(kwargs.pop(place))
        is_array = [place in arrays for place in positional] + [False] * len(values)
        return function(
            *(_standard(value, array) for value, array in zip(values, is_array, strict=False)),
            **{key: _standard(value, False) for key, value in kwargs.items()},
        )

    return call


def _standard(value: Any, is_array: bool) -> Any:
    if is_array and isinstance(value, list | tuple):
        return jnp.asarray(value)
    if isinstance(value, list) and all(isinstance(item, int) for item in value):
        return tuple(value)
    return value
