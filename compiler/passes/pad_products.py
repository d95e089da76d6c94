"""Products whose rows start at odd addresses, padded with zeros.

The matrix units of GPUs are fed by copies of whole 16 bytes. Where a row of an array is no multiple
of that, such as the 50257 logits of GPT-2, XLA takes kernels that run at a third to a half of the
speed. A few columns of zeros more, sliced off again, are fused with what makes and reads the array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from jax import lax

from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.ir.rewrite import substitute, users
from xlathe.compiler.ops.build import make, padded, sliced, transposed
from xlathe.compiler.ops.contractions import dot_flops
from xlathe.compiler.ops.elementwise import ELEMENTWISE
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.rules import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.targets import GPU, Target

RULE = "padded product"

_SLOW_OPERAND, _SLOW_RESULT, _FAST = 4.2e-15, 1.9e-15, 1.4e-15
"""Seconds that an operation of a bfloat16 product takes on an H100 where the rows of an operand
start at odd addresses, those of the result only, and none; one of float32 takes twice as many."""

_LINE = 128
_PRODUCTS = ("dot_general", "transpose")
_FUSED = ELEMENTWISE | frozenset(
    "dynamic_slice expand_dims gather reduce_max reduce_min reduce_sum reshape slice squeeze "
    "transpose".split()
)

_PRECISIONS = (
    None,
    lax.Precision.DEFAULT,
    (lax.Precision.DEFAULT, lax.Precision.DEFAULT),
    lax.DotAlgorithmPreset.TF32_TF32_F32,
)


@dataclass(frozen=True)
class PadProducts:
    """Write `a @ b` with an odd number of columns as `(a @ pad(b))[:, :columns]`.

    Attributes:
        target: the device; only on some does the speed depend on where rows start.
    """

    target: Target = GPU

    def __call__(self, graph: Graph) -> Graph:
        """Pad the products of the graph and of those nested in it."""
        return nested_first(graph, self._graph) if self.target.row_bytes else graph

    def _graph(self, graph: Graph) -> Graph:
        if "dot_general" not in graph.operations:
            return graph
        readers = users(graph)
        replaced: dict[Node, Node] = {}
        for item in graph.nodes:
            if item.operation != "dot_general" or not _is_fast(item):
                continue
            product = _Product(item, readers)
            more = product.odd_axes(self.target.row_bytes)
            saved = product.seconds_saved(more, self.target) if more else 0.0
            if saved <= self.target.launch:
                continue
            lost = product.seconds_lost(more, self.target)
            if saved < 2 * lost:
                reason = f"copies would take {1e6 * lost:.0f} us, to save {1e6 * saved:.0f} us"
                log_miss(Miss(RULE, reason, item))
                continue
            text, flops = formula(item, graph.origins), dot_flops(item)
            sizes = ", ".join(f"{size} to {size + added}" for size, added in product.sizes(more))
            log_rewrite(Rewrite(RULE, text, f"the same, padded from {sizes}", flops, flops, item))
            replaced[item] = product.padded(more)
        return substitute(graph, replaced) if replaced else graph


class _Product:
    """A product and where its rows lie.

    Args:
        item: the product.
        readers: what reads each node.
    """

    def __init__(self, item: Node, readers: Mapping[Node, Sequence[Node]]) -> None:
        self.item = item
        self.readers = readers
        self.arrays = (*item.inputs, item)
        (left_axes, right_axes), (left_batch, right_batch) = item["dimension_numbers"]
        ranks = [source.type.rank for source in item.inputs]
        left = list(range(ranks[0]))
        right = list(range(ranks[0], sum(ranks)))
        for own, others in ((left_axes, right_axes), (left_batch, right_batch)):
            for axis, other in zip(own, others, strict=True):
                right[other] = left[axis]
        summed = {left[axis] for axis in left_axes}
        self.batch = [left[axis] for axis in left_batch]
        free = [name for name in (*left, *right) if name not in summed and name not in self.batch]
        self.names = (left, right, [*self.batch, *free])

    def odd_axes(self, row_bytes: int) -> dict[int, int]:
        """By name, the axes along which rows lie that are no multiple of so many bytes.

        Returns:
            How many elements more make them one; none if an axis of the batch is among them.
        """
        found: dict[int, int] = {}
        for array, names in zip(self.arrays, self.names, strict=True):
            if array.type.rank < 2:
                continue
            axis = self._row_axis(array)
            size, width = array.type.shape[axis], array.type.dtype.itemsize
            if size * width % row_bytes:
                line = max(row_bytes, _LINE if size * width >= 32 * _LINE else 0) // width
                found[names[axis]] = max(-size % line, found.get(names[axis], 0))
        return {} if found.keys() & set(self.batch) else found

    def sizes(self, more: Mapping[int, int]) -> list[tuple[int, int]]:
        """The sizes of the axes that are padded, and by how much."""
        shapes = {
            name: size
            for array, names in zip(self.arrays, self.names, strict=True)
            for name, size in zip(names, array.type.shape, strict=True)
        }
        return [(shapes[name], added) for name, added in more.items()]

    def seconds_saved(self, more: Mapping[int, int], target: Target) -> float:
        """How much faster the product runs with rows that start at even addresses."""
        rows = {
            names[self._row_axis(source)]
            for source, names in zip(self.item.inputs, self.names, strict=False)
        }
        flops = dot_flops(self.item) * self.item.inputs[0].type.dtype.itemsize / 2
        growth = prod((size + added) / size for size, added in self.sizes(more))
        reading = sum(array.type.nbytes for array in self.arrays) / target.bandwidth
        slow = flops * (_SLOW_OPERAND if rows & more.keys() else _SLOW_RESULT)
        return max(slow, reading) - max(flops * growth * _FAST, reading)

    def seconds_lost(self, more: Mapping[int, int], target: Target) -> float:
        """What copying arrays takes that are not made and read by what padding is fused with."""
        seconds = 0.0
        for array, names in zip(self.arrays, self.names, strict=True):
            if more.keys().isdisjoint(names):
                continue
            times = self._times_sliced() if array is self.item else self._times_padded(array)
            if times:
                seconds += target.seconds(0, times * array.type.nbytes)
        return seconds

    def padded(self, more: Mapping[int, int]) -> Node:
        """The product of the wider arrays, and of its result what was asked for."""
        left, right = (
            _wider(source, [more.get(name, 0) for name in names])
            for source, names in zip(self.item.inputs, self.names, strict=False)
        )
        result = make("dot_general", left, right, **self.item.attributes)
        for axis, size in enumerate(self.item.type.shape):
            result = sliced(result, axis, 0, size)
        return result

    def _row_axis(self, array: Node) -> int:
        """The axis along which elements lie side by side: XLA moves nothing to transpose."""
        last = array.type.rank - 1
        if array is not self.item:
            turned = array.operation == "transpose"
            return array["permutation"].index(last) if turned else last
        readers = self.readers.get(array, ())
        turned = len(readers) == 1 and readers[0].operation == "transpose"
        return readers[0]["permutation"][last] if turned else last

    def _times_padded(self, source: Node) -> int:
        """How often a padded operand's elements move, besides being read by the product."""
        if source.operation == "transpose":
            source = source.inputs[0]
        if source.operation not in ELEMENTWISE:
            return 2
        readers = self.readers.get(source, ())
        return 0 if all(item.operation in _PRODUCTS for item in readers) else 1

    def _times_sliced(self) -> int:
        """How often a result's elements move once more."""
        readers = self.readers.get(self.item, ())
        is_result = any(reader is self.item for reader in readers)
        return 2 if is_result or any(r.operation not in _FUSED for r in readers) else 0


def _is_fast(item: Node) -> bool:
    """Whether matrix units compute a product: of short floats, or of float32 not held to be so."""
    types = [source.type for source in (*item.inputs, item)]
    return (
        all(type_.is_plain and type_.dtype.kind in "fV" for type_ in types)
        and types[0].dtype == types[1].dtype
        and types[0].dtype.itemsize in (2, 4)
        and item["precision"] in _PRECISIONS
        and item.attributes.get("out_sharding") is None
    )


def _wider(item: Node, amounts: Sequence[int]) -> Node:
    """Zeros behind the elements of each axis."""
    if item.operation == "transpose" and any(amounts):
        order = item["permutation"]
        inner = [amounts[order.index(axis)] for axis in range(len(order))]
        return transposed(_wider(item.inputs[0], inner), order)
    return padded(item, [(0, amount, 0) for amount in amounts])
