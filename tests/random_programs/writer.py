"""Writes the text of a random program, one assignment at a time, well typed by construction.

Each variable's shape, kind and a bound on its magnitude are known as it is written, so that every
line is valid and no value grows without limit.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Literal, TypeVar

import numpy as np

T = TypeVar("T")
Kind = Literal["float", "int", "bool", "key"]
Shape = tuple[int, ...]
LARGEST = 24


@dataclass(frozen=True)
class Variable:
    """A name in the program, and what is known of its value."""

    name: str
    shape: Shape
    kind: Kind = "float"
    bound: float = 1.0


class Text:
    """The lines of a program, and the names used in it.

    `forward_mode` keeps out what can be differentiated in reverse mode only.
    """

    def __init__(self, lines: list[str], forward_mode: bool) -> None:
        self.lines = list(lines)
        self.forward_mode = forward_mode
        self.names = 0

    def name(self, prefix: str = "v") -> str:
        """A name not used before."""
        self.names += 1
        return f"{prefix}{self.names}"


class Writer:
    """Writes one block: the variables that it may use, and the lines that it adds."""

    def __init__(
        self,
        rng: np.random.Generator,
        text: Text,
        pool: list[Variable],
        indent: int = 1,
        depth: int = 2,
        name: str = "program",
    ) -> None:
        self.name = name
        self.rng = rng
        self.text = text
        self.pool = list(pool)
        self.indent = indent
        self.depth = depth
        self.written: list[tuple[str, Variable]] = []

    def choose(self, options: list[T]) -> T:
        """One of the options."""
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        """True, with this probability."""
        return bool(self.rng.random() < probability)

    def line(self, text: str) -> None:
        """Add a line to this block."""
        self.text.lines.append("    " * self.indent + text)

    def define(
        self, expression: str, shape: Shape, kind: Kind = "float", bound: float = 1.0
    ) -> Variable:
        """Assign an expression to a new variable, bringing what may be large back to (-1, 1)."""
        if kind == "float" and bound > 4:
            expression, bound = f"jnp.tanh({expression})", 1.0
        variable = Variable(self.text.name(), shape, kind, bound)
        self.line(f"{variable.name} = {expression}")
        self.written.append((expression, variable))
        self.pool.append(variable)
        return variable

    def find(
        self, kind: Kind, suits: Callable[[Variable], bool] = lambda _: True
    ) -> Variable | None:
        """A variable of this kind that suits, if there is one; a recent one rather than an old."""
        found = [v for v in self.pool if v.kind == kind and suits(v)]
        if not found:
            return None
        return found[max(int(self.rng.integers(len(found))) for _ in range(2))]

    def some_float(self, suits: Callable[[Variable], bool] = lambda _: True) -> Variable:
        """A float that suits or, if there is none, any; a constant if there are no floats."""
        found = self.find("float", suits) or self.find("float")
        return found or self.define("jnp.linspace(-0.5, 0.5, 3)", (3,))

    def some_int(self) -> Variable:
        """An integer variable."""
        return self.find("int") or self.define("jnp.arange(3)", (3,), "int", 3)

    def some_bool(self) -> Variable:
        """A boolean variable."""
        found = self.find("bool")
        if found is None:
            value = self.some_float()
            found = self.define(f"{value.name} > 0.1", value.shape, "bool")
        return found

    def scalar_int(self) -> str:
        """An integer scalar, as an expression."""
        value = self.some_int()
        return value.name if not value.shape else f"jnp.sum({value.name})"

    def scalar_bool(self) -> str:
        """A boolean scalar, as an expression."""
        value = self.some_bool()
        return value.name if not value.shape else f"jnp.any({value.name})"

    def shaped(self, shape: Shape) -> str:
        """A float of exactly this shape, at most 1 in magnitude, as an expression."""
        value = self.some_float(lambda v: v.shape == shape)
        expression = value.name
        if value.shape != shape:
            expression = f"jnp.broadcast_to(jnp.mean({value.name}), {shape})"
        return expression if value.bound <= 1 else f"jnp.tanh({expression})"

    @contextmanager
    def function(
        self, parameters: list[Variable], closure: bool = False, name: str | None = None
    ) -> Iterator["Writer"]:
        """Write a function; `closure` lets its body use the variables around it."""
        name = name or self.text.name("f")
        self.line(f"def {name}({', '.join(p.name for p in parameters)}):")
        pool = [*self.pool, *parameters] if closure else list(parameters)
        yield Writer(self.rng, self.text, pool, self.indent + 1, self.depth - 1, name)

    def parameter(self, shape: Shape, kind: Kind = "float", bound: float = 1.0) -> Variable:
        """A parameter for a function about to be written."""
        return Variable(self.text.name("p"), shape, kind, bound)


def size(shape: Shape) -> int:
    """The number of elements."""
    return prod(shape)
