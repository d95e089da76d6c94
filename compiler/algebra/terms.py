"""Sums and products of arrays in index notation.

A `Product` is a scaled n-ary contraction, an einsum: its factors multiplied, and every index that
is not in its output summed over. A factor is a node or, again, a sum of products. An index that
stands in the output and in no factor is broadcast; one that stands twice in one array means that
array's diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from xlathe.compiler.ir import Node

Index = int


@dataclass(frozen=True)
class Factor:
    """An array of a product.

    Attributes:
        value: a node, or a sum.
        indices: the index of each of its axes.
    """

    value: Node | Sum
    indices: tuple[Index, ...]


@dataclass(frozen=True)
class Product:
    """`scale * sum over the other indices of the factors' product`, by output index.

    Attributes:
        scale: a number.
        factors: what is multiplied.
        output: the index of each axis of the result.
        sizes: the size of each index; an index is a position in it.
    """

    scale: complex
    factors: tuple[Factor, ...]
    output: tuple[Index, ...]
    sizes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the result."""
        return tuple(self.sizes[index] for index in self.output)

    @property
    def has_diagonal_output(self) -> bool:
        """Whether the result is zero but where two of its axes agree."""
        return len(set(self.output)) < len(self.output)

    def scaled(self, number: complex) -> Product:
        """The product times a number."""
        return replace(self, scale=self.scale * number)


@dataclass(frozen=True)
class Sum:
    """The sum of products of one shape.

    Attributes:
        terms: what is added; the indices of each are its own.
    """

    terms: tuple[Product, ...]


def of_node(item: Node) -> Product:
    """A node as a product of itself alone."""
    return _alone(item, item.type.shape)


def of_sum(terms: Sequence[Product]) -> Product:
    """A sum as a product of itself alone; terms that are sums of their own are merged into it."""
    flat: list[Product] = []
    for term in terms:
        inner = as_sum(term)
        flat.extend([term] if inner is None else [t.scaled(term.scale) for t in inner.terms])
    return flat[0] if len(flat) == 1 else _alone(Sum(tuple(flat)), flat[0].shape)


def as_sum(term: Product) -> Sum | None:
    """The sum that a product is, where it is nothing but one, perhaps scaled."""
    if len(term.factors) == 1 and isinstance(term.factors[0].value, Sum):
        if term.factors[0].indices == term.output and not term.has_diagonal_output:
            return term.factors[0].value
    return None


def _alone(value: Node | Sum, shape: tuple[int, ...]) -> Product:
    indices = tuple(range(len(shape)))
    return Product(1, (Factor(value, indices),), indices, shape)


def ones(shape: tuple[int, ...], scale: complex) -> Product:
    """An array that one number fills."""
    return Product(scale, (), tuple(range(len(shape))), shape)


def multiply(
    left: Product, right: Product, same: Iterable[tuple[Index, Index]], output: Sequence[Index]
) -> Product:
    """Multiply two products.

    Args:
        left: one.
        right: the other; its indices come after the left ones in the result.
        same: pairs of an index of the left and one of the right that become one index.
        output: indices of the result; a right one is its own plus `len(left.sizes)`.
    """
    offset = len(left.sizes)
    moved = [
        Factor(factor.value, tuple(index + offset for index in factor.indices))
        for factor in right.factors
    ]
    joined = Product(
        left.scale * right.scale,
        (*left.factors, *moved),
        tuple(output),
        (*left.sizes, *right.sizes),
    )
    return unify(joined, [(of_left, of_right + offset) for of_left, of_right in same])


def unify(term: Product, same: Iterable[tuple[Index, Index]]) -> Product:
    """Make one index of each pair; what is then in no array counts as often as its size says."""
    merged, lost = _renumbered(term, same)
    # Each value of an index that no array has adds the same once more.
    return merged.scaled(math.prod(lost)) if lost else merged


def _renumbered(
    term: Product, same: Iterable[tuple[Index, Index]] = ()
) -> tuple[Product, list[int]]:
    """Make one index of each pair, number all anew, and say the sizes of those not used now."""
    stands_for = list(range(len(term.sizes)))

    def root(index: Index) -> Index:
        while stands_for[index] != index:
            index = stands_for[index]
        return index

    for first, second in same:
        stands_for[root(second)] = root(first)
    numbers: dict[Index, Index] = {}
    sizes: list[int] = []

    def number(index: Index) -> Index:
        index = root(index)
        if index not in numbers:
            numbers[index] = len(sizes)
            sizes.append(term.sizes[index])
        return numbers[index]

    output = tuple(number(index) for index in term.output)
    factors = tuple(
        Factor(factor.value, tuple(number(index) for index in factor.indices))
        for factor in term.factors
    )
    lost = [
        size
        for index, size in enumerate(term.sizes)
        if root(index) == index and index not in numbers
    ]
    return Product(term.scale, factors, output, tuple(sizes)), lost


