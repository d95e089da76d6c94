"""Reductions by way of the elements: of broadcasts, transposes, pads, pieces and reductions."""

from __future__ import annotations

from dataclasses import dataclass

from xlathe.compiler.cost import node_flops
from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node, Origin, node
from xlathe.compiler.ir.rewrite import rewrite, users
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.rules import Miss, Rewrite, log_hit, log_miss, log_rewrite
from xlathe.compiler.rules.reductions import FREE, REDUCTIONS, SHARED, is_exact

_PASSED = (
    *REDUCTIONS,
    "broadcast_in_dim",
    "transpose",
    "reshape",
    "rev",
    "pad",
    "concatenate",
    "stack",
)
_MOST_DEPTH = 5


@dataclass(frozen=True)
class Reduce:
    """Give reductions the form that does least.

    Attributes:
        numerics: `strict` changes only those whose order makes no difference.
    """

    numerics: str = "relaxed"

    def __call__(self, graph: Graph) -> Graph:
        """Rewrite the reductions in the graph and the graphs nested in it."""
        return nested_first(graph, self.rewritten)

    def rewritten(self, graph: Graph) -> Graph:
        """The graph with its own reductions rewritten."""
        if graph.operations.isdisjoint(REDUCTIONS):
            return graph
        readers = users(graph)
        originals = iter([item for item in graph.nodes if item.operation != "get"])
        origins: dict[Node, Origin] = dict(graph.origins)

        shared: set[Node] = set()

        def change(item: Node) -> Node | None:
            original = next(originals)
            new = item
            if item.operation in REDUCTIONS and item.type.is_plain:
                if self.numerics != "strict" or is_exact(item):
                    new = _better(item, shared, origins)
            if len(readers[original]) > 1:
                shared.add(new)
            return new

        return rewrite(graph, change)


def _better(item: Node, shared: set[Node], origins: dict[Node, Origin]) -> Node:
    """The form of a reduction that does least: the item itself if there is no better one."""
    new = _settled(item, shared)
    if new is item:
        return item
    gone, come = _exchanged(item, new, shared)
    if _work(come) >= _work(gone):
        return item
    if new.operation == "reshape" and new.inputs[0] is item.inputs[0]:
        # An axis of one: nothing that a formula would show.
        log_hit("reduce an axis of one")
        return new
    flops = [sum(map(node_flops, nodes)) for nodes in (gone, come)]
    log_rewrite(
        Rewrite(
            "reduction of fewer elements",
            formula(item, origins),
            formula(new, origins),
            flops[0],
            flops[1],
            new,
            "exact" if is_exact(item) else "relaxed",
        )
    )
    return new


def _settled(item: Node, shared: set[Node], depth: int = 0) -> Node:
    """The node after the rules, and what they leave below it after them as well."""
    new = item
    while (found := _step(new, shared)) is not None:
        new = found
    if depth == _MOST_DEPTH or new.operation not in _PASSED or (depth and new in shared):
        return new
    inputs = tuple(_settled(source, shared, depth + 1) for source in new.inputs)
    return new if inputs == new.inputs else node(new.operation, inputs, new.type, new.attributes)


def _step(item: Node, shared: set[Node]) -> Node | None:
    """What the first rule that fires makes of a reduction."""
    if item.operation not in REDUCTIONS:
        return None
    for rule in FREE if item.inputs[0] in shared else (*FREE, *SHARED):
        outcome = rule.apply(item)
        if isinstance(outcome, Node):
            return outcome
        if outcome is not None:
            log_miss(Miss(rule.name, outcome.reason, item))
    return None


def _exchanged(item: Node, new: Node, shared: set[Node]) -> tuple[list[Node], list[Node]]:
    """The nodes that one form has and the other has not."""
    old = _chain(item, shared)
    leaves = {source for one in old for source in one.inputs}
    come: dict[Node, None] = {}
    kept: set[Node] = set()
    stack = [new]
    while stack:
        one = stack.pop()
        if one in old:
            kept |= set(_chain(one, shared))
        elif one not in come and one not in leaves and one.inputs:
            come[one] = None
            stack.extend(one.inputs)
    return [one for one in old if one not in kept], list(come)


def _chain(item: Node, shared: set[Node]) -> dict[Node, None]:
    """A node and what it reduces, moves or joins, as far down as rules look."""
    found = {item: None}
    last = [item]
    for _ in range(_MOST_DEPTH):
        last = [s for one in last for s in one.inputs if s.operation in _PASSED and s not in shared]
        found |= dict.fromkeys(last)
    return found


def _work(nodes: list[Node]) -> float:
    """What a form costs: its arithmetic, and the copies that joining pieces makes."""
    joins = ("concatenate", "stack")
    copies = sum(2.0 * one.type.size for one in nodes if one.operation in joins)
    return copies + sum(node_flops(one) for one in nodes if one.operation not in joins)
