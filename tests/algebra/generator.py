"""Random formulas of linear algebra: products, sums, slices and the like of random shapes.

A formula is the text of a function of a namespace, `jax.numpy` or `numpy`, and of operands. All of
it is made of sums and products, so that the same text with every minus made a plus, run on absolute
values, bounds each result by the sum of the absolute values of its monomials.
"""

import linecache
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Shape = tuple[int, ...]
SIZES = (1, 2, 3, 4, 5, 8, 17, 32)
EMPTY_SHARE = 0.04
REUSED_SHARE = 0.3
LEAF_SHARE = 0.12
DEPTH = 4
MOST_PRODUCTS = 8


@dataclass(frozen=True)
class Formula:
    """The text of a formula and the shapes of its operands."""

    source: str
    shapes: tuple[Shape, ...]

    @cached_property
    def function(self) -> Callable[..., Any]:
        """A function of the namespace and the operands, which returns a tuple."""
        return compiled(self.source)

    @cached_property
    def bound(self) -> Callable[..., Any]:
        """On absolute values, the sum of the absolute values of each result's monomials."""
        return compiled(self.source.replace(" - ", " + "))


def compiled(source: str) -> Callable[..., Any]:
    """The function that a text defines; tracebacks show its lines."""
    filename = f"<formula {zlib.crc32(source.encode()):x}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {}
    exec(compile(source, filename, "exec"), namespace)
    return namespace["formula"]


def random_formula(seed: int, is_integer: bool = False) -> Formula:
    """The formula of a seed, always the same one, of at least two products."""
    rng = np.random.default_rng(seed)
    while True:
        formula = written(Writer(rng, is_integer))
        if 2 <= formula.source.count("@") <= MOST_PRODUCTS:
            return formula


def written(writer: "Writer") -> Formula:
    """A formula of one to three results."""
    ranks = writer.rng.choice([0, 1, 1, 2, 2, 2, 3], int(writer.rng.integers(1, 4)))
    results = [writer.value(writer.shape(int(rank)), DEPTH) for rank in ranks]
    lines = [
        f"def formula(xp, {', '.join(writer.operands)}):",
        *writer.lines,
        f"    return ({', '.join(results)},)",
    ]
    return Formula("\n".join(lines) + "\n", tuple(writer.operands.values()))


