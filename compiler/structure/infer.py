"""Inferring what matrices look like, from hints and from the operations that made them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from xlathe.compiler.ir import Node
from xlathe.compiler.ops.elementwise import filled_scalar
from xlathe.compiler.structure import masks
from xlathe.compiler.structure.facts import (
    FULL,
    IDENTITY,
    NOTHING,
    OF_KIND,
    ZERO,
    Facts,
)
from xlathe.compiler.structure.masks import COMPARISONS, Mask
from xlathe.compiler.structure.orders import set_entry

_KEEP_ZERO = frozenset(
    "abs asin asinh atan atanh cbrt ceil conj erf expm1 floor imag integer_pow log1p neg real "
    "round sign sin sinh sqrt square tan tanh".split()
)
# What may be known of these without anything being known of their inputs.
_BEGIN = frozenset(
    "assume broadcast_in_dim convert_element_type get householder_product pad select_n".split()
)


class Structures:
    """Knows the facts of nodes, each worked out once.

    Args:
        zeros: whether a zero that the program shows is known to be one. It is only where nothing
            is infinite or NaN: what the user says of a matrix with `assume` is always known.
    """

    def __init__(self, zeros: bool) -> None:
        self.zeros = zeros
        self._facts: dict[Node, Facts] = {}

    def __call__(self, item: Node) -> Facts:
        """The facts of a node's last two axes."""
        if isinstance(item.type, tuple) or not item.type.is_plain or item.type.rank < 2:
            return NOTHING
        known = self._facts.get(item)
        if known is not None:
            return known
        # Not by recursion: programs are deeper than Python's stack.
        stack = [item]
        while stack:
            top = stack[-1]
            if top in self._facts:
                stack.pop()
                continue
            missing = [source for source in top.inputs if source not in self._facts]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            self._facts[top] = self._infer(top)
        return self._facts[item]

    def mask(self, item: Node) -> Mask:
        """Where a boolean node may be true, and where false."""
        if item.operation in COMPARISONS:
            return masks.compare(item)
        if item.operation == "not":
            true, false = self.mask(item.inputs[0])
            return Mask(false, true)
        if item.operation == "broadcast_in_dim" and _keeps_matrices(item):
            return self.mask(item.inputs[0])
        return masks.UNKNOWN

    def _infer(self, item: Node) -> Facts:
        if isinstance(item.type, tuple) or not item.type.is_plain or item.type.rank < 2:
            return NOTHING
        rule = _RULES.get(item.operation)
        if item.operation not in _BEGIN and all(
            self._facts[source] is NOTHING for source in item.inputs
        ):
            return self._mirrored(item)
        if rule is None and item.operation in _KEEP_ZERO:
            rule = _elementwise
        facts = NOTHING if rule is None else rule(self, item)
        if facts == NOTHING:
            return NOTHING
        # Symmetric and hermitian are one for real numbers.
        if facts.symmetric != facts.hermitian and item.type.dtype.kind != "c":
            return replace(facts, symmetric=True, hermitian=True)
        return facts

    def _mirrored(self, item: Node) -> Facts:
        """The facts of a sum or product of matrices of which nothing is known."""
        if item.operation not in ("add", "dot_general"):
            return NOTHING
        left, right = item.inputs
        if left is not right and not is_transpose(left, right):
            return NOTHING
        rule = _RULES[item.operation]
        facts = rule(self, item)
        return facts if facts.symmetric else NOTHING

    def known(self, item: Node) -> Facts:
        """The facts of an input, which are worked out."""
        return self._facts.get(item, NOTHING)


def _assume(structures: Structures, item: Node) -> Facts:
    return structures.known(item.inputs[0]).both(OF_KIND[item["kind"]])


def _same(structures: Structures, item: Node) -> Facts:
    return structures.known(item.inputs[0])


def _elementwise(structures: Structures, item: Node) -> Facts:
    facts = structures.known(item.inputs[0])
    if item.operation == "neg":
        return replace(facts, unit=False, positive=False, permutation=False)
    if item.operation == "integer_pow" and item["y"] <= 0:
        return Facts(symmetric=facts.symmetric)
    kept = facts.hermitian and item.operation in ("conj", "real", "abs")
    return replace(facts.band, symmetric=facts.symmetric, hermitian=kept)


def _convert(structures: Structures, item: Node) -> Facts:
    source = item.inputs[0]
    if source.type.dtype == np.bool_:
        true, _ = structures.mask(source)
        if not structures.zeros:
            return NOTHING
        return IDENTITY if _is_whole_diagonal(true, item) else true
    facts = structures.known(source)
    if item.type.dtype.kind not in "fc" and item.type.dtype.name != "bfloat16":
        return facts.band
    return replace(facts, orthogonal=facts.permutation, positive=False)


def _is_whole_diagonal(true: Facts, item: Node) -> bool:
    return (true.low, true.high) == (0, 0) and item.type.shape[-1] == item.type.shape[-2]


