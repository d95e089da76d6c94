"""What both directions share: Keras itself, errors that name the layer, weights."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
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


class Converter(ABC):
    """Makes layers again in the other library, each once.

    Args:
        keras: the module.
        custom: the user's classes by name.
        model_class: the class of the models that are made.
    """

    def __init__(self, keras: Any, custom: Mapping[str, Any], model_class: type) -> None:
        self.keras = keras
        self.custom = dict(custom)
        self.model_class = model_class
        self.made: dict[int, Any] = {}
        self.pairs: list[tuple[Any, Any]] = []

    def convert(self, layer: Any) -> Any:
        """Return a layer or model made again, the same one for the same layer."""
        if id(layer) not in self.made:
            self.made[id(layer)] = self._make(layer)
        return self.made[id(layer)]

    @abstractmethod
    def _make(self, layer: Any) -> Any: ...

    def _pair(self, layer: Any) -> Any:
        """Return a layer that a model holds directly made again; its weights are to be copied."""
        first = id(layer) not in self.made
        new = self.convert(layer)
        if first and not isinstance(new, self.model_class):
            self.pairs.append((layer, new))
        return new


@contextmanager
def compiling(model: Any) -> Iterator[None]:
    """Turn errors about what a model was compiled with into a warning: it is left out."""
    try:
        yield
    except (TypeError, ValueError) as error:
        warnings.warn(
            f"The model '{model.name}' was converted without what it was compiled with: {error} "
            "Call `compile` on the converted model.",
            stacklevel=5,
        )


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
