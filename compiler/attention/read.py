"""Attention as it stands in the graph: a softmax, the products on either side, and their layout."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xlathe.compiler.attention.dropout import (
    Dropout,
    Path,
    axes_along,
    dropout_along,
    is_passed_through,
)
from xlathe.compiler.attention.scores import Scores, Unreadable, read_scores
from xlathe.compiler.attention.softmax import Softmax
from xlathe.compiler.ir import Graph, Node, parameter
from xlathe.compiler.ir.node import with_other_inputs

_OF_KERNELS = frozenset(["BF16_BF16_F32", "F16_F16_F32"])
"""Ways of multiplying low precision that are the kernels' own: sums in float32."""


@dataclass(frozen=True)
class Shared:
    """An axis that queries, keys and values have in common, such as the batch's or the heads'.

    Attributes:
        weights: which axis of the weights it is,
        query: of the queries,
        key: of the keys,
        value: and of the values.
    """

    weights: int
    query: int
    key: int
    value: int


@dataclass(frozen=True)
class Layout:
    """What each axis stands for.

    Attributes:
        shared: the axes in common; the last one is that of the heads.
        groups: further axes of heads that the queries alone have: of the weights, of the queries.
        rows: the axis along which queries stand, of the weights and of the queries.
        columns: the axis along which keys stand, of the weights, the keys and the values.
        depth: the axis that scores sum over, of the queries and of the keys.
        value_depth: the values' own axis.
        result: the result's axes, as axes of the weights; None is the values' own.
    """

    shared: tuple[Shared, ...]
    groups: tuple[tuple[int, int], ...]
    rows: tuple[int, int]
    columns: tuple[int, int, int]
    depth: tuple[int, int]
    value_depth: int
    result: tuple[int | None, ...]


@dataclass(frozen=True)
class Attention:
    """An attention that was recognised.

    Attributes:
        result: the product of weights and values.
        weights: the softmax.
        query: the operand that stands for the queries in the graph,
        key: for the keys,
        value: and for the values.
        scores: how the scores are made of their product.
        layout: what each axis stands for.
        dropout: what the weights are multiplied by before they meet the values.
    """

    result: Node
    weights: Node
    query: Node
    key: Node
    value: Node
    scores: Scores
    layout: Layout
    dropout: Dropout

    @cached_property
    def leaves(self) -> tuple[Node, ...]:
        """The arrays it reads: queries, keys, values, then biases and masks of no positions."""
        operands = [*self.scores.biases, *self.scores.masks, *self.dropout.operands]
        return tuple(
            dict.fromkeys(
                [self.query, self.key, self.value, *(operand.node for operand in operands)]
            )
        )

    @cached_property
    def nodes(self) -> frozenset[Node]:
        """The nodes between the leaves and the result, the latter included."""
        return frozenset(below(self.result, self.leaves))

    @cached_property
    def inner(self) -> frozenset[Node]:
        """Those of them that need the scores: what a kernel doesn't keep."""
        found: set[Node] = {self.scores.product}
        for item in below(self.result, self.leaves):
            if any(source in found for source in item.inputs):
                found.add(item)
        return frozenset(found - {self.result})

    @cached_property
    def body(self) -> Graph:
        """It as a graph of its own, whose parameters are the leaves."""
        return extracted("attention", self.result, self.leaves)

    @cached_property
    def kept(self) -> np.ndarray | None:
        """Which distances, key - query, its masks of positions keep; None where all are kept.

        The first one is that of the last query and the first key.
        """
        rows, columns = self.layout.rows[0], self.layout.columns[0]
        kept: np.ndarray | None = None
        for band in self.scores.bands:
            values = (
                band.values if (band.row, band.column) == (rows, columns) else band.values[::-1]
            )
            kept = values if kept is None else kept & values
        return None if kept is None or kept.all() else kept

    @property
    def flops(self) -> float:
        """The floating point operations of its two products."""
        shape = self.weights.type.shape
        depths = self.query.type.shape[self.layout.depth[0]]
        depths += self.value.type.shape[self.layout.value_depth]
        return 2.0 * math.prod(shape) * depths


