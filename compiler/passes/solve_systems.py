"""Linear systems: each solved by what is known of its matrix, and no inverse where a solve does."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.ir.rewrite import Replacement, map_subgraphs, rewrite, users
from xlathe.compiler.ops.build import make, transposed
from xlathe.compiler.ops.contractions import dot_flops
from xlathe.compiler.passes.everywhere import holds
from xlathe.compiler.rules import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.structure.infer import Structures
from xlathe.compiler.structure.systems import (
    LU,
    Method,
    System,
    divided,
    factorisation,
    is_inverse,
    method_for,
    rebuilt,
    solution,
    solve_flops,
    system_of,
)
from xlathe.compiler.structure.thin import thin_factor
from xlathe.compiler.targets import CPU, Target


@dataclass(frozen=True)
class SolveSystems:
    """Choose the solver by the matrix, and solve for few columns instead of many.

    Attributes:
        finite: whether zeros that the program shows may be left out.
        target: the device that the program is for.
        products: whether to look at products with solutions; their order should be settled then.
    """

    finite: bool = False
    target: Target = CPU
    products: bool = True

    def __call__(self, graph: Graph) -> Graph:
        """Rewrite the systems in the graph and the graphs nested in it."""
        return _Solver(self).graph(graph) if holds(graph, "linear_solve") else graph


class _Solver:
    def __init__(self, options: SolveSystems) -> None:
        self.options = options
        self.hints = Structures(zeros=False)
        self.shown = Structures(zeros=True)
        self.done: dict[Graph, Graph] = {}

    def graph(self, graph: Graph) -> Graph:
        found = self.done.get(graph)
        if found is None:
            found = self.done[graph] = _InGraph(self, graph).rewritten()
        return found

    def method(self, matrix: Node) -> tuple[Method, str] | None:
        """How to solve with a matrix, and what that assumes; None if nothing helpful is known."""
        platform = self.options.target.platform
        method = method_for(self.hints(matrix), matrix, platform)
        if method is not None:
            return method, "relaxed"
        if self.options.finite:
            method = method_for(self.shown(matrix), matrix, platform)
            if method is not None:
                return method, "finite"
        return None

    def solver(self, item: Node, system: System) -> tuple[Method, Node | None, str] | None:
        """How a node solves its system, so that it can be solved for other columns."""
        known = self.method(system.matrix)
        lu = factorisation(item, system.matrix)
        if lu is not None:
            return (known[0], None, known[1]) if known is not None else (LU, lu, "relaxed")
        if known is not None and rebuilt(item, system, known[0]):
            return known[0], None, known[1]
        return None


class _InGraph:
    """The rewriting of one graph."""

    def __init__(self, solver: _Solver, graph: Graph) -> None:
        self.solver = solver
        self.source = graph
        self.readers = users(graph)
        self.wanted = self._products() if solver.options.products else set()

    def rewritten(self) -> Graph:
        originals = iter([item for item in self.source.nodes if item.operation != "get"])

        def change(item: Node) -> Replacement:
            original = next(originals)
            if item.holds_graphs and item.operation != "linear_solve":
                new = map_subgraphs(item, self.solver.graph)
                return None if new is item else new
            if item.operation == "linear_solve":
                return self._solve(item)
            if original in self.wanted:
                return self._product(item)
            return None

        return rewrite(self.source, change)

    def text(self, item: Node) -> str:
        return formula(item, self.source.origins)

    def _solve(self, item: Node) -> Node | None:
        system = system_of(item)
        if system is None:
            return None
        found = self.solver.solver(item, system)
        if found is None:
            return None
        method, lu, numerics = found
        new = None
        if method.name == "diagonal" and numerics == "finite":
            new = divided(system, self.solver.shown)
        if new is None:
            thin = self._thin(item, system, method, lu)
            if thin is not None:
                return thin if thin.type is item.type else None
            new = solution(system, method) if lu is None else None
        if new is None or new is item or rebuilt(item, system, method):
            return None
        log_rewrite(
            Rewrite(
                f"solve with {_WORDS[method.name]} matrix",
                self.text(item),
                f"{method.name}_solve({self._matrix(system)}, {self._columns(system)})",
                solve_flops(LU, system.size, system.columns, system.matrices),
                solve_flops(method, system.size, system.columns, system.matrices),
                new,
                numerics,
            )
        )
        return new

    def _columns(self, system: System) -> str:
        if is_inverse(system):
            return "I"
        return self.text(transposed(system.right, system.order))

    def _matrix(self, system: System) -> str:
        name = self.text(system.matrix)
        if not system.transposed:
            return name
        return f"{name}.T" if name.isidentifier() else f"({name}).T"

    def _thin(self, item: Node, system: System, method: Method, lu: Node | None) -> Node | None:
        """Write solve(A, U) @ V for solve(A, U @ V) where that solves for fewer columns."""
        thin = thin_factor(system)
        solved = None if thin is None else solution(thin.system, method, lu)
        if thin is None or solved is None:
            return None
        new = thin.finish(solved)
        flops = 2.0 * thin.product.type.size * max(1, thin.system.columns)
        log_rewrite(
            Rewrite(
                "solve for the thin factor",
                self.text(item),
                f"solve({self._matrix(system)}, {self._columns(thin.system)}) times "
                f"{self.text(thin.other)}",
                solve_flops(method, system.size, system.columns) + flops,
                solve_flops(method, system.size, thin.system.columns) + flops,
                new,
            )
        )
        return new

    def _products(self) -> set[Node]:
        """The products with solutions that are worth solving for the product instead."""
        found: set[Node] = set()
        for item in self.source.nodes:
            if item.operation != "linear_solve":
                continue
            system = system_of(item)
            if system is None or self.solver.solver(item, system) is None:
                continue
            readers = self._readers(item)
            products = [reader for reader in readers if _multiplies(reader)]
            if len(products) < len(readers):
                if products and is_inverse(system):
                    log_miss(Miss("solve instead of inverting", "the inverse is read itself", item))
                continue
            columns = 0
            for product in products:
                place = 0 if _peeled(product.inputs[0])[0] is item else 1
                match = _match(product, place, _peeled(product.inputs[place])[1], system)
                if match is None:
                    break
                columns += match.columns
            else:
                limit = 2 * system.size if is_inverse(system) else system.columns - 1
                if products and columns <= limit:
                    found.update(products)
                elif products and is_inverse(system):
                    log_miss(
                        Miss(
                            "solve instead of inverting",
                            f"the inverse serves {columns} columns, and has {system.size}",
                            item,
                        )
                    )
        return found

    def _readers(self, item: Node) -> list[Node]:
        """What reads a solution, transposed or not; a result of the graph reads itself."""
        found: list[Node] = []
        for reader in self.readers.get(item, ()):
            if reader.operation == "transpose" and reader is not item:
                found += self._readers(reader)
            else:
                found.append(reader)
        return found

    def _product(self, item: Node) -> Node | None:
        for place, source in enumerate(item.inputs):
            solve, permutation = _peeled(source)
            system = system_of(solve)
            if system is None:
                continue
            found = self.solver.solver(solve, system)
            match = _match(item, place, permutation, system)
            if found is None or match is None:
                continue
            new = self._moved(item, place, permutation, system, match, found)
            if new is not None and new.type is item.type:
                return new
        return None

    def _moved(
        self,
        item: Node,
        place: int,
        permutation: tuple[int, ...],
        system: System,
        match: _Match,
        found: tuple[Method, Node | None, str],
    ) -> Node | None:
        """The product with the solution as a solution of the product, or with one."""
        method, lu, numerics = found
        inverse = is_inverse(system)
        other = item.inputs[1 - place]
        if match.contracts_unknown:
            flipped = replace(
                system,
                transposed=not system.transposed,
                right=other,
                batch=match.batch,
                unknown=match.axis,
                free=match.free,
            )
            solved = self._thin(item, flipped, method, lu) or solution(flipped, method, lu)
            if solved is None:
                return None
            if inverse:
                new = _without(item, place, solved, match)
            else:
                right = transposed(system.right, permutation)
                inputs = (right, solved) if place == 0 else (solved, right)
                new = make("dot_general", *inputs, **item.attributes)
            described = flipped
        else:
            right = transposed(system.right, permutation)
            if inverse:
                product = _without(item, place, other, match)
            else:
                inputs = (right, other) if place == 0 else (other, right)
                product = make("dot_general", *inputs, **item.attributes)
            layout = match.layout(item, place, system, permutation)
            described = replace(
                system, right=product, batch=layout[0], unknown=layout[1], free=layout[2]
            )
            new = self._thin(item, described, method, lu) or solution(described, method, lu)
        if new is None or new.type is not item.type:
            return None
        size, matrices = system.size, system.matrices
        before = solve_flops(method, size, system.columns, matrices) + dot_flops(item)
        after = solve_flops(method, size, match.columns, matrices)
        log_rewrite(
            Rewrite(
                "solve instead of inverting" if inverse else "solve for fewer columns",
                self.text(item),
                f"solve({self._matrix(described)}, {self._columns(described)})",
                before,
                after if inverse else after + dot_flops(item),
                new,
                numerics,
            )
        )
        return new


_WORDS = {
    "diagonal": "a diagonal",
    "triangular": "a triangular",
    "tridiagonal": "a tridiagonal",
    "orthogonal": "an orthogonal",
    "cholesky": "a positive definite",
}


@dataclass(frozen=True)
class _Match:
    """How a product contracts a solution.

    Attributes:
        contracts_unknown: whether the axis that was solved for is contracted; else a free one.
        axis: the contracted axis of the other operand,
        batch: its batch axes, in the order of the matrix's leading axes,
        free: and the others.
        columns: how many columns of the other operand there are to a matrix.
    """

    contracts_unknown: bool
    axis: int
    batch: tuple[int, ...]
    free: tuple[int, ...]
    columns: int

    def layout(
        self, item: Node, place: int, system: System, permutation: tuple[int, ...]
    ) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
        """Which axes of the product are batch, unknown and free."""
        numbers = item["dimension_numbers"]
        batch_axes, contracted = numbers[1][place], numbers[0][place]
        kept = [a for a in range(len(permutation)) if a not in (*batch_axes, *contracted)]
        first = len(batch_axes)
        others = item.type.rank - first - len(kept)
        start = first if place == 0 else first + others
        positions = {permutation[axis]: start + i for i, axis in enumerate(kept)}
        positions |= {permutation[axis]: i for i, axis in enumerate(batch_axes)}
        batch = tuple(positions[axis] for axis in system.batch)
        unknown = positions[system.unknown]
        free = tuple(a for a in range(item.type.rank) if a != unknown and a not in batch)
        return batch, unknown, free


def _multiplies(item: Node) -> bool:
    return item.operation == "dot_general" and item.inputs[0] is not item.inputs[1]


def _peeled(source: Node) -> tuple[Node, tuple[int, ...]]:
    """What a node is a transpose of, and how its axes were permuted."""
    permutation = tuple(range(source.type.rank))
    while source.operation == "transpose":
        permutation = tuple(source["permutation"][axis] for axis in permutation)
        source = source.inputs[0]
    return source, permutation


def _match(item: Node, place: int, permutation: tuple[int, ...], system: System) -> _Match | None:
    """How a product contracts a solution; None if in another way than rewrites can use."""
    if not item.type.is_plain:
        return None
    other = item.inputs[1 - place]
    contracted, batch = item["dimension_numbers"]
    if len(contracted[0]) != 1 or len(batch[0]) != len(system.batch):
        return None
    if any(operand.type.dtype != item.type.dtype for operand in item.inputs):
        return None
    axes = [permutation[axis] for axis in batch[place]]
    if set(axes) != set(system.batch):
        return None
    axis = contracted[1 - place][0]
    summed = permutation[contracted[place][0]]
    if summed != system.unknown and len(system.free) != 1:
        return None
    other_batch = tuple(batch[1 - place][axes.index(axis)] for axis in system.batch)
    free = tuple(a for a in range(other.type.rank) if a != axis and a not in other_batch)
    columns = 1
    for a in free:
        columns *= other.type.shape[a]
    return _Match(summed == system.unknown, axis, other_batch, free, columns)


def _without(item: Node, place: int, other: Node, match: _Match) -> Node:
    """The product with an identity in the place of a solution: the other operand, rearranged.

    Its contracted axis goes to where the identity's other axis would go.
    """
    batch = item["dimension_numbers"][1][1 - place]
    order = (*batch, match.axis, *match.free) if place == 0 else (*batch, *match.free, match.axis)
    return transposed(other, order)
