"""Which axes of an operation's operands and its result run together.

Axes that run together have the same label, as the letters of an einsum. If every operand that has
a label is cut along it, so is the result; where the label is summed over, the results of the parts
add up to that of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from xlathe.compiler.ir import Node
from xlathe.compiler.ops.elementwise import ELEMENTWISE
from xlathe.compiler.ops.reductions import REDUCTIONS

Labels = tuple[int | None, ...]


@dataclass(frozen=True)
class Axes:
    """The labels of an operation's axes; None where one runs with no other.

    Attributes:
        inputs: those of each input.
        result: those of the result.
        summed: labels that the operation sums over.
        pinned: labels along which it can't be cut, because places meet others there.
    """

    inputs: tuple[Labels, ...]
    result: Labels
    summed: frozenset[int] = frozenset()
    pinned: frozenset[int] = frozenset()


class Place(NamedTuple):
    """Where the rows are in an array.

    Attributes:
        axis: the axis that holds them.
        inner: how many elements of that axis belong to each row; more than one where an axis was
            merged with one behind it.
    """

    axis: int
    inner: int = 1


def axes_of(item: Node) -> Axes | None:
    """Which axes of a node run together; None where its operation is not one of those known."""
    rule = _RULES.get(item.operation)
    types = [type_ for source in (item, *item.inputs) for type_ in source.types]
    if rule is None or isinstance(item.type, tuple) or not all(type_.is_plain for type_ in types):
        return None
    if any(_is_sharded(item.attributes.get(name)) for name in ("sharding", "out_sharding")):
        return None
    return rule(item)


def _is_sharded(sharding: Any) -> bool:
    """Whether a sharding says anything: derivatives of casts name one over no devices."""
    return sharding is not None and not sharding.mesh.empty


def through_reshape(
    place: Place, shape: tuple[int, ...], other: tuple[int, ...], rows: int
) -> Place | None:
    """Where rows are after a reshape; None where it tears them apart.

    Args:
        place: where they are before,
        shape: in an array of this shape.
        other: the shape after.
        rows: how many rows there are.
    """
    below = place.inner * math.prod(shape[place.axis + 1 :])
    for axis, size in enumerate(other):
        behind = math.prod(other[axis + 1 :])
        if below % behind == 0 and size % (rows * (below // behind)) == 0:
            return Place(axis, below // behind)
    return None


def _elementwise(item: Node) -> Axes:
    return Axes(tuple(_stretched(item, source) for source in item.inputs), _counted(item))


def _stretched(item: Node, source: Node) -> Labels:
    shape = item.type.shape
    sizes = enumerate(source.type.shape)
    return tuple(axis if size == shape[axis] else None for axis, size in sizes)


def _counted(item: Node) -> Labels:
    return tuple(range(item.type.rank))


def _broadcast(item: Node) -> Axes | None:
    if len(item.inputs) != 1:
        return None
    (source,) = item.inputs
    pairs = zip(source.type.shape, item["broadcast_dimensions"], strict=True)
    shape = item.type.shape
    return Axes((tuple(a if n == shape[a] else None for n, a in pairs),), _counted(item))


def _transpose(item: Node) -> Axes:
    return Axes((_counted(item.inputs[0]),), tuple(item["permutation"]))


def _reduction(item: Node) -> Axes:
    labels = _counted(item.inputs[0])
    kept = tuple(label for label in labels if label not in item["axes"])
    gone = frozenset(item["axes"])
    if item.operation == "reduce_sum":
        return Axes((labels,), kept, summed=gone)
    return Axes((labels,), kept, pinned=gone)


def _along(name: str) -> Callable[[Node], Axes | None]:
    """Operations that keep the shape, and mix what lies along the axes of this attribute."""

    def rule(item: Node) -> Axes:
        axes = item[name]
        pinned = frozenset([axes] if isinstance(axes, int) else axes)
        return Axes(tuple(_counted(item) for _ in item.inputs), _counted(item), pinned=pinned)

    return rule


def _slice(item: Node) -> Axes:
    pairs = enumerate(zip(item.type.shape, item.inputs[0].type.shape, strict=True))
    pinned = frozenset(axis for axis, (size, before) in pairs if size != before)
    return Axes((_counted(item),), _counted(item), pinned=pinned)


def _pad(item: Node) -> Axes:
    pinned = frozenset(a for a, edges in enumerate(item["padding_config"]) if any(edges))
    return Axes((_counted(item), ()), _counted(item), pinned=pinned)


def _iota(item: Node) -> Axes:
    return Axes((), _counted(item), pinned=frozenset([item["dimension"]]))


def _dot(item: Node) -> Axes:
    (contracted, batch), (left, right) = item["dimension_numbers"], item.inputs
    first = list(range(left.type.rank))
    second = list(range(left.type.rank, left.type.rank + right.type.rank))
    for ours, theirs in (contracted, batch):
        for one, other in zip(ours, theirs, strict=True):
            second[other] = first[one]
    shared = [first[axis] for axis in batch[0]]
    own = [
        [label for axis, label in enumerate(labels) if axis not in (*contracted[i], *batch[i])]
        for i, labels in enumerate((first, second))
    ]
    result = (*shared, *own[0], *own[1])
    summed = frozenset(first[axis] for axis in contracted[0])
    return Axes((tuple(first), tuple(second)), result, summed)


def _indexed(
    shape: tuple[int, ...],
    window: tuple[int, ...],
    gone: Collection[int],
    batch: tuple[tuple[int, ...], tuple[int, ...]],
    at: tuple[int, ...],
    rank: int,
    inside: Collection[int],
) -> tuple[Labels, Labels, Labels, frozenset[int]]:
    """The labels of what is indexed, of the indices, and of the windows; and those pinned.

    Args:
        shape: that of what is indexed.
        window: how much of it each index takes.
        gone: its axes that the windows do not have.
        batch: its axes that indices share, and those of the indices.
        at: its axes that the indices point along.
        rank: the rank of the windows' array.
        inside: the axes there that run inside a window.
    """
    operand = list(range(len(shape)))
    outside = [axis for axis in range(rank) if axis not in inside]
    indices = [len(shape) + place for place in range(len(outside))]
    pinned = {axis for axis in operand if axis in at or window[axis] != shape[axis]}
    for axis, place in zip(*batch, strict=True):
        # The last axis of the indices holds the places that an index is made of.
        operand[axis] = indices[place]
        pinned.discard(axis)
    windows = [0] * rank
    kept = [axis for axis in range(len(shape)) if axis not in (*gone, *batch[0])]
    for place, axis in zip(sorted(inside), kept, strict=True):
        windows[place] = operand[axis]
    for place, label in zip(outside, indices, strict=True):
        windows[place] = label
    return tuple(operand), (*indices, None), tuple(windows), frozenset(pinned)


def _gather(item: Node) -> Axes:
    numbers = item["dimension_numbers"]
    operand, indices, result, pinned = _indexed(
        item.inputs[0].type.shape,
        item["slice_sizes"],
        numbers.collapsed_slice_dims,
        (numbers.operand_batching_dims, numbers.start_indices_batching_dims),
        numbers.start_index_map,
        item.type.rank,
        numbers.offset_dims,
    )
    return Axes((operand, indices), result, pinned=pinned)


def _scatter_add(item: Node) -> Axes:
    numbers = item["dimension_numbers"]
    array, _, updates = item.inputs
    gone = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    window = [1] * array.type.rank
    kept = [axis for axis in range(array.type.rank) if axis not in gone]
    for axis, place in zip(kept, sorted(numbers.update_window_dims), strict=True):
        window[axis] = updates.type.shape[place]
    operand, indices, windows, pinned = _indexed(
        array.type.shape,
        tuple(window),
        numbers.inserted_window_dims,
        (numbers.operand_batching_dims, numbers.scatter_indices_batching_dims),
        numbers.scatter_dims_to_operand_dims,
        updates.type.rank,
        numbers.update_window_dims,
    )
    # What an index of no batch points to may be the same place for several rows.
    loose = frozenset(label for label in indices if label is not None and label not in operand)
    return Axes((operand, indices, windows), operand, pinned=pinned | loose)


_RULES: dict[str, Callable[[Node], Axes | None]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys([*REDUCTIONS, "argmax", "argmin"], _reduction),
    **dict.fromkeys("cumsum cumprod cummax cummin cumlogsumexp".split(), _along("axis")),
    "broadcast_in_dim": _broadcast,
    "concatenate": _along("dimension"),
    "dot_general": _dot,
    "gather": _gather,
    "iota": _iota,
    "pad": _pad,
    "rev": _along("dimensions"),
    "scatter_add": _scatter_add,
    "slice": _slice,
    "transpose": _transpose,
}


def resized(item: Node, shape: tuple[int, ...], inputs: tuple[Node, ...]) -> dict[str, Any]:
    """A node's attributes where its result has another shape, because its inputs have.

    Args:
        item: the node.
        shape: the new shape.
        inputs: the new inputs.
    """
    attributes = dict(item.attributes)
    if item.operation in ("broadcast_in_dim", "iota"):
        attributes["shape"] = shape
    elif item.operation == "reshape":
        attributes["new_sizes"] = shape
    elif item.operation == "slice":
        sizes = zip(inputs[0].type.shape, item.inputs[0].type.shape, strict=True)
        limits = zip(item["limit_indices"], sizes, strict=True)
        attributes["limit_indices"] = tuple(
            limit if new == old else new for limit, (new, old) in limits
        )
    elif item.operation == "gather":
        sizes = zip(inputs[0].type.shape, item.inputs[0].type.shape, strict=True)
        taken = zip(item["slice_sizes"], sizes, strict=True)
        attributes["slice_sizes"] = tuple(
            new if size == old else size for size, (new, old) in taken
        )
    return attributes
