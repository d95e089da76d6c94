"""Linear systems: recognising what a `linear_solve` solves, and building others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jax import lax

from xlathe.compiler.ir import Graph, Node, array_type, get, node
from xlathe.compiler.ops.build import (
    broadcast_in_dim,
    dot,
    iota,
    make,
    multiply,
    reshaped,
    transposed,
)
from xlathe.compiler.structure.algebra import (
    HIGHEST,
    diagonal,
    graph,
    padded_axis,
    triangular_solve,
)
from xlathe.compiler.structure.diagonals import Diagonals, diagonal_matrix, reciprocal
from xlathe.compiler.structure.facts import Facts
from xlathe.compiler.structure.infer import Structures


@dataclass(frozen=True)
class System:
    """What a `linear_solve` node solves: a matrix times the unknown is the right hand side.

    The solution has the layout of the right hand side.

    Attributes:
        matrix: square matrices in the last two axes.
        transposed: whether it is their transposes that are solved with.
        right: the right hand side.
        batch: its axes that go with the matrix's leading axes,
        unknown: the one that the matrix is multiplied with,
        free: and the others.
    """

    matrix: Node
    transposed: bool
    right: Node
    batch: tuple[int, ...]
    unknown: int
    free: tuple[int, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of the right hand side as columns of matrices: batch, unknown, free."""
        return (*self.batch, self.unknown, *self.free)

    @property
    def columns(self) -> int:
        """How many right hand sides each matrix has."""
        count = 1
        for axis in self.free:
            count *= self.right.type.shape[axis]
        return count

    @property
    def size(self) -> int:
        """The number of unknowns."""
        return self.right.type.shape[self.unknown]

    @property
    def matrices(self) -> int:
        """How many systems there are."""
        count = 1
        for axis in self.batch:
            count *= self.right.type.shape[axis]
        return count


def system_of(item: Node) -> System | None:
    """What a `linear_solve` node solves; None where its product is not one with a matrix."""
    if item.operation != "linear_solve" or isinstance(item.type, tuple):
        return None
    lengths = item["const_lengths"]
    if lengths[0] != 1 or len(item.inputs) != sum(lengths) + 1:
        return None
    matrix, right = item.inputs[0], item.inputs[-1]
    if not matrix.type.is_plain or not right.type.is_plain or matrix.type.rank < 2:
        return None
    found = _labels(item["matvec"])
    if found is None:
        return None
    of_matrix, of_unknown, of_result = found
    differing = [axis for axis in range(len(of_unknown)) if of_unknown[axis] is not of_result[axis]]
    if len(differing) != 1:
        return None
    unknown = differing[0]
    last_two = [of_result[unknown], of_unknown[unknown]]
    if any(label not in of_matrix for label in last_two):
        return None
    # vmap may leave the matrix's batch axes where the user had them.
    rows_first = of_matrix.index(last_two[0]) < of_matrix.index(last_two[1])
    leading = [axis for axis, label in enumerate(of_matrix) if label not in last_two]
    if any(of_matrix[axis] not in of_unknown for axis in leading):
        return None
    ordered = last_two if rows_first else last_two[::-1]
    matrix = transposed(matrix, [*leading, *(of_matrix.index(label) for label in ordered)])
    batch = tuple(of_unknown.index(of_matrix[axis]) for axis in leading)
    free = tuple(a for a in range(len(of_unknown)) if a != unknown and a not in batch)
    return System(matrix, not rows_first, right, batch, unknown, free)


class _Label:
    """An axis of a product."""


