"""What is known of the matrices in the last two axes of a value."""

from __future__ import annotations

from dataclasses import dataclass, replace

FULL = 1 << 40
"""A bandwidth without bound."""


@dataclass(frozen=True)
class Facts:
    """What is known of a matrix. Nothing, by default.

    Attributes:
        low: how many diagonals below the main one may hold numbers: 0 for an upper triangular
            matrix, -1 where the main diagonal is zero as well; `FULL` where nothing is known.
        high: the same above it.
        unit: whether the main diagonal holds ones.
        symmetric: whether it is equal to its transpose,
        hermitian: or to its conjugate transpose.
        positive: whether it is positive definite.
        orthogonal: whether its conjugate transpose is its inverse.
        permutation: whether each row and column holds a single one.
    """

    low: int = FULL
    high: int = FULL
    unit: bool = False
    symmetric: bool = False
    hermitian: bool = False
    positive: bool = False
    orthogonal: bool = False
    permutation: bool = False

    @property
    def is_zero(self) -> bool:
        """Whether all entries are zero."""
        return self.low + self.high < 0

    @property
    def is_diagonal(self) -> bool:
        """Whether all entries off the main diagonal are zero."""
        return self.low <= 0 and self.high <= 0

    @property
    def is_identity(self) -> bool:
        """Whether it is the identity."""
        return self.is_diagonal and self.unit

    @property
    def is_banded(self) -> bool:
        """Whether a diagonal is known to be zero."""
        return self.low < FULL or self.high < FULL

    @property
    def transposed(self) -> Facts:
        """The facts of the transpose."""
        return self if self.low == self.high else replace(self, low=self.high, high=self.low)

    @property
    def band(self) -> Facts:
        """Where it is zero, and nothing else."""
        return Facts(self.low, self.high)

    def both(self, other: Facts) -> Facts:
        """The facts of a matrix of which two sets of facts are known."""
        return Facts(
            min(self.low, other.low),
            min(self.high, other.high),
            self.unit or other.unit,
            self.symmetric or other.symmetric,
            self.hermitian or other.hermitian,
            self.positive or other.positive,
            self.orthogonal or other.orthogonal,
            self.permutation or other.permutation,
        )


NOTHING = Facts()
ZERO = Facts(-FULL, -FULL, symmetric=True, hermitian=True)
IDENTITY = Facts(0, 0, True, True, True, True, True, True)

OF_KIND: dict[str, Facts] = {
    "lower_triangular": Facts(high=0),
    "upper_triangular": Facts(low=0),
    "unit_lower_triangular": Facts(high=0, unit=True),
    "unit_upper_triangular": Facts(low=0, unit=True),
    "diagonal": Facts(0, 0, symmetric=True),
    "tridiagonal": Facts(1, 1),
    "symmetric": Facts(symmetric=True),
    "hermitian": Facts(hermitian=True),
    "positive_definite": Facts(hermitian=True, positive=True),
    "orthogonal": Facts(orthogonal=True),
    "permutation": Facts(orthogonal=True, permutation=True),
}
"""What a hint says."""


def kinds_of(facts: Facts) -> list[str]:
    """The hints that say as much of these facts as hints can say."""
    kinds = []
    if facts.is_diagonal:
        kinds.append("diagonal")
    elif facts.low <= 1 and facts.high <= 1:
        kinds.append("tridiagonal")
    if facts.low <= 0 and (facts.unit or not facts.is_diagonal):
        kinds.append("unit_upper_triangular" if facts.unit else "upper_triangular")
    if facts.high <= 0 and not facts.is_diagonal:
        kinds.append("unit_lower_triangular" if facts.unit else "lower_triangular")
    if facts.positive:
        kinds.append("positive_definite")
    elif facts.hermitian and not facts.is_diagonal:
        kinds.append("hermitian")
    if facts.symmetric and not facts.is_diagonal:
        kinds.append("symmetric")
    if facts.permutation:
        kinds.append("permutation")
    elif facts.orthogonal:
        kinds.append("orthogonal")
    return kinds
