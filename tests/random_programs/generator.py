"""A random program from a seed: its text, the function that the text defines, and inputs."""

import linecache
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from .blocks import fill
from .writer import Text, Variable, Writer

HEADER = [
    "import jax",
    "import jax.numpy as jnp",
    "import numpy as np",
    "from jax import lax",
    "",
    "TABLE = np.linspace(-1, 1, 9, dtype=np.float32).reshape(3, 3)",
    "",
]
PARAMETERS = [
    Variable("x", (3,)),
    Variable("a", (2, 3)),
    Variable("b", (3, 2)),
    Variable("s", ()),
    Variable("n", (3,), "int", 4),
    Variable("key", (), "key"),
]
FLOATS = (0, 1, 2, 3)


@dataclass(frozen=True)
class RandomProgram:
    """A function with the text that it was made from."""

    source: str
    function: Callable[..., Any]

    def inputs(self, seed: int, batch: tuple[int, ...] = ()) -> list[Any]:
        """Inputs for the function; a batch of them, if asked for."""
        rng = np.random.default_rng(seed)
        floats = [rng.uniform(-1, 1, (*batch, *p.shape)).astype("f4") for p in PARAMETERS[:4]]
        integers = rng.integers(0, 5, (*batch, 3)).astype("i4")
        key = jax.random.key(seed)
        return [*floats, integers, jax.random.split(key, batch) if batch else key]


def random_program(seed: int) -> RandomProgram:
    """The program of a seed: always the same one. Even seeds allow forward mode."""
    rng = np.random.default_rng(seed)
    signature = f"def program({', '.join(p.name for p in PARAMETERS)}):"
    text = Text([*HEADER, signature], forward_mode=seed % 2 == 0)
    writer = Writer(rng, text, PARAMETERS)
    fill(writer, int(rng.integers(6, 14)))
    writer.line(f"return {results(writer)}")
    source = "\n".join(text.lines) + "\n"
    filename = f"<random program {seed}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {}
    exec(compile(source, filename, "exec"), namespace)
    return RandomProgram(source, namespace["program"])


def results(writer: Writer) -> str:
    """A dictionary of results: recent values of every kind, one result twice, a constant."""
    floats = [writer.some_float().name for _ in range(3)]
    last, integer = writer.pool[-1].name, writer.some_int().name
    return (
        f'{{"floats": ({", ".join(floats)}), "again": {floats[0]}, "int": {integer}, '
        f'"bool": {writer.some_bool().name}, "last": {last}, "none": None, "one": 1.0}}'
    )
