"""Products with matrices of a few diagonals, and with triangular ones by strips."""

from __future__ import annotations

from xlathe.compiler.ir import Node
from xlathe.compiler.ops.build import (
    broadcast_in_dim,
    cast,
    concatenated,
    make,
    multiply,
    sliced,
    wide,
)
from xlathe.compiler.structure.algebra import diagonal, padded_axis
from xlathe.compiler.structure.facts import Facts
from xlathe.compiler.structure.operands import Operand


def by_diagonals(seen: Operand, low: int, high: int) -> Node | None:
    """The product as a sum of diagonals, each times the other operand moved along.

    None if its type would be another.
    """
    matrix, other, axis = seen.matrix, seen.other, seen.axis
    size = matrix.type.shape[-1]
    dtype = seen.product.type.dtype
    kept = dtype if low == high == 0 else wide(dtype)
    other = cast(other, kept)
    axes = (*seen.batch, axis)
    total: Node | None = None
    # Row i reads column i + offset; the transpose the other way round. From the first row that is
    # read to the last: in the other order XLA:CPU takes twice as long.
    for shift in range(-high, low + 1) if seen.flipped else range(-low, high + 1):
        entries = cast(diagonal(matrix, -shift if seen.flipped else shift), kept)
        first, last = max(shift, 0), size + min(shift, 0)
        part = sliced(other, axis, first, last)
        part = multiply(_spread(entries, part.type.shape, axes), part)
        part = padded_axis(part, axis, max(-shift, 0), max(shift, 0))
        total = part if total is None else make("add", total, part)
    if total is None:
        return None
    result = seen.placed(cast(total, dtype))
    return result if result.type is seen.product.type else None


def _spread(entries: Node, shape: tuple[int, ...], axes: tuple[int, ...]) -> Node:
    """A vector along one axis; a broadcast wants its source's axes in ascending order."""
    order = sorted(range(len(axes)), key=lambda place: axes[place])
    if order != list(range(len(axes))):
        entries = make("transpose", entries, permutation=tuple(order))
    return broadcast_in_dim(entries, shape, tuple(sorted(axes)))


def strips(rows: int, columns: int, facts: Facts, count: int) -> list[tuple[int, int, int, int]]:
    """Cut a banded matrix into strips: each one's rows, and the columns it reaches."""
    height = -(-rows // count)
    found = []
    for start in range(0, rows, height):
        limit = min(start + height, rows)
        first = max(0, min(start - facts.low, columns))
        last = max(first, min(limit + facts.high, columns))
        found.append((start, limit, first, last))
    return found


def by_strips(seen: Operand, facts: Facts, count: int) -> Node | None:
    """The product of a banded matrix strip by strip, each reading only what is not zero.

    None if a strip is zero altogether, or if the type would be another.
    """
    matrix, other = seen.matrix, seen.other
    rank = matrix.type.rank
    summed, kept = (rank - 2, rank - 1) if seen.flipped else (rank - 1, rank - 2)
    shape = matrix.type.shape
    parts = []
    for start, limit, first, last in strips(shape[kept], shape[summed], facts, count):
        if first == last:
            return None
        block = sliced(sliced(matrix, kept, start, limit), summed, first, last)
        inputs = [block, sliced(other, seen.axis, first, last)]
        if seen.place == 1:
            inputs.reverse()
        parts.append(make("dot_general", *inputs, **seen.product.attributes))
    # The kept axis comes right after the batch axes, or last.
    axis = rank - 2 if seen.place == 0 else seen.product.type.rank - 1
    result = concatenated(parts, axis)
    return result if result.type is seen.product.type else None


def strip_area(rows: int, columns: int, facts: Facts, count: int) -> int:
    """How many entries the strips hold."""
    return sum((b - a) * (d - c) for a, b, c, d in strips(rows, columns, facts, count))
