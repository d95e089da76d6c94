"""Which layers and variables an object holds: those its attributes reach, in order."""

from collections.abc import Iterable, Iterator
from typing import Any

from xlathe.tracer.layers.random import SeedGenerator
from xlathe.tracer.layers.variable import Variable

CONTAINERS = (list, tuple, set, dict)
"""The types of attributes that may hold others."""

PLAIN = frozenset([bool, int, float, str, type(None)])
"""Those that hold none, and that most attributes are of: telling so is much faster."""


def held(value: Any, kinds: tuple[type, ...]) -> Iterator[Any]:
    """Yield the objects of these kinds in an attribute: itself, or in lists, tuples and dicts."""
    if isinstance(value, kinds):
        yield value
    elif isinstance(value, CONTAINERS):
        for item in value.values() if isinstance(value, dict) else value:
            yield from held(item, kinds)


def unique(items: Iterable[Any]) -> list[Any]:
    """Return the items without repetitions, in order of first appearance."""
    return list({id(item): item for item in items}.values())


STATE = (Variable, SeedGenerator)
