"""Static values as Python expressions, shared by the graph's text form and the emitted program."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

_PUBLIC_MODULES = (("lax", jax.lax), ("jax.random", jax.random), ("jax.sharding", jax.sharding))


class NoTextForm(Exception):
    """The value can be referred to, but not written down."""


def literal(value: Any, refer: Callable[[Any], str] | None = None) -> str:
    """Write a static value as a Python expression over `jnp`, `lax` and `jax`.

    Args:
        value: the value.
        refer: names a value that cannot be written, a graph or an object. Where it is None, such
            a value is an error.

    Raises:
        NoTextForm: the value cannot be written, and `refer` is None.
    """
    if value is None or isinstance(value, bool | str | bytes) or type(value) is int:
        return repr(value)
    if type(value) is float:
        return float_literal(value)
    if type(value) is tuple:
        items = [literal(item, refer) for item in value]
        return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
    if isinstance(value, np.dtype) and value.names is None:
        return f'jnp.dtype("{value.name}")'
    owner = _public_name(type(value))
    if owner is not None:
        if isinstance(value, enum.Enum):
            return f"{owner}.{value.name}"
        fields = getattr(value, "_fields", None)
        if fields is not None:
            written = (f"{field}={literal(getattr(value, field), refer)}" for field in fields)
            return f"{owner}({', '.join(written)})"
    if refer is None:
        raise NoTextForm(f"{type(value).__name__} has no text form.")
    return refer(value)


def _public_name(class_: type) -> str | None:
    for prefix, module in _PUBLIC_MODULES:
        if getattr(module, class_.__name__, None) is class_:
            return f"{prefix}.{class_.__name__}"
    return None


def float_literal(value: float) -> str:
    """Write a float so that it reads back as the same number; infinities and NaN as jnp's."""
    if math.isnan(value):
        return "jnp.nan"
    if math.isinf(value):
        return "jnp.inf" if value > 0 else "-jnp.inf"
    return repr(value)


def scalar_literal(value: np.ndarray) -> str:
    """Write a NumPy scalar's number, as short as its dtype allows.

    Raises:
        NoTextForm: the number would not read back with the same bits (a NaN with a payload).
    """
    kind = value.dtype.kind
    if value.dtype == np.bool_ or kind in "iu":
        return repr(value.item())
    if jax.numpy.issubdtype(value.dtype, np.integer):
        return repr(int(value))
    if np.issubdtype(value.dtype, np.complexfloating):
        number = complex(value.item())
        number = complex(_any_nan(number.real), _any_nan(number.imag))
        text = f"complex({float_literal(number.real)}, {float_literal(number.imag)})"
    elif value.dtype in (np.float64, np.float32, np.float16):
        number = _any_nan(float(value))
        text = float_literal(float(str(value))) if math.isfinite(number) else float_literal(number)
    else:
        number = _any_nan(float(value))
        text = float_literal(number)
    if np.asarray(number).astype(value.dtype).tobytes() != value.tobytes():
        raise NoTextForm("The number does not read back with the same bits.")
    return text


def _any_nan(number: float) -> float:
    """The number as it reads back: all NaNs are written alike."""
    return math.nan if math.isnan(number) else number


def array_literal(value: np.ndarray) -> str:
    """Write an array's numbers as nested lists; a scalar as its number.

    Raises:
        NoTextForm: a number in it would not read back with the same bits.
    """
    if value.ndim == 0:
        return scalar_literal(value)
    return f"[{', '.join(array_literal(np.asarray(item)) for item in value)}]"
