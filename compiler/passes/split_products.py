"""Products with matrices that hold many zeros, or the same numbers twice: by blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node, Origin
from xlathe.compiler.ir.rewrite import Replacement, rewrite, users
from xlathe.compiler.ops.contractions import dot_flops
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.rules import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.structure.bands import by_diagonals, by_strips, strip_area
from xlathe.compiler.structure.blocks import (
    BlockProduct,
    parts_of,
    symmetric_product,
    whole_cost,
)
from xlathe.compiler.structure.facts import Facts
from xlathe.compiler.structure.infer import Structures, is_transpose
from xlathe.compiler.structure.operands import Operand, operand
from xlathe.compiler.targets import CPU, Target

_MARGIN = 0.85
_MAX_DIAGONALS = 5
_ROWS_A_CORE = 160
_MIN_STRIP = 192
_MIN_SYMMETRIC = (1024, 256)


@dataclass(frozen=True)
class SplitProducts:
    """Multiply banded, triangular and block matrices without their zeros, A @ A.T by its half.

    Attributes:
        finite: whether zeros that the program shows may be left out.
        target: the device whose rates decide.
    """

    finite: bool = False
    target: Target = CPU

    def __call__(self, graph: Graph) -> Graph:
        """Split the products in the graph and the graphs nested in it."""
        splitter = _Splitter(self)
        return nested_first(graph, splitter.graph)


class _Splitter:
    def __init__(self, options: SplitProducts) -> None:
        self.options = options
        self.target = options.target
        self.hints = Structures(zeros=False)
        self.shown = Structures(zeros=True)

    def graph(self, graph: Graph) -> Graph:
        if "dot_general" not in graph.operations:
            return graph
        readers = users(graph)
        originals = iter([item for item in graph.nodes if item.operation != "get"])

        def change(item: Node) -> Replacement:
            original = next(originals)
            if item.operation != "dot_general" or not _is_plain(item):
                return None
            return (
                self._banded(item, graph.origins)
                or self._blocks(item, original, readers, graph.origins)
                or self._symmetric(item, graph.origins)
            )

        return rewrite(graph, change)

    def _log(
        self,
        rule: str,
        item: Node,
        new: Node,
        after: str,
        flops: float,
        origins: Mapping[Node, Origin],
        numerics: str = "relaxed",
    ) -> Node:
        before = formula(item, origins)
        log_rewrite(Rewrite(rule, before, after, dot_flops(item), flops, new, numerics))
        return new

    def _facts(self, matrix: Node) -> tuple[Facts, str]:
        facts = self.hints(matrix)
        if not facts.is_banded and self.options.finite:
            return self.shown(matrix), "finite"
        return facts, "relaxed"

    def _banded(self, item: Node, origins: Mapping[Node, Origin]) -> Node | None:
        for place in (0, 1):
            seen = operand(item, place)
            if seen is None:
                continue
            facts, numerics = self._facts(seen.matrix)
            if not facts.is_banded or facts.is_zero:
                continue
            shape = seen.matrix.type.shape
            count = facts.low + facts.high + 1
            if shape[-1] == shape[-2] and 2 * count < shape[-1] and count <= _MAX_DIAGONALS:
                new = self._few_diagonals(seen, facts)
                if new is not None:
                    after = f"{count} diagonals of {formula(seen.matrix, origins)} times "
                    after += formula(seen.other, origins)
                    flops = 2.0 * count * seen.other.type.size
                    rule = "product with a matrix of few diagonals"
                    return self._log(rule, item, new, after, flops, origins, numerics)
            new = self._strips(seen, facts, origins, numerics)
            if new is not None:
                return new
        return None

    def _few_diagonals(self, seen: Operand, facts: Facts) -> Node | None:
        # To read a diagonal, TPU lays the matrix out anew.
        if self.target.platform == "tpu" and seen.columns < 8:
            return None
        return by_diagonals(seen, facts.low, facts.high)

    def _strips(
        self, seen: Operand, facts: Facts, origins: Mapping[Node, Origin], numerics: str
    ) -> Node | None:
        if self.target.platform != "cpu":
            return None
        matrix = seen.matrix.type
        rows, columns = matrix.shape[-2:]
        if seen.flipped:
            rows, columns, facts = columns, rows, facts.transposed
        count = min(8, rows // _MIN_STRIP)
        if count < 2:
            return None
        flops = dot_flops(seen.product)
        part = strip_area(rows, columns, facts, count) / (rows * columns)
        moved = seen.product.type.nbytes + matrix.nbytes + seen.other.type.nbytes
        copied = 2.0 * (part * matrix.nbytes + seen.product.type.nbytes)
        before = self.target.seconds(flops, moved)
        after = self.target.seconds(part * flops, moved, count) + self.target.seconds(0, copied)
        if after > _MARGIN * before:
            return None
        new = by_strips(seen, facts, count)
        if new is None:
            return None
        text = f"{formula(seen.product, origins)} in {count} strips"
        rule = "product with a triangular matrix"
        return self._log(rule, seen.product, new, text, part * flops, origins, numerics)

    def _blocks(
        self,
        item: Node,
        original: Node,
        readers: dict[Node, list[Node]],
        origins: Mapping[Node, Origin],
    ) -> Node | None:
        if all(parts_of(source) is None for source in item.inputs):
            return None
        block = BlockProduct(item.attributes, self.target)
        new = block.build(*item.inputs)
        before = whole_cost(original, readers, self.target)
        if new is None or new is item or new.type is not item.type:
            return None
        if block.spent.seconds > _MARGIN * before.seconds:
            return None
        rule = "product by blocks"
        if block.spent.zeros and not self.options.finite:
            reason = "it leaves out zero blocks, for which it takes numerics='finite'"
            log_miss(Miss(rule, reason, item))
            return None
        numerics = "finite" if block.spent.zeros else "relaxed"
        text = formula(new, origins)
        return self._log(rule, item, new, text, block.spent.flops, origins, numerics)

    def _symmetric(self, item: Node, origins: Mapping[Node, Origin]) -> Node | None:
        """Compute the lower half of A @ A.T and mirror it."""
        left, right = item.inputs
        (left_axes, right_axes), (batch, _) = item["dimension_numbers"]
        if self.target.platform != "cpu" or batch or len(left_axes) != 1 or left.type.rank != 2:
            return None
        same = left is right and left_axes == right_axes
        if not same and not (is_transpose(left, right) and left_axes != right_axes):
            return None
        size, inner = item.type.shape[0], left.type.shape[left_axes[0]]
        # Blocks are products of their own: small ones keep few cores busy.
        least = max(_MIN_SYMMETRIC[0], _ROWS_A_CORE * self.target.cores)
        if size < least or inner < _MIN_SYMMETRIC[1]:
            return None
        depth = 1 if size < 2048 else 2
        share = 0.5 + 0.5 ** (depth + 1)
        flops = dot_flops(item)
        copied = 2.0 * depth * item.type.nbytes + 2.0 * left.type.nbytes
        before = self.target.seconds(flops, item.type.nbytes)
        after = self.target.seconds(share * flops, item.type.nbytes, 3**depth)
        after += self.target.seconds(0, copied)
        if after > _MARGIN * before:
            return None
        new = symmetric_product(item, depth)
        text = f"the lower half of {formula(item, origins)}, mirrored"
        return self._log("symmetric product", item, new, text, share * flops, origins)


def _is_plain(item: Node) -> bool:
    return item.type.is_plain and all(source.type.is_plain for source in item.inputs)
