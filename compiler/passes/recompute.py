"""Elementwise functions that the backward computes again instead of having them kept for it.

XLA computes cheap arithmetic again wherever it is read, but a tanh once: where a product stands
between two readers, as between forward and backward, the array is written to memory and read back.
That takes longer than to compute it, and takes memory as long. What it is computed from, the result
of a product, is kept in most cases anyway, and in low precision is half as large. (Chen et al.,
2016, Training Deep Nets with Sublinear Memory Cost; here of elementwise functions only.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.ir.rewrite import substitute, users, with_inputs
from xlathe.compiler.ops.build import held
from xlathe.compiler.ops.elementwise import ELEMENTWISE
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.rules import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.targets import GPU, Target

RULE = "computed again"

_FUNCTIONS = frozenset("cos erf erfc exp exp2 expm1 log1p logistic sin tanh".split())
_PRODUCTS = frozenset(
    "attention_kernel attention_kernel_grad conv_general_dilated dot_general "
    "ragged_dot_general".split()
)
_VIEWS = frozenset("broadcast_in_dim expand_dims reshape slice squeeze transpose".split())
_FUSED = ELEMENTWISE | _VIEWS
_LARGE, _SMALL_SHARE, _MAX_STEPS = 1 << 22, 8, 24


@dataclass(frozen=True)
class Recompute:
    """Compute large elementwise functions again where a product stands between their readers.

    Attributes:
        target: the device; only on some does memory cost more than arithmetic.
        large: bytes from which on a value counts as large.
    """

    target: Target = GPU
    large: int = _LARGE

    def __call__(self, graph: Graph) -> Graph:
        """Rewrite the functions in the graph and in those nested in it."""
        return nested_first(graph, self._graph) if self.target.recomputes else graph

    def _graph(self, graph: Graph) -> Graph:
        if graph.operations.isdisjoint(_PRODUCTS):
            return graph
        order = _Order(graph)
        changes: dict[Node, dict[Node, Node]] = {}
        for item in graph.nodes:
            if not _functions(item) or item.type.nbytes < self.large:
                continue
            found = _again(item, order, self.target.recomputes)
            if isinstance(found, str):
                log_miss(Miss(RULE, found, item))
            elif found:
                text, flops = formula(item, graph.origins), float(item.type.size)
                after = f"the same once more, so that {item.type.nbytes >> 20} MiB are not kept"
                log_rewrite(Rewrite(RULE, text, after, flops, 2 * flops, item, "exact"))
                for reader, inputs in found.items():
                    changes.setdefault(reader, {}).update(inputs)
        replaced = {reader: _rewritten(reader, inputs) for reader, inputs in changes.items()}
        return substitute(graph, replaced) if replaced else graph


class _Order:
    """When values can be computed, counted in products that come before them.

    Args:
        graph: the graph.
    """

    def __init__(self, graph: Graph) -> None:
        self.readers = users(graph)
        self.results = frozenset(graph.outputs)
        self.place = {item: index for index, item in enumerate(graph.nodes)}
        self.end: dict[Node, int] = {}
        for item in graph.nodes:
            is_one = item.operation in _PRODUCTS or (item.holds_graphs and not _is_fused(item))
            self.end[item] = self.start(item) + is_one

    def start(self, item: Node) -> int:
        """How many products come before a node, one behind the other."""
        return max((self.end.get(source, 0) for source in item.inputs), default=0)

    def beside(self, *items: Node) -> list[Node]:
        """Values and what is fused with them: what is elementwise and computed when they are."""
        time = max(self.end[item] for item in items)
        found, stack = set(items), list(items)
        while stack:
            for reader in self.readers.get(stack.pop(), ()):
                fused = _is_fused(reader) and self.start(reader) <= time
                if fused and reader not in found:
                    found.add(reader)
                    stack.append(reader)
        return sorted(found, key=self.place.__getitem__)

    def later(self, item: Node, time: int) -> list[Node]:
        """The elementwise readers of a value behind a further product.

        None where the value is kept for others in any case: where it is a result, or an operand of
        a product there.
        """
        late = [reader for reader in self.readers.get(item, ()) if self.start(reader) > time]
        kept = item in self.results or not all(map(_is_fused, late))
        return [] if kept else late


def _again(item: Node, order: _Order, most: int) -> dict[Node, dict[Node, Node]] | str:
    """What later readers read in place of a function's value and of what is made of it.

    Args:
        item: the function's value.
        order: when values can be computed.
        most: how many functions may be computed again.

    Returns:
        By reader, its new inputs, or the reason why there are none.
    """
    time, beside = order.end[item], order.beside(item)
    if not any(order.later(made, time) for made in beside):
        return {}
    steps = _steps(item, order)
    sources = [s for s in _sources(steps) if s.type.nbytes * _SMALL_SHARE > item.type.nbytes]
    if not sources or any(source.operation not in _PRODUCTS for source in sources):
        return "it is not made of products in a few steps"
    functions = sum(map(_functions, steps))
    if functions > most:
        return f"computing {functions} functions again takes longer"
    others = [source for source in sources if not _is_kept(source, beside, order)]
    if 2 * sum(source.type.nbytes for source in others) > item.type.nbytes:
        return "what it is made of is not smaller, and is not kept in any case"
    new = {source: held(source) for source in sources}
    found: dict[Node, dict[Node, Node]] = {}
    for made in order.beside(*sources):
        if made in new:
            continue
        new[made] = _rewritten(made, new)
        for reader in order.later(made, time):
            found.setdefault(reader, {})[made] = new[made]
    return found


def _is_fused(item: Node) -> bool:
    """Whether a node is elementwise or moves elements, or is a function of JAX's that does."""
    if item.operation == "custom_jvp":
        return not isinstance(item.type, tuple) and item["body"].operations <= _FUSED
    return item.operation in _FUSED


def _functions(item: Node) -> int:
    """How many functions a node computes that take more than a few instructions."""
    if item.operation == "custom_jvp":
        return sum(map(_functions, item["body"].nodes)) if _is_fused(item) else 0
    return int(item.operation in _FUNCTIONS)


def _rewritten(item: Node, inputs: Mapping[Node, Node]) -> Node:
    new = with_inputs(item, inputs)
    assert isinstance(new, Node)
    return new


def _steps(item: Node, order: _Order) -> list[Node]:
    """The elementwise steps that a value is made by, in order; no more than a few."""
    found, stack = {item}, [item]
    while stack and len(found) <= _MAX_STEPS:
        for source in stack.pop().inputs:
            if _is_fused(source) and source not in found:
                found.add(source)
                stack.append(source)
    return sorted(found, key=order.place.__getitem__)


def _sources(steps: Sequence[Node]) -> list[Node]:
    """What steps start from, without what is there for the whole program."""
    known = set(steps)
    found = dict.fromkeys(source for step in steps for source in step.inputs)
    return [s for s in found if s not in known and s.operation not in ("parameter", "constant")]


def _is_kept(source: Node, without: Sequence[Node], order: _Order) -> bool:
    """Whether a product's result is read later in any case, not counting what is made of some."""
    time, skipped = order.end[source], set(without)
    return any(order.later(made, time) for made in order.beside(source) if made not in skipped)
