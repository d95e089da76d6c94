"""Searching for the form of some products and sums that costs least."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xlathe.compiler.algebra.kernels import Work, work
from xlathe.compiler.algebra.read import Reader
from xlathe.compiler.algebra.terms import (
    Factor,
    Product,
    Sum,
    as_sum,
    distributions,
    factorings,
    inline,
    is_contraction,
    of_sum,
)
from xlathe.compiler.algebra.write import OutOfRange, Writer
from xlathe.compiler.ir import Node
from xlathe.compiler.targets import Target

_MAX_STEPS = 8
_MAX_NEIGHBOURS = 32
_MAX_FACTORS = 32


@dataclass(frozen=True)
class Form:
    """One way to compute some nodes.

    Attributes:
        nodes: what stands for each of them.
        cost: what that costs.
        used_zeros: whether products with zeros were left out.
    """

    nodes: tuple[Node, ...]
    cost: Work
    used_zeros: bool = False


def best_form(
    roots: Sequence[Node], leaves: Collection[Node], target: Target, finite: bool
) -> Form | None:
    """Find the cheapest way to compute some nodes from others.

    Args:
        roots: the nodes.
        leaves: the nodes that they are to be computed from; roots may be among them.
        target: the device whose rates decide.
        finite: whether products with known zeros may be left out.

    Returns:
        The best form found; None where a node is too large to search, or none fits its type.
    """
    reader = Reader(leaves, finite)
    terms = tuple(_flattened(reader.root(root)) for root in roots)
    if any(_count(term) > _MAX_FACTORS for term in terms):
        return None
    trial = _Trial(roots, leaves, target)
    current, form = terms, trial.form(terms)
    if form is None:
        return None
    for _ in range(_MAX_STEPS):
        found = [(neighbour, trial.form(neighbour)) for neighbour in _neighbours(current)]
        better = [
            (neighbour, other)
            for neighbour, other in found
            if other is not None and other.cost.seconds < 0.99 * form.cost.seconds
        ]
        if not better:
            break
        current, form = min(better, key=lambda pair: pair[1].cost.seconds)
    mirrored = trial.form(current, mirrored=True)
    if mirrored is not None and mirrored.cost.seconds < 0.95 * form.cost.seconds:
        form = mirrored
    return replace(form, used_zeros=reader.used_zeros)


def _flattened(term: Product) -> Product:
    """Products within products become one."""
    for place, factor in enumerate(term.factors):
        if isinstance(factor.value, Sum):
            terms = tuple(_flattened(inner) for inner in factor.value.terms)
            value = Sum(terms)
            factors = list(term.factors)
            factors[place] = Factor(value, factor.indices)
            term = replace(term, factors=tuple(factors))
            if len(terms) == 1:
                return _flattened(inline(term, place, terms[0]))
    return term


def _count(term: Product) -> int:
    """The number of nodes in a product, as often as each stands there."""
    return sum(
        sum(map(_count, factor.value.terms)) if isinstance(factor.value, Sum) else 1
        for factor in term.factors
    )


class _Trial:
    """Writes forms and estimates their costs."""

    def __init__(self, roots: Sequence[Node], leaves: Collection[Node], target: Target) -> None:
        self.roots = roots
        self.leaves = leaves
        self.target = target
        self.precision, self.preferred = _product_attributes(roots, leaves)

    def form(self, terms: Sequence[Product], mirrored: bool = False) -> Form | None:
        """Write the terms, and estimate the cost; None where that fails or gives other types.

        Args:
            terms: what to write.
            mirrored: whether mirror images of one product are to be written as one.
        """
        places = {leaf: n for n, leaf in enumerate(self.leaves)} if mirrored else None
        writer = Writer(self.roots[0].type, self.precision, self.preferred, places)
        try:
            nodes = tuple(_as_written(writer, term) for term in terms)
        except OutOfRange:
            return None
        if any(new.type is not old.type for new, old in zip(nodes, self.roots, strict=True)):
            return None
        return Form(nodes, work(nodes, self.leaves, self.target))


def _as_written(writer: Writer, term: Product) -> Node:
    sum_ = as_sum(term)
    if sum_ is not None and term.scale == 1:
        return writer.sum(sum_)
    return writer.product(term)


def _product_attributes(roots: Sequence[Node], leaves: Collection[Node]) -> tuple[Any, Any]:
    """The precision and preferred element type of the first dot product among some nodes."""
    stack, seen = list(roots), set(roots)
    while stack:
        item = stack.pop()
        if item.operation == "dot_general" and item["dimension_numbers"][0][0]:
            return item["precision"], item["preferred_element_type"]
        for source in item.inputs:
            if source not in seen and source not in leaves:
                seen.add(source)
                stack.append(source)
    return None, None


def _neighbours(terms: Sequence[Product]) -> Iterator[tuple[Product, ...]]:
    """The forms one step away: a sum multiplied out, or a common factor taken out."""
    # What several products share must leave all of them before it is saved.
    for shared in dict.fromkeys(value for term in terms for value in _sums_in_products(term)):
        yield tuple(_flattened(_multiplied_out(term, shared)) for term in terms)
    repeated = [sum_ for sum_, count in Counter(_sums_of(terms)).items() if count > 1]
    for shared in repeated:
        for changed in factorings(shared):
            yield tuple(_flattened(_replaced(term, shared, changed)) for term in terms)
    count = 0
    for number, term in enumerate(terms):
        for changed in _steps(term):
            yield (*terms[:number], _flattened(changed), *terms[number + 1 :])
            count += 1
            if count >= _MAX_NEIGHBOURS:
                return


def _sums_in_products(term: Product) -> Iterator[Sum]:
    """The sums among a product's factors, and among those of the products in them."""
    for factor in term.factors:
        if isinstance(factor.value, Sum):
            if as_sum(term) is None and any(map(is_contraction, factor.value.terms)):
                yield factor.value
            for inner in factor.value.terms:
                yield from _sums_in_products(inner)