def _labels(matvec: Graph) -> tuple[list[_Label], list[_Label], list[_Label]] | None:
    """The axes of a matrix, a vector and their product; None if the graph is no such product."""
    if len(matvec.parameters) != 2 or len(matvec.results) != 1:
        return None
    known: dict[Node, list[_Label]] = {
        item: [_Label() for _ in item.type.shape] for item in matvec.parameters
    }
    of_matrix, of_vector = (known[item] for item in matvec.parameters)
    for item in matvec.nodes:
        if item.operation == "transpose":
            of_input = known[item.inputs[0]]
            known[item] = [of_input[axis] for axis in item["permutation"]]
        elif item.operation == "dot_general" and set(item.inputs) == set(matvec.parameters):
            left, right = (known[source] for source in item.inputs)
            (left_axes, right_axes), (left_batch, right_batch) = item["dimension_numbers"]
            joined = {
                right[second]: left[first]
                for first, second in zip(
                    (*left_axes, *left_batch), (*right_axes, *right_batch), strict=True
                )
            }
            for labels in (of_matrix, of_vector):
                labels[:] = [joined.get(label, label) for label in labels]
            summed = {left[axis] for axis in left_axes}
            result = [left[axis] for axis in left_batch]
            result += [c for c in left if c not in summed and c not in result]
            result += [c for c in right if c not in summed and c not in result]
            known[item] = result
        else:
            return None
    return of_matrix, of_vector, known[matvec.results[0]]


def same_matrix(first: Node, second: Node) -> bool:
    """Whether two nodes hold the same numbers, gradients aside."""
    return _bare(first) == _bare(second)


def _bare(item: Node) -> tuple[Node, tuple[int, ...]]:
    """What a node holds the numbers of, and in which order of axes."""
    permutation = tuple(range(item.type.rank))
    while item.operation in ("stop_gradient", "assume", "transpose"):
        if item.operation == "transpose":
            permutation = tuple(item["permutation"][axis] for axis in permutation)
        item = item.inputs[0]
    return item, permutation


def factorisation(item: Node, matrix: Node) -> Node | None:
    """The `lu` node of its matrix that a `linear_solve` node solves with; None if it has none."""
    for source in item.inputs:
        if source.operation == "get" and source.inputs[0].operation == "lu":
            if same_matrix(source.inputs[0].inputs[0], matrix):
                return source.inputs[0]
    return None


class Method(NamedTuple):
    """A way to solve a system.

    Attributes:
        name: `diagonal`, `triangular`, `tridiagonal`, `orthogonal`, `cholesky` or `lu`.
        lower: of a triangular matrix, which triangle,
        unit: and whether its diagonal holds ones.
    """

    name: str
    lower: bool = False
    unit: bool = False


LU = Method("lu")


def method_for(facts: Facts, matrix: Node, platform: str) -> Method | None:
    """The way to solve with a matrix of which something is known; None if that is no help."""
    dtype = matrix.type.dtype
    if dtype.kind not in "fc":
        return None
    if facts.is_diagonal:
        return Method("diagonal")
    if facts.orthogonal and dtype.kind == "f":
        return Method("orthogonal")
    if facts.low <= 0 or facts.high <= 0:
        return Method("triangular", facts.high <= 0, facts.unit)
    # On TPU the solver does not exchange rows.
    stable = platform != "tpu" or facts.positive
    if facts.low <= 1 and facts.high <= 1 and stable and matrix.type.shape[-1] > 2:
        return Method("tridiagonal")
    if facts.positive and dtype.kind == "f":
        return Method("cholesky")
    return None


def factors(method: Method, matrix: Node, lu: Node | None) -> tuple[Node, ...]:
    """What a method works out of the matrix before it sees a right hand side."""
    if method.name == "triangular":
        matrix = _under_mask(matrix, method.lower)
    fixed = matrix if matrix.operation == "stop_gradient" else make("stop_gradient", matrix)
    if method.name == "lu":
        assert lu is not None
        return (get(lu, 0), get(lu, 2))
    if method.name == "cholesky":
        return (node("cholesky", (fixed,), matrix.type),)
    if method.name == "tridiagonal":
        last = matrix.type.rank - 2
        return (
            padded_axis(diagonal(fixed, -1), last, 1, 0),
            diagonal(fixed),
            padded_axis(diagonal(fixed, 1), last, 0, 1),
        )
    if method.name == "diagonal":
        return (diagonal(fixed),)
    return (fixed,)


