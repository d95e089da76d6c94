"""Finding an object by the name a user gave, and saying which name was meant when there is none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


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


def resolve(kind: str, identifier: Any, table: Mapping[str, Any], expected: str) -> Any:
    """Return what a user means by a name, a config, a class or an object; None for None.

    Args:
        kind: what is looked for, as it is called in the message: `"loss"`.
        identifier: what the user gave.
        table: what there is, by name.
        expected: what else than a name would have done, as the message says it.

    Returns:
        The object or function; of a class, one made without arguments.

    Raises:
        ValueError: the name is not known, or it is nothing that can be called.
    """
    if identifier is None:
        return None
    found = find(kind, identifier, table) if isinstance(identifier, str) else identifier
    if isinstance(found, dict):
        found = from_config(kind, found)
    if isinstance(found, type):
        found = found()
    if not callable(found):
        raise ValueError(
            f"Could not interpret {kind} identifier: {identifier!r}. Expected a name, {expected}."
        )
    return found


def from_config(kind: str, config: Mapping[str, Any]) -> Any:
    """Return the object that a config stands for: a "loss", a "metric" or an "optimizer".

    Raises:
        ValueError: its class is not known.
    """
    from xlathe.runtime.training.compiling import deserialize

    return deserialize(config, kind="metrics" if kind == "metric" else kind)


def check_keys(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `ValueError` if a name is not among the known ones, naming the nearest."""
    names = list(known)
    for name in given:
        if name not in names:
            raise ValueError(f"Unknown name in {what}: {name!r}. {suggest(name, names)}")
