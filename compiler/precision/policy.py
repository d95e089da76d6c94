"""Which products are computed in low precision.

The lists are those of torch.autocast, read the other way round: matrix products and convolutions
are cast, and everything else stays in float32 as it is written. Softmax, norms, losses, sums and
the optimizer need no list, because what is elementwise costs the same either way: XLA fuses it
with the casts around it.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np
from jax import lax

from xlathe.compiler.ir import Node, Origin

Precision = Literal["bfloat16", "float16", "tensorfloat32", "float32"]
"""What products are computed in; `float32` leaves them as they are."""

PRODUCTS = frozenset(["dot_general", "conv_general_dilated", "ragged_dot_general"])
"""The operations that are cast."""

FLOAT32 = np.dtype(np.float32)

_DTYPES = {"bfloat16": np.dtype(jnp.bfloat16), "float16": np.dtype(np.float16)}
_CALLED = re.compile(r"\w+\(|\)")


class PrecisionWarning(UserWarning):
    """Code that asks for low precision and silently computes in a wider one."""


@dataclass(frozen=True)
class Policy:
    """What each product is computed in.

    Attributes:
        default: what a product is computed in that no pattern names.
        patterns: patterns of name scopes and operations, each with its precision; the first that
            fits decides.
    """

    default: Precision = "float32"
    patterns: tuple[tuple[str, Precision], ...] = ()

    @classmethod
    def read(cls, precision: object) -> Policy | None:
        """Read the option `precision`: None, a precision, or a dictionary from patterns to them.

        Raises:
            ValueError: it is none of these, or mixes bfloat16 and float16.
        """
        if precision is None:
            return None
        if not isinstance(precision, Mapping):
            return cls(_valid(precision))
        named: dict[str, Precision] = {
            _pattern(name): _valid(value) for name, value in precision.items()
        }
        if {"bfloat16", "float16"} <= set(named.values()):
            raise ValueError(
                f"precision mixes 'bfloat16' and 'float16' in {dict(precision)!r}; a program has "
                "one of them."
            )
        default = named.pop("default", "float32")
        return cls(default, tuple(named.items()))

    @property
    def dtype(self) -> np.dtype | None:
        """The low precision that operands are cast to; None where none are."""
        for value in (self.default, *(value for _, value in self.patterns)):
            if value in _DTYPES:
                return _DTYPES[value]
        return None

    def asked(self, item: Node, origin: Origin) -> tuple[Precision, str]:
        """What a product is to be computed in, and the pattern that says so."""
        if self.patterns:
            parts = [part for part in _CALLED.sub("", origin.scope).split("/") if part]
            path = f"/{'/'.join([*parts, item.operation])}/"
            for pattern, value in self.patterns:
                if fnmatch.fnmatchcase(path, f"*/{pattern.strip('/')}/*"):
                    return value, pattern
        return self.default, ""


def _pattern(name: object) -> str:
    if not isinstance(name, str) or not name.strip("/"):
        raise ValueError(f"precision takes patterns of name scopes as keys, got {name!r}.")
    return name


def _valid(value: object) -> Precision:
    valid = get_args(Precision)
    if value not in valid:
        raise ValueError(
            f"precision must be None, one of {', '.join(map(repr, valid))}, or a dictionary from "
            f"patterns of name scopes to these (the key 'default' for all others), got {value!r}."
        )
    return value  # pyright: ignore[reportReturnType]


def is_candidate(item: Node) -> bool:
    """Whether a node is a product of ordinary float32 arrays."""
    return (
        item.operation in PRODUCTS
        and item.type.is_plain
        and item.type.dtype == FLOAT32
        and not item.type.weak
        and all(
            source.type.is_plain and source.type.dtype == FLOAT32 and not source.type.weak
            for source in item.inputs[:2]
        )
    )


def objection(item: Node) -> str:
    """Why a product of float32 arrays is better left alone; empty if it may be cast."""
    if item.attributes.get("precision") not in (None, lax.Precision.DEFAULT, _BOTH_DEFAULT):
        return "its precision is set by hand"
    if item.operation != "dot_general":
        return ""
    (left_axes, _), (left_batch, _) = item["dimension_numbers"]
    left, right = (source.type for source in item.inputs)
    batch = _size(left.shape, left_batch)
    contracted = _size(left.shape, left_axes)
    if contracted <= 1:
        return "nothing is summed in it"
    if left.size == right.size == batch * contracted:
        return "it is a sum, with no axis of its own on either side"
    return ""


_BOTH_DEFAULT = (lax.Precision.DEFAULT, lax.Precision.DEFAULT)


def _size(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    result = 1
    for axis in axes:
        result *= shape[axis]
    return result
