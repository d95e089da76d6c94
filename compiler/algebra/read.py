"""Reading products and sums out of a graph."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from xlathe.compiler.algebra.terms import Product, broadcast, multiply, of_node, of_sum, ones, unify
from xlathe.compiler.ir import Node
from xlathe.compiler.ops.elementwise import filled_scalar

LINEAR = frozenset(
    [
        "add",
        "broadcast_in_dim",
        "div",
        "dot_general",
        "mul",
        "neg",
        "reduce_sum",
        "reshape",
        "select_n",
        "sub",
        "transpose",
        "gather",
        "scatter_add",
        "convert_element_type",
    ]
)
"""The operations that a sum of products may be made of."""

DIAGONAL = ("select_n", "scatter_add")
"""The operations among them that put a vector on a diagonal."""

_LAYOUT = frozenset(["broadcast_in_dim", "reshape", "transpose", "neg"])


class Reader:
    """Reads nodes as products.

    Args:
        leaves: the nodes at which reading ends.
        finite: whether a product with a zero outside a diagonal may be left out.
    """

    def __init__(self, leaves: Collection[Node], finite: bool) -> None:
        self.leaves = leaves
        self.finite = finite
        self.used_zeros = False
        self._precision: tuple[Any, ...] = ()
        self._known: dict[Node, Product] = {}

    def root(self, item: Node) -> Product:
        """A node as a product of others, even if those others see it as a leaf."""
        scale = known_number(item)
        if scale is not None:
            return ones(item.type.shape, scale)
        return self._read(item) if is_linear(item) else of_node(item)

    def product(self, item: Node) -> Product:
        """The node as a product of leaves and sums of products of leaves."""
        known = self._known.get(item)
        if known is None:
            known = of_node(item) if item in self.leaves else self.root(item)
            self._known[item] = known
        return known

    def _read(self, item: Node) -> Product:
        return getattr(self, f"_{item.operation}")(item) or of_node(item)

    def _operand(self, item: Node) -> Product:
        """An operand of a multiplication; a diagonal matrix there is one if zeros may be used."""
        found = self.product(item)
        if found.has_diagonal_output:
            if not self.finite:
                return of_node(item)
            self.used_zeros = True
        return found

    def _dot_general(self, item: Node) -> Product | None:
        (left_axes, right_axes), (left_batch, right_batch) = item["dimension_numbers"]
        if _sums_nothing(item, left_axes):
            return None
        # Products of different precision do not mix; outer ones are written as multiplications.
        if left_axes:
            if self._precision not in ((), (item["precision"],)):
                return None
            self._precision = (item["precision"],)
        left, right = map(self._operand, item.inputs)
        same = [
            (left.output[a], right.output[b])
            for a, b in zip((*left_axes, *left_batch), (*right_axes, *right_batch), strict=True)
        ]
        taken_left, taken_right = {*left_axes, *left_batch}, {*right_axes, *right_batch}
        offset = len(left.sizes)
        output = [left.output[axis] for axis in left_batch]
        output += [i for axis, i in enumerate(left.output) if axis not in taken_left]
        output += [i + offset for axis, i in enumerate(right.output) if axis not in taken_right]
        return multiply(left, right, same, output)

    def _mul(self, item: Node) -> Product:
        left, right = (_spread(self._operand(source), item.type.shape) for source in item.inputs)
        return multiply(left, right, zip(left.output, right.output, strict=True), left.output)

    def _div(self, item: Node) -> Product | None:
        number = known_number(item.inputs[1])
        if not number or item.type.dtype.kind not in "fcV":
            return None
        found = self.product(item.inputs[0])
        return found.scaled(1 / number) if found.shape == item.type.shape else None

    def _neg(self, item: Node) -> Product:
        return self.product(item.inputs[0]).scaled(-1)

    def _add(self, item: Node) -> Product | None:
        return self._sum(item, 1)

    def _sub(self, item: Node) -> Product | None:
        return self._sum(item, -1)

    def _sum(self, item: Node, sign: int) -> Product | None:
        terms = []
        for source, factor in zip(item.inputs, (1, sign), strict=True):
            term = self.product(source)
            if term.has_diagonal_output:
                self.used_zeros = self.used_zeros or self.finite
                term = term if self.finite else of_node(source)
            term = _spread(term, item.type.shape)
            terms.append(term.scaled(factor))
        return of_sum(terms)

    def _transpose(self, item: Node) -> Product:
        inner = self.product(item.inputs[0])
        output = tuple(inner.output[axis] for axis in item["permutation"])
        return Product(inner.scale, inner.factors, output, inner.sizes)

    def _reduce_sum(self, item: Node) -> Product | None:
        if _sums_nothing(item, item["axes"]):
            return None
        inner = self.product(item.inputs[0])
        kept = [i for axis, i in enumerate(inner.output) if axis not in item["axes"]]
        return unify(Product(inner.scale, inner.factors, tuple(kept), inner.sizes), ())

    def _broadcast_in_dim(self, item: Node) -> Product:
        return broadcast(self.product(item.inputs[0]), item["shape"], item["broadcast_dimensions"])

    def _reshape(self, item: Node) -> Product | None:
        inner = self.product(item.inputs[0])
        old = [(i, size) for i, size in zip(inner.output, inner.shape, strict=True) if size != 1]
        if [size for _, size in old] != [size for size in item["new_sizes"] if size != 1]:
            return None
        remaining = iter(old)
        output, sizes = [], list(inner.sizes)
        for size in item["new_sizes"]:
            if size != 1:
                output.append(next(remaining)[0])
            else:
                output.append(len(sizes))
                sizes.append(1)
        return unify(Product(inner.scale, inner.factors, tuple(output), tuple(sizes)), ())

    def _select_n(self, item: Node) -> Product | None:
        """Zeros outside a diagonal: the same product, with one index for both axes."""
        inner = self.product(item.inputs[2])
        if inner.shape != item.type.shape:
            return None
        return _on_diagonal(inner, item.inputs[0])

    def _convert_element_type(self, item: Node) -> Product | None:
        """An identity matrix, which arises as a mask turned into numbers."""
        return _on_diagonal(ones(item.type.shape, 1), item.inputs[0])

    def _gather(self, item: Node) -> Product:
        """The diagonal of a matrix."""
        inner = self.product(item.inputs[0])
        joined = unify(inner, [(inner.output[0], inner.output[1])])
        return Product(joined.scale, joined.factors, joined.output[:1], joined.sizes)

    def _scatter_add(self, item: Node) -> Product:
        """The matrix with a vector on its diagonal."""
        inner = self.product(item.inputs[2])
        output = (inner.output[0], inner.output[0])
        return Product(inner.scale, inner.factors, output, inner.sizes)


def _on_diagonal(term: Product, mask: Node) -> Product | None:
    """A product with one index for the two axes whose equality a mask says."""
    axes = diagonal_axes(mask)
    if axes is None:
        return None
    first, second = axes
    return unify(term, [(term.output[first], term.output[second])])


def _spread(term: Product, shape: tuple[int, ...]) -> Product:
    """An operand of an elementwise operation in the shape of the result."""
    if term.shape == shape:
        return term
    return broadcast(term, shape, range(len(term.output)))


def _sums_nothing(item: Node, axes: Sequence[int]) -> bool:
    """Whether an axis is summed over that is empty: a NaN beside the sum must not go into it."""
    return any(item.inputs[0].type.shape[axis] == 0 for axis in axes)


def is_linear(item: Node) -> bool:
    """Whether a node is an operation on sums and products, of one ordinary dtype throughout."""
    operation = item.operation
    if operation not in LINEAR or isinstance(item.type, tuple) or not item.type.is_plain:
        return False
    dtype = item.type.dtype
    if dtype == np.bool_ or dtype.names is not None:
        return False
    if operation == "convert_element_type":
        return _is_ordinary(item, "sharding") and diagonal_axes(item.inputs[0]) is not None
    if operation == "select_n":
        return (
            len(item.inputs) == 3
            and known_number(item.inputs[1]) == 0
            and diagonal_axes(item.inputs[0]) is not None
        )
    if operation == "gather":
        return is_diagonal_gather(item)
    if operation == "scatter_add":
        return is_diagonal_scatter(item)
    if any(s.type.dtype != dtype or not s.type.is_plain for s in item.inputs):
        return False
    if operation == "dot_general":
        wanted = item.attributes.get("preferred_element_type")
        return wanted in (None, dtype) and _is_ordinary(item, "out_sharding")
    if operation == "reshape":
        return item["dimensions"] is None and _is_ordinary(item, "sharding")
    if operation == "div":
        return known_number(item.inputs[1]) is not None
    if operation == "mul":
        return item.attributes.get("out_dtype") in (None, dtype)
    return _is_ordinary(item, "sharding") and _is_ordinary(item, "out_sharding")


def is_transparent(item: Node) -> bool:
    """Whether a linear node only arranges or scales one array: computing it twice is free."""
    if item.operation == "mul" and item.type.shape and any(not s.type.shape for s in item.inputs):
        return True
    if item.operation in ("mul", "div"):
        return any(known_number(source) is not None for source in item.inputs)
    return item.operation in _LAYOUT or item.operation in DIAGONAL


def _is_ordinary(item: Node, sharding: str) -> bool:
    return item.attributes.get(sharding) is None


def known_number(item: Node) -> complex | None:
    """The one finite number that fills a node, where it is known."""
    scalar = item if item.operation == "constant" else filled_scalar(item)
    if scalar is None or scalar.type.shape or not item.type.is_plain:
        return None
    if scalar.value.dtype.kind not in "iufcV" or scalar.value.dtype.names is not None:
        return None
    number = scalar["value"].number
    if isinstance(number, int):
        return number
    try:
        number = complex(number)
    except (TypeError, ValueError):
        return None
    if not np.isfinite(number):
        return None
    return number.real if number.imag == 0 else number


def diagonal_axes(mask: Node) -> tuple[int, int] | None:
    """The two axes whose equality a mask says, if it is one of a main diagonal."""
    if mask.operation != "eq" or mask.type.rank < 2:
        return None
    axes = [_iota_axis(source) for source in mask.inputs]
    if None in axes or axes[0] == axes[1]:
        return None
    first, second = sorted(axis for axis in axes if axis is not None)
    if mask.type.shape[first] != mask.type.shape[second]:
        return None
    return first, second


def _iota_axis(item: Node) -> int | None:
    if item.operation == "add" and known_number(item.inputs[1]) == 0:
        item = item.inputs[0]
    if item.operation == "broadcast_in_dim" and item.attributes.get("sharding") is None:
        axis = _iota_axis(item.inputs[0])
        return None if axis is None else item["broadcast_dimensions"][axis]
    return item["dimension"] if item.operation == "iota" else None


def is_diagonal_gather(item: Node) -> bool:
    """Whether a gather picks the main diagonal of a square matrix."""
    source, indices = item.inputs
    numbers = item["dimension_numbers"]
    return (
        _is_square(source)
        and not numbers.offset_dims
        and numbers.collapsed_slice_dims == (0, 1)
        and numbers.start_index_map == (0, 1)
        and item["slice_sizes"] == (1, 1)
        and _counts_pairs(indices, source.type.shape[0])
    )


def is_diagonal_scatter(item: Node) -> bool:
    """Whether a scatter adds a vector to the main diagonal of a square matrix of zeros."""
    zeros, indices, update = item.inputs
    numbers = item["dimension_numbers"]
    return (
        _is_square(zeros)
        and known_number(zeros) == 0
        and update.type.dtype == zeros.type.dtype
        and update.type.shape == zeros.type.shape[:1]
        and not numbers.update_window_dims
        and numbers.inserted_window_dims == (0, 1)
        and numbers.scatter_dims_to_operand_dims == (0, 1)
        and _counts_pairs(indices, zeros.type.shape[0])
    )


def _is_square(item: Node) -> bool:
    shape = item.type.shape
    return item.type.is_plain and len(shape) == 2 and shape[0] == shape[1]


def _counts_pairs(indices: Node, size: int) -> bool:
    """Whether positions are (0, 0), (1, 1) and so on."""
    return (
        indices.operation == "concatenate"
        and len(indices.inputs) == 2
        and indices.type.shape == (size, 2)
        and all(_iota_axis(column) == 0 for column in indices.inputs)
    )


__all__ = ["Reader", "diagonal_axes", "is_linear", "is_transparent", "known_number"]
