"""Calling a user's function with what it takes: whether it is training, a key, a state."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return a function's parameters by name; none if they aren't known."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def accepted(
    function: Callable[..., Any], offered: Mapping[str, Callable[[], Any]]
) -> dict[str, Any]:
    """Return the keyword arguments, of those offered, that a function has parameters for."""
    known = parameters_of(function)
    return {name: value() for name, value in offered.items() if name in known}


def grouped(function: Callable[..., Any], parts: tuple[Any, ...], offered: Any) -> tuple[Any, ...]:
    """Return the parts of a batch as a function takes them: one by one, or in one tuple.

    Args:
        function: its first parameter is the model, the parameters or the state.
        parts: inputs, targets and weights, as many as there are.
        offered: the names that are given as keywords.

    Returns:
        The arguments after the first.
    """
    known = parameters_of(function).values()
    if any(item.kind is inspect.Parameter.VAR_POSITIONAL for item in known):
        return parts
    places = [item for item in known if item.kind in _POSITIONAL and item.name not in offered]
    return (parts,) if len(parts) > 1 and len(places) == 2 else parts


def without_state(result: Any) -> tuple[Any, Any]:
    """Return what a call that takes a state returned: its result, and the new state.

    Raises:
        ValueError: it isn't such a pair.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise ValueError(
            f"What takes a `state` must return `(result, state)`. Received: {type(result).__name__}"
        )
    return result


def parts_of(x: Any, y: Any, weights: Any) -> tuple[Any, ...]:
    """Return what there is of inputs, targets and weights."""
    if weights is not None:
        return x, y, weights
    return (x,) if y is None else (x, y)
