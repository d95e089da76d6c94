"""What is known of a composite: its reference, and how a region that may be one is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from xlathe.compiler.ir import Graph, Node, Type

Keywords = tuple[tuple[str, Any], ...]
Readers = Mapping[Node, Sequence[Node]]

Reference = Callable[[Callable[..., Any], Keywords, tuple[Type, ...]], Graph | None]
"""From a function of arrays, its keyword arguments and the arrays' types to its normal form."""


class Reading(NamedTuple):
    """A region that may be a composite.

    Attributes:
        root: its last node.
        leaves: what stands for the composite's operands; None where the comparison has to find it.
        types: the operands' types.
        keywords: the static arguments with which it would be that composite.
    """

    root: Node
    leaves: tuple[Node | None, ...]
    types: tuple[Type, ...]
    keywords: Keywords = ()


class Extension(NamedTuple):
    """A larger composite that a region is the core of.

    Attributes:
        name: the composite.
        root: its last node.
        leaves: what it is computed from.
        operands: the names of these.
    """

    name: str
    root: Node
    leaves: tuple[Node, ...]
    operands: tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """One way in which a composite is written.

    Attributes:
        name: the composite.
        function: the reference, over `jax.nn` and `jax.numpy`.
        anchor: the operation by which a region is found, one that few nodes have.
        read: the regions that a node of this operation may belong to.
        library: the public function that the reference is, if it is one; else what was recognised
            is printed as a function of the program's own.
        operands: the names of the operands.
        fixed: keyword arguments of the reference that every region has.
        extend: what a region with these leaves is the core of, if it is.
        nearly: why a node that looks like its anchor is none; None where it doesn't.
    """

    name: str
    function: Callable[..., Any]
    anchor: str
    read: Callable[[Node, Readers], Iterator[Reading]]
    library: str = ""
    operands: tuple[str, ...] = ("x",)
    fixed: Keywords = ()
    extend: Callable[[Reading, tuple[Node, ...], Readers], Extension | None] | None = None
    nearly: Callable[[Node], str | None] | None = None


def through(item: Node, operations: frozenset[str]) -> Node:
    """The first node on the way down through the only inputs of these operations."""
    while item.operation in operations and item.inputs:
        item = item.inputs[0]
    return item


_MOST_WAYS = 8

MOVES = frozenset("broadcast_in_dim convert_element_type reshape copy".split())


def axis_of(axes: Sequence[int], rank: int) -> int | tuple[int, ...]:
    """Axes as one writes them: the last one is -1, and one alone is a number."""
    if len(axes) == 1:
        return -1 if axes[0] == rank - 1 else axes[0]
    return tuple(axes)


def elementwise(root: Node, **keywords: Any) -> Reading:
    """A function of one array of the same type."""
    return Reading(root, (None,), (root.type,), tuple(keywords.items()))


def above(item: Node, readers: Readers, operations: frozenset[str], most: int) -> Iterator[Node]:
    """The nodes on the ways up through these operations, as long as there are few."""
    level = {item: None}
    for _ in range(most):
        level = {
            reader: None
            for source in level
            for reader in readers.get(source, ())
            if reader.operation in operations and reader is not source
        }
        if len(level) > _MOST_WAYS:
            return
        yield from level


def number(item: Node) -> float | None:
    """A scalar constant as the shortest number that reads back as it is; None if it is none."""
    if not item.is_constant or item.type.shape or item.type.dtype.kind not in "fV":
        return None
    value = item.value
    short = float(str(value)) if value.dtype.kind == "f" else float(value)
    return short if value.dtype.type(short) == value else None
