"""Keras's `ops`: functions of arrays that apply to variables and symbolic tensors as well."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from xlathe.tracer.layers.operations import EAGER, NAMED
from xlathe.tracer.layers.operator import Operator
from xlathe.tracer.layers.serialization import suggestion
from xlathe.tracer.layers.symbolic import symbolic_leaves
from xlathe.tracer.layers.variable import value_of

_PARTS = ("core", "image", "linalg", "math", "nn", "numpy")


class Part:
    """A part of `ops`, such as `ops.image`: its functions by their names.

    Arguments:
        name: the part's name.
    """

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return find(f"image.{name}" if self._name == "image" else name)

    def __dir__(self) -> list[str]:
        own = f"{self._name}."
        return [n.removeprefix(own) for n in names() if n.startswith(own) or self._name != "image"]


@functools.cache
def find(name: str) -> Any:
    """Return the function of this name, or the part of `ops` that is called so.

    Raises:
        AttributeError: there is none; the message names the nearest.
    """
    if name in _PARTS:
        return Part(name)
    if name in EAGER:
        return EAGER[name]
    if name not in NAMED:
        raise AttributeError(
            f"`ops` has no function {name!r}.{suggestion(name, NAMED)} Any function of JAX can be "
            "used on arrays, and on symbolic tensors in a `layers.Lambda`."
        )
    return _lifted(name, NAMED[name])


def names() -> list[str]:
    """Return the names of the functions there are."""
    return sorted([*NAMED, *EAGER])


def _lifted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, recorded as a node of a model when it is called on symbolic tensors."""

    @functools.wraps(function, updated=())
    def apply(*args: Any, **kwargs: Any) -> Any:
        if symbolic_leaves((args, kwargs)):
            return Operator(name)(*args, **kwargs)
        args, kwargs = jax.tree.map(value_of, (args, kwargs))
        return function(*args, **kwargs)

    return apply
