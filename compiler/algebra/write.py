"""Writing products and sums as nodes: pairwise, in the order that costs least."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from opt_einsum import paths

from xlathe.compiler.algebra.terms import Index, Product, Sum
from xlathe.compiler.ir import Node, Type, constant, make_type, node
from xlathe.compiler.ops.build import (
    broadcast_in_dim,
    filled,
    iota,
    make,
    multiply,
    reshape,
    transposed,
)

_EXHAUSTIVE = 5
_DYNAMIC = 20


class OutOfRange(Exception):
    """A scale is too large or too small for the dtype."""


class Writer:
    """Writes products of one dtype.

    Args:
        type_: a type of this dtype.
        precision: of the dot products.
        preferred: their preferred element type.
        places: a number for each leaf. With them, a dot product and its mirror image are written
            as one node and its transpose; without, each in the order that needs no transpose.
    """

    def __init__(
        self,
        type_: Type,
        precision: Any = None,
        preferred: Any = None,
        places: Mapping[Node, int] | None = None,
    ) -> None:
        self.dtype = type_.dtype
        self.precision = precision
        self.preferred = preferred
        self.places = dict(places) if places is not None else None

    def product(self, term: Product) -> Node:
        """Write a product."""
        arrays = [self._array(factor.value, factor.indices, term) for factor in term.factors]
        scale = self._scale(term, [item for item, indices in arrays if not indices])
        arrays = [array for array in arrays if array[1]]
        wanted = tuple(dict.fromkeys(i for i in term.output if term.sizes[i] != 1))
        steps = pairs([indices for _, indices in arrays], wanted, term.sizes)
        scaled = _smallest([i for _, i in arrays], steps, wanted, term.sizes)
        orders = _orders([i for _, i in arrays], steps, wanted)
        for number, (first, second) in enumerate(steps):
            if scale is not None and scaled is not None and scaled[0] == number:
                item, indices = arrays[scaled[1]]
                arrays[scaled[1]], scale = (self._multiply(item, scale), indices), None
            rest = [i for place, (_, i) in enumerate(arrays) if place not in (first, second)]
            needed = {*wanted, *(index for indices in rest for index in indices)}
            joined = self._pair(arrays[first], arrays[second], needed, orders[number], term)
            arrays = [a for place, a in enumerate(arrays) if place not in (first, second)]
            arrays.append(joined)
        if not arrays:
            filling = scale if scale is not None else self._number(1)
            return self._placed(filling, (), term)
        item, indices = arrays[0]
        if scale is not None:
            item = self._multiply(item, scale)
        return self._placed(item, indices, term)

    def sum(self, sum_: Sum) -> Node:
        """Write a sum, equal terms as a multiple."""
        counts: dict[Node, complex] = {}
        for term in sum_.terms:
            sign = -1 if isinstance(term.scale, int | float) and term.scale < 0 else 1
            item = self.product(term.scaled(sign))
            counts[item] = counts.get(item, 0) + sign
        total: Node | None = None
        terms = list(counts.items())
        # One that is added goes first, which saves a negation.
        added = next((place for place, (_, count) in enumerate(terms) if count != -1), 0)
        for item, count in [terms.pop(added), *terms]:
            # A difference of equals is kept as a product with zero, which keeps its NaN.
            sign = -1 if count == -1 else 1
            if count not in (1, -1):
                item = self._multiply(item, self._number(count))
            if total is not None:
                total = make("add" if sign == 1 else "sub", total, item)
            else:
                total = item if sign == 1 else make("neg", item)
        assert total is not None
        return total

    def _array(
        self, value: Node | Sum, indices: tuple[Index, ...], term: Product
    ) -> tuple[Node, tuple[Index, ...]]:
        """A factor as a node with distinct indices, all of them needed elsewhere."""
        item = self.sum(value) if isinstance(value, Sum) else value
        if self.places is not None:
            self._place(item)
        kept = tuple(index for index in indices if term.sizes[index] != 1)
        if len(kept) < len(indices):
            item = self._known(reshape(item, tuple(term.sizes[i] for i in kept)), item)
        while len(set(kept)) < len(kept):
            item, kept = self._diagonal(item, kept)
        elsewhere = {*term.output}
        for other in term.factors:
            if other.value is not value or other.indices != indices:
                elsewhere.update(other.indices)
        if sum(f.value is value and f.indices == indices for f in term.factors) > 1:
            elsewhere.update(indices)
        summed = tuple(axis for axis, index in enumerate(kept) if index not in elsewhere)
        if summed:
            item = self._known(make("reduce_sum", item, axes=summed, out_sharding=None), item)
            kept = tuple(index for axis, index in enumerate(kept) if axis not in summed)
        return item, kept

    def _place(self, item: Node) -> int:
        assert self.places is not None
        return self.places.setdefault(item, len(self.places))

    def _known(self, item: Node, source: Node) -> Node:
        """Give a node made of one leaf that leaf's place in the order."""
        if self.places is not None:
            self.places.setdefault(item, self._place(source))
        return item

    def _diagonal(self, item: Node, indices: tuple[Index, ...]) -> tuple[Node, tuple[Index, ...]]:
        """The elements at which two axes of one index agree."""
        first = next(axis for axis, index in enumerate(indices) if index in indices[axis + 1 :])
        second = indices.index(indices[first], first + 1)
        rest = [axis for axis in range(len(indices)) if axis not in (first, second)]
        shape = item.type.shape
        size = shape[first]
        order = (first, second, *rest)
        if order != tuple(range(len(indices))):
            item = make("transpose", item, permutation=order)
        others = tuple(shape[axis] for axis in rest)
        flat = reshape(item, (size * size, *others))
        found = node(
            "slice",
            (flat,),
            make_type((size, *others), item.type.dtype),
            {
                "start_indices": (0,) * (1 + len(others)),
                "limit_indices": (size * size, *others),
                "strides": (size + 1, *(1 for _ in others)),
            },
        )
        return found, (indices[first], *(indices[axis] for axis in rest))

    def _scale(self, term: Product, scalars: Sequence[Node]) -> Node | None:
        """All that the product is scaled by, as one scalar."""
        total = None if term.scale == 1 else self._number(term.scale)
        for item in scalars:
            total = item if total is None else multiply(item, total)
        return total

    def _number(self, number: complex) -> Node:
        if self.dtype.kind in "fV" and number:
            limits = jnp.finfo(self.dtype)
            if not limits.tiny <= abs(number) <= limits.max:
                raise OutOfRange(f"{number} is not a normal number of {self.dtype}")
        return constant(np.asarray(number).astype(self.dtype))

    def _multiply(self, item: Node, scale: Node) -> Node:
        if scale.is_constant and scale.value == -1:
            return make("neg", item)
        return multiply(item, scale)

    def _pair(
        self,
        left: tuple[Node, tuple[Index, ...]],
        right: tuple[Node, tuple[Index, ...]],
        needed: set[Index],
        target: tuple[Index, ...],
        term: Product,
    ) -> tuple[Node, tuple[Index, ...]]:
        """Multiply two arrays and sum over the indices that nothing else needs."""
        left, right = self._ordered(left, right, needed, target)
        (a, a_indices), (b, b_indices) = left, right
        shared = [index for index in a_indices if index in b_indices]
        batch = tuple(index for index in shared if index in needed)
        summed = tuple(index for index in shared if index not in needed)
        a_free = tuple(index for index in a_indices if index not in shared)
        b_free = tuple(index for index in b_indices if index not in shared)
        if summed and (not batch or a_free or b_free):
            numbers = (
                (_axes(summed, a_indices), _axes(summed, b_indices)),
                (_axes(batch, a_indices), _axes(batch, b_indices)),
            )
            item = make(
                "dot_general",
                a,
                b,
                dimension_numbers=numbers,
                precision=self.precision,
                preferred_element_type=self.preferred,
                out_sharding=None,
            )
            indices = (*batch, *a_free, *b_free)
        else:
            found = {*batch, *a_free, *b_free}
            # The output's indices stand in the order wanted, the summed ones last.
            last = found <= {*term.output}
            kept = target if last and set(target) == found else (*batch, *a_free, *b_free)
            every = _least_turned((*kept, *summed), a_indices, b_indices) if summed else kept
            spread = [self._spread(*array, every, term.sizes) for array in (left, right)]
            item = multiply(*spread)
            if summed:
                axes = _axes(summed, every)
                item = make("reduce_sum", item, axes=tuple(sorted(axes)), out_sharding=None)
                kept = tuple(index for index in every if index not in summed)
            indices = kept
        return item, indices

    def _ordered(self, left: Any, right: Any, needed: set[Index], target: tuple[Index, ...]) -> Any:
        """The two operands in the order in which they are to be multiplied."""
        if self.places is not None:
            swap = self._place(left[0]) > self._place(right[0])
            if left[0] is right[0]:
                swap = left[1] > right[1]
            return (right, left) if swap else (left, right)
        orders = ((left, right), (right, left))
        return max(orders, key=lambda order: _reads_well(*order, needed, target))

    def _spread(
        self,
        item: Node,
        indices: tuple[Index, ...],
        every: tuple[Index, ...],
        sizes: tuple[int, ...],
    ) -> Node:
        """Transpose and broadcast an array to have these indices."""
        item = _transposed(item, indices, tuple(i for i in every if i in indices))
        if len(indices) == len(every):
            return item
        shape = tuple(sizes[index] for index in every)
        return broadcast_in_dim(item, shape, _axes([i for i in every if i in indices], every))

    def _placed(self, item: Node, indices: tuple[Index, ...], term: Product) -> Node:
        """Bring a result to the output's order, and fill in what it lacks."""
        if not term.output:
            return item
        shape = term.shape
        order = tuple(dict.fromkeys(index for index in term.output if index in indices))
        item = _transposed(item, indices, order)
        places = tuple(term.output.index(index) for index in order)
        if item.type.shape != shape:
            if len(order) == sum(size != 1 for size in shape) and not term.has_diagonal_output:
                item = reshape(item, shape)
            else:
                item = broadcast_in_dim(item, shape, places)
        for place, index in enumerate(term.output):
            if term.sizes[index] != 1 and index in term.output[:place]:
                item = _masked(item, term.output.index(index), place)
        return item


