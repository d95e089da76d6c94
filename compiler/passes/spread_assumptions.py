"""Telling bodies what is known of the matrices they are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xlathe.compiler.ir import Graph, Node, node
from xlathe.compiler.ir.rewrite import instantiate, map_subgraphs, rewrite
from xlathe.compiler.ops.build import make
from xlathe.compiler.structure.facts import NOTHING, Facts, kinds_of
from xlathe.compiler.structure.infer import Structures


@dataclass(frozen=True)
class SpreadAssumptions:
    """Repeat what is known of a matrix inside the loops, branches and calls that it enters.

    Attributes:
        finite: whether zeros that the program shows count as known.
    """

    finite: bool = False

    def __call__(self, graph: Graph) -> Graph:
        """Spread what is known in the graph, into the graphs nested in it."""
        return _Spreader(Structures(self.finite)).graph(graph)


class _Spreader:
    def __init__(self, structures: Structures) -> None:
        self.structures = structures
        self.done: dict[Graph, Graph] = {}

    def graph(self, graph: Graph) -> Graph:
        found = self.done.get(graph)
        if found is None:
            found = self.done[graph] = rewrite(graph, self.node)
        return found

    def node(self, item: Node) -> Node | None:
        if not item.holds_graphs:
            return None
        new = map_subgraphs(self.told(item), self.graph)
        return None if new is item else new

    def told(self, item: Node) -> Node:
        """The node, with what is known of its inputs repeated in its graphs."""
        facts = [self.structures(source) for source in item.inputs]
        if all(fact == NOTHING for fact in facts):
            return item
        changed = {
            name: _told(item[name], given) for name, given in _parameters(item, facts).items()
        }
        return node(item.operation, item.inputs, item.type, {**item.attributes, **changed})


def _parameters(item: Node, facts: Sequence[Facts]) -> dict[str, Sequence[Facts]]:
    """What is known of the first parameters of each graph of a node."""
    operation = item.operation
    if operation in ("call", "checkpoint", "custom_vjp"):
        return {"body": facts}
    if operation == "custom_jvp":
        names = [name for name in ("body", "rule") if name in item.attributes]
        return {name: facts for name in names}
    if operation == "cond":
        return {"branches": facts[1:]}
    if operation == "scan":
        consts, carry = item["consts"], item["carry"]
        unknown = [NOTHING] * carry
        return {"body": [*facts[:consts], *unknown, *facts[consts + carry :]]}
    if operation == "while":
        first, second = item["condition_consts"], item["body_consts"]
        return {"condition": facts[:first], "body": facts[first : first + second]}
    return {}


def _told(value: Any, facts: Sequence[Facts]) -> Any:
    if isinstance(value, tuple):
        return tuple(_told(graph, facts) for graph in value)
    graph: Graph = value
    said = {item for item in graph.nodes if item.operation == "assume"}
    mapping: dict[Node, Node] = {}
    for parameter, fact in zip(graph.parameters, facts, strict=False):
        if parameter.type.rank < 2:
            continue
        known = parameter
        for kind in kinds_of(fact):
            known = make("assume", known, kind=kind)
        if known is not parameter and known not in said:
            mapping[parameter] = known
    if not mapping:
        return graph
    results, effect, origins = instantiate(graph, mapping)
    return Graph(
        graph.parameters,
        results,
        effect,
        name=graph.name,
        origins={**graph.origins, **origins},
        result_names=graph.result_names,
    )
