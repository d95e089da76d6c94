"""Products and factorisations of matrices that are known to be of a kind: done without them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from xlathe.compiler.algebra.read import is_diagonal_gather
from xlathe.compiler.cost import node_flops
from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node, Origin, make_type, node
from xlathe.compiler.ir.rewrite import Replacement, rewrite
from xlathe.compiler.ops.build import (
    broadcast_in_dim,
    cast,
    filled,
    iota,
    make,
    multiply,
    transposed,
)
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.rules import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.structure.algebra import diagonal, swapped
from xlathe.compiler.structure.bands import by_diagonals
from xlathe.compiler.structure.blocks import is_zero
from xlathe.compiler.structure.diagonals import Diagonals, diagonal_matrix, on_diagonal, reciprocal
from xlathe.compiler.structure.infer import Structures
from xlathe.compiler.structure.one_hot import OneHot, added, one_hot, taken
from xlathe.compiler.structure.operands import Operand, operand
from xlathe.compiler.structure.orders import puts_in_order, takes_in_order
from xlathe.compiler.targets import CPU, Target

_MIN_DEPTH = {"tpu": 512}
_COSTLY = ("dot_general", "triangular_solve")
_FINITE_WORDS = "numerics='finite' would leave it out"


@dataclass(frozen=True)
class UseStructure:
    """Leave products with identities, permutations, diagonals and zeros undone.

    Attributes:
        finite: whether zeros that the program shows may be left out.
        target: the device that the program is for.
    """

    finite: bool = False
    target: Target = CPU

    def __call__(self, graph: Graph) -> Graph:
        """Rewrite the graph and the graphs nested in it."""
        hints, shown = Structures(zeros=False), Structures(zeros=True)

        def rewritten(inner: Graph) -> Graph:
            rules = _Rules(self, hints, shown, inner.origins)
            if inner.operations.isdisjoint(rules.by_operation):
                return inner
            return rewrite(inner, rules)

        return nested_first(graph, rewritten)


class _Rules:
    """The rules, for the nodes of one graph."""

    def __init__(
        self,
        options: UseStructure,
        hints: Structures,
        shown: Structures,
        origins: Mapping[Node, Origin],
    ) -> None:
        self.options = options
        self.hints = hints
        self.shown = shown
        self.origins = origins
        self.by_operation: dict[str, Callable[[Node], Replacement]] = {
            "transpose": self.transpose,
            "dot_general": self.product,
            "lu": self.factorise,
            "custom_jvp": self.determinant,
            "gather": self.gathered,
            "scatter_add": self.scattered,
        }
        if self.options.finite:
            self.by_operation |= {
                "triangular_solve": self.substitution,
                "select_n": self.chosen,
            }

    def __call__(self, item: Node) -> Replacement:
        rule = self.by_operation.get(item.operation)
        return None if rule is None else rule(item)

    def text(self, item: Node) -> str:
        return formula(item, self.origins)

    def log(
        self, rule: str, item: Node, new: Node, after: str, flops: float, numerics: str = "relaxed"
    ) -> Node:
        before = node_flops(item) if item.operation in _COSTLY else 0.0
        log_rewrite(Rewrite(rule, self.text(item), after, before, flops, new, numerics))
        return new

    def transpose(self, item: Node) -> Node | None:
        """Write S for S.T."""
        source = item.inputs[0]
        if item.type is source.type and swapped(source) is item:
            numerics = "relaxed" if self.hints(source).symmetric else "finite"
            if numerics == "relaxed" or (self.options.finite and self.shown(source).is_diagonal):
                rule = "transpose of a symmetric matrix"
                return self.log(rule, item, source, self.text(source), 0, numerics)
        return None

    def product(self, item: Node) -> Node | None:
        if not item.type.is_plain or not all(source.type.is_plain for source in item.inputs):
            return None
        return (
            self._zero(item) or self._orthogonal(item) or self._by_hint(item) or self._one_hot(item)
        )

    def _zero(self, item: Node) -> Node | None:
        """Write 0 for 0 @ x."""
        if not any(is_zero(source) for source in item.inputs):
            return None
        if not self.options.finite:
            log_miss(Miss("product with zeros", _FINITE_WORDS, item))
            return None
        return self.log("product with zeros", item, filled(0, item.type), "0", 0, "finite")

    def _orthogonal(self, item: Node) -> Node | None:
        """Write I for Q.T @ Q, and x for Q.T @ (Q @ x)."""
        for place in (0, 1):
            first = operand(item, place)
            if first is None or item.type.dtype.kind != "f":
                continue
            if not self.hints(first.matrix).orthogonal:
                continue
            second = operand(item, 1 - place)
            if second is not None and second.bare == (first.bare[0], first.bare[1]):
                new = _identity(item)
                return self.log("product of an orthogonal matrix", item, new, "I", 0)
            new = _undone(first)
            if new is not None and new.type is item.type:
                return self.log("orthogonal matrix twice", item, new, self.text(new), 0)
        return None

    def _by_hint(self, item: Node) -> Node | None:
        for place in (0, 1):
            seen = operand(item, place)
            if seen is None:
                continue
            facts = self.hints(seen.matrix)
            if facts.is_diagonal and not facts.is_zero and seen.matrix.type.shape[-1] > 1:
                if seen.matrix.type.shape[-1] != seen.matrix.type.shape[-2]:
                    continue
                new = by_diagonals(seen, 0, 0)
                if new is not None:
                    matrix, other = self.text(seen.matrix), self.text(seen.other)
                    after = f"diag({matrix})[:, None] * {other}"
                    if place == 1:
                        after = f"{other} * diag({matrix})"
                    size = float(seen.other.type.size)
                    return self.log("product with a diagonal matrix", item, new, after, size)
            if facts.permutation and seen.columns >= 8:
                return self._permuted(seen)
        return None

    def _permuted(self, seen: Operand) -> Node | None:
        """Write x[argmax(P, -1)] for P @ x."""
        matrix = seen.matrix
        rank = matrix.type.rank
        axis = rank - 2 if seen.flipped else rank - 1
        index = make("argmax", matrix, axes=(axis,), index_dtype=np.dtype(np.int32))
        new = taken(OneHot(index, axis, matrix.type.shape[axis]), seen.product, seen.place)
        if new is None:
            return None
        after = f"{self.text(seen.other)}[argmax({self.text(matrix)}, {axis - rank})]"
        return self.log("product with a permutation", seen.product, new, after, matrix.type.size)

    def _one_hot(self, item: Node) -> Node | None:
        """Write W[i] for one_hot(i) @ W, and zeros.at[i].add(x) for one_hot(i).T @ x."""
        platform = self.options.target.platform
        contracted, batch = item["dimension_numbers"]
        for place in (0, 1):
            found = one_hot(item.inputs[place], self.shown)
            if found is None or found.size < _MIN_DEPTH.get(platform, 16):
                continue
            rank = item.inputs[place].type.rank
            axes = set(contracted[place])
            others = set(range(rank)) - {found.axis}
            if axes == {found.axis}:
                rule, build = "product with one-hot vectors", taken
            elif axes == others and not batch[0] and rank > 1 and platform != "tpu":
                rule, build = "sum by one-hot vectors", added
                if found.size < 64:
                    continue
            else:
                continue
            if not self.options.finite:
                log_miss(Miss(rule, f"it multiplies with zeros: {_FINITE_WORDS}", item))
                continue
            new = build(found, item, place)
            if new is None:
                continue
            other, index = self.text(item.inputs[1 - place]), self.text(found.index)
            after = f"{other}[{index}]" if build is taken else f"zeros.at[{index}].add({other})"
            flops = 0 if build is taken else item.inputs[1 - place].type.size
            return self.log(rule, item, new, after, flops, "finite")
        return None

    def substitution(self, item: Node) -> Node | None:
        """Write b / diag(T) for the solution with a triangle that is a diagonal."""
        matrix, right = item.inputs
        if item["conjugate_a"] or not matrix.type.is_plain:
            return None
        facts = self.shown(matrix)
        if (facts.low if item["lower"] else facts.high) > 0:
            return None
        if item["unit_diagonal"]:
            new, after = right, self.text(right)
        else:
            rank = right.type.rank
            kept = rank - 2 if item["left_side"] else rank - 1
            entries = reciprocal(Diagonals(self.shown, True)(matrix))
            axes = (*range(rank - 2), kept)
            new = multiply(right, broadcast_in_dim(entries, right.type.shape, axes))
            after = f"{self.text(right)} / diag({self.text(matrix)})"
        if new.type is not item.type:
            return None
        size = float(item.type.size)
        return self.log("solution with a diagonal matrix", item, new, after, size, "finite")

    def gathered(self, item: Node) -> Node | None:
        """Write x for x[0, 1, ..., n - 1], and the diagonal of a matrix by those of its parts."""
        source = item.inputs[0]
        if takes_in_order(item):
            return self.log("rows in their order", item, source, self.text(source), 0, "exact")
        if not is_diagonal_gather(item):
            return None
        index = item.inputs[1]

        def end(leaf: Node) -> Node:
            type_ = leaf.type.with_shape(item.type.shape)
            return node("gather", (leaf, index), type_, item.attributes)

        diagonals = Diagonals(self.shown, self.options.finite, end)
        new = diagonals(source)
        if new is item or new.type is not item.type:
            return None
        numerics = "finite" if diagonals.solved else "exact"
        return self.log("diagonal", item, new, self.text(new), item.type.size, numerics)

    def scattered(self, item: Node) -> Node | None:
        """Write x for zeros.at[0, 1, ..., n - 1].add(x)."""
        if not puts_in_order(item):
            return None
        new = item.inputs[2]
        return self.log("rows in their order", item, new, self.text(new), 0)

    def chosen(self, item: Node) -> Node | None:
        """Solve for the diagonal alone where a mask leaves no more of a solution."""
        if not item.type.is_plain or item.type.rank < 2:
            return None
        if item.type.shape[-1] != item.type.shape[-2] or not self.shown(item).is_diagonal:
            return None
        diagonals = Diagonals(self.shown, True)
        entries = diagonals(item)
        new = diagonal_matrix(entries, item)
        if not diagonals.solved or new.type is not item.type:
            return None
        after = f"diag({self.text(entries)})"
        return self.log("diagonal of a solution", item, new, after, entries.type.size, "finite")

    def determinant(self, item: Node) -> Node | None:
        """Take determinants from diagonals: of triangles, and of Cholesky factors."""
        if item["name"] == "_det":
            return self.triangular_determinant(item)
        if item["name"] != "_slogdet_lu":
            return None
        matrix = item.inputs[0]
        if len(item.inputs) != 1 or matrix.type.dtype.kind != "f" or len(item.types) != 2:
            return None
        if not self.hints(matrix).positive or item.types[1].rank != matrix.type.rank - 2:
            return None
        body: Graph = item["body"]
        if "lu" not in body.operations:
            return None
        (parameter,) = body.parameters
        factor = node("cholesky", (parameter,), matrix.type)
        rank = matrix.type.rank
        logs = make("log", diagonal(factor), accuracy=None)
        total = make("reduce_sum", logs, axes=(rank - 2,), out_sharding=None)
        twice = multiply(total, filled(2, make_type((), matrix.type.dtype)))
        results = (filled(1, item.types[0]), twice)
        if twice.type is not item.types[1] or results[0].type is not item.types[0]:
            return None
        cheaper = Graph(body.parameters, results, name=body.name)
        new = node(item.operation, item.inputs, item.type, {**item.attributes, "body": cheaper})
        size = matrix.type.shape[-1]
        count = matrix.type.size / max(1, size**2)
        log_rewrite(
            Rewrite(
                "determinant of a positive definite matrix",
                f"slogdet({self.text(matrix)})",
                f"2 * log(diag(cholesky({self.text(matrix)}))).sum()",
                2 * size**3 / 3 * count,
                size**3 / 3 * count,
                new,
            )
        )
        return new

    def triangular_determinant(self, item: Node) -> Node | None:
        """Write diag(T).prod() for det(T)."""
        if not self.options.finite:
            return None
        matrix = item.inputs[0]
        if len(item.inputs) != 1 or not matrix.type.is_plain or matrix.type.rank < 2:
            return None
        body: Graph = item["body"]
        if not any(i.operation == "custom_jvp" and i["name"] == "_slogdet_lu" for i in body.nodes):
            return None
        facts = self.shown(matrix)
        if facts.low > 0 and facts.high > 0:
            return None
        entries = Diagonals(self.shown, True)(matrix)
        new = make("reduce_prod", entries, axes=(entries.type.rank - 1,))
        if new.type is not item.type:
            return None
        size = matrix.type.shape[-1]
        log_rewrite(
            Rewrite(
                "determinant of a triangular matrix",
                f"det({self.text(matrix)})",
                f"diag({self.text(matrix)}).prod()",
                2 * size**3 / 3 * (matrix.type.size / max(1, size**2)),
                float(entries.type.size),
                new,
                "finite",
            )
        )
        return new

    def factorise(self, item: Node) -> Replacement:
        """Write T for lu(T): a triangular matrix is factorised."""
        matrix = item.inputs[0]
        size = matrix.type.shape[-1]
        if size != matrix.type.shape[-2] or matrix.type.dtype.kind not in "fc":
            return None
        facts, numerics = self.hints(matrix), "relaxed"
        if facts.low > 0 and facts.high > 0 and self.options.finite:
            facts, numerics = self.shown(matrix), "finite"
        if facts.low > 0 and facts.high > 0:
            return None
        packed = matrix
        if facts.low > 0:
            spread = broadcast_in_dim(
                diagonal(matrix),
                matrix.type.shape,
                (*range(matrix.type.rank - 2), matrix.type.rank - 1),
            )
            packed = make("select_n", on_diagonal(matrix), make("div", matrix, spread), matrix)
        order = iota((size,))
        shape = matrix.type.shape[:-1]
        if len(shape) > 1:
            order = broadcast_in_dim(order, shape, (len(shape) - 1,))
        if (packed.type, order.type, order.type) != item.type:
            return None
        flops = 2.0 / 3 * size**3 * (matrix.type.size / max(1, size**2))
        log_rewrite(
            Rewrite(
                "factors of a triangular matrix",
                self.text(item),
                self.text(matrix),
                flops,
                0.0 if packed is matrix else float(matrix.type.size),
                packed,
                numerics,
            )
        )
        return (packed, order, order)


def _undone(first: Operand) -> Node | None:
    """What is left of a matrix times its transpose times something: that."""
    inner, permutation = first.other, tuple(range(first.other.type.rank))
    if inner.operation == "transpose":
        inner, permutation = inner.inputs[0], inner["permutation"]
    if inner.operation != "dot_general" or first.batch:
        return None
    for place in (0, 1):
        seen = operand(inner, place)
        if seen is None or seen.batch or seen.bare != (first.bare[0], not first.bare[1]):
            continue
        # The outer product contracts the axis that the inner one has made.
        made = 0 if place == 0 else inner.type.rank - 1
        if permutation[first.axis] == made:
            return first.placed(transposed(seen.placed(seen.other), permutation))
    return None


def _identity(like: Node) -> Node:
    return cast(on_diagonal(like), like.type.dtype, like.type.weak)