def _reads_well(left: Any, right: Any, needed: set[Index], target: tuple[Index, ...]) -> int:
    """How well two operands stand in this order: no transpose after, rows by columns before."""
    shared = [index for index in left[1] if index in right[1]]
    batch = tuple(index for index in shared if index in needed)
    frees = (tuple(i for i in side[1] if i not in shared) for side in (left, right))
    summed = [index for index in shared if index not in needed]
    by_columns = left[1][-1:] == tuple(summed) and right[1][len(batch) :][:1] == tuple(summed)
    return 2 * (sum((batch, *frees), ()) == target) + by_columns


def _least_turned(
    every: tuple[Index, ...], left: tuple[Index, ...], right: tuple[Index, ...]
) -> tuple[Index, ...]:
    """The order of all indices for which the fewest of two arrays are transposed."""

    def turned(order: tuple[Index, ...]) -> int:
        return sum(tuple(i for i in order if i in side) != side for side in (left, right))

    orders = [every, *(side for side in (left, right) if set(side) == set(every))]
    return min(orders, key=turned)


def _axes(chosen: Sequence[Index], indices: Sequence[Index]) -> tuple[int, ...]:
    return tuple(indices.index(index) for index in chosen)


def _transposed(item: Node, indices: Sequence[Index], order: Sequence[Index]) -> Node:
    return transposed(item, _axes(order, indices))


