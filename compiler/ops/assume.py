"""`assume`: the user's word on what a matrix looks like, as a primitive of its own.

To JAX it is an identity. It lives on the last two axes, and vmap puts its axis in front of them,
so that a hint means the same under every transformation. A tangent carries no hint: the derivative
is that of the identity, whatever the hint says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from xlathe.compiler.ir.node import Node
from xlathe.compiler.ir.types import Type
from xlathe.compiler.ops.table import Expression, Operation, Writer, register

KINDS: Mapping[str, str] = {
    "lower_triangular": "zero above the diagonal",
    "upper_triangular": "zero below the diagonal",
    "unit_lower_triangular": "zero above the diagonal, ones on it",
    "unit_upper_triangular": "zero below the diagonal, ones on it",
    "diagonal": "zero off the diagonal",
    "tridiagonal": "zero but on the diagonal and beside it",
    "symmetric": "equal to its transpose",
    "hermitian": "equal to its conjugate transpose",
    "positive_definite": "hermitian, with positive eigenvalues",
    "orthogonal": "its conjugate transpose is its inverse",
    "permutation": "one one in each row and column, else zero",
}
"""The hints, and what each says of the matrices in the last two axes."""

TRIANGULAR = frozenset(kind for kind in KINDS if kind.endswith("_triangular"))
"""The hints that a matrix need not be square for."""


def _identity(x: Any, *, kind: str) -> Any:
    return x


def _derivative(primals: Sequence[Any], tangents: Sequence[Any], *, kind: str) -> tuple[Any, Any]:
    return ASSUME.bind(primals[0], kind=kind), tangents[0]


def _batched(arguments: Sequence[Any], axes: Sequence[Any], *, kind: str) -> tuple[Any, int]:
    return ASSUME.bind(jnp.moveaxis(arguments[0], axes[0], 0), kind=kind), 0


ASSUME = Primitive("assume")
"""The primitive: one array, and the parameter `kind`."""

ASSUME.def_impl(_identity)
ASSUME.def_abstract_eval(_identity)
ad.primitive_jvps[ASSUME] = _derivative
ad.primitive_transposes[ASSUME] = lambda cotangent, x, *, kind: [cotangent]
batching.primitive_batchers[ASSUME] = _batched
mlir.register_lowering(ASSUME, lambda context, x, *, kind: [x])


def _infer(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    return types[0]


def _write(item: Node, writer: Writer) -> Expression:
    return Expression(writer.operand(item.inputs[0]))


register(Operation("assume", _infer, write=_write, moves_only=True))
