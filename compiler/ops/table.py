"""The operation table: what the compiler knows of each operation.

An operation that is not in the table is a JAX primitive that xlathe has no opinion of: its type
comes from JAX's own abstract evaluation, and it is emitted by `bind`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from xlathe.compiler.ir.node import Node
from xlathe.compiler.ir.types import Type

COMPARE, OR, XOR, AND, SHIFT, ADD, MULTIPLY, UNARY, POWER, ATOM = range(10)
"""Python's levels of precedence, loosest first."""


class Expression(NamedTuple):
    """Python text and how tightly its outermost operator binds."""

    text: str
    level: int = ATOM


class Writer(Protocol):
    """What an operation may ask of the emitter while it writes itself."""

    def operand(self, item: Node, level: int = COMPARE) -> str:
        """The text of an input, in parentheses if it binds less tightly than `level`."""
        ...

    def scalar_operand(self, item: Node, beside: Node, level: int = COMPARE) -> str:
        """The same, with a scalar constant as a bare number where `beside` gives it its dtype."""
        ...

    def dtype(self, value: Any) -> str:
        """The text of a dtype as an argument: `jnp.float32`."""
        ...

    def is_inlined(self, item: Node) -> bool:
        """Whether an input stands in this expression only, so that the two may be one idiom."""
        ...

    def literal(self, value: Any) -> str:
        """The text of a static value."""
        ...


Infer = Callable[[Sequence[Type], Mapping[str, Any]], Any]
Flops = Callable[[Node], float]
Write = Callable[[Node, Writer], Expression | None]


@dataclass(frozen=True)
class Operation:
    """What is known of one operation.

    Attributes:
        name: its name in the graph.
        infer: gives the result type from the input types and attributes.
        flops: gives the number of floating point operations; None where it is one an element.
        write: gives the Python expression; None, or a result of None, means `bind`.
        moves_only: whether it only moves or names data, at no arithmetic.
    """

    name: str
    infer: Infer | None = None
    flops: Flops | None = None
    write: Write | None = None
    moves_only: bool = False


_operations: dict[str, Operation] = {}
_UNKNOWN = Operation("")


def register(*operations: Operation) -> None:
    """Enter operations into the table."""
    for operation in operations:
        _operations[operation.name] = operation


def lookup(name: str) -> Operation:
    """The table's entry for a name; an entry that knows nothing if there is none."""
    return _operations.get(name, _UNKNOWN)


def known_operations() -> tuple[str, ...]:
    """The names in the table, in order of entry."""
    return tuple(_operations)
