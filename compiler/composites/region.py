"""The region of a program that one node is to stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node, Origin, parameter
from xlathe.compiler.ir.node import with_other_inputs
from xlathe.compiler.ir.text import origin_comment

_WIDENING = frozenset(["broadcast_in_dim", "reshape"])


@dataclass(frozen=True)
class Region:
    """What lies between a node and what it is computed from.

    Attributes:
        root: the node.
        leaves: what it is computed from.
        nodes: the nodes between, the root last, each after its inputs.
        inner: those of them that would be computed twice, if something else read them.
    """

    root: Node
    leaves: tuple[Node, ...]
    nodes: tuple[Node, ...]
    inner: AbstractSet[Node]

    @classmethod
    def between(cls, root: Node, leaves: Sequence[Node]) -> Region:
        """The region from the leaves up to a node."""
        found: dict[Node, None] = {}
        # It costs nothing to have twice what is made of numbers, or a leaf with more axes.
        numbers: set[Node] = set()
        widened = set(leaves)
        ends = frozenset(leaves)
        stack = [root]
        while stack:
            item = stack[-1]
            missing = [x for x in item.inputs if x not in found and x not in ends]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            found[item] = None
            if numbers.issuperset(item.inputs):
                numbers.add(item)
            elif item.operation in _WIDENING and widened.issuperset(item.inputs):
                widened.add(item)
        inner = frozenset(found) - numbers - widened - {root}
        return cls(root, tuple(leaves), tuple(found), inner)

    def escapes(self, readers: Mapping[Node, Sequence[Node]]) -> list[tuple[Node, Node]]:
        """What lies inside and is read outside, with each of those readers."""
        inside = frozenset(self.nodes)
        return [
            (item, reader)
            for item in self.nodes
            if item in self.inner
            for reader in readers.get(item, ())
            if reader not in inside or reader is item
        ]

    def reason(
        self, graph: Graph, escapes: Sequence[tuple[Node, Node]], operands: Sequence[str]
    ) -> str:
        """Who reads what lies inside; empty where that is the region's own derivative only."""
        # The user wrote some, and JAX's derivatives are the others.
        written = [pair for pair in escapes if not self._derives(graph, pair[1])]
        if not written:
            return ""
        item, reader = written[0]
        text = self.text(item, operands)
        if reader is item:
            return f"{text} is also returned"
        origin = graph.origin(reader)
        place = f", {origin_comment(origin)}" if origin.file else ""
        return f"{text} is also read by {reader.operation}{place}"

    def text(self, item: Node, operands: Sequence[str]) -> str:
        """A node of the region as a formula over the names of its leaves."""
        names = zip(self.leaves, operands, strict=True)
        return formula(item, {leaf: Origin(name=label) for leaf, label in names})

    def _derives(self, graph: Graph, reader: Node) -> bool:
        """Whether a node is what JAX made of the region's own lines for its derivative."""
        origin = graph.origin(reader)
        if reader in self.inner or reader is self.root or "transpose(" in origin.scope:
            return "transpose(" in origin.scope
        lines = {(known.file, known.line) for known in map(graph.origin, self.nodes)}
        return "jvp(" in origin.scope and (origin.file, origin.line) in lines

    def extracted(self, graph: Graph, name: str, operands: Sequence[str]) -> Graph:
        """The region as a graph over parameters of these names in the place of the leaves."""
        fresh = [parameter(index, leaf.type) for index, leaf in enumerate(self.leaves)]
        origins = {item: Origin(name=label) for item, label in zip(fresh, operands, strict=True)}
        mapped: dict[Node, Node] = dict(zip(self.leaves, fresh, strict=True))
        for item in self.nodes:
            inputs = tuple(mapped[source] for source in item.inputs)
            made = mapped[item] = with_other_inputs(item, inputs) if inputs else item
            # One function serves all places, and so belongs to no line.
            known = graph.origin(item)
            named = "" if item is self.root else known.name
            origins.setdefault(made, Origin(known.order, named))
        return Graph(fresh, [mapped[self.root]], name=name, origins=origins)


def over(sources: Sequence[Node], results: Sequence[Node], name: str) -> Graph:
    """Results as a graph over parameters in the place of what they are computed from."""
    fresh = [parameter(index, source.type) for index, source in enumerate(sources)]
    mapped: dict[Node, Node] = dict(zip(sources, fresh, strict=True))
    for result in results:
        for item in Region.between(result, sources).nodes if result not in mapped else ():
            inputs = tuple(mapped[source] for source in item.inputs)
            mapped[item] = with_other_inputs(item, inputs) if inputs else item
    return Graph(fresh, [mapped[result] for result in results], name=name)
