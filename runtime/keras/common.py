"""What both directions share: Keras itself, errors that name the layer, weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

Pairs = Iterable[tuple[Any, Any]]


def require_keras() -> Any:
    """Return the module `keras`.

    Raises:
        ImportError: it isn't installed; the message says how it is.
    """
    try:
        import keras
    except ImportError as error:
        raise ImportError(
            "Converting models needs Keras 3, which is not installed: pip install xlathe[keras]"
        ) from error
    return keras


def refuse(layer: Any, reason: str) -> ValueError:
    """Return an error that names a layer which can't be converted."""
    return ValueError(
        f"Layer '{layer.name}' ({type(layer).__name__}) cannot be converted: {reason}"
    )


@contextmanager
def naming(layer: Any) -> Iterator[None]:
    """Turn errors about a layer's arguments into ones that name the layer."""
    try:
        yield
    except (ValueError, TypeError, NotImplementedError) as error:
        raise refuse(layer, str(error)) from error


def copy_weights(pairs: Pairs, value_of: Callable[[Any], Any]) -> None:
    """Copy the weights of the first layer of each pair to the second.

    Args:
        pairs: the pairs of layers.
        value_of: what returns a weight's value as an array of NumPy.

    Raises:
        ValueError: the two have other weights, by name or shape; the message names the layer.
    """
    for source, target in pairs:
        given = [(item.name, tuple(item.shape)) for item in source.weights]
        expected = [(item.name, tuple(item.shape)) for item in target.weights]
        if given != expected:
            raise refuse(source, f"its weights are {given}, and {expected} were expected.")
        if given:
            target.set_weights([value_of(item) for item in source.weights])
        if hasattr(target, "finalize_state"):
            target.finalize_state()
