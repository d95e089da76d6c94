"""Small products over the rows of both factors, with the first factor transposed beforehand.

The gradient of a layer's weights is such a product: `x.T @ dy` over a batch of few rows. XLA:CPU
has fast kernels for small products whose first factor's rows are contracted along, and folds a
transpose of that factor into the product, which then takes a general path, for products this small
1.2 to 2 times as slow. Where the factor comes of cheap elementwise arithmetic, as that of a ReLU,
computing it once more, transposed, is one more small fusion, and a barrier keeps it from being
folded back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xlathe.compiler.cost import node_flops
from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.ir.rewrite import substitute, users
from xlathe.compiler.ops.build import held, make
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.rules import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.targets import CPU, Target

RULE = "small product over rows"
_OVER_ROWS = (((0,), (0,)), ((), ()))
_ALONG_ROWS = (((1,), (0,)), ((), ()))
_CHEAP = frozenset(
    "add sub mul max min neg square select_n clamp stop_gradient convert_element_type "
    "dynamic_slice broadcast_in_dim constant".split()
)


@dataclass(frozen=True)
class TurnFactors:
    """Write `dot(x, y)` over the rows of both as `barrier(x.T) @ y`.

    Attributes:
        target: the device; on others than CPU, XLA chooses layouts by itself.
        max_rows: the most rows that are summed over,
        max_size: the most elements of the first factor, which is computed once more,
        min_columns: and the fewest columns of each, where measured to be faster.
    """

    target: Target = CPU
    max_rows: int = 32
    max_size: int = 4096
    min_columns: int = 4

    def __call__(self, graph: Graph) -> Graph:
        """Rewrite the products of the graph and of those nested in it."""
        return nested_first(graph, self._turned) if self.target.platform == "cpu" else graph

    def _turned(self, graph: Graph) -> Graph:
        if "dot_general" not in graph.operations:
            return graph
        readers = users(graph)
        replaced: dict[Node, Node] = {}
        for item in graph.nodes:
            found = _as_read(item, readers) if item.operation == "dot_general" else None
            if found is None:
                continue
            result, left, right = found
            reason = self._reason_against(item, left, right)
            if reason:
                log_miss(Miss(RULE, reason, item))
                continue
            turned = held(make("transpose", left, permutation=(1, 0)))
            attributes = {**item.attributes, "dimension_numbers": _ALONG_ROWS}
            new = make("dot_general", turned, right, **attributes)
            if new.type is result.type:
                before, flops = formula(result, graph.origins), node_flops(item)
                after = formula(new, graph.origins)
                log_rewrite(Rewrite(RULE, before, after, flops, flops, new))
                replaced[result] = new
        return substitute(graph, replaced) if replaced else graph

    def _reason_against(self, item: Node, left: Node, right: Node) -> str:
        kinds = {source.type.dtype.name for source in (left, right, item) if source.type.is_plain}
        if kinds != {"float32"} or left.type.rank != 2 or right.type.rank != 2:
            return "it is no product of matrices in float32"
        rows, columns = left.type.shape
        if rows > self.max_rows or left.type.size > self.max_size:
            return f"{rows} rows of {columns} are too many to be worth a transpose"
        if min(columns, right.type.shape[1]) < self.min_columns:
            return "with so few columns it is no product of matrices to XLA"
        if not _is_fused(left):
            return f"the transpose of a {left.operation} would be a copy"
        return ""


def _is_fused(item: Node) -> bool:
    """Whether XLA computes it again where it is read; such as `jax.nn.relu` have a body."""
    if item.operation != "custom_jvp":
        return item.operation in _CHEAP
    return all(map(_is_fused, item["body"].nodes))


def _as_read(item: Node, readers: Mapping[Node, list[Node]]) -> tuple[Node, Node, Node] | None:
    """What is read of a product over rows, itself or its transpose, and the factors of that."""
    left, right = item.inputs
    if item["dimension_numbers"] == _ALONG_ROWS:
        is_matrix = left.operation == "transpose" and left.type.rank == 2
        return (item, left.inputs[0], right) if is_matrix else None
    if item["dimension_numbers"] != _OVER_ROWS:
        return None
    found = readers[item]
    if len(found) == 1 and found[0].operation == "transpose":
        return found[0], right, left
    return item, left, right
