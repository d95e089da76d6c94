"""The sum over all turns of a value of a loop's body, as one expression outside the loop.

Sums go through what is linear, down to the products: the sum over turns of `x_t.T @ y_t` is one
product that sums over turns, too. Elsewhere the values of all turns are stacked and added up.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from xlathe.compiler.ir import Graph, Node, Type, get, make_type, node
from xlathe.compiler.loops.batching import Stacked, batch
from xlathe.compiler.ops.build import broadcast_in_dim, cast, make, wide

_MOVES = frozenset(
    ["transpose", "reshape", "slice", "rev", "broadcast_in_dim", "reduce_sum", "neg"]
)
_SUMS = frozenset(["add", "sub", "concatenate"])


def is_linear(item: Node, varies: Collection[Node]) -> bool:
    """Whether the sum over turns of this operation is the operation on the sums over turns.

    Args:
        item: the node in the body.
        varies: the nodes of the body that differ from turn to turn.
    """
    operation = item.operation
    if operation == "get":
        return item.inputs[0].operation == "split"
    if operation in _MOVES or operation == "split":
        return len(item.inputs) == 1
    if operation in _SUMS:
        return all(source.type.dtype == item.type.dtype for source in item.inputs)
    if operation == "pad":
        filling = item.inputs[1]
        return filling.is_constant and not np.any(filling.value)
    if operation == "mul":
        return sum(source in varies for source in item.inputs) == 1
    if operation == "div":
        return item.inputs[1] not in varies and item.type.dtype.kind not in "iu"
    return operation == "convert_element_type" and _widens(item)


def _widens(item: Node) -> bool:
    """Whether it casts floats to wider ones, in which the sum is then made."""
    source, result = item.inputs[0].type, item.type
    floats = all(np.issubdtype(_plain(d), np.floating) for d in (source.dtype, result.dtype))
    return floats and source.dtype.itemsize < result.dtype.itemsize


def _plain(dtype: np.dtype) -> np.dtype:
    """bfloat16 and its like are no floats to NumPy."""
    return np.dtype(np.float16) if dtype.kind == "V" else dtype


class Summing:
    """Builds sums over turns.

    Args:
        body: the body of the loop.
        known: what stands outside for values of the body.
        varies: the nodes of the body that differ from turn to turn.
        length: the number of turns.
    """

    def __init__(
        self, body: Graph, known: Mapping[Node, Stacked], varies: Collection[Node], length: int
    ) -> None:
        self.body = body
        self.known = dict(known)
        self.varies = varies
        self.length = length
        self.sums: dict[tuple[Node, np.dtype], Node] = {}

    def stack(self, item: Node) -> Stacked:
        """What stands for a value outside the loop."""
        if item not in self.known:
            self.known = batch(self.body, [item], self.known, self.length)
        return self.known[item]

    def total(self, item: Node, dtype: np.dtype | None = None) -> Node:
        """The sum of a value over all turns, made in this dtype."""
        made_in: np.dtype = item.type.dtype if dtype is None else dtype
        key = (item, made_in)
        if key not in self.sums:
            self.sums[key] = self._total(item, made_in)
        return self.sums[key]

    def _total(self, item: Node, dtype: np.dtype) -> Node:
        if item not in self.known and item in self.varies:
            if item.operation == "dot_general":
                return self._product(item, dtype)
            if is_linear(item, self.varies):
                return self._through(item, dtype)
        return self._added(item, dtype)

    def _added(self, item: Node, dtype: np.dtype) -> Node:
        """The values of all turns, stacked and added up; in float32 where they are narrower."""
        outer, varies = self.stack(item)
        if not varies:
            shape = (self.length, *item.type.shape)
            outer = broadcast_in_dim(outer, shape, tuple(range(1, len(shape))))
        summed = make("reduce_sum", cast(outer, wide(dtype)), axes=(0,), out_sharding=None)
        return cast(summed, dtype)

    def _through(self, item: Node, dtype: np.dtype) -> Node:
        operation = item.operation
        if operation == "get":
            split = item.inputs[0]
            whole = self.total(split.inputs[0], dtype)
            types = tuple(_with_dtype(type_, dtype) for type_ in split.type)
            return get(node("split", (whole,), types, split.attributes), item["index"])
        if operation == "convert_element_type":
            return self.total(item.inputs[0], dtype)
        if operation == "reduce_sum":
            return self._reduced(item, dtype)
        inputs = [
            self.total(source, dtype)
            if operation in _SUMS or source in self.varies
            else cast(self.stack(source).node, dtype)
            for source in item.inputs
        ]
        return make(operation, *inputs, **item.attributes)

    def _reduced(self, item: Node, dtype: np.dtype) -> Node:
        """A sum over axes and turns at once, where the summed values are there already."""
        source = item.inputs[0]
        if source.operation == "dot_general" and source not in self.known:
            return make("reduce_sum", self.total(source, dtype), **item.attributes)
        if source not in self.known and is_linear(source, self.varies):
            return make("reduce_sum", self.total(source, dtype), **item.attributes)
        outer = self.stack(source).node
        axes = (0, *(axis + 1 for axis in item["axes"]))
        summed = make("reduce_sum", cast(outer, wide(dtype)), axes=axes, out_sharding=None)
        return cast(summed, dtype)

    def _product(self, item: Node, dtype: np.dtype) -> Node:
        left, right = item.inputs
        attributes = dict(item.attributes)
        if dtype != item.type.dtype:
            attributes["preferred_element_type"] = dtype
        if left in self.varies and right in self.varies:
            (left_axes, right_axes), (left_batch, right_batch) = item["dimension_numbers"]
            attributes["dimension_numbers"] = (
                ((0, *_shifted(left_axes)), (0, *_shifted(right_axes))),
                (_shifted(left_batch), _shifted(right_batch)),
            )
            return make("dot_general", self.stack(left).node, self.stack(right).node, **attributes)
        sides = [
            self.total(source) if source in self.varies else self.stack(source).node
            for source in item.inputs
        ]
        return make("dot_general", *sides, **attributes)


def _shifted(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis + 1 for axis in axes)


def _with_dtype(type_: Type, dtype: np.dtype) -> Type:
    return make_type(type_.shape, dtype, type_.weak)
