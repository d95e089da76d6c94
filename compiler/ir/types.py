"""Types: what is known of a value before it is computed.

A type is interned, so two equal types are the same object and compare by identity.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import jax
import numpy as np

_SHORT_NAMES = {
    "float": "f",
    "int": "i",
    "uint": "u",
    "complex": "c",
}
_SPECIAL_NAMES = {"bfloat16": "bf16", "bool": "bool"}
_KEY_IMPLEMENTATIONS = {"fry": "threefry2x32", "rbg": "rbg", "urbg": "unsafe_rbg"}

_interned: dict[tuple[Any, ...], Type] = {}
_lock = threading.Lock()


class Type:
    """The type of one value.

    Attributes:
        shape: the dimensions.
        dtype: a NumPy dtype, or an extended dtype such as a PRNG key's; None where the value is
            not an array (a token, for one).
        weak: whether JAX's promotion treats the dtype as a Python scalar's.
        extra: what shape and dtype cannot say (a sharding in the type, a memory space, a mutable
            reference), kept as JAX's own abstract value; None for nearly every value.
        is_plain: whether this is an ordinary array: a NumPy dtype and nothing beside.
        size: the number of elements.
    """

    __slots__ = ("dtype", "extra", "is_plain", "shape", "size", "weak")

    shape: tuple[int, ...]
    dtype: Any
    weak: bool
    extra: Any
    is_plain: bool
    size: int

    def __repr__(self) -> str:
        return type_text(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return (make_type, (self.shape, self.dtype, self.weak, self.extra))

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes an array of this type takes; 0 where that is not known."""
        itemsize = getattr(self.dtype, "itemsize", 0)
        return self.size * itemsize if isinstance(itemsize, int) else 0

    def with_shape(self, shape: tuple[int, ...]) -> Type:
        """The same type with another shape."""
        return make_type(shape, self.dtype, self.weak, self.extra)


def make_type(shape: tuple[int, ...], dtype: Any, weak: bool = False, extra: Any = None) -> Type:
    """Return the one type object of this shape, dtype, weakness and extra description."""
    key = (shape, dtype, weak, extra)
    found = _interned.get(key)
    if found is not None:
        return found
    with _lock:
        found = _interned.get(key)
        if found is None:
            found = Type()
            found.shape, found.dtype, found.weak, found.extra = key
            found.is_plain = extra is None and isinstance(dtype, np.dtype)
            found.size = math.prod(shape)
            _interned[key] = found
        return found


def array_type(shape: tuple[int, ...], dtype: Any, weak: bool = False) -> Type:
    """Return the type of an ordinary array; `dtype` is anything NumPy takes for one."""
    return make_type(tuple(shape), np.dtype(dtype), weak)


TOKEN = make_type((), None)
"""The type of the effect tokens that keep side effects in their order."""


def dtype_name(dtype: Any) -> str:
    """The short name of a dtype: `f32`, `bf16`, `i8`, `bool`; other dtypes by their own name."""
    if dtype == jax.dtypes.float0:
        return "float0"
    name = getattr(dtype, "name", str(dtype))
    if name in _SPECIAL_NAMES:
        return _SPECIAL_NAMES[name]
    letters = name.rstrip("0123456789")
    if letters in _SHORT_NAMES and len(letters) < len(name):
        return _SHORT_NAMES[letters] + name[len(letters) :]
    return name


def dtype_named(name: str) -> Any:
    """The dtype of a short name; the inverse of `dtype_name`.

    Raises:
        ValueError: no dtype has this name.
    """
    for full, short in _SPECIAL_NAMES.items():
        if name == short:
            return _numpy_dtype(full)
    for full, short in _SHORT_NAMES.items():
        if name.startswith(short) and name[len(short) :].isdigit():
            return _numpy_dtype(full + name[len(short) :])
    return _numpy_dtype(name)


def _numpy_dtype(name: str) -> Any:
    if name == "float0":
        return jax.dtypes.float0
    try:
        dtype = np.dtype(name)
    except TypeError:
        dtype = None
    if dtype is None or dtype.name != name:
        raise ValueError(f"{name!r} is not a dtype's name.")
    return dtype


def key_dtype(tag: str) -> Any:
    """The dtype of the PRNG keys whose implementation has this tag, such as `fry`."""
    implementation = _KEY_IMPLEMENTATIONS.get(tag, tag)
    return jax.eval_shape(lambda: jax.random.key(0, impl=implementation)).dtype


def type_text(type_: Type) -> str:
    """Print a type: `f32[3, 5]`, a scalar as `f32`, weak as `~f32`, a key as `key.fry`."""
    if type_ is TOKEN:
        return "token"
    if type_.extra is not None:
        return f"other[{type_.extra}]"
    dimensions = f"[{', '.join(map(str, type_.shape))}]" if type_.shape else ""
    name = dtype_name(type_.dtype)
    if name.startswith("key<"):
        name = f"key.{name[4:-1]}"
    return f"{'~' if type_.weak else ''}{name}{dimensions}"