def _under_mask(matrix: Node, lower: bool) -> Node:
    """What was masked to be triangular: substitution reads one triangle of it only."""
    inner = matrix
    while inner.operation in ("assume", "stop_gradient"):
        inner = inner.inputs[0]
    if inner.operation != "select_n" or len(inner.inputs) != 3:
        return matrix
    which, *cases = inner.inputs
    mask = Structures(zeros=True).mask(which)
    for other, case in zip((mask.true, mask.false), cases, strict=True):
        beyond = other.low if lower else other.high
        if beyond < 0 and case.type is matrix.type:
            return case
    return matrix


def solve_flops(method: Method, size: int, columns: int, matrices: int = 1) -> float:
    """Floating point operations of a solve, factors included."""
    each = {
        "diagonal": size * columns,
        "tridiagonal": 8.0 * size * columns,
        "triangular": float(size) ** 2 * columns,
        "orthogonal": 2.0 * size**2 * columns,
        "cholesky": size**3 / 3 + 2.0 * size**2 * columns,
        "lu": 2 * size**3 / 3 + 2.0 * size**2 * columns,
    }
    return each[method.name] * matrices


def _solution(method: Method, transpose: bool, consts: Sequence[Node], right: Node) -> Node:
    """The solution for columns `right`, from the factors."""
    rank = right.type.rank
    batch = rank - 2
    if method.name == "diagonal":
        spread = broadcast_in_dim(consts[0], right.type.shape, tuple(range(rank - 1)))
        return make("div", right, spread)
    if method.name == "orthogonal":
        axis = rank - 1 if transpose else rank - 2
        return dot(consts[0], right, (axis, rank - 2), batch, HIGHEST)
    if method.name == "triangular":
        return triangular_solve(consts[0], right, method.lower, transpose, method.unit)
    if method.name == "cholesky":
        half = triangular_solve(consts[0], right, True)
        return triangular_solve(consts[0], half, True, transpose=True)
    if method.name == "tridiagonal":
        below, main, above = consts
        if transpose:
            last = rank - 2
            below, above = padded_axis(above, last, 1, -1), padded_axis(below, last, -1, 1)
        attributes = {"perturb_singular": False}
        return node("tridiagonal_solve", (below, main, above, right), right.type, attributes)
    packed, order = consts
    if transpose:
        half = triangular_solve(packed, right, False, transpose=True)
        whole = triangular_solve(packed, half, True, transpose=True, unit=True)
        return rows_taken(whole, _inverse_permutation(order))
    half = triangular_solve(packed, rows_taken(right, order), True, unit=True)
    return triangular_solve(packed, half, False)


def rows_taken(item: Node, order: Node) -> Node:
    """The rows of matrices in another order."""
    rank = item.type.rank
    batch = tuple(range(rank - 2))
    numbers = lax.GatherDimensionNumbers(
        offset_dims=(rank - 1,),
        collapsed_slice_dims=(rank - 2,),
        start_index_map=(rank - 2,),
        operand_batching_dims=batch,
        start_indices_batching_dims=batch,
    )
    attributes = {
        "dimension_numbers": numbers,
        "slice_sizes": (*((1,) * (rank - 1)), item.type.shape[-1]),
        "unique_indices": False,
        "indices_are_sorted": False,
        "mode": lax.GatherScatterMode.PROMISE_IN_BOUNDS,
        "fill_value": None,
    }
    shape = order.type.shape
    indices = broadcast_in_dim(order, (*shape, 1), tuple(range(len(shape))))
    return node("gather", (item, indices), item.type, attributes)