def _masked(item: Node, first: int, second: int) -> Node:
    """Zeros where two axes disagree."""
    shape = item.type.shape
    mask = make("eq", iota(shape, first), iota(shape, second))
    return make("select_n", mask, filled(0, make_type(shape, item.type.dtype)), item)


@functools.lru_cache(maxsize=4096)
def _path(
    inputs: tuple[tuple[Index, ...], ...], output: tuple[Index, ...], sizes: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    # opt_einsum takes any hashable for an index, but its type hints say letters.
    problem: Any = ([frozenset(i) for i in inputs], frozenset(output), dict(enumerate(sizes)))
    if len(inputs) <= _EXHAUSTIVE:
        path = paths.optimal(*problem)
    elif len(inputs) <= _DYNAMIC:
        path = paths.DynamicProgramming(minimize="flops")(*problem)
    else:
        path = paths.greedy(*problem)
    steps: list[tuple[int, int]] = []
    count = len(inputs)
    for step in path:
        # A step may join more than two arrays, where they share no index.
        chosen = sorted(step)
        while len(chosen) > 1:
            first, second = chosen[0], chosen[1]
            steps.append((first, second))
            count -= 1
            chosen = [place - (place > first) - (place > second) for place in chosen[2:]]
            if chosen:
                chosen.append(count - 1)
    return tuple(steps)


def pairs(
    inputs: Sequence[tuple[Index, ...]], output: tuple[Index, ...], sizes: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """The order in which to multiply arrays pairwise.

    Each pair leaves the list of arrays, and its product goes to the list's end. The search is
    opt_einsum's (Smith and Gray 2018): exhaustive for few arrays, dynamic programming for more.
    """
    if len(inputs) < 2:
        return ()
    if len(inputs) == 2:
        return ((0, 1),)
    return _path(tuple(inputs), output, sizes)


def _orders(
    inputs: Sequence[tuple[Index, ...]],
    steps: Sequence[tuple[int, int]],
    output: tuple[Index, ...],
) -> list[tuple[Index, ...]]:
    """The order of indices in which each step's product is best laid out for what reads it.

    The last product is laid out as the output. An intermediate one is read by rows if it comes
    first in the product that reads it, `x @ w`, and by columns if it comes second; elementwise
    products are laid out alike.
    """
    arrays = list(enumerate(inputs))
    joins: list[tuple[tuple[int, tuple[Index, ...]], ...]] = []
    for first, second in steps:
        pair = (arrays[first], arrays[second])
        arrays = [array for place, array in enumerate(arrays) if place not in (first, second)]
        needed = {*output, *(index for _, indices in arrays for index in indices)}
        joined = dict.fromkeys((*pair[0][1], *pair[1][1]))
        arrays.append((len(inputs) + len(joins), tuple(i for i in joined if i in needed)))
        joins.append(pair)
    orders: dict[int, tuple[Index, ...]] = {len(inputs) + len(steps) - 1: output}
    for number in reversed(range(len(steps))):
        result = orders[len(inputs) + number]
        (left, left_indices), (right, right_indices) = joins[number]
        shared = [index for index in left_indices if index in right_indices]
        batch = [index for index in result if index in shared]
        summed = [index for index in shared if index not in result]
        free = [index for index in result if index not in shared]
        for array, indices in ((left, left_indices), (right, right_indices)):
            own = [index for index in free if index in indices]
            if not summed:
                orders[array] = tuple(index for index in result if index in indices)
            elif free and free[0] not in indices:
                orders[array] = (*batch, *summed, *own)
            else:
                orders[array] = (*batch, *own, *summed)
    return [orders[len(inputs) + number] for number in range(len(steps))]


def _smallest(
    inputs: Sequence[tuple[Index, ...]],
    steps: Sequence[tuple[int, int]],
    output: tuple[Index, ...],
    sizes: tuple[int, ...],
) -> tuple[int, int] | None:
    """The step before which to scale an array, and its place then; None to scale the result.

    Of arrays of one size it is the one used last: what comes before is the same product whatever
    it is scaled by, and other results may share it.
    """
    best, least = None, math.prod(sizes[index] for index in output)
    arrays = list(inputs)
    for number, (first, second) in enumerate(steps):
        rest = [indices for place, indices in enumerate(arrays) if place not in (first, second)]
        for place in (first, second):
            size = math.prod(sizes[index] for index in arrays[place])
            if size < least or (size == least and best is not None):
                best, least = (number, place), size
        needed = {*output, *(index for indices in rest for index in indices)}
        joined = dict.fromkeys((*arrays[first], *arrays[second]))
        arrays = [*rest, tuple(index for index in joined if index in needed)]
    return best
