"""Building nodes with their types inferred."""

from __future__ import annotations

from typing import Any

from xlathe.compiler.ir.node import Node, node
from xlathe.compiler.ops.table import lookup


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


def reshape(source: Node, shape: tuple[int, ...]) -> Node:
    """The same elements in row-major order, in another shape."""
    return make("reshape", source, new_sizes=shape, dimensions=None, sharding=None)
