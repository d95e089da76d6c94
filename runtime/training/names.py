"""Finding an object by the name a user gave, and saying which name was meant when there is none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any


def snake_case(name: str) -> str:
    """Return a class's name as Keras derives default names from it: `MyLoss` is `my_loss`."""
    parts = re.sub(r"\W+", "", name)
    parts = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", parts)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", parts).lower()


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a sentence that names what is nearest to a name, or lists all if nothing is."""
    names = sorted(set(known))
    by_lower = {item.lower(): item for item in names}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {by_lower[near[0]]!r}?"
    return f"Expected one of: {', '.join(names)}."


def find(kind: str, name: str, table: Mapping[str, Any]) -> Any:
    """Return what a table holds under a name.

    Args:
        kind: what is looked for, as it is called in the message: `"loss"`.
        name: what the user wrote.
        table: what there is, by name.

    Returns:
        The table's entry.

    Raises:
        ValueError: there is none; the message names the nearest.
    """
    if name in table:
        return table[name]
    raise ValueError(f"There is no {kind} of the name {name!r}. {suggest(name, table)}")


def check_keys(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `ValueError` if a name is not among the known ones, naming the nearest."""
    names = list(known)
    for name in given:
        if name not in names:
            raise ValueError(f"Unknown name in {what}: {name!r}. {suggest(name, names)}")
