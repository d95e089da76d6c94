"""Products of matrices that are put together from blocks, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlathe.compiler.ir import Node
from xlathe.compiler.ops.build import concatenated, filled, make, sliced, transposed
from xlathe.compiler.ops.contractions import dot_flops
from xlathe.compiler.targets import Target

_MAX_PRODUCTS = 16


@dataclass
class Spent:
    """What a form of a product costs.

    Attributes:
        seconds: the estimated time.
        flops: its floating point operations.
        products: how many products it has.
        zeros: how many products with zeros were left out.
    """

    target: Target
    seconds: float = 0.0
    flops: float = 0.0
    products: int = 0
    zeros: int = 0

    def product(self, item: Node) -> None:
        """Count a product."""
        moved = item.type.nbytes + sum(source.type.nbytes for source in item.inputs)
        flops = dot_flops(item)
        self.flops += flops
        self.products += 1
        self.seconds += self.target.seconds(flops, moved)

    def copy(self, *items: Node) -> None:
        """Count values that are written once and read once."""
        for item in items:
            self.seconds += self.target.seconds(0, 2.0 * item.type.nbytes)


def is_zero(item: Node) -> bool:
    """Whether a node is known to hold nothing but zeros."""
    while item.operation in ("broadcast_in_dim", "reshape", "transpose", "convert_element_type"):
        item = item.inputs[0]
    return item.is_constant and item.type.dtype.kind in "fciub" and not np.any(item.value)


def parts_of(item: Node) -> tuple[int, list[Node]] | None:
    """The axis along which an array is put together, and its parts; zeros around it are parts."""
    if item.operation == "transpose":
        inner = parts_of(item.inputs[0])
        if inner is None:
            return None
        permutation = item["permutation"]
        return permutation.index(inner[0]), [transposed(part, permutation) for part in inner[1]]
    if item.operation == "concatenate":
        return item["dimension"], list(item.inputs)
    if item.operation == "pad":
        return _padded_parts(item)
    return None


def _padded_parts(item: Node) -> tuple[int, list[Node]] | None:
    source, filling = item.inputs
    config = list(item["padding_config"])
    if not filling.is_constant or filling.value != 0 or not item.type.is_plain:
        return None
    if any(inner or low < 0 or high < 0 for low, high, inner in config):
        return None
    for axis, (low, high, _) in enumerate(config):
        if low or high:
            config[axis] = (0, 0, 0)
            rest = source
            if any(low or high for low, high, _ in config):
                rest = make("pad", source, filling, padding_config=tuple(config))
            shape = rest.type.shape
            parts = [rest]
            for place, size in ((0, low), (1, high)):
                if size:
                    block = (*shape[:axis], size, *shape[axis + 1 :])
                    zeros = filled(0, item.type.with_shape(block))
                    parts.insert(0 if place == 0 else len(parts), zeros)
            return axis, parts
    return None


class BlockProduct:
    """Multiplies by blocks.

    Args:
        attributes: the attributes of the product.
        target: the device whose rates decide.
    """

    def __init__(self, attributes: Any, target: Target) -> None:
        self.attributes = attributes
        self.numbers = attributes["dimension_numbers"]
        self.spent = Spent(target)

    def build(self, left: Node, right: Node) -> Node | None:
        """The product by blocks; None if it is zero."""
        operands = [left, right]
        if any(is_zero(item) for item in operands):
            self.spent.zeros += 1
            return None
        for place in (0, 1):
            found = parts_of(operands[place])
            if found is None or found[0] in self.numbers[1][place]:
                continue
            if self.spent.products + len(found[1]) > _MAX_PRODUCTS:
                continue
            contracted = self.numbers[0][place]
            if found[0] in contracted:
                other = self.numbers[0][1 - place][contracted.index(found[0])]
                return self._summed(operands, place, found, other)
            return self._joined(operands, place, found)
        new = make("dot_general", left, right, **self.attributes)
        self.spent.product(new)
        return new

    def _summed(
        self, operands: Sequence[Node], place: int, found: tuple[int, list[Node]], axis: int
    ) -> Node | None:
        total: Node | None = None
        start = 0
        for part in found[1]:
            size = part.type.shape[found[0]]
            pair = [part, part]
            if not is_zero(part):
                pair[1 - place] = self._range(operands[1 - place], axis, start, start + size)
                pair[place] = part
                product = self.build(pair[0], pair[1])
                if product is not None and total is not None:
                    product = self._added(total, product)
                total = total if product is None else product
            else:
                self.spent.zeros += 1
            start += size
        return total

    def _added(self, first: Node, second: Node) -> Node:
        """A sum; of two arrays with zeros at the same places, part by part."""
        if is_zero(first) or is_zero(second):
            return second if is_zero(first) else first
        if first.operation == second.operation == "concatenate":
            axis = first["dimension"]
            sizes = [[part.type.shape[axis] for part in item.inputs] for item in (first, second)]
            if second["dimension"] == axis and sizes[0] == sizes[1]:
                pairs = zip(first.inputs, second.inputs, strict=True)
                return concatenated([self._added(one, other) for one, other in pairs], axis)
        self.spent.copy(second)
        return make("add", first, second)

    def _joined(
        self, operands: Sequence[Node], place: int, found: tuple[int, list[Node]]
    ) -> Node | None:
        axis = self._result_axis(operands, place, found[0])
        results: list[Node | None] = []
        for part in found[1]:
            pair = [operands[1 - place]] * 2
            pair[place] = part
            results.append(self.build(pair[0], pair[1]))
        known = next((item for item in results if item is not None), None)
        if known is None:
            return None
        blocks = []
        for part, result in zip(found[1], results, strict=True):
            if result is None:
                shape = list(known.type.shape)
                shape[axis] = part.type.shape[found[0]]
                result = filled(0, known.type.with_shape(tuple(shape)))
            blocks.append(result)
        joined = concatenated(blocks, axis)
        self.spent.copy(joined)
        return joined

    def _result_axis(self, operands: Sequence[Node], place: int, axis: int) -> int:
        contracted, batch = self.numbers
        free = [
            [
                a
                for a in range(operands[side].type.rank)
                if a not in contracted[side] and a not in batch[side]
            ]
            for side in (0, 1)
        ]
        before = len(batch[0]) + (len(free[0]) if place == 1 else 0)
        return before + free[place].index(axis)

    def _range(self, item: Node, axis: int, start: int, limit: int) -> Node:
        """A range of an operand: one of its own parts if that is what it is."""
        found = parts_of(item)
        if found is not None and found[0] == axis:
            place = 0
            for part in found[1]:
                if (place, place + part.type.shape[axis]) == (start, limit):
                    return part
                place += part.type.shape[axis]
        elif found is not None:
            pieces = [self._range(part, axis, start, limit) for part in found[1]]
            return concatenated(pieces, found[0])
        if is_zero(item):
            shape = list(item.type.shape)
            shape[axis] = limit - start
            return filled(0, item.type.with_shape(tuple(shape)))
        new = sliced(item, axis, start, limit)
        if new is not item:
            self.spent.copy(new)
        return new


def whole_cost(item: Node, readers: dict[Node, list[Node]], target: Target) -> Spent:
    """What a product costs as it is, with the putting together of operands made for it."""
    spent = Spent(target)
    spent.product(item)
    for operand in item.inputs:
        stack = [operand]
        while stack:
            part = stack.pop()
            found = parts_of(part)
            if found is None:
                continue
            if all(reader.operation == "dot_general" for reader in readers.get(operand, ())):
                share = max(1, len(readers.get(operand, ())))
                spent.seconds += target.seconds(0, 2.0 * part.type.nbytes) / share
            stack.extend(found[1])
    return spent


def symmetric_product(item: Node, depth: int) -> Node:
    """A matrix times its own transpose: the upper right block mirrors the lower left one."""
    left, right = item.inputs
    (left_axes, right_axes), _ = item["dimension_numbers"]
    size = item.type.shape[0]
    if depth == 0 or size < 2:
        return item
    half = size // 2
    kept_left, kept_right = 1 - left_axes[0], 1 - right_axes[0]
    upper = [_range_of(left, kept_left, 0, half), _range_of(right, kept_right, 0, half)]
    lower = [_range_of(left, kept_left, half, size), _range_of(right, kept_right, half, size)]

    def product(first: Node, second: Node) -> Node:
        return make("dot_general", first, second, **item.attributes)

    first = symmetric_product(product(upper[0], upper[1]), depth - 1)
    last = symmetric_product(product(lower[0], lower[1]), depth - 1)
    corner = product(lower[0], upper[1])
    mirrored = transposed(corner, (1, 0))
    return concatenated([concatenated([first, mirrored], 1), concatenated([corner, last], 1)], 0)


def _range_of(item: Node, axis: int, start: int, limit: int) -> Node:
    """A range along one axis; a transpose stays outermost, where XLA takes it into the product."""
    if item.operation != "transpose":
        return sliced(item, axis, start, limit)
    order = item["permutation"]
    return transposed(sliced(item.inputs[0], order[axis], start, limit), order)
