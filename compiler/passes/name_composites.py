"""Naming composites: softmax, GELU and their like by name instead of ten operations.

A region is compared, operation by operation, with what JAX makes of the function that would stand
in its place. So what is computed stays the same, and with it the derivatives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import jax.numpy as jnp

from xlathe.compiler.attention.backward import Derive
from xlathe.compiler.composites.backward import Backward, Term, added, backwards_of
from xlathe.compiler.composites.catalogue import ANCHORS, FORMS_BY_ANCHOR
from xlathe.compiler.composites.form import Form, Keywords, Reading, Reference
from xlathe.compiler.composites.match import Match, match
from xlathe.compiler.composites.region import Region, over
from xlathe.compiler.cost import node_flops
from xlathe.compiler.ir import Graph, Node, get, node, parameter
from xlathe.compiler.ir.node import with_other_inputs
from xlathe.compiler.ir.rewrite import map_subgraphs, rewrite, substitute, users
from xlathe.compiler.ops.elementwise import ELEMENTWISE
from xlathe.compiler.passes.reduce import Reduce
from xlathe.compiler.passes.simplify import Simplify
from xlathe.compiler.rules import Miss, log_hit, log_miss, logging_rules

_SLACK = 1.02
_LIGHT = ELEMENTWISE.union(
    "broadcast_in_dim concatenate constant get pad reduce_max reduce_sum reshape slice split "
    "square transpose".split()
)
_KEPT = frozenset("attention attention_grad composite composite_grad custom_jvp custom_vjp".split())


@dataclass(frozen=True)
class NameComposites:
    """Put one node in the place of each composite, which is printed by its name.

    Attributes:
        reference: gives the normal form of a function; without it, nothing is recognised.
        derive: gives the pullback of a graph; without it, no backward is recognised.
        passes: what the program has been through since it was in its normal form.
        relaxed: whether derivatives may be rounded otherwise than those of what was written.
    """

    reference: Reference | None = field(default=None, compare=False)
    relaxed: bool = True
    derive: Derive | None = field(default=None, compare=False)
    passes: tuple[Callable[[Graph], Graph], ...] = ()

    def __call__(self, graph: Graph) -> Graph:
        """Name the composites of the graph and of those nested in it."""
        reference = self.reference
        if reference is None:
            return graph
        done: dict[Graph, Graph] = {}
        pullbacks: dict[Graph, _Pullback | None] = {}

        def visit(inner: Graph) -> Graph:
            found = done.get(inner)
            if found is None:
                deep = rewrite(inner, nested) if inner.holders else inner
                found = done[inner] = _Program(deep, reference, self, pullbacks).named()
            return found

        def nested(item: Node) -> Node | None:
            # The rules of a function with its own derivative stay those of the user's.
            if not item.holds_graphs or item.operation in _KEPT:
                return None
            new = map_subgraphs(item, visit)
            return None if new is item else new

        return visit(graph)


def _log_near(item: Node) -> None:
    """Note what an anchor lacks of being a composite's."""
    for form in FORMS_BY_ANCHOR[item.operation]:
        reason = form.nearly and form.nearly(item)
        if reason:
            log_miss(Miss(form.name, f"not named: {reason}", item))


class _Candidate(NamedTuple):
    """A region that is a composite, whoever else reads what lies inside.

    Attributes:
        name: the name that it is printed by.
        function: the composite.
        root: its last node.
        leaves: what it is computed from.
        operands: the names of these.
        keywords: static arguments beside them.
    """

    name: str
    function: str
    root: Node
    leaves: tuple[Node, ...]
    operands: tuple[str, ...]
    keywords: Keywords = ()

    @property
    def is_library(self) -> bool:
        """Whether it is a public function of JAX."""
        return "." in self.name


class _Pullback(NamedTuple):
    """What JAX derives of a composite.

    Attributes:
        plain: as the program will run it.
        settled: in the form that it has in the program.
    """

    plain: Graph
    settled: Graph


