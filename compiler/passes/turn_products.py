"""Products over several axes in the order of factors in which no transpose follows.

JAX derives the gradient of weights, over batches of sequences, as the transpose of `dy · x`. Over
one axis, XLA:CPU turns such a product round itself. Over several, it copies a factor transposed and
takes a slow path for the product: three times as long as `x · dy`, whose layout is what is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xlathe.compiler.cost import node_flops
from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.ir.rewrite import substitute, users
from xlathe.compiler.ops.build import make
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.rules import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.targets import CPU, Target

RULE = "transposed product"


@dataclass(frozen=True)
class TurnProducts:
    """Write `transpose(dot(a, b))` as `dot(b, a)`.

    Attributes:
        target: the device; on others than CPU, XLA chooses layouts by itself.
    """

    target: Target = CPU

    def __call__(self, graph: Graph) -> Graph:
        """Rewrite the products of the graph and of those nested in it."""
        return nested_first(graph, _turned) if self.target.platform == "cpu" else graph


def _turned(graph: Graph) -> Graph:
    if not {"transpose", "dot_general"} <= graph.operations:
        return graph
    readers = users(graph)
    replaced: dict[Node, Node] = {}
    for item in graph.nodes:
        new = _product(item, readers) if item.operation == "transpose" else None
        if new is None or new.type is not item.type:
            continue
        before, flops = formula(item, graph.origins), node_flops(new)
        after = formula(new, graph.origins)
        log_rewrite(Rewrite(RULE, before, after, flops, flops, new))
        replaced[item] = new
    return substitute(graph, replaced) if replaced else graph


def _product(item: Node, readers: Mapping[Node, list[Node]]) -> Node | None:
    """The product whose factors are in the other order, if that is what the transpose gives."""
    source = item.inputs[0]
    if source.operation != "dot_general" or not source.type.is_plain:
        return None
    (left_axes, right_axes), (batch, _) = source["dimension_numbers"]
    left, right = source.inputs
    if len(left_axes) < 2 or batch:
        return None
    free = left.type.rank - len(left_axes), right.type.rank - len(right_axes)
    if item["permutation"] != (*range(free[0], sum(free)), *range(free[0])):
        return None
    if len(readers[source]) > 1:
        log_miss(Miss(RULE, "it is read in both orders", item))
        return None
    numbers = ((right_axes, left_axes), ((), ()))
    return make("dot_general", right, left, **{**source.attributes, "dimension_numbers": numbers})
