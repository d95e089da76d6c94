"""Constraints: what weights are made to satisfy after each update, by Keras's names."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from xlathe.tracer.layers import naming, serialization

_EPSILON = 1e-7


class Constraint(serialization.Configurable):
    """A function from a weight to an allowed one."""

    def __call__(self, w: Any) -> Any:
        raise NotImplementedError


class MaxNorm(Constraint):
    """Norms along `axis` of at most `max_value`."""

    def __init__(self, max_value: float = 2, axis: Any = 0):
        self.max_value, self.axis = max_value, axis

    def __call__(self, w: Any) -> Any:
        norms = _norms(w, self.axis)
        return w * (jnp.clip(norms, 0, self.max_value) / (_EPSILON + norms))


class NonNeg(Constraint):
    """No value below zero."""

    def __call__(self, w: Any) -> Any:
        return w * (w >= 0).astype(w.dtype)


class UnitNorm(Constraint):
    """Norms along `axis` of one."""

    def __init__(self, axis: Any = 0):
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        return w / (_EPSILON + _norms(w, self.axis))


class MinMaxNorm(Constraint):
    """Norms along `axis` between two bounds, approached at `rate`."""

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0
    ):
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w: Any) -> Any:
        norms = _norms(w, self.axis)
        wanted = self.rate * jnp.clip(norms, self.min_value, self.max_value)
        return w * ((wanted + (1 - self.rate) * norms) / (_EPSILON + norms))


def _norms(w: Any, axis: Any) -> Any:
    return jnp.sqrt(jnp.sum(jnp.square(w), axis=axis, keepdims=True))


_CLASSES = (Constraint, MaxNorm, NonNeg, UnitNorm, MinMaxNorm)
_KNOWN = {cls.__name__: cls for cls in _CLASSES}
_KNOWN |= {naming.snake_case(cls.__name__): cls for cls in _CLASSES}


def get(identifier: Any) -> Callable | None:
    """Return the constraint that `identifier` names; None is none."""
    if identifier is None:
        return None
    return serialization.lookup(identifier, _KNOWN, "constraint")
