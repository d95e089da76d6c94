"""Operations that XLA runs slowly on a target, in the form of others that it runs fast.

On CPU, XLA runs gradients of pooling, depthwise convolutions, cumulative operations, and in loops
most gradients of convolutions, one number after the other. What is fused or multiplied as matrices
instead takes a small part of the time. `Target.slow` says what is replaced where.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from xlathe.compiler.cost import node_flops
from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.ir.rewrite import map_subgraphs, rewrite
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.rules import Declined, Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.rules.rule import Outcome
from xlathe.compiler.targets import CPU, Target
from xlathe.compiler.windows import convolutions, cumulative, pooling

_LOOPS = frozenset(["scan", "while", "cond"])
_CONVOLUTION = "conv_general_dilated"


class Replacing(NamedTuple):
    """How an operation is replaced.

    Attributes:
        rule: what the log calls it.
        slow: the family of `Target.slow` that it belongs to.
        apply: gives what stands in a node's place.
        form: what that is, in words.
        exact: whether it has the same value for every input, of this node.
    """

    rule: str
    slow: str
    apply: Callable[[Node], Outcome]
    form: str
    exact: Callable[[Node], bool] = lambda item: False


def _apart(item: Node) -> bool:
    """Whether no two windows share an element, so that nothing is added up in another order."""
    pairs = zip(item["window_dimensions"], item["window_strides"], strict=True)
    return all(size <= stride for size, stride in pairs)


_CUMULATIVE = Replacing("cumulative operation", "cumulative", cumulative.by_halves, "by halves")
_LARGEST = Replacing("pooling", "pooling", pooling.largest, "compared slice by slice")
RULES: dict[str, tuple[Replacing, ...]] = {
    "cumsum": (_CUMULATIVE,),
    "cumprod": (_CUMULATIVE,),
    "cummax": (_CUMULATIVE,),
    "cummin": (_CUMULATIVE,),
    "reduce_window_max": (_LARGEST,),
    "reduce_window_min": (_LARGEST,),
    "reduce_window_sum": (Replacing("pooling", "pooling", pooling.total, "added slice by slice"),),
    "select_and_scatter_add": (
        Replacing(
            "gradient of pooling",
            "pooling",
            pooling.largest_gradient,
            "compared slice by slice",
            _apart,
        ),
    ),
    _CONVOLUTION: (
        Replacing(
            "convolution that is a product", "products", convolutions.product, "a matrix product"
        ),
        Replacing(
            "depthwise convolution",
            "depthwise",
            convolutions.by_channel,
            "a sum of products of shifted arrays",
        ),
        Replacing(
            "gradient of a depthwise convolution",
            "depthwise",
            convolutions.by_channel_gradient,
            "a sum for each place of the window",
        ),
    ),
}
"""The replacements of each operation, the first that fits first."""

IN_LOOPS = Replacing(
    "convolution in a loop",
    "convolutions in loops",
    convolutions.in_order,
    "with batches and windows first and features last",
    lambda item: True,
)


@dataclass(frozen=True)
class ReplaceSlow:
    """Put fast operations in the place of those that the target runs slowly.

    Attributes:
        numerics: `strict` leaves what would be added up in another order.
        target: the device.
    """

    numerics: str = "relaxed"
    target: Target = CPU

    def __call__(self, graph: Graph) -> Graph:
        """Replace in the graph and the graphs nested in it."""
        if not self.target.slow or all(
            inner.operations.isdisjoint(RULES) for inner in graph.walk()
        ):
            return graph
        graph = nested_first(graph, self._replaced)
        if IN_LOOPS.slow not in self.target.slow:
            return graph
        return nested_first(graph, self._in_loops)

    def _replaced(self, graph: Graph) -> Graph:
        if graph.operations.isdisjoint(RULES):
            return graph

        def change(item: Node) -> Node | None:
            for rule in RULES.get(item.operation, ()):
                new = self._applied(rule, item, graph)
                if new is not None:
                    return new
            return None

        return rewrite(graph, change)

    def _in_loops(self, graph: Graph) -> Graph:
        def ordered(inner: Graph) -> Graph:
            if _CONVOLUTION not in inner.operations:
                return inner
            return rewrite(
                inner,
                lambda item: (
                    self._applied(IN_LOOPS, item, inner) if item.operation == _CONVOLUTION else None
                ),
            )

        def change(item: Node) -> Node | None:
            if item.operation not in _LOOPS:
                return None
            return map_subgraphs(item, lambda body: nested_first(body, ordered))

        return rewrite(graph, change) if graph.holders else graph

    def _applied(self, rule: Replacing, item: Node, graph: Graph) -> Node | None:
        if rule.slow not in self.target.slow:
            return None
        exact = rule.exact(item)
        if self.numerics == "strict" and not exact:
            return None
        new = rule.apply(item)
        if isinstance(new, Declined):
            log_miss(Miss(rule.rule, new.reason, item))
            return None
        if new is None or new is item or new.type is not item.type:
            return None
        before = formula(item, graph.origins)
        flops = node_flops(item)
        numerics = "exact" if exact else "relaxed"
        log_rewrite(
            Rewrite(rule.rule, before, f"{before} {rule.form}", flops, flops, new, numerics)
        )
        return new
