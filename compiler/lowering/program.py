"""The emitted program: its text, and the function that the text defines."""

from __future__ import annotations

import inspect
import itertools
import linecache
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from xlathe.compiler.ir import Graph
from xlathe.compiler.ir.text import identifier
from xlathe.compiler.lowering.emit import ModuleEmitter
from xlathe.compiler.lowering.load import load
from xlathe.compiler.lowering.signature import flat_signature

_count = itertools.count(1)


@dataclass(frozen=True)
class Program:
    """A program printed from a graph; the text printed is the text that runs.

    Attributes:
        name: the name of the function that the text defines.
        source: the text: a Python module over `jax`, `jax.numpy` and `numpy`.
        objects: what the text refers to and cannot hold, such as callbacks; usually nothing.
        constants: the closed-over arrays, by the names of the function's keyword parameters.
        filename: the name under which tracebacks and profiles show the text.
    """

    name: str
    source: str
    objects: Mapping[str, Any]
    constants: Mapping[str, Any]
    filename: str
    result_count: int
    function: Callable[..., Any] = field(repr=False)

    def __call__(self, *arguments: Any) -> list[Any]:
        """Run it on the flat arguments, closed-over arrays last if they are not in `constants`.

        Returns:
            The flat results.
        """
        names = self.constant_names
        values: Mapping[str, Any] = self.constants
        if len(values) < len(names):
            split = len(arguments) - len(names)
            values = dict(zip(names, arguments[split:], strict=True))
            arguments = arguments[:split]
        # The text relies on NumPy's promotion, whatever the user forbids in code of their own.
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            result = self.function(*map(_as_array, arguments), **values)
        return [result] if self.result_count == 1 else list(result)

    @property
    def constant_names(self) -> tuple[str, ...]:
        """The names of the parameters that take the closed-over arrays."""
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(item.name for item in parameters if item.kind is item.KEYWORD_ONLY)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the program as a module that runs where xlathe is not installed.

        The closed-over arrays go to a `.npz` beside it. Both files are complete or absent.

        Args:
            path: where to write it; the name should end in `.py`.

        Raises:
            ValueError: the program refers to objects that have no text form, or closes over values
                of an outer transformation.
        """
        if self.objects:
            raise ValueError(
                f"{self.name} refers to {', '.join(self.objects)}, which cannot be written to a "
                "file (a callback, a mesh, a kernel). Save a function without them."
            )
        traced = [n for n, value in self.constants.items() if isinstance(value, jax.core.Tracer)]
        if traced or len(self.constants) < len(self.constant_names):
            names = traced or self.constant_names
            raise ValueError(
                f"{self.name} closes over {', '.join(names)}, whose values are not known here. "
                "Pass them as arguments."
            )
        target = os.fspath(path)
        text = self.source
        if self.constants:
            values, loading = _stored(self.name, self.constants)
            text += loading
            arrays = target.removesuffix(".py") + ".npz"
            _replace(Path(arrays), lambda file: np.savez(file, allow_pickle=False, **values))
        # Jitted, it takes NumPy's arrays as JAX would, and runs as fast as it does here.
        text += f"\n\n{self.name} = jax.jit({self.name})\n"
        _replace(Path(target), lambda file: file.write(text.encode()))


def _as_array(leaf: Any) -> Any:
    """An argument as JAX sees it: NumPy would compute with its own arrays by its own rules."""
    if isinstance(leaf, np.ndarray | np.generic | bool | int | float | complex):
        return jnp.asarray(leaf)
    return leaf


def _stored(name: str, constants: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], str]:
    """What is stored of a function's closed-over arrays, and the lines that load them."""
    values, lines = {}, []
    for key, value in constants.items():
        text = f'arrays["{key}"]'
        if jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
            implementation = str(jax.random.key_impl(value))
            values[key] = np.asarray(jax.random.key_data(value))
            text = f"jax.random.wrap_key_data({text}, impl={implementation!r})"
        else:
            values[key] = np.asarray(value)
            if values[key].dtype.kind == "V":
                # NumPy's files hold bfloat16 and its like as bytes without a name.
                text += f'.view("{values[key].dtype.name}")'
            text = f"jax.numpy.asarray({text})"
        lines.append(f'        "{key}": {text},\n')
    return values, _LOAD_CONSTANTS.format(name=name, lines="".join(lines))


_LOAD_CONSTANTS = """

with jax.numpy.load(__file__.removesuffix(".py") + ".npz") as arrays:
    {name}.__kwdefaults__ = {{
{lines}    }}
"""


def _replace(path: Path, write: Callable[[Any], Any]) -> None:
    """Write a file so that it is there whole or, if writing fails, as it was."""
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(unfinished, "wb") as file:
            write(file)
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def lower(
    graph: Graph,
    name: str | None = None,
    constants: Mapping[str, Any] | None = None,
    constant_count: int | None = None,
) -> Program:
    """Print a graph as a Python module and load it.

    Args:
        graph: the graph.
        name: the function's name; the graph's own by default.
        constants: the values of closed-over arrays, to be kept with the program.
        constant_count: how many of the last parameters are closed-over arrays, and are passed by
            name; as many as there are `constants` by default.

    Returns:
        The program.
    """
    name = identifier(name or graph.name)
    values = dict(constants or {})
    count = len(values) if constant_count is None else constant_count
    module = ModuleEmitter()
    signature = flat_signature(len(graph.parameters), count)
    name = module.program(graph, signature, name)
    source = module.source(_heading(name, module))
    filename = f"<xlathe:{name}:{next(_count):04d}>"
    namespace: dict[str, Any] = {"__name__": f"xlathe_{name}", **module.objects}
    # Tracebacks and profilers find the text by this entry.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    function = load(source, filename, name, namespace)
    return Program(name, source, module.objects, values, filename, len(graph.results), function)


def _heading(name: str, module: ModuleEmitter) -> str:
    lines = [f"{name}, as written by xlathe. It needs jax, and nothing of xlathe."]
    if module.files:
        lines += ["", *(f"{os.path.basename(file)} is {file}" for file in module.files)]
    if module.objects:
        lines += ["", "Whoever loads it supplies: " + ", ".join(module.objects) + "."]
    return "\n".join(lines) + ("\n" if len(lines) > 1 else "")