def _derived(called: Graph, options: NameComposites) -> _Pullback | None:
    pullback = None if options.derive is None else options.derive(called)
    if pullback is None:
        return None
    with logging_rules():
        plain = settled = Simplify()(Reduce("relaxed" if options.relaxed else "strict")(pullback))
        for transform in options.passes:
            settled = transform(settled)
    return _Pullback(plain, settled)


def _is_no_more_work(plain: Graph, region: Region, backward: Backward) -> bool:
    """Whether what JAX derives takes no more arithmetic than what stands in the program."""
    real = [
        place
        for place, leaf in enumerate(region.leaves)
        if jnp.issubdtype(leaf.type.dtype, jnp.floating)
    ]
    wanted = [plain.results[real.index(each.place)] for each in backward.sums]
    derived = Graph(plain.parameters, wanted).nodes
    standing = backward.nodes | set(region.nodes)
    heavy, known = (
        Counter(item.operation for item in nodes if item.operation not in _LIGHT)
        for nodes in (derived, standing)
    )
    adding = sum((len(each.terms) - 1) * each.top.type.size for each in backward.sums)
    flops = [sum(map(node_flops, nodes)) for nodes in (derived, standing)]
    return heavy <= known and flops[0] <= _SLACK * (flops[1] + adding)


class _Program:
    """One graph in which composites are looked for."""

    def __init__(
        self,
        graph: Graph,
        reference: Reference,
        options: NameComposites,
        pullbacks: dict[Graph, _Pullback | None],
    ) -> None:
        self.graph = graph
        self.reference = reference
        self.relaxed = options.relaxed
        self.options = options
        self.pullbacks = pullbacks
        self.terms: set[Node] = set()
        self.others: set[Node] = set()
        self.readers: Mapping[Node, Sequence[Node]] = {}

    def named(self) -> Graph:
        anchors = [item for item in self.graph.nodes if item.operation in ANCHORS]
        if not anchors:
            return self.graph
        self.readers = users(self.graph)
        found: dict[Node, tuple[_Candidate, Node]] = {}
        for item in anchors:
            candidates = next(self._candidates(item), None)
            for candidate in candidates or ():
                found.setdefault(candidate.root, (candidate, item))
            if candidates is None:
                _log_near(item)
        replaced: dict[Node, Node] = {}
        taken: set[Node] = set()
        missed: dict[Node, Miss] = {}
        # What another is a part of comes after it.
        for item in reversed(self.graph.nodes) if found else ():
            candidate, anchor = found.get(item, (None, item))
            if candidate is None or item in taken:
                continue
            region = Region.between(item, candidate.leaves)
            instead = self._instead(candidate, region)
            if isinstance(instead, Miss):
                missed.setdefault(anchor, instead)
            else:
                missed.pop(anchor, None)
                replaced |= instead
                taken.update(region.inner)
        for miss in missed.values():
            log_miss(miss)
        return substitute(self.graph, replaced) if replaced else self.graph

    def _instead(self, candidate: _Candidate, region: Region) -> dict[Node, Node] | Miss:
        """What stands for a region, and for its backward, or why it gets no name."""
        if not candidate.is_library and len(region.nodes) == len(self.graph.nodes):
            # A function that is this composite has a name.
            return {}
        escapes = region.escapes(self.readers)
        if not escapes:
            log_hit(candidate.name)
            return {region.root: self._composite(candidate, region)}
        ways = [candidate]
        if candidate.is_library:
            # What is written otherwise has a derivative that is rounded otherwise.
            ways.append(candidate._replace(name=candidate.function, keywords=()))
        found: Backward | str = ""
        for way in ways:
            found = self._backward(way, region, escapes)
            if isinstance(found, Backward) and self._is_mixed(found):
                found = ", whose terms are added in turn with others"
            if isinstance(found, Backward):
                log_hit(f"{way.name}, forward and backward")
                return self._both(way, region, found)
        reason = region.reason(self.graph, escapes, candidate.operands)
        if not reason:
            text = region.text(escapes[0][0], candidate.operands)
            reason = f"{text} is also read by its derivative{found}"
        return Miss(candidate.function, f"not named: {reason}", region.root)

    def _composite(self, candidate: _Candidate, region: Region) -> Node:
        body = region.extracted(self.graph, candidate.function, candidate.operands)
        attributes = {"name": candidate.name, "keywords": candidate.keywords, "body": body}
        return node("composite", region.leaves, region.root.type, attributes)

    def _backward(
        self, candidate: _Candidate, region: Region, escapes: Sequence[tuple[Node, Node]]
    ) -> Backward | str:
        """The backward of a region, or what is the matter with the derivative that reads it."""
        if any(reader is item for item, reader in escapes):
            return ""
        pullback = self._pullback(self._composite(candidate, region), candidate.function)
        if pullback is None:
            return ""
        with logging_rules():
            found = self._standing(pullback, region)
        if found is None:
            return ", which is not in the form in which JAX derives it"
        is_no_more = _is_no_more_work(pullback.plain, region, found)
        return found if is_no_more else ", for which JAX would do more work"

    def _is_mixed(self, backward: Backward) -> bool:
        """Whether the terms of its sums, and those of another's, stand in one sum in turn."""
        sums = backward.sums
        terms = {term.node for each in sums if len(each.terms) > 1 for term in each.terms}
        others = {term.node for each in sums for term in each.others}
        if not terms.isdisjoint(self.others | others) or not others.isdisjoint(self.terms):
            return True
        self.terms |= terms
        self.others |= others
        return False

    def _standing(self, pullback: _Pullback, region: Region) -> Backward | None:
        """The backward as it stands in the program, of which nothing else reads the inside."""
        for found in backwards_of(pullback.settled, region, self.readers, self.relaxed):
            inside = found.nodes | set(region.nodes)
            if all(
                reader in inside and reader is not item
                for item in (*region.inner, *found.inner)
                for reader in self.readers.get(item, ())
            ):
                return found
        return None

    def _pullback(self, composite: Node, name: str) -> _Pullback | None:
        fresh = [parameter(index, leaf.type) for index, leaf in enumerate(composite.inputs)]
        called = Graph(fresh, [with_other_inputs(composite, tuple(fresh))], name=name)
        if called not in self.pullbacks:
            self.pullbacks[called] = _derived(called, self.options)
        return self.pullbacks[called]

    def _both(self, candidate: _Candidate, region: Region, backward: Backward) -> dict[Node, Node]:
        composite = self._composite(candidate, region)
        sources = (*region.leaves, backward.cotangent)
        body = over(sources, [each.alone for each in backward.sums], f"{candidate.function}_grad")
        types = body.result_types
        is_one = len(types) == 1
        wanted = tuple(each.place for each in backward.sums)
        attributes = {"body": body, "wanted": wanted}
        made = node(
            "composite_grad",
            (composite, backward.cotangent),
            types[0] if is_one else types,
            attributes,
        )
        replaced = {region.root: composite}
        for index, each in enumerate(backward.sums):
            value = Term(made if is_one else get(made, index))
            replaced[each.top] = added((*each.others, value))
        return replaced

    def _candidates(self, item: Node) -> Iterator[tuple[_Candidate, ...]]:
        """The composites that are found by a node, the larger one first."""
        for form, reading, matched in self._matches(item):
            extended = form.extend and form.extend(reading, matched.leaves, self.readers)
            larger = () if not extended else (_Candidate(extended.name, *extended),)
            is_same = matched.is_identical and (matched.is_exact or self.relaxed)
            name, keywords = form.name, ()
            if form.library and is_same:
                name, keywords = form.library, (*reading.keywords, *form.fixed)
            leaves = matched.leaves
            core = _Candidate(name, form.name, reading.root, leaves, form.operands, keywords)
            yield (*larger, core)

    def _matches(self, item: Node) -> Iterator[tuple[Form, Reading, Match]]:
        for form in FORMS_BY_ANCHOR[item.operation]:
            for reading in form.read(item, self.readers):
                types = (*reading.types, reading.root.type)
                if not all(type_.is_plain and not type_.weak for type_ in types):
                    continue
                reference = self.reference(
                    form.function, (*reading.keywords, *form.fixed), reading.types
                )
                if reference is None or reference.has_effects or len(reference.results) != 1:
                    continue
                found = match(reference, reading.root, reading.leaves)
                if found is not None:
                    yield form, reading, found
