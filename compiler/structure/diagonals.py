"""The diagonal of a matrix, from the diagonals of what the matrix is made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xlathe.compiler.ir import Node, constant, node
from xlathe.compiler.ops.build import broadcast_in_dim, filled, iota, make, reshape, sliced
from xlathe.compiler.structure.algebra import diagonal
from xlathe.compiler.structure.infer import Structures
from xlathe.compiler.structure.masks import on_main_diagonal
from xlathe.compiler.structure.orders import set_entry

_MOST_DEPTH = 24
_ELEMENTWISE = frozenset(
    "abs add and convert_element_type copy cos div eq exp ge gt integer_pow is_finite le log lt "
    "max min mul ne neg not or pow select_n sign sin sqrt square stop_gradient sub tanh".split()
)


class Diagonals:
    """Knows the diagonals of nodes.

    Args:
        facts: what matrices look like, to take solutions apart.
        solves: whether solutions with triangles are taken apart, too, which takes the zeros that
            the program shows for zeros.
        end: how to read the diagonal of what is not taken apart any further.
    """

    def __init__(
        self, facts: Structures, solves: bool, end: Callable[[Node], Node] = diagonal
    ) -> None:
        self.facts = facts
        self.solves = solves
        self.end = end
        self.solved = False
        self._known: dict[Node, Node] = {}

    def __call__(self, item: Node) -> Node:
        """The diagonal of the square matrices in the last two axes of a node."""
        return self._of(item, 0)

    def _of(self, item: Node, depth: int) -> Node:
        found = self._known.get(item)
        if found is None:
            rule = None if depth == _MOST_DEPTH else _RULES.get(item.operation)
            if rule is not None and item.type.is_plain:
                found = rule(self, item, depth + 1)
            self._known[item] = found = self.end(item) if found is None else found
        return found

    def elementwise(self, item: Node, depth: int) -> Node | None:
        """The operation on the diagonals of its operands."""
        if any(source.type.shape not in ((), item.type.shape) for source in item.inputs):
            return None
        inputs = tuple(self._of(s, depth) if s.type.shape else s for s in item.inputs)
        shape = item.type.shape[:-1]
        if all(not source.type.shape for source in inputs):
            return None
        return node(item.operation, inputs, item.type.with_shape(shape), item.attributes)

    def select(self, item: Node, depth: int) -> Node | None:
        """The diagonal of the case that a mask chooses there."""
        if len(item.inputs) == 3 and item.inputs[0].type.shape == item.type.shape:
            which, if_false, if_true = item.inputs
            chosen = on_main_diagonal(which)
            if chosen is not None:
                return self._of(if_true if chosen else if_false, depth)
        return self.elementwise(item, depth)

    def broadcast(self, item: Node, depth: int) -> Node | None:
        """The diagonal of what is repeated, or what runs along it."""
        if len(item.inputs) != 1 or item.attributes.get("sharding") is not None:
            return None
        source, places = item.inputs[0], item["broadcast_dimensions"]
        row, column = item.type.rank - 2, item.type.rank - 1
        if {row, column} <= set(places):
            sizes = source.type.shape[-2:]
            if places[-2:] != (row, column) or sizes[0] != sizes[1]:
                return None
            if sizes == (1, 1) != item.type.shape[-2:]:
                source, places = reshape(source, source.type.shape[:-1]), places[:-1]
            else:
                source, places = self._of(source, depth), places[:-1]
        else:
            places = tuple(min(axis, row) for axis in places)
        return broadcast_in_dim(source, item.type.shape[:-1], places)

    def tile(self, item: Node, depth: int) -> Node | None:
        """The one number that is repeated."""
        if item.inputs[0].type.size != 1:
            return None
        return broadcast_in_dim(reshape(item.inputs[0], ()), item.type.shape[:-1], ())

    def transpose(self, item: Node, depth: int) -> Node | None:
        """That of the matrix which is transposed."""
        rank = item.type.rank
        swapped = (*range(rank - 2), rank - 1, rank - 2)
        return self._of(item.inputs[0], depth) if item["permutation"] == swapped else None

    def iota(self, item: Node, depth: int) -> Node | None:
        """The numbers from zero, where they run along it."""
        return iota(item.type.shape[-1:], 0, item.type.dtype) if item.type.rank == 2 else None

    def scatter(self, item: Node, depth: int) -> Node | None:
        """That with the one entry that is set."""
        place = set_entry(item)
        if place is None:
            return None
        value = reshape(item.inputs[2], (1,))
        start = constant(np.int32(place))
        return make("dynamic_update_slice", self._of(item.inputs[0], depth), value, start)

    def pad(self, item: Node, depth: int) -> Node | None:
        """That of the rows that stand in it, among the padding."""
        source, filling = item.inputs
        *others, (low, high, inner), columns = item["padding_config"]
        if any(map(any, others)) or any(columns) or inner or low < 0 or high < 0:
            return None
        found = self._of_rows(source, low, depth)
        if found is None:
            return None
        config = ((0, 0, 0),) * len(others) + ((low, high, 0),)
        return make("pad", found, filling, padding_config=config)

    def _of_rows(self, item: Node, start: int, depth: int) -> Node | None:
        """The entries of some rows of a square matrix on its diagonal; `start` is the first row."""
        if depth >= _MOST_DEPTH:
            return None
        if item.operation in _ELEMENTWISE:
            if any(source.type.shape not in ((), item.type.shape) for source in item.inputs):
                return None
            inputs = [
                self._of_rows(s, start, depth + 1) if s.type.shape else s for s in item.inputs
            ]
            known = tuple(source for source in inputs if source is not None)
            if len(known) < len(inputs) or not any(source.type.shape for source in known):
                return None
            type_ = item.type.with_shape(item.type.shape[:-1])
            return node(item.operation, known, type_, item.attributes)
        whole = rows_of(item, start)
        if whole is None:
            return None
        axis = item.type.rank - 2
        return sliced(self._of(whole, depth), axis, start, start + item.type.shape[axis])

    def solution(self, item: Node, depth: int) -> Node | None:
        """The quotients of the diagonals, where both matrices are triangles of one side."""
        matrix, right = item.inputs
        if not self.solves or item["conjugate_a"] or matrix.type.shape != right.type.shape:
            return None
        facts = self.facts(right)
        above = item["lower"] == item["transpose_a"]
        if (facts.low if above else facts.high) > 0:
            return None
        self.solved = True
        found = self._of(right, depth)
        return found if item["unit_diagonal"] else make("div", found, self._of(matrix, depth))


def rows_of(item: Node, start: int) -> Node | None:
    """The square matrix of which a node is the rows from `start` on; None if it is no such."""
    row = item.type.rank - 2
    if item.operation == "get" and item.inputs[0].operation == "split":
        split = item.inputs[0]
        whole = split.inputs[0]
        first = sum(split["sizes"][: item["index"]]) if split["axis"] == row else None
    elif item.operation == "slice" and item["strides"] is None:
        whole = item.inputs[0]
        first, *others = item["start_indices"][row], *item["start_indices"][:row]
        if any(others) or item.type.shape[:row] != whole.type.shape[:row]:
            return None
    else:
        return None
    square = whole.type.shape[-2:] == (item.type.shape[-1],) * 2
    return whole if first == start and square and whole.type.is_plain else None


def on_diagonal(matrix: Node) -> Node:
    """A mask of the main diagonal, in the shape of a matrix."""
    shape = matrix.type.shape
    mask = make("eq", iota(shape[-2:], 0), iota(shape[-2:], 1))
    rank = len(shape)
    return broadcast_in_dim(mask, shape, (rank - 2, rank - 1)) if rank > 2 else mask


def reciprocal(entries: Node) -> Node:
    """One over each: products see through a multiplication, and not through a division."""
    return make("div", filled(1, entries.type), entries)


def diagonal_matrix(entries: Node, like: Node) -> Node:
    """The matrix with these entries on its diagonal, in the shape of another."""
    rank = like.type.rank
    spread = broadcast_in_dim(entries, like.type.shape, tuple(range(rank - 1)))
    return make("select_n", on_diagonal(like), filled(0, like.type), spread)


_Rule = Callable[[Diagonals, Node, int], Node | None]
_RULES: dict[str, _Rule] = {
    **dict.fromkeys(_ELEMENTWISE, Diagonals.elementwise),
    "select_n": Diagonals.select,
    "broadcast_in_dim": Diagonals.broadcast,
    "tile": Diagonals.tile,
    "transpose": Diagonals.transpose,
    "iota": Diagonals.iota,
    "pad": Diagonals.pad,
    "scatter": Diagonals.scatter,
    "triangular_solve": Diagonals.solution,
}
