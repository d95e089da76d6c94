"""Building what rewrites of matrices are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jax import lax

from xlathe.compiler.ir import Graph, Node, Type, node, parameter
from xlathe.compiler.ops.build import make, padded, reshape, transposed

HIGHEST = (lax.Precision.HIGHEST, lax.Precision.HIGHEST)
"""The precision that JAX gives to products in linear solves."""


def swapped(item: Node) -> Node:
    """The transposes of the matrices in the last two axes."""
    rank = item.type.rank
    return transposed(item, (*range(rank - 2), rank - 1, rank - 2))


def padded_axis(item: Node, axis: int, low: int, high: int) -> Node:
    """Zeros before and after along one axis; a negative number cuts off."""
    config = [(0, 0, 0)] * item.type.rank
    config[axis] = (low, high, 0)
    return padded(item, config)


def triangular_solve(
    matrix: Node,
    right: Node,
    lower: bool,
    transpose: bool = False,
    unit: bool = False,
    conjugate: bool = False,
) -> Node:
    """Solve by substitution; only the triangle is read."""
    attributes = {
        "left_side": True,
        "lower": lower,
        "transpose_a": transpose,
        "conjugate_a": conjugate,
        "unit_diagonal": unit,
    }
    return node("triangular_solve", (matrix, right), right.type, attributes)


def graph(name: str, types: Sequence[Type], build: Callable[..., Node]) -> Graph:
    """A graph of one result, built from its parameters."""
    parameters = [parameter(index, type_) for index, type_ in enumerate(types)]
    return Graph(parameters, [build(*parameters)], name=name)


def diagonal(item: Node, offset: int = 0) -> Node:
    """The diagonal of square matrices, `offset` above the main one."""
    rank = item.type.rank
    size = item.type.shape[-1]
    count = size - abs(offset)
    front = item.type.shape[:-2]
    flat = reshape(item, (*front, size * size))
    start = offset if offset >= 0 else -offset * size
    limit = start + (count - 1) * (size + 1) + 1
    zeros = (0,) * (rank - 2)
    return make(
        "slice",
        flat,
        start_indices=(*zeros, start),
        limit_indices=(*front, limit),
        strides=(*((1,) * (rank - 2)), size + 1),
    )