def below(result: Node, leaves: Sequence[Node]) -> list[Node]:
    """The nodes from the leaves up to a result, each after its inputs."""
    found: dict[Node, None] = {}
    ends = frozenset(leaves)
    stack = [result]
    while stack:
        item = stack[-1]
        missing = [source for source in item.inputs if source not in found and source not in ends]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        found[item] = None
    return list(found)


def extracted(name: str, result: Node, leaves: Sequence[Node]) -> Graph:
    """The nodes from the leaves up to a result, as a graph over parameters in their place."""
    fresh = [parameter(index, leaf.type) for index, leaf in enumerate(leaves)]
    mapped: dict[Node, Node] = dict(zip(leaves, fresh, strict=True))
    for item in below(result, leaves):
        inputs = tuple(mapped[source] for source in item.inputs)
        mapped[item] = with_other_inputs(item, inputs) if inputs else item
    return Graph(fresh, [mapped[result]], name=name)


def products_of(
    weights: Node, readers: Mapping[Node, Sequence[Node]]
) -> Iterator[tuple[Node, Path]]:
    """The products that read a softmax, moved, cast or dropped out, each with the path to it.

    Whatever else reads it is passed over.
    """
    stack: list[Path] = [(weights,)]
    while stack:
        path = stack.pop()
        for reader in readers.get(path[-1], ()):
            if reader is path[-1]:
                # It is returned.
                continue
            if reader.operation == "dot_general":
                yield reader, path
            elif is_passed_through(reader, path[-1]):
                stack.append((*path, reader))


def read_attention(result: Node, path: Path, softmax: Softmax) -> Attention | Unreadable:
    """Read the product of a softmax's weights and what may be values.

    Args:
        result: the product.
        path: from the softmax to the operand of the product that holds the weights.
        softmax: what the softmax is of.
    """
    weights, moved = path[0], path[-1]
    axes = axes_along(path)
    scores = read_scores(softmax.scores)
    if isinstance(scores, Unreadable):
        return scores
    if result.inputs[0] is result.inputs[1]:
        return Unreadable("its weights are multiplied by themselves")
    for product in (scores.product, result):
        if not _is_plain(product):
            return Unreadable("its products ask for a precision or a sharding of their own")
    side = result.inputs.index(moved)
    layout = _layout(result, side, axes, softmax.axis, scores)
    if isinstance(layout, Unreadable):
        return layout
    place = _query_side(scores, softmax.axis)
    query, key = scores.product.inputs[place], scores.product.inputs[1 - place]
    value, dropout = result.inputs[1 - side], dropout_along(path)
    return Attention(result, weights, query, key, value, scores, layout, dropout)


def _is_plain(product: Node) -> bool:
    precision = product["precision"]
    return product.attributes.get("out_sharding") is None and (
        precision is None or str(precision) in _OF_KERNELS
    )


def _free(product: Node, side: int) -> list[int]:
    contracted, batch = product["dimension_numbers"]
    used = (*contracted[side], *batch[side])
    return [axis for axis in range(product.inputs[side].type.rank) if axis not in used]


def _result_axes(product: Node) -> tuple[list[int], list[int], list[int]]:
    """The result's axes that come from both operands, from the left one, and from the right."""
    shared = len(product["dimension_numbers"][1][0])
    left = shared + len(_free(product, 0))
    return list(range(shared)), list(range(shared, left)), list(range(left, product.type.rank))


def _query_side(scores: Scores, keys: int) -> int:
    _, left, _ = _result_axes(scores.product)
    return 1 if keys in [scores.axes[axis] for axis in left] else 0