class Writer:
    """Writes values of given shapes, each a name or an expression in parentheses."""

    def __init__(self, rng: np.random.Generator, is_integer: bool) -> None:
        self.rng = rng
        self.is_integer = is_integer
        self.sizes = [self.size() for _ in range(5)]
        self.operands: dict[str, Shape] = {}
        self.named: dict[str, Shape] = {}
        self.lines: list[str] = []
        self.leaf((self.sizes[0], self.sizes[1]))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def pick(self, choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def size(self) -> int:
        return 0 if self.chance(EMPTY_SHARE) else int(self.pick(SIZES))

    def shape(self, rank: int) -> Shape:
        """A shape of few sizes, so that products fit each other."""
        return tuple(min(self.pick(self.sizes), 3) for _ in range(rank - 2)) + tuple(
            self.pick(self.sizes) for _ in range(min(rank, 2))
        )

    def value(self, shape: Shape, depth: int) -> str:
        """A value of a shape: one there is, an operand, or a formula."""
        known = [name for name, its in self.named.items() if its == shape]
        if known and self.chance(REUSED_SHARE):
            return self.pick(known)
        if depth <= 0 or self.chance(LEAF_SHARE):
            return self.leaf(shape)
        text = self.pick(self.makers(shape))(shape, depth - 1)
        if self.chance(0.5):
            return f"({text})"
        name = f"t{len(self.lines)}"
        self.lines.append(f"    {name} = {text}")
        self.named[name] = shape
        return name

    def leaf(self, shape: Shape) -> str:
        """An operand, as it is or transposed; often one there is."""
        for its, suffix in ((shape, ""), (shape[::-1], ".T")):
            known = [name for name, other in self.operands.items() if other == its]
            if known and (not suffix or len(shape) == 2) and self.chance(0.5):
                return self.pick(known) + suffix
        if self.operands and self.chance(0.08):
            return f"xp.ones({shape}, A0.dtype)"
        name = f"A{len(self.operands)}"
        self.operands[name] = shape
        return name

    def makers(self, shape: Shape) -> list[Callable[[Shape, int], str]]:
        anywhere = [self.sum_, self.sum_, self.difference, self.scaled, self.reduced, self.sliced]
        of_rank = {
            0: [self.inner, self.trace, self.element],
            1: [
                *(self.matrix_vector, self.matrix_vector, self.vector_matrix, self.row),
                *(self.diagonal, self.concatenated),
            ],
            2: [
                *(self.product, self.product, self.product, self.product, self.transposed),
                *(self.outer, self.gathered, self.masked, self.broadcast, self.squared),
                *(self.concatenated, self.stacked),
            ],
            3: [self.batched, self.batched, self.einsum, self.broadcast, self.stacked],
        }
        return anywhere + of_rank[len(shape)]

    def sum_(self, shape: Shape, depth: int) -> str:
        return f"{self.value(shape, depth)} + {self.value(self.narrower(shape), depth)}"

    def difference(self, shape: Shape, depth: int) -> str:
        return f"{self.value(shape, depth)} - {self.value(shape, depth)}"

    def narrower(self, shape: Shape) -> Shape:
        """A shape that broadcasts to this one, most often itself."""
        if self.chance(0.8) or not shape:
            return shape
        return self.pick([shape[1:], (*shape[:-1], 1)])

    def scaled(self, shape: Shape, depth: int) -> str:
        if self.chance(0.3):
            return f"{self.value((), depth)} * {self.value(shape, depth)}"
        constant = self.pick(["2", "3"] if self.is_integer else ["0.5", "2.0", "1.25"])
        return f"{constant} * {self.value(shape, depth)}"

    def reduced(self, shape: Shape, depth: int) -> str:
        axis = int(self.rng.integers(len(shape) + 1))
        size = self.size()
        if len(shape) == 3:
            return self.sum_(shape, depth)
        mean = size and not self.is_integer and self.chance(0.3)
        inner = self.value((*shape[:axis], size, *shape[axis:]), depth)
        return f"{inner}.{'mean' if mean else 'sum'}({axis})"

    def sliced(self, shape: Shape, depth: int) -> str:
        starts = [int(self.rng.integers(0, 4)) if self.chance(0.6) else 0 for _ in shape]
        more = [int(self.rng.integers(0, 4)) if self.chance(0.6) else 0 for _ in shape]
        larger = tuple(map(sum, zip(shape, starts, more, strict=True)))
        ranges = [f"{low}:{low + size}" for low, size in zip(starts, shape, strict=True)]
        return f"{self.value(larger, depth)}[{', '.join(ranges) or '...'}]"

    def inner(self, _: Shape, depth: int) -> str:
        size = self.pick(self.sizes)
        return f"{self.value((size,), depth)} @ {self.value((size,), depth)}"

    def trace(self, _: Shape, depth: int) -> str:
        size = self.pick(self.sizes)
        return f"xp.trace({self.value((size, size), depth)})"

    def element(self, _: Shape, depth: int) -> str:
        rows, columns = (max(1, self.pick(self.sizes)) for _ in range(2))
        place = f"{self.rng.integers(rows)}, {self.rng.integers(columns)}"
        return f"{self.value((rows, columns), depth)}[{place}]"

    def matrix_vector(self, shape: Shape, depth: int) -> str:
        size = self.pick(self.sizes)
        return f"{self.value((*shape, size), depth)} @ {self.value((size,), depth - 1)}"

    def vector_matrix(self, shape: Shape, depth: int) -> str:
        size = self.pick(self.sizes)
        return f"{self.value((size,), depth - 1)} @ {self.value((size, *shape), depth)}"

    def row(self, shape: Shape, depth: int) -> str:
        rows = max(1, self.pick(self.sizes))
        if self.chance(0.5):
            return f"{self.value((rows, *shape), depth)}[{self.rng.integers(rows)}]"
        return f"{self.value((*shape, rows), depth)}[:, {self.rng.integers(rows)}]"

    def diagonal(self, shape: Shape, depth: int) -> str:
        return f"xp.diagonal({self.value(shape * 2, depth)})"

    def product(self, shape: Shape, depth: int) -> str:
        size = self.pick(self.sizes)
        left, right = self.value((shape[0], size), depth), self.value((size, shape[1]), depth)
        return f"{left} @ {right}"

    def squared(self, shape: Shape, depth: int) -> str:
        """A matrix times its transpose, or diagonal matrices."""
        rows, columns = shape
        if rows == columns and self.chance(0.5):
            factor = self.value((rows, self.pick(self.sizes)), depth)
            return f"{factor} @ {factor}.T"
        if rows == columns and self.chance(0.3):
            return f"xp.eye({rows}, dtype=A0.dtype) - {self.value(shape, depth)}"
        diagonal = f"xp.diag({self.value((rows,), depth - 1)})"
        return f"{diagonal} @ {self.value(shape, depth)}"

    def transposed(self, shape: Shape, depth: int) -> str:
        return f"{self.value(shape[::-1], depth)}.T"

    def outer(self, shape: Shape, depth: int) -> str:
        left, right = (self.value((size,), depth) for size in shape)
        return f"{left}[:, None] * {right}" if self.chance(0.5) else f"xp.outer({left}, {right})"

    def gathered(self, shape: Shape, depth: int) -> str:
        rows = max(1, self.pick(self.sizes))
        indices = [int(index) for index in self.rng.integers(0, rows, shape[0])]
        return f"{self.value((rows, shape[1]), depth)}[xp.array({indices}, int)]"

    def masked(self, shape: Shape, depth: int) -> str:
        return f"xp.{self.pick(['tril', 'triu'])}({self.value(shape, depth)})"

    def broadcast(self, shape: Shape, depth: int) -> str:
        return f"xp.broadcast_to({self.value(shape[1:], depth)}, {shape})"

    def concatenated(self, shape: Shape, depth: int) -> str:
        axis = int(self.rng.integers(len(shape)))
        first = int(self.rng.integers(shape[axis] + 1))
        parts = [
            self.value((*shape[:axis], size, *shape[axis + 1 :]), depth)
            for size in (first, shape[axis] - first)
        ]
        return f"xp.concatenate([{', '.join(parts)}], {axis})"

    def stacked(self, shape: Shape, depth: int) -> str:
        if not 1 <= shape[0] <= 3:
            return self.sum_(shape, depth)
        return f"xp.stack([{', '.join(self.value(shape[1:], depth) for _ in range(shape[0]))}])"

    def batched(self, shape: Shape, depth: int) -> str:
        batch, rows, columns = shape
        size = self.pick(self.sizes)
        left = self.pick([(batch, rows, size), (batch, rows, size), (rows, size)])
        right = (size, columns) if len(left) == 3 and self.chance(0.3) else (batch, size, columns)
        return f"{self.value(left, depth)} @ {self.value(right, depth)}"

    def einsum(self, shape: Shape, depth: int) -> str:
        batch, rows, columns = shape
        size = self.pick(self.sizes)
        left, right = self.value((rows, size, batch), depth), self.value((columns, size), depth)
        return f"xp.einsum('ijb,kj->bik', {left}, {right})"
