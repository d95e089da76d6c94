"""How an emitted function takes its parameters and returns its results.

A graph's parameters and results are flat; `lax.scan` and its like want them in groups. A group of
one is passed bare, of several as a tuple, as a person would write it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xlathe.compiler.ir.text import Names


def pack(items: Sequence[str], empty: str = "()") -> str:
    """Write several values as one: bare if it is one, else a tuple."""
    if not items:
        return empty
    return items[0] if len(items) == 1 else f"({', '.join(items)})"


def tuple_text(items: Sequence[str]) -> str:
    """Write a tuple of any length."""
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


@dataclass(frozen=True)
class Group:
    """Consecutive values that travel as one.

    Attributes:
        name: what the packed value is called.
        members: which of the values are there; the others are placeholders.
        always_tuple: whether a group of one is a tuple too.
        absent: what is written for a placeholder, one text for each.
    """

    name: str
    members: tuple[bool, ...]
    always_tuple: bool = False
    absent: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many of the graph's values it takes."""
        return sum(self.members)

    def fill(self, values: Sequence[str], placeholders: Sequence[str]) -> list[str]:
        """All its members' texts: the given ones where they are there, placeholders elsewhere."""
        given, spare = iter(values), iter(placeholders)
        return [next(given) if member else next(spare) for member in self.members]


@dataclass(frozen=True)
class Signature:
    """A function's parameters and results.

    Attributes:
        plain: how many parameters come first, one by one.
        groups: the groups that the parameters after them are packed into.
        keyword_only: how many parameters come last, by name.
        results: the groups that the results are packed into; none for one group of all.
    """

    plain: int
    groups: tuple[Group, ...] = ()
    keyword_only: int = 0
    results: tuple[Group, ...] = ()

    def parameters(self, local: Sequence[str], names: Names) -> tuple[list[str], list[str]]:
        """The parameter list, and the lines that unpack its groups."""
        arguments, lines = list(local[: self.plain]), []
        position = self.plain
        for group in self.groups:
            values = list(local[position : position + group.count])
            position += group.count
            absent = ["_"] * (len(group.members) - group.count)
            if len(group.members) == 1 and not group.always_tuple:
                arguments.append((values or absent)[0])
            elif not group.members:
                arguments.append(names.unique(f"_{group.name}"))
            else:
                packed = names.unique(group.name)
                arguments.append(packed)
                targets = ", ".join(group.fill(values, absent))
                lines.append(f"{targets}{',' if len(group.members) == 1 else ''} = {packed}")
        if self.keyword_only:
            arguments += ["*", *local[position:]]
        return arguments, lines

    def returned(self, values: Sequence[str]) -> str:
        """What follows `return`."""
        if not self.results:
            return pack(values)
        packed = []
        position = 0
        for group in self.results:
            members = group.fill(values[position : position + group.count], group.absent)
            position += group.count
            if group.always_tuple:
                packed.append(tuple_text(members))
            else:
                packed.append(pack(members, empty="None" if group.name == "ys" else "()"))
        return ", ".join(packed)


def flat_signature(count: int, keyword_only: int = 0) -> Signature:
    """A function of so many parameters that returns its results bare or as a tuple."""
    return Signature(count - keyword_only, keyword_only=keyword_only)


def whole_group(name: str, count: int) -> Group:
    """A group with all of its members there."""
    return Group(name, (True,) * count)
