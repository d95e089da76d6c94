"""Parts of gathers, and gathers as views of what they pick from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax import lax

from xlathe.compiler.ir import Node, constant
from xlathe.compiler.ops.build import broadcast_in_dim, make, reshape
from xlathe.compiler.rules.plan import Plan, Planned
from xlathe.compiler.rules.views import (
    Picks,
    Selector,
    View,
    index_nodes,
    is_whole,
    narrowed_shape,
    read,
)


def picked_axis(numbers: Any, sizes: Sequence[int], shape: Sequence[int]) -> int | str:
    """The one axis of which a gather picks elements, or a scatter's update takes them."""
    if numbers.operand_batching_dims:
        return "each element of a batch picks its own"
    if len(numbers.start_index_map) != 1:
        return "the positions are in several axes at once"
    axis = int(numbers.start_index_map[0])
    if sizes[axis] != 1:
        return "stretches are picked, not elements"
    if [*sizes[:axis], *sizes[axis + 1 :]] != [*shape[:axis], *shape[axis + 1 :]]:
        return "a part of the other axes is read as well"
    return axis


def plan_gather(item: Node, view: View) -> Planned:
    """Parts of what is picked along one axis; all of it is itself a part of what it picks from."""
    source, index = item.inputs
    numbers, mode = item["dimension_numbers"], item["mode"]
    axis = picked_axis(numbers, item["slice_sizes"], source.type.shape)
    if isinstance(axis, str):
        return axis
    if index.type.shape[-1] != 1 or not index.type.size:
        return "no positions are given"
    promised = mode == lax.GatherScatterMode.PROMISE_IN_BOUNDS
    collapsed = axis in numbers.collapsed_slice_dims
    offsets = [int(place) for place in numbers.offset_dims]
    batch = [place for place in range(item.type.rank) if place not in offsets]
    others = [i for i in range(source.type.rank) if not (collapsed and i == axis)]
    below: list[Selector | None] = [None] * source.type.rank
    for place, other in zip(offsets, others, strict=True):
        if other != axis:
            below[other] = view[place]
    positions = index.type.shape[:-1]
    picked = tuple(view[place] for place in batch)
    if len(positions) != 1 and not is_whole(picked):
        return "the positions form an array of several axes"
    flat = _vector(index)
    if not is_whole(picked):
        flat = read(flat, picked)
    below[axis] = Picks(flat, promised)
    arranged = _arranged(item, view, axis, batch, collapsed)
    if mode != lax.GatherScatterMode.FILL_OR_DROP:
        return Plan((tuple(below), None), arranged)
    if item["fill_value"] is None or index.type.dtype not in (np.int32, np.int64):
        return "what stands for positions out of bounds is not known"
    if any(index_nodes(picked)):
        return "positions out of bounds are filled, and which are read is not known"

    def build(inputs: Sequence[Node]) -> Node:
        inside = is_inside(inputs[1], source.type.shape[axis])
        inside = read(inside, picked) if not is_whole(picked) else inside
        shape = narrowed_shape(view, item.type.shape)
        filling = constant(np.asarray(item["fill_value"], item.type.dtype), item.type.weak)
        return make(
            "select_n",
            broadcast_in_dim(inside, shape, tuple(batch)),
            broadcast_in_dim(filling, shape, ()),
            arranged(inputs),
        )

    return Plan((tuple(below), None), build)


def _vector(index: Node) -> Node:
    """The positions of a gather as a vector; they end in an axis of size one."""
    source = index.inputs[0] if index.operation == "broadcast_in_dim" else index
    positions = index.type.shape[:-1]
    if source.type.shape == positions and len(positions) == 1:
        if index["broadcast_dimensions"] == (0,):
            return source
    return reshape(index, (math.prod(positions),))


def is_inside(index: Node, dimension: int) -> Node:
    """Which of the positions of a gather are positions of the axis."""
    index = reshape(index, index.type.shape[:-1])
    low = constant(np.asarray(0, index.type.dtype))
    high = constant(np.asarray(dimension, index.type.dtype))
    return make("and", make("ge", index, low), make("lt", index, high))


def _arranged(
    item: Node, view: View, axis: int, batch: Sequence[int], collapsed: bool
) -> Callable[[Sequence[Node]], Node]:
    """What brings the picked elements, which stand on their axis, into the gather's layout."""
    shape = narrowed_shape(view, item.type.shape)

    def build(inputs: Sequence[Node]) -> Node:
        source = inputs[0]
        if not collapsed:
            source = reshape(source, (*source.type.shape, 1))
            order = list(range(source.type.rank))
            order[axis], order[-1] = order[-1], axis
            source = make("transpose", source, permutation=tuple(order))
            moved = source.type.rank - 1
        else:
            moved = axis
        rest = iter(i for i in range(source.type.rank) if i != moved)
        wanted: list[int] = []
        for place in range(item.type.rank):
            if place not in batch:
                wanted.append(next(rest))
            elif place == batch[0]:
                wanted.append(moved)
        if not batch:
            wanted.append(moved)
        if wanted != sorted(wanted):
            source = make("transpose", source, permutation=tuple(wanted))
        return source if source.type.shape == shape else reshape(source, shape)

    return build
