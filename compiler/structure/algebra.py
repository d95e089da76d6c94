"""Building the matrix operations that rewrites are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jax import lax

from xlathe.compiler.ir import Graph, Node, Type, constant, make_type, node, parameter
from xlathe.compiler.ops.build import broadcast_in_dim, make, reshape

HIGHEST = (lax.Precision.HIGHEST, lax.Precision.HIGHEST)
"""The precision that JAX gives to products in linear solves."""


def dot(
    left: Node,
    right: Node,
    contracted: tuple[int, int],
    batch: int = 0,
    precision: object = None,
    preferred: object = None,
) -> Node:
    """A product that contracts one axis of each, over leading batch axes."""
    axes = tuple(range(batch))
    return make(
        "dot_general",
        left,
        right,
        dimension_numbers=(((contracted[0],), (contracted[1],)), (axes, axes)),
        precision=precision,
        preferred_element_type=preferred,
        out_sharding=None,
    )


def transposed(item: Node, permutation: Sequence[int]) -> Node:
    """The axes in another order; the node itself if it is the same."""
    permutation = tuple(permutation)
    if permutation == tuple(range(item.type.rank)):
        return item
    if item.operation == "transpose":
        inner = item["permutation"]
        return transposed(item.inputs[0], [inner[axis] for axis in permutation])
    return make("transpose", item, permutation=permutation)


def swapped(item: Node) -> Node:
    """The transposes of the matrices in the last two axes."""
    rank = item.type.rank
    return transposed(item, (*range(rank - 2), rank - 1, rank - 2))


def reshaped(item: Node, shape: tuple[int, ...]) -> Node:
    """The elements in another shape; the node itself if it is the same."""
    return item if item.type.shape == shape else reshape(item, shape)


def sliced(item: Node, axis: int, start: int, limit: int) -> Node:
    """A range along one axis."""
    shape = item.type.shape
    if (start, limit) == (0, shape[axis]):
        return item
    starts, limits = [0] * len(shape), list(shape)
    starts[axis], limits[axis] = start, limit
    return make(
        "slice", item, start_indices=tuple(starts), limit_indices=tuple(limits), strides=None
    )


def stretched(item: Node, shape: tuple[int, ...], axes: tuple[int, ...]) -> Node:
    """A broadcast whose source's axes go to the given ones."""
    return broadcast_in_dim(item, shape, axes)


def filled(value: float, type_: Type) -> Node:
    """An array of one number."""
    scalar = constant(_number(value, type_), type_.weak)
    return broadcast_in_dim(scalar, type_.shape, ()) if type_.shape else scalar


def _number(value: float, type_: Type) -> object:
    import numpy as np

    return np.asarray(value).astype(type_.dtype)


def concatenated(parts: Sequence[Node], axis: int) -> Node:
    """Arrays side by side."""
    return parts[0] if len(parts) == 1 else make("concatenate", *parts, dimension=axis)


def padded(item: Node, axis: int, low: int, high: int) -> Node:
    """Zeros before and after along one axis; a negative number cuts off."""
    if not low and not high:
        return item
    config = [(0, 0, 0)] * item.type.rank
    config[axis] = (low, high, 0)
    zero = filled(0, make_type((), item.type.dtype, item.type.weak))
    return make("pad", item, zero, padding_config=tuple(config))


def iota(size: int, dtype: object) -> Node:
    """The numbers from 0."""
    return make("iota", dtype=dtype, shape=(size,), dimension=0, sharding=None)


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
    source = item
    while source.operation in ("assume", "stop_gradient") and source is not item:
        source = source.inputs[0]
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
