"""What it takes to compute a part of a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xlathe.compiler.ir import Node
from xlathe.compiler.rules.views import Range, View


@dataclass(frozen=True)
class Plan:
    """How to compute a part of a node.

    Attributes:
        views: what is read of each input; None reads all of it, `UNREAD` nothing.
        build: makes the part from those.
        numerics: `exact`, or `relaxed` where sums may be added in another order.
    """

    views: tuple[View | None, ...]
    build: Callable[[Sequence[Node]], Node]
    numerics: str = "exact"


UNREAD: View = (Range(0, 0),)
"""Stands for the view of an input of which nothing is needed."""

Planned = Plan | str
"""A plan, or the reason why there is none."""

Planner = Callable[[Node, View], Planned]