def broadcast(term: Product, shape: Sequence[int], places: Sequence[int]) -> Product:
    """Broadcast a product to a shape, its axes going to the given places."""
    axis_at = {place: axis for axis, place in enumerate(places)}
    output, sizes = [], list(term.sizes)
    for place, size in enumerate(shape):
        axis = axis_at.get(place)
        if axis is not None and term.sizes[term.output[axis]] == size:
            output.append(term.output[axis])
        else:
            output.append(len(sizes))
            sizes.append(size)
    return unify(Product(term.scale, term.factors, tuple(output), tuple(sizes)), ())


def inline(term: Product, place: int, inner: Product) -> Product:
    """Put a product's own factors in the place of the factor that it is."""
    factor = term.factors[place]
    rest = replace(term, factors=term.factors[:place] + term.factors[place + 1 :])
    return multiply(rest, inner, zip(factor.indices, inner.output, strict=True), rest.output)


def is_contraction(term: Product) -> bool:
    """Whether a product sums over an index, or is larger than each of its factors."""
    if len(term.factors) < 2:
        return False
    output = set(term.output)
    found: set[Index] = set()
    for factor in term.factors:
        found.update(factor.indices)
    return not found <= output or all(not output <= set(f.indices) for f in term.factors)


def distributions(term: Product) -> Iterator[Product]:
    """The ways to multiply out one of the sums in a product.

    A sum of plain arrays stays together: its terms may cancel each other, and apart they would
    leave their rounding errors. A term that is a product has such errors of its own already.
    """
    for place, factor in enumerate(term.factors):
        if isinstance(factor.value, Sum) and any(map(is_contraction, factor.value.terms)):
            yield of_sum([inline(term, place, inner) for inner in factor.value.terms])


def factorings(sum_: Sum) -> Iterator[Product]:
    """The ways to take one factor out of two or more terms of a sum."""
    seen: set[tuple[Node, tuple[Index, ...]]] = set()
    for first, term in enumerate(sum_.terms):
        for place, factor in enumerate(term.factors):
            if not isinstance(factor.value, Node) or not is_contraction(term):
                continue
            pattern = (factor.value, _output_positions(term, factor))
            if pattern in seen:
                continue
            seen.add(pattern)
            found = [(first, place)]
            for other in range(first + 1, len(sum_.terms)):
                match = _matching_factor(sum_.terms[other], pattern)
                if match is not None:
                    found.append((other, match))
            if len(found) > 1:
                taken = {number for number, _ in found}
                rest = [t for number, t in enumerate(sum_.terms) if number not in taken]
                yield of_sum([_factored([(sum_.terms[n], p) for n, p in found]), *rest])


def _output_positions(term: Product, factor: Factor) -> tuple[Index, ...]:
    """For each axis of a factor, where the output has its index, or -1 where it is summed over."""
    return tuple(term.output.index(i) if i in term.output else -1 for i in factor.indices)


def _matching_factor(term: Product, pattern: tuple[Node, tuple[Index, ...]]) -> int | None:
    for place, factor in enumerate(term.factors):
        if factor.value is pattern[0] and _output_positions(term, factor) == pattern[1]:
            return place if len(term.factors) > 1 else None
    return None


def _factored(found: Sequence[tuple[Product, int]]) -> Product:
    """Take a factor that stands in several terms out of all of them."""
    term, place = found[0]
    factor = term.factors[place]
    summed = [index for index in factor.indices if index not in term.output]
    kept = _free_outputs(term, found)
    in_order = dict.fromkeys(
        index
        for number, other in enumerate(term.factors)
        if number != place
        for index in other.indices
        if index in summed or index in kept
    )
    inner = (*in_order, *(index for index in (*kept, *summed) if index not in in_order))
    rests = []
    for other, position in found:
        own = other.factors[position]
        own_index = dict(zip(factor.indices, own.indices, strict=True))
        own_index.update(zip(term.output, other.output, strict=True))
        factors = other.factors[:position] + other.factors[position + 1 :]
        output = tuple(own_index[index] for index in inner)
        rests.append(_renumbered(replace(other, factors=factors, output=output))[0])
    factors = (factor, Factor(Sum(tuple(rests)), inner))
    return _renumbered(Product(1, factors, term.output, term.sizes))[0]


def _free_outputs(term: Product, found: Sequence[tuple[Product, int]]) -> list[Index]:
    """The indices of the output that any of the remaining products still has."""
    kept = []
    for place, index in enumerate(term.output):
        for other, position in found:
            rest = other.factors[:position] + other.factors[position + 1 :]
            if any(other.output[place] in factor.indices for factor in rest):
                kept.append(index)
                break
    return kept