def _inverse_permutation(order: Node) -> Node:
    rank = order.type.rank
    numbers = iota(order.type.shape[-1:], dtype=order.type.dtype)
    if rank > 1:
        numbers = broadcast_in_dim(numbers, order.type.shape, (rank - 1,))
    attributes = {"dimension": rank - 1, "is_stable": True, "num_keys": 1}
    both = node("sort", (order, numbers), (order.type, numbers.type), attributes)
    return get(both, 1)


def solution(system: System, method: Method, lu: Node | None = None) -> Node | None:
    """The node that solves a system, in the layout of its right hand side.

    Its gradient is that of any linear solve: the product with the whole matrix is kept beside the
    solvers. None if its type would be another.
    """
    matrix, right = system.matrix, system.right
    shape = right.type.shape
    front = tuple(shape[axis] for axis in system.batch)
    in_order = transposed(right, system.order)
    columns = reshaped(in_order, (*front, system.size, system.columns))
    consts = factors(method, matrix, lu)
    solved = _linear_solve(matrix, system.transposed, method, consts, columns)
    if solved is None:
        return None
    result = reshaped(solved, in_order.type.shape)
    inverse = sorted(range(len(shape)), key=lambda axis: system.order[axis])
    result = transposed(result, inverse)
    return result if result.type is right.type else None


def _linear_solve(
    matrix: Node, transpose: bool, method: Method, consts: tuple[Node, ...], columns: Node
) -> Node | None:
    rank = columns.type.rank
    batch = rank - 2
    column_type = array_type(columns.type.shape, columns.type.dtype, columns.type.weak)

    def product(flip: bool) -> Graph:
        axis = rank - 2 if flip else rank - 1
        return graph(
            "vecmat" if flip != transpose else "matvec",
            [matrix.type, column_type],
            lambda a, x: dot(a, x, (axis, rank - 2), batch, HIGHEST),
        )

    def solver(flip: bool) -> Graph:
        return graph(
            f"{method.name}_transpose_solve" if flip != transpose else f"{method.name}_solve",
            [*(item.type for item in consts), column_type],
            lambda *values: _solution(method, flip, values[:-1], values[-1]),
        )

    attributes = {
        "const_lengths": (1, 1, len(consts), len(consts)),
        "matvec": product(transpose),
        "vecmat": product(not transpose),
        "solve": solver(transpose),
        "transpose_solve": solver(not transpose),
    }
    inputs = (matrix, matrix, *consts, *consts, columns)
    results = attributes["solve"].result_types
    if results[0] is not columns.type or attributes["matvec"].result_types != results:
        return None
    return node("linear_solve", inputs, columns.type, attributes)


def divided(system: System, shown: Structures) -> Node | None:
    """The solution with a diagonal matrix as a product; None if its type would be another.

    Its gradient reaches the diagonal alone, so that the program has to show the zeros.
    """
    entries = reciprocal(Diagonals(shown, True)(system.matrix))
    right = system.right
    if is_inverse(system):
        new = diagonal_matrix(entries, right)
    else:
        axes = (*system.batch, system.unknown)
        order = sorted(range(len(axes)), key=lambda place: axes[place])
        spread = broadcast_in_dim(
            transposed(entries, order), right.type.shape, tuple(axes[place] for place in order)
        )
        new = multiply(right, spread)
    return new if new.type is right.type else None


def is_inverse(system: System) -> bool:
    """Whether the right hand side is the identity, so that the solution is the inverse."""
    if len(system.free) != 1 or system.columns != system.size:
        return False
    rank = system.right.type.rank
    if {system.unknown, *system.free} != {rank - 1, rank - 2}:
        return False
    return Structures(zeros=True)(system.right).is_identity


def rebuilt(item: Node, system: System, method: Method) -> bool:
    """Whether a node is the very one that this module builds for a method."""
    if method.name == "lu" or system.order != tuple(range(item.type.rank)):
        return False
    consts = factors(method, system.matrix, None)
    return item is _linear_solve(system.matrix, system.transposed, method, consts, system.right)