def _transpose(structures: Structures, item: Node) -> Facts:
    facts = structures.known(item.inputs[0])
    rank = item.type.rank
    last = item["permutation"][-2:]
    if last == (rank - 2, rank - 1):
        return facts
    return facts.transposed if last == (rank - 1, rank - 2) else NOTHING


def _keeps_matrices(item: Node) -> bool:
    """Whether a broadcast only adds axes in front of the last two."""
    source = item.inputs[0].type
    rank = item.type.rank
    return (
        source.rank >= 2
        and item["broadcast_dimensions"][-2:] == (rank - 2, rank - 1)
        and source.shape[-2:] == item.type.shape[-2:]
    )


def _broadcast(structures: Structures, item: Node) -> Facts:
    if _keeps_matrices(item):
        return structures.known(item.inputs[0])
    scalar = filled_scalar(item)
    if scalar is not None and scalar.value == 0 and structures.zeros:
        return ZERO
    return NOTHING


def _is_scalar(item: Node, like: Node) -> bool:
    """Whether all entries of each matrix are multiplied by the same number."""
    if not item.type.shape:
        return True
    if item.operation == "broadcast_in_dim" and item.type.rank == like.type.rank:
        axes = item["broadcast_dimensions"]
        return all(
            axis < item.type.rank - 2 or item.inputs[0].type.shape[place] == 1
            for place, axis in enumerate(axes)
        )
    return item.type.shape[-2:] == (1, 1)


def _scaled(structures: Structures, item: Node) -> Facts:
    left, right = item.inputs
    for scalar, matrix in ((right, left), (left, right)):
        if not _is_scalar(scalar, item) or (item.operation == "div" and scalar is left):
            continue
        if matrix.type.shape != item.type.shape:
            continue
        facts = structures.known(matrix)
        real = item.type.dtype.kind != "c"
        known = scalar if scalar.is_constant else filled_scalar(scalar)
        positive = known is not None and real and bool(np.all(known.value > 0))
        return Facts(
            facts.low,
            facts.high,
            symmetric=facts.symmetric,
            hermitian=facts.hermitian and real,
            positive=facts.positive and positive,
        )
    first, second = structures.known(left), structures.known(right)
    if item.operation == "div":
        return first.band
    return replace(
        masks.intersection(first, second),
        symmetric=first.symmetric and second.symmetric,
        hermitian=first.hermitian and second.hermitian,
    )


def _sum(structures: Structures, item: Node) -> Facts:
    left, right = item.inputs
    if left.type.shape != item.type.shape or right.type.shape != item.type.shape:
        matrix = left if left.type.shape == item.type.shape else right
        other = right if matrix is left else left
        if _is_scalar(other, item) and matrix.type.shape == item.type.shape:
            return Facts(symmetric=structures.known(matrix).symmetric)
        return NOTHING
    first, second = structures.known(left), structures.known(right)
    mirrored = is_transpose(left, right)
    return replace(
        masks.union(first, second),
        symmetric=(first.symmetric and second.symmetric) or (mirrored and item.operation == "add"),
        hermitian=(first.hermitian and second.hermitian)
        or (mirrored and item.operation == "add" and item.type.dtype.kind != "c"),
        positive=first.positive and second.positive and item.operation == "add",
    )


def is_transpose(left: Node, right: Node) -> bool:
    """Whether two nodes are transposes of one another in the last two axes."""
    if left is right:
        return False
    for first, second in ((left, right), (right, left)):
        if first.operation == "transpose" and first.inputs[0] is second:
            rank = first.type.rank
            swapped = (*range(rank - 2), rank - 1, rank - 2)
            if first["permutation"] == swapped:
                return True
    return False


def _select(structures: Structures, item: Node) -> Facts:
    if len(item.inputs) != 3 or item.inputs[0].type.shape != item.type.shape:
        return NOTHING
    which, if_false, if_true = item.inputs
    if which.type.dtype != np.bool_ or not structures.zeros:
        return NOTHING
    mask = structures.mask(which)
    first, second = structures.known(if_false), structures.known(if_true)
    facts = masks.union(
        masks.intersection(mask.false, first), masks.intersection(mask.true, second)
    )
    one = filled_scalar(if_true)
    if one is not None and one.value == 1 and _is_whole_diagonal(mask.true, item):
        if first.is_zero:
            return IDENTITY
    diagonal = facts.is_diagonal and item.type.shape[-1] == item.type.shape[-2]
    return replace(facts, symmetric=diagonal)


class _Side:
    """One operand of a product as a matrix whose last axis is contracted."""

    def __init__(self, structures: Structures, item: Node, place: int) -> None:
        numbers = item["dimension_numbers"]
        axes, batch = numbers[0][place], numbers[1][place]
        self.node = item.inputs[place]
        rank = self.node.type.rank
        self.is_matrix = (
            len(axes) == 1
            and tuple(batch) == tuple(range(rank - 2))
            and rank >= 2
            and axes[0] in (rank - 2, rank - 1)
        )
        self.contracts_last = self.is_matrix and axes[0] == rank - 1
        facts = structures.known(self.node)
        self.facts = facts if self.contracts_last else facts.transposed