def _multiplied_out(term: Product, sum_: Sum) -> Product:
    """A product with one sum multiplied out wherever it stands."""
    for place, factor in enumerate(term.factors):
        if factor.value == sum_ and as_sum(term) is None:
            terms = [_multiplied_out(inline(term, place, t), sum_) for t in sum_.terms]
            return of_sum(terms)
        if isinstance(factor.value, Sum):
            inner = tuple(_multiplied_out(t, sum_) for t in factor.value.terms)
            if inner != factor.value.terms:
                factors = list(term.factors)
                factors[place] = Factor(Sum(inner), factor.indices)
                return _multiplied_out(replace(term, factors=tuple(factors)), sum_)
    return term


def _sums_of(terms: Sequence[Product]) -> Iterator[Sum]:
    """The sums in some products, as often as each stands there."""
    for term in terms:
        for factor in term.factors:
            if isinstance(factor.value, Sum):
                yield factor.value
                yield from _sums_of(factor.value.terms)


def _replaced(term: Product, sum_: Sum, new: Product) -> Product:
    """A product with another in the place of a sum, wherever that stands."""
    for place, factor in enumerate(term.factors):
        if factor.value == sum_:
            if as_sum(term) is not None:
                return new.scaled(term.scale)
            return _replaced(inline(term, place, new), sum_, new)
        if isinstance(factor.value, Sum):
            inner = tuple(_replaced(t, sum_, new) for t in factor.value.terms)
            if inner != factor.value.terms:
                factors = list(term.factors)
                factors[place] = Factor(Sum(inner), factor.indices)
                return _replaced(replace(term, factors=tuple(factors)), sum_, new)
    return term


def _steps(term: Product) -> Iterator[Product]:
    """A product with one change made to it or to a sum within it."""
    sum_ = as_sum(term)
    if sum_ is None:
        yield from distributions(term)
    for place, factor in enumerate(term.factors):
        if not isinstance(factor.value, Sum):
            continue
        for changed in _sum_steps(factor.value):
            inner = as_sum(changed)
            if sum_ is not None:
                yield changed.scaled(term.scale)
            elif inner is not None and changed.scale == 1:
                factors = list(term.factors)
                factors[place] = Factor(inner, factor.indices)
                yield replace(term, factors=tuple(factors))
            else:
                yield inline(term, place, changed)


def _sum_steps(sum_: Sum) -> Iterator[Product]:
    yield from factorings(sum_)
    for number, term in enumerate(sum_.terms):
        for changed in _steps(term):
            yield of_sum([*sum_.terms[:number], changed, *sum_.terms[number + 1 :]])
