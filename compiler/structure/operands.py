"""A product seen from one of its operands, a matrix: what the other operand becomes by it."""

from __future__ import annotations

from dataclasses import dataclass

from xlathe.compiler.ir import Node
from xlathe.compiler.ops.build import transposed
from xlathe.compiler.structure.algebra import swapped


@dataclass(frozen=True)
class Operand:
    """A matrix that a product multiplies another operand with.

    Attributes:
        product: the `dot_general` node.
        place: which of its inputs the matrix is.
        flipped: whether its second to last axis is contracted, as if it were transposed.
        axis: the contracted axis of the other operand.
    """

    product: Node
    place: int
    flipped: bool
    axis: int

    @property
    def matrix(self) -> Node:
        """The matrix."""
        return self.product.inputs[self.place]

    @property
    def bare(self) -> tuple[Node, bool]:
        """The matrix that it is a transpose of, if it is one, and whether that is flipped."""
        matrix, flipped = self.matrix, self.flipped
        while matrix.operation == "transpose" and swapped(matrix) is matrix.inputs[0]:
            matrix, flipped = matrix.inputs[0], not flipped
        return matrix, flipped

    @property
    def other(self) -> Node:
        """The other operand."""
        return self.product.inputs[1 - self.place]

    @property
    def batch(self) -> tuple[int, ...]:
        """The other operand's batch axes."""
        return tuple(self.product["dimension_numbers"][1][1 - self.place])

    @property
    def columns(self) -> int:
        """How many vectors each matrix is multiplied with."""
        count = 1
        for axis, size in enumerate(self.other.type.shape):
            count *= 1 if axis == self.axis or axis in self.batch else size
        return count

    def placed(self, result: Node) -> Node:
        """A result in the layout of the other operand, in the layout of the product."""
        batch = self.batch
        free = [a for a in range(result.type.rank) if a != self.axis and a not in batch]
        if self.place == 0:
            return transposed(result, (*batch, self.axis, *free))
        return transposed(result, (*batch, *free, self.axis))


def operand(product: Node, place: int) -> Operand | None:
    """The product seen from one operand; None if that is no matrix, or not contracted as one."""
    contracted, batch = product["dimension_numbers"]
    rank = product.inputs[place].type.rank
    if rank < 2 or len(contracted[place]) != 1 or not product.type.is_plain:
        return None
    axis = contracted[place][0]
    if axis < rank - 2 or tuple(batch[place]) != tuple(range(rank - 2)):
        return None
    return Operand(product, place, axis == rank - 2, contracted[1 - place][0])
