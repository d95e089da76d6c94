"""Products over several axes in the order of factors in which no transpose follows.

JAX derives the gradient of weights, over batches of sequences, as the transpose of `dy · x`. Over
one axis, XLA:CPU turns such a product round itself, unless it is scaled or read twice: two scaled
transposes of a product of 1500 rows took a seventh of its time. Over several axes, it copies a
factor transposed and takes a slow path for the product: three times as long as `x · dy`, whose
layout is what is asked.
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
    """Write `transpose(c * dot(a, b))` as `c * dot(b, a)`, with numbers c or without.

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
    for product in graph.nodes:
        if product.operation != "dot_general" or not product.type.is_plain:
            continue
        ends = _transposes(product, readers)
        if not any(_swaps(end, product) for end in ends) or _is_left_to_xla(product, ends):
            continue
        if not all(_swaps(end, product) for end in ends):
            log_miss(Miss(RULE, "it is read in both orders", product))
            continue
        turned = _turn(product)
        new = {end: _after(end.inputs[0], product, turned) for end in ends}
        if any(new[end].type is not end.type for end in ends):
            continue
        before, flops = formula(ends[0], graph.origins), node_flops(turned)
        after = formula(new[ends[0]], graph.origins)
        log_rewrite(Rewrite(RULE, before, after, flops, flops, new[ends[0]]))
        replaced |= new
    return substitute(graph, replaced) if replaced else graph


def _transposes(source: Node, readers: Mapping[Node, list[Node]]) -> list[Node]:
    """What is read of the array, past factors that are numbers: transposes, if all goes well."""
    ends = []
    for reader in readers.get(source, ()):
        ends += _transposes(reader, readers) if _is_scaled(reader, source) else [reader]
    return ends


def _is_scaled(item: Node, source: Node) -> bool:
    """Whether the node is the array times numbers; a result of the graph reads itself."""
    others = [value for value in item.inputs if value is not source]
    return (
        item is not source
        and item.operation in ("mul", "div", "neg")
        and len(others) == len(item.inputs) - 1
        and all(value.type.rank == 0 for value in others)
    )


def _swaps(end: Node, product: Node) -> bool:
    """Whether it is a transpose that puts the axes of the second factor first."""
    (left_axes, right_axes), (batch, _) = product["dimension_numbers"]
    left, right = product.inputs
    rows, columns = left.type.rank - len(left_axes), right.type.rank - len(right_axes)
    swapped = (*range(rows, rows + columns), *range(rows))
    return not batch and end.operation == "transpose" and end["permutation"] == swapped


def _is_left_to_xla(product: Node, ends: list[Node]) -> bool:
    """Whether it is the transpose alone of a product over one axis, which XLA turns by itself."""
    (axes, _), _ = product["dimension_numbers"]
    return len(axes) < 2 and [end.inputs[0] for end in ends] == [product]


def _turn(product: Node) -> Node:
    (left_axes, right_axes), _ = product["dimension_numbers"]
    left, right = product.inputs
    numbers = ((right_axes, left_axes), ((), ()))
    return make("dot_general", right, left, **{**product.attributes, "dimension_numbers": numbers})


def _after(item: Node, product: Node, turned: Node) -> Node:
    """The scaled product, of the turned one."""
    if item is product:
        return turned
    if item.type.rank == 0:
        return item
    sources = [_after(source, product, turned) for source in item.inputs]
    return make(item.operation, *sources, **item.attributes)
