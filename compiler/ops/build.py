"""Building nodes with their types inferred."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xlathe.compiler.ir.node import Node, constant, node
from xlathe.compiler.ir.types import Type
from xlathe.compiler.ops.table import lookup

_FLOAT32 = np.dtype(np.float32)
_INT32 = np.dtype(np.int32)


def make(operation: str, *inputs: Node, **attributes: Any) -> Node:
    """Build a node of an operation that has a type rule in the table.

    Raises:
        KeyError: the operation has no type rule; build it with `node` and its type.
    """
    infer = lookup(operation).infer
    if infer is None:
        raise KeyError(f"{operation} has no type rule: build it with node(), giving its type.")
    type_ = infer([source.type for source in inputs], attributes)
    return node(operation, inputs, type_, attributes)


def multiply(left: Node, right: Node) -> Node:
    """The elementwise product, as JAX writes it."""
    return make("mul", left, right, out_dtype=None)


def broadcast_in_dim(
    source: Node, shape: tuple[int, ...], broadcast_dimensions: tuple[int, ...]
) -> Node:
    """Broadcast to a shape, the source's axes going to the given ones."""
    return make(
        "broadcast_in_dim",
        source,
        shape=shape,
        broadcast_dimensions=broadcast_dimensions,
        sharding=None,
    )


def cast(item: Node, dtype: np.dtype, weak: bool | None = None) -> Node:
    """The numbers in another dtype, weak as before if not said; the node itself if it is so."""
    weak = item.type.weak if weak is None else weak
    if item.type.dtype == dtype and item.type.weak == weak:
        return item
    return make("convert_element_type", item, new_dtype=dtype, weak_type=weak, sharding=None)


def wide(dtype: np.dtype) -> np.dtype:
    """The dtype in which numbers of this one are added up: of short floats, float32."""
    return _FLOAT32 if dtype.itemsize == 2 and dtype.kind in "fV" else dtype


def reshape(source: Node, shape: tuple[int, ...]) -> Node:
    """The same elements in row-major order, in another shape."""
    return make("reshape", source, new_sizes=shape, dimensions=None, sharding=None)


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


def padded(item: Node, config: Sequence[Sequence[int]], value: float = 0) -> Node:
    """A number before, after and between the elements of each axis; negative amounts cut off."""
    if not any(any(amounts) for amounts in config):
        return item
    number = filled(value, item.type.with_shape(()))
    return make("pad", item, number, padding_config=tuple(map(tuple, config)))


def filled(value: float, type_: Type) -> Node:
    """An array of one number."""
    scalar = constant(np.asarray(value).astype(type_.dtype), type_.weak)
    return broadcast_in_dim(scalar, type_.shape, ()) if type_.shape else scalar


def held(item: Node) -> Node:
    """The same value, which XLA neither merges with others nor folds into what reads it."""
    return node("optimization_barrier", (item,), item.type)


def concatenated(parts: Sequence[Node], axis: int) -> Node:
    """Arrays side by side."""
    return parts[0] if len(parts) == 1 else make("concatenate", *parts, dimension=axis)


def iota(shape: tuple[int, ...], axis: int = 0, dtype: np.dtype = _INT32) -> Node:
    """Each element's place along an axis."""
    return make("iota", dtype=dtype, shape=shape, dimension=axis, sharding=None)
