"""Naming composites: softmax, GELU and their like by name instead of ten operations.

A region is compared, operation by operation, with what JAX makes of the function that would stand
in its place. So what is computed stays the same, and with it the derivatives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from xlathe.compiler.composites.catalogue import ANCHORS, FORMS_BY_ANCHOR
from xlathe.compiler.composites.form import Form, Keywords, Reading, Reference
from xlathe.compiler.composites.match import Match, match
from xlathe.compiler.composites.region import Region
from xlathe.compiler.ir import Graph, Node, node
from xlathe.compiler.ir.rewrite import map_subgraphs, rewrite, substitute, users
from xlathe.compiler.rules import Miss, log_hit, log_miss

_KEPT = frozenset(["attention", "attention_grad", "composite", "custom_jvp", "custom_vjp"])


@dataclass(frozen=True)
class NameComposites:
    """Put one node in the place of each composite, which is printed by its name.

    Attributes:
        reference: gives the normal form of a function; without it, nothing is recognised.
        relaxed: whether derivatives may be rounded otherwise than those of what was written.
    """

    reference: Reference | None = field(default=None, compare=False)
    relaxed: bool = True

    def __call__(self, graph: Graph) -> Graph:
        """Name the composites of the graph and of those nested in it."""
        reference = self.reference
        if reference is None:
            return graph
        done: dict[Graph, Graph] = {}

        def visit(inner: Graph) -> Graph:
            found = done.get(inner)
            if found is None:
                deep = rewrite(inner, nested) if inner.holders else inner
                found = done[inner] = _Program(deep, reference, self.relaxed).named()
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


class _Program:
    """One graph in which composites are looked for."""

    def __init__(self, graph: Graph, reference: Reference, relaxed: bool) -> None:
        self.graph = graph
        self.reference = reference
        self.relaxed = relaxed
        self.readers: Mapping[Node, Sequence[Node]] = {}

    def named(self) -> Graph:
        anchors = [item for item in self.graph.nodes if item.operation in ANCHORS]
        if not anchors:
            return self.graph
        self.readers = users(self.graph)
        found: dict[Node, _Candidate] = {}
        for item in anchors:
            candidate = next(self._candidates(item), None)
            if candidate is not None:
                found.setdefault(candidate.root, candidate)
            else:
                _log_near(item)
        replaced: dict[Node, Node] = {}
        taken: set[Node] = set()
        # What another is a part of comes after it.
        for item in reversed(self.graph.nodes) if found else ():
            candidate = found.get(item)
            if candidate is not None and item not in taken:
                region = Region.between(item, candidate.leaves)
                if self._may_be_named(candidate, region):
                    log_hit(candidate.name)
                    replaced[item] = self._composite(candidate, region)
                    taken.update(region.inner)
        return substitute(self.graph, replaced) if replaced else self.graph

    def _may_be_named(self, candidate: _Candidate, region: Region) -> bool:
        if not candidate.is_library and len(region.nodes) == len(self.graph.nodes):
            # A function that is this composite has a name.
            return False
        reason = region.escape(self.graph, self.readers, candidate.operands)
        if reason:
            log_miss(Miss(candidate.function, f"not named: {reason}", region.root))
        return not reason

    def _composite(self, candidate: _Candidate, region: Region) -> Node:
        body = region.extracted(self.graph, candidate.function, candidate.operands)
        attributes = {"name": candidate.name, "keywords": candidate.keywords, "body": body}
        return node("composite", region.leaves, region.root.type, attributes)

    def _candidates(self, item: Node) -> Iterator[_Candidate]:
        for form, reading, matched in self._matches(item):
            extended = form.extend and form.extend(reading, matched.leaves, self.readers)
            if extended is not None:
                yield _Candidate(extended.name, *extended)
            is_same = matched.is_identical and (matched.is_exact or self.relaxed)
            name, keywords = form.name, ()
            if form.library and is_same:
                name, keywords = form.library, (*reading.keywords, *form.fixed)
            leaves = matched.leaves
            yield _Candidate(name, form.name, reading.root, leaves, form.operands, keywords)

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
