"""The backward of a composite, found in a program that holds both directions.

JAX derives it once more, from the function that the program is to call. Over the cotangent that
stands in the program, the result must be the very nodes that stand there; since nodes are interned,
that is a look-up. Only how the cotangent of an operand is added to those from its other readers is
left open: JAX adds each term by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp

from xlathe.compiler.attention.backward import simplified
from xlathe.compiler.composites.form import Readers
from xlathe.compiler.composites.region import Region
from xlathe.compiler.ir import Graph, Node, Type
from xlathe.compiler.ir.node import with_other_inputs
from xlathe.compiler.ir.rewrite import users, with_inputs
from xlathe.compiler.ops.build import broadcast_in_dim, make
from xlathe.compiler.ops.elementwise import filled_scalar

_COMMUTATIVE = frozenset(["add", "mul", "max", "min", "and", "or"])
_SPREADING = frozenset(["broadcast_in_dim", "reshape"])
_SUMS = frozenset(["add", "sub"])
_LINEAR = frozenset("broadcast_in_dim mul neg reduce_sum reshape transpose".split())
_MOST_STEPS, _MOST_COTANGENTS, _NONE = 4, 4, 1 << 30


class Term(NamedTuple):
    """A node that is added, or subtracted."""

    node: Node
    is_negative: bool = False


class Sum(NamedTuple):
    """The cotangent of an operand as it stands in a program.

    Attributes:
        place: which of the operands it belongs to.
        terms: what it is the sum of.
        top: the node that holds the sum, and perhaps other terms.
        others: these.
    """

    place: int
    terms: tuple[Term, ...]
    top: Node
    others: tuple[Term, ...]

    @property
    def alone(self) -> Node:
        """The sum of its own terms."""
        return added(self.terms)


@dataclass(frozen=True)
class Backward:
    """Cotangents of a composite's operands, as they stand in the program.

    Attributes:
        cotangent: that of the composite's result.
        sums: those of its operands that the program has a use for.
        nodes: the nodes between operands, cotangent and these.
        inner: those of them that would be computed twice, if something else read them.
    """

    cotangent: Node
    sums: tuple[Sum, ...]
    nodes: AbstractSet[Node]
    inner: AbstractSet[Node]


def backwards_of(
    pullback: Graph, region: Region, readers: Readers, relaxed: bool = True
) -> Iterator[Backward]:
    """Where the backward of a composite may stand in a program.

    Args:
        pullback: the composite's pullback in its normal form.
        region: the composite.
        readers: who reads each node of the program.
        relaxed: whether sums may be ordered anew.
    """
    *parameters, cotangent = pullback.parameters
    forward = dict(zip(parameters, region.leaves, strict=True))
    _build_forward(pullback, forward, readers)
    standing = _standing_for(cotangent, users(pullback), forward, readers, _MOST_STEPS)
    fillings = dict.fromkeys(_filling(item, cotangent.type) for item in standing)
    candidates = [x for x in fillings if x.type is cotangent.type and x not in region.nodes]
    for candidate in candidates[:_MOST_COTANGENTS]:
        found = _Derived(pullback, forward, candidate, readers, relaxed).backward(region)
        if found is not None:
            yield found


def added(terms: Sequence[Term]) -> Node:
    """The sum of terms, in order, from the first one that is not subtracted."""
    first = next((term for term in terms if not term.is_negative), terms[0])
    total = make("neg", first.node) if first.is_negative else first.node
    for term in terms:
        if term is not first:
            total = make("sub" if term.is_negative else "add", total, term.node)
    return total


def _build_forward(graph: Graph, mapped: dict[Node, Node], readers: Readers) -> None:
    """Build what a pullback computes of the operands alone."""
    free = set(graph.parameters).difference(mapped)
    for item in graph.nodes:
        if not free.isdisjoint(item.inputs):
            free.add(item)
        else:
            new = with_inputs(item, mapped)
            assert isinstance(new, Node)
            mapped[item] = _standing(simplified(new) or new, readers)


def _standing(item: Node, readers: Readers) -> Node:
    """The node itself, or with its operands exchanged where that one is in the program."""
    if item not in readers and item.operation in _COMMUTATIVE:
        exchanged = with_other_inputs(item, item.inputs[::-1])
        return exchanged if exchanged in readers else item
    return item


def _filling(item: Node, type_: Type) -> Node:
    """A scalar constant as the array that has it everywhere; any other node as it is."""
    if item.is_constant and not item.type.shape and item.type.dtype == type_.dtype:
        return broadcast_in_dim(item, type_.shape, ())
    return item


def _standing_for(
    wanted: Node, uses: Readers, mapped: Mapping[Node, Node], readers: Readers, steps: int
) -> Iterator[Node]:
    """What meets in the program what a node of the pullback meets there."""
    for use in uses.get(wanted, ()):
        if use is wanted:
            continue
        others = [x for x in use.inputs if x is not wanted]
        if not others and steps:
            for above in _standing_for(use, uses, mapped, readers, steps - 1):
                if (above.operation, above.attribute_key) == (use.operation, use.attribute_key):
                    yield above.inputs[0]
                elif use.operation in _SPREADING:
                    scalar = filled_scalar(above)
                    yield above if scalar is None else scalar
        elif others and all(other in mapped for other in others):
            known = [mapped[other] for other in others]
            beside = min(known, key=lambda other: len(readers.get(other, ())) or _NONE)
            for reader in readers.get(beside, ()):
                if reader is not beside and reader.operation == use.operation:
                    yield from (x for x in reader.inputs if x not in known)


class _Derived:
    """What a pullback computes of a cotangent, as sums of nodes of the program.

    What is written twice, such as `x - mean`, JAX derives twice: the program holds the terms of
    what is one sum in the pullback, which computes it once.
    """

    def __init__(
        self,
        pullback: Graph,
        forward: Mapping[Node, Node],
        cotangent: Node,
        readers: Readers,
        relaxed: bool,
    ) -> None:
        self.pullback = pullback
        self.forward = forward
        self.cotangent = cotangent
        self.readers = readers
        self.relaxed = relaxed
        self.terms: dict[Node, tuple[Term, ...]] = {pullback.parameters[-1]: (Term(cotangent),)}
        self.parts: dict[Node, tuple[Term, ...]] = {}
        for item in pullback.nodes:
            if item not in forward:
                self.terms[item] = self._terms(item)

    def backward(self, region: Region) -> Backward | None:
        """The cotangents of the operands, as far as they stand in the program."""
        real = [
            place
            for place, leaf in enumerate(region.leaves)
            if jnp.issubdtype(leaf.type.dtype, jnp.floating)
        ]
        known = {*region.nodes, *region.leaves, self.cotangent}
        standing: dict[int, tuple[Term, ...]] = {}
        for place, result in zip(real, self.pullback.results, strict=True):
            terms = self.terms.get(result, ())
            ends = [term.node for term in terms]
            if ends and self._are_there(ends) and known.isdisjoint(ends):
                standing[place] = terms
        nodes: set[Node] = set()
        inner: set[Node] = set()
        for end in {term.node for terms in standing.values() for term in terms}:
            part = Region.between(end, (*region.leaves, self.cotangent))
            nodes.update(part.nodes)
            inner.update(part.inner)
        sums = []
        for place, terms in standing.items():
            held = _held(terms, nodes, self.readers)
            if held is not None:
                sums.append(Sum(place, terms, *held))
                inner.difference_update(term.node for term in terms)
        inner.discard(region.root)
        return Backward(self.cotangent, tuple(sums), nodes, inner) if sums else None

    def _terms(self, item: Node) -> tuple[Term, ...]:
        inputs = [self.terms.get(source) for source in item.inputs]
        varying = [terms for terms in inputs if terms is not None]
        whole = self._over(item, [None if terms is None else added(terms) for terms in inputs])
        if not self.relaxed:
            return (Term(whole),)
        if item.operation in _SUMS and len(varying) == 2:
            first, second = varying
            is_negative = item.operation == "sub"
            parts = (*first, *(Term(node, sign != is_negative) for node, sign in second))
            if whole not in self.readers:
                return parts
            self.parts[whole] = parts
        elif whole not in self.readers and len(varying) == 1 and _is_linear(item, inputs):
            (terms,) = varying
            for some in (terms, self._merged(terms), self._apart(terms)):
                parts = tuple(
                    Term(
                        self._over(item, [None if t is None else term.node for t in inputs]),
                        term.is_negative,
                    )
                    for term in some
                )
                if self._are_there(part.node for part in parts):
                    return parts
            if item.operation == "neg":
                return tuple(Term(term.node, not term.is_negative) for term in terms)
        return (Term(whole),)

    def _are_there(self, items: Iterable[Node]) -> bool:
        return all(item in self.readers for item in items)

    def _merged(self, terms: tuple[Term, ...]) -> tuple[Term, ...]:
        """Terms as the one node of the program that is their sum, if there is one."""
        for start in terms:
            item: Node | None = None if start.is_negative else start.node
            missing = [term for term in terms if term is not start]
            while missing and item is not None:
                item = self._one_more(item, missing)
            if item is not None:
                return (Term(item),)
        return terms

    def _one_more(self, item: Node, missing: list[Term]) -> Node | None:
        """A sum of a node and of some of the missing terms, which are not missing any more."""
        for reader in self.readers.get(item, ()):
            if reader is item or reader.operation not in _SUMS:
                continue
            left, right = reader.inputs
            if left is not item and reader.operation == "sub":
                continue
            other = Term(right if left is item else left, reader.operation == "sub")
            parts = _all_wanted(other, missing)
            if parts:
                for part in parts:
                    missing.remove(part)
                return reader
        return None

    def _apart(self, terms: tuple[Term, ...]) -> tuple[Term, ...]:
        """Terms with those that are sums themselves taken apart."""
        return tuple(
            Term(part.node, part.is_negative != term.is_negative)
            for term in terms
            for part in self.parts.get(term.node, (Term(term.node),))
        )

    def _over(self, item: Node, inputs: Sequence[Node | None]) -> Node:
        pairs = zip(item.inputs, inputs, strict=True)
        given = {old: self.forward.get(old, old) if new is None else new for old, new in pairs}
        new = with_inputs(item, given)
        assert isinstance(new, Node)
        return _standing(simplified(new) or new, self.readers)


def _all_wanted(term: Term, wanted: Sequence[Term]) -> tuple[Term, ...]:
    """A term, or the terms of the sum that it is, if all of them are wanted."""
    if term in wanted:
        return (term,)
    if term.node.operation not in _SUMS:
        return ()
    left, right = term.node.inputs
    is_negative = term.is_negative != (term.node.operation == "sub")
    first = _all_wanted(Term(left, term.is_negative), wanted)
    second = _all_wanted(Term(right, is_negative), wanted)
    return (*first, *second) if first and second else ()


def _is_linear(item: Node, inputs: Sequence[object]) -> bool:
    """Whether a node is linear in the one of its inputs that varies."""
    if item.operation == "div":
        return inputs[0] is not None
    return item.operation in _LINEAR


def _held(
    terms: Sequence[Term], cone: AbstractSet[Node], readers: Readers
) -> tuple[Node, tuple[Term, ...]] | None:
    """The node of the program that holds the sum of these terms, and what else it holds.

    Args:
        terms: the terms.
        cone: what is computed for them.
        readers: who reads each node of the program.
    """
    if len(terms) == 1:
        return None if terms[0].is_negative else (terms[0].node, ())
    for start in terms:
        found = None if start.is_negative else _climbed(start, terms, cone, readers)
        if found is not None:
            return found
    return None


def _climbed(
    start: Term, terms: Sequence[Term], cone: AbstractSet[Node], readers: Readers
) -> tuple[Node, tuple[Term, ...]] | None:
    missing = [term for term in terms if term is not start]
    others: list[Term] = []
    item = start.node
    while missing:
        above = _outside(item, cone, readers)
        if above is None or above is item or above.operation not in _SUMS:
            return None
        left, right = above.inputs
        if left is not item and above.operation == "sub":
            return None
        other = Term(right if left is item else left, above.operation == "sub")
        for term in _parted(other, above, missing, cone, readers):
            if term in missing and _outside(term.node, cone, readers) is not None:
                missing.remove(term)
            else:
                others.append(term)
        item = above
    return item, tuple(others)


def _parted(
    term: Term, above: Node, wanted: Sequence[Term], cone: AbstractSet[Node], readers: Readers
) -> tuple[Term, ...]:
    """A term that nothing else reads, taken apart as far as wanted ones are in it."""
    if _outside(term.node, cone, readers) is not above or term in wanted:
        return (term,)
    if term.node.operation not in _SUMS:
        return (term,)
    left, right = term.node.inputs
    is_negative = term.is_negative != (term.node.operation == "sub")
    sides = (Term(left, term.is_negative), Term(right, is_negative))
    parts = tuple(
        part for side in sides for part in _parted(side, term.node, wanted, cone, readers)
    )
    return parts if any(part in wanted for part in parts) else (term,)


def _outside(item: Node, cone: AbstractSet[Node], readers: Readers) -> Node | None:
    """The only reader of a node outside of what is computed for the same sums."""
    found = [reader for reader in readers.get(item, ()) if reader not in cone or reader is item]
    return found[0] if len(found) == 1 else None