def _product(structures: Structures, item: Node) -> Facts:
    left, right = _Side(structures, item, 0), _Side(structures, item, 1)
    if not left.is_matrix or not right.is_matrix:
        return NOTHING
    first, second = left.facts, right.facts.transposed
    same = left.node is right.node and left.contracts_last == right.contracts_last
    mirrored = is_transpose(left.node, right.node) and left.contracts_last != right.contracts_last
    symmetric = same or mirrored
    if first.is_identity or second.is_identity:
        return second if first.is_identity else first
    return replace(
        masks.product(first, second),
        symmetric=symmetric or (first.is_diagonal and second.is_diagonal),
        hermitian=symmetric and item.type.dtype.kind != "c",
        orthogonal=first.orthogonal and second.orthogonal,
        permutation=first.permutation and second.permutation,
    )


def _pad(structures: Structures, item: Node) -> Facts:
    filling = item.inputs[1]
    if not filling.is_constant or filling.value != 0 or not structures.zeros:
        return NOTHING
    config = item["padding_config"]
    if any(inner for _, _, inner in config) or any(low < 0 or high < 0 for low, high, _ in config):
        return NOTHING
    facts = structures.known(item.inputs[0])
    rows, columns = item.inputs[0].type.shape[-2:]
    shift = config[-1][0] - config[-2][0]
    low = min(facts.low, max(rows - 1, 0)) - shift
    return Facts(low, min(facts.high, max(columns - 1, 0)) + shift)


def _reduce(structures: Structures, item: Node) -> Facts:
    source = item.inputs[0]
    if any(axis >= source.type.rank - 2 for axis in item["axes"]):
        return NOTHING
    facts = structures.known(source)
    return replace(facts.band, symmetric=facts.symmetric, hermitian=facts.hermitian)


def _reshape(structures: Structures, item: Node) -> Facts:
    source = item.inputs[0]
    same = source.type.rank >= 2 and source.type.shape[-2:] == item.type.shape[-2:]
    return structures.known(source) if same and item["dimensions"] is None else NOTHING


def _result(structures: Structures, item: Node) -> Facts:
    source = item.inputs[0]
    if source.operation == "split":
        return _part(structures.known(source.inputs[0]), source, item["index"])
    square = item.type.shape[-1] == item.type.shape[-2]
    if source.operation == "eigh" and item["index"] == 0 and square:
        return Facts(orthogonal=True)
    return NOTHING


def _part(facts: Facts, split: Node, index: int) -> Facts:
    """Some rows or columns of a matrix: its diagonals are shifted."""
    rank = split.inputs[0].type.rank
    start = sum(split["sizes"][:index])
    if split["axis"] < rank - 2:
        return facts
    shift = -start if split["axis"] == rank - 2 else start

    def moved(band: int, by: int) -> int:
        return band if band == FULL else band + by

    return Facts(moved(facts.low, shift), moved(facts.high, -shift))


def _solution(structures: Structures, item: Node) -> Facts:
    """The solution with a triangle, which is a product with the inverse: a triangle again."""
    matrix, right = (structures.known(source) for source in item.inputs)
    band = matrix.low if item["lower"] else matrix.high
    triangle = Facts(0, 0) if band <= 0 else Facts(FULL, 0) if item["lower"] else Facts(0, FULL)
    if item["transpose_a"]:
        triangle = triangle.transposed
    return masks.product(triangle, right) if item["left_side"] else masks.product(right, triangle)


def _scatter(structures: Structures, item: Node) -> Facts:
    """A matrix of which one entry on the diagonal is set."""
    if set_entry(item) is None:
        return NOTHING
    facts = structures.known(item.inputs[0])
    return Facts(max(facts.low, 0), max(facts.high, 0))


def _householder(structures: Structures, item: Node) -> Facts:
    square = item.type.shape[-1] == item.type.shape[-2]
    return Facts(orthogonal=square)


_Rule = Callable[[Structures, Node], Facts]
_RULES: dict[str, _Rule] = {
    "assume": _assume,
    "stop_gradient": _same,
    "copy": _same,
    "convert_element_type": _convert,
    "transpose": _transpose,
    "broadcast_in_dim": _broadcast,
    "mul": _scaled,
    "div": _scaled,
    "add": _sum,
    "sub": _sum,
    "select_n": _select,
    "dot_general": _product,
    "pad": _pad,
    "reduce_sum": _reduce,
    "reshape": _reshape,
    "get": _result,
    "householder_product": _householder,
    "scatter": _scatter,
    "triangular_solve": _solution,
}