def _layout(
    result: Node, side: int, axes: tuple[int, ...], keys: int, scores: Scores
) -> Layout | Unreadable:
    product = scores.product
    contracted, batch = product["dimension_numbers"]
    batch_axes, *of_sides = _result_axes(product)
    place = _query_side(scores, keys)
    (depth_q, depth_k) = contracted[place], contracted[1 - place]
    if len(depth_q) != 1:
        return Unreadable("its scores sum over several axes, or over none")
    found = [scores.axes[axis] for axis in range(product.type.rank)]
    if None in found or keys not in found:
        return Unreadable("its softmax is over no axis of keys")
    if keys in found[: len(batch_axes)]:
        return Unreadable("its softmax is over an axis that queries and keys share")
    query_free, key_free = _free(product, place), _free(product, 1 - place)
    if len(key_free) != 1:
        return Unreadable("its keys have several axes of their own")
    of_query = [
        (_known(scores.axes[axis]), free)
        for axis, free in zip(of_sides[place], query_free, strict=True)
    ]
    if not of_query:
        return Unreadable("its queries have no axis of their own")
    values = _values(result, side, axes, keys)
    if isinstance(values, Unreadable):
        return values
    value_batch, value_keys, value_depth, order = values
    shared = [
        Shared(
            _known(scores.axes[i]),
            batch[place][i],
            batch[1 - place][i],
            value_batch.get(_known(scores.axes[i]), -1),
        )
        for i in batch_axes
    ]
    if {item.weights for item in shared} != set(value_batch):
        return Unreadable("its keys and its values do not share the same axes")
    rows = _rows(of_query, keys, scores, _sizes(scores))
    if isinstance(rows, Unreadable):
        return rows
    return Layout(
        tuple(sorted(shared, key=lambda item: item.weights)),
        tuple(pair for pair in sorted(of_query) if pair != rows),
        rows,
        (keys, key_free[0], value_keys),
        (depth_q[0], depth_k[0]),
        value_depth,
        order,
    )


def _known(axis: int | None) -> int:
    assert axis is not None
    return axis


def _sizes(scores: Scores) -> Callable[[int], int]:
    sizes = {axis: size for axis, size in zip(scores.axes, scores.product.type.shape, strict=True)}
    return lambda axis: sizes[axis]


def _values(
    result: Node, side: int, axes: tuple[int, ...], keys: int
) -> tuple[dict[int, int], int, int, tuple[int | None, ...]] | Unreadable:
    """The values' axes: those in common, the keys', their own; and the order of the result's."""
    contracted, batch = result["dimension_numbers"]
    if [axes[axis] for axis in contracted[side]] != [keys]:
        return Unreadable("its weights are summed over another axis than the softmax's")
    free = _free(result, 1 - side)
    if len(free) != 1:
        return Unreadable("its values have several axes of their own, or none")
    shared = {axes[ours]: theirs for ours, theirs in zip(batch[side], batch[1 - side], strict=True)}
    of_weights: list[int | None] = [axes[axis] for axis in _free(result, side)]
    own: list[int | None] = [None]
    order = [*shared, *(of_weights + own if side == 0 else own + of_weights)]
    return shared, contracted[1 - side][0], free[0], tuple(order)


def _rows(
    of_query: list[tuple[int, int]], keys: int, scores: Scores, size: Callable[[int], int]
) -> tuple[int, int] | Unreadable:
    """Which of the queries' own axes is the one along which they stand; the others are heads."""
    wanted: set[int] = set()
    for band in scores.bands:
        axes = {band.row, band.column}
        if keys not in axes:
            return Unreadable("its mask compares positions along other axes than the keys'")
        wanted |= axes - {keys}
    if len(wanted) > 1 or not wanted <= {axis for axis, _ in of_query}:
        return Unreadable("its mask compares positions along an axis that is not the queries'")
    if wanted:
        return next(pair for pair in of_query if pair[0] in wanted)
    varying = [
        pair
        for pair in of_query
        if any(pair[0] in operand.axes for operand in (*scores.masks, *scores.biases))
    ]
    return max(varying or of_query, key=lambda pair: (size(pair[0]), pair[0]))
