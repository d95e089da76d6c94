"""Reductions by way of the elements: of broadcasts, transposes, pads, pieces and reductions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xlathe.compiler.cost import graph_cost
from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node, Origin, node
from xlathe.compiler.ir.rewrite import map_subgraphs, rewrite, users
from xlathe.compiler.passes.narrow import alone
from xlathe.compiler.rules import Rewrite, RuleSet, log_rewrite, logging_rules
from xlathe.compiler.rules.reductions import FREE, REDUCTIONS, SHARED, is_exact

_ANY = RuleSet(FREE)
_UNSHARED = RuleSet((*FREE, *SHARED))
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
        done: dict[Graph, Graph] = {}

        def visit(inner: Graph) -> Graph:
            found = done.get(inner)
            if found is None:
                found = done[inner] = self.rewritten(inner, visit)
            return found

        return visit(graph)

    def rewritten(self, graph: Graph, visit: Callable[[Graph], Graph]) -> Graph:
        """The graph with its reductions rewritten; `visit` rewrites nested graphs."""
        readers = users(graph)
        originals = iter([item for item in graph.nodes if item.operation != "get"])
        origins: dict[Node, Origin] = dict(graph.origins)

        def change(item: Node) -> Node | None:
            original = next(originals)
            if item.holds_graphs:
                return map_subgraphs(item, visit)
            if item.operation not in REDUCTIONS or not item.type.is_plain:
                return None
            if self.numerics == "strict" and not is_exact(item):
                return None
            return _better(item, len(readers[original.inputs[0]]) > 1, origins)

        return rewrite(graph, change)


def _better(item: Node, is_shared: bool, origins: dict[Node, Origin]) -> Node | None:
    """The form of a reduction that does less; None if there is none."""
    with logging_rules():
        new = _settled(item, _ANY if is_shared else _UNSHARED)
    if new is item:
        return None
    gone, come = _exchanged(item, new)
    if _work(come) >= _work(gone):
        return None
    flops = [sum(graph_cost(alone(one)).flops for one in nodes) for nodes in (gone, come)]
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


def _settled(item: Node, rules: RuleSet, depth: int = 0) -> Node:
    """The node after the rules, and what they leave below it after them as well."""
    new = rules(item) or item
    if depth == _MOST_DEPTH or new.operation not in _PASSED:
        return new
    inputs = tuple(_settled(source, rules, depth + 1) for source in new.inputs)
    return new if inputs == new.inputs else node(new.operation, inputs, new.type, new.attributes)


def _exchanged(item: Node, new: Node) -> tuple[list[Node], list[Node]]:
    """The nodes that one form has and the other has not."""
    old = _chain(item)
    come: dict[Node, None] = {}
    kept: set[Node] = set()
    stack = [new]
    while stack:
        one = stack.pop()
        if one in come or one in kept:
            continue
        if one in old:
            kept |= set(_chain(one))
        elif one.inputs and one.operation in (*_PASSED, "add", "mul", "max", "min", "and", "or"):
            come[one] = None
            stack.extend(one.inputs)
    return [one for one in old if one not in kept], list(come)


def _chain(item: Node) -> dict[Node, None]:
    """A node and what it reduces, moves or joins, as far down as rules look."""
    found = {item: None}
    last = [item]
    for _ in range(_MOST_DEPTH):
        last = [s for one in last for s in one.inputs if s.operation in _PASSED]
        found |= dict.fromkeys(last)
    return found


def _work(nodes: list[Node]) -> float:
    """What a form costs: its arithmetic, and the copies that joining pieces makes."""
    joins = ("concatenate", "stack")
    copies = sum(2.0 * one.type.size for one in nodes if one.operation in joins)
    return copies + sum(graph_cost(alone(one)).flops for one in nodes if one.operation not in joins)
