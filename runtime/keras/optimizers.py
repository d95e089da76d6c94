"""The state of an optimizer, here and in Keras: which variable is which."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import Any

_RENAMED = {"iterations": "iteration"}
_KINDS = {"averages": "average", "accumulated": "gradient_accumulator"}


def state_pairs(model: Any, theirs: Any, ours: Any) -> list[tuple[Any, Any]]:
    """Pair the variables of two optimizers that were built for the same weights.

    Args:
        model: the model that was converted, for what is said where they don't fit.
        theirs: the optimizer of Keras.
        ours: the one of xlathe.

    Returns:
        Variables of Keras with ours. There are none, and a warning says so, where the two keep
        different things, as Adafactor's do.
    """
    named = _named(theirs)
    references = [
        variable.path.replace("/", "_") for variable in _inner(theirs)._trainable_variables
    ]
    pairs = []
    for variable in ours.variables:
        match = named.get(_their_name(variable.path.partition("/")[2], references))
        if match is None or tuple(match.shape) != tuple(variable.shape):
            warnings.warn(
                f"The model '{model.name}' was converted without the state of its optimizer "
                f"{type(ours).__name__}, which keeps other variables in Keras.",
                stacklevel=5,
            )
            return []
        pairs.append((match, variable))
    return pairs


def _inner(optimizer: Any) -> Any:
    return getattr(optimizer, "inner_optimizer", optimizer)


def _named(optimizer: Any) -> dict[str, Any]:
    found = _without_prefix(optimizer._variables)
    if hasattr(optimizer, "_u_product"):
        # Nadam's has no name of its own.
        found["u_product"] = optimizer._u_product
    inner = _inner(optimizer)
    if inner is not optimizer:
        found |= {f"inner/{name}": variable for name, variable in _named(inner).items()}
    return found


def _without_prefix(variables: Iterable[Any]) -> dict[str, Any]:
    return {variable.path.partition("/")[2]: variable for variable in variables}


def _their_name(path: str, references: list[str]) -> str:
    """What Keras calls a variable of ours, after the optimizer's name."""
    prefix, inside, path = path.rpartition("rule/inner/")
    before = "inner/" if inside else prefix
    slot = re.fullmatch(r"rule/(?:slots/)?(\d+)/(\w+)", path)
    if slot is not None:
        return f"{before}{references[int(slot[1])]}_{slot[2]}"
    kept = re.fullmatch(r"(averages|accumulated)/(\d+)", path)
    if kept is not None:
        return f"{before}{references[int(kept[2])]}_{_KINDS[kept[1]]}"
    name = path.removeprefix("rule/")
    return before + _RENAMED.get(name, name)
