"""What the user calls things: arguments, closed-over arrays, variables, source lines."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax

from xlathe.compiler.ir.text import identifier

_SUMMARY = re.compile(r"^(?P<file>.*?):(?P<line>\d+)(?::(?P<column>\d+))? \(")


def function_name(function: Callable[..., Any]) -> str:
    """A function's name as an identifier; a partial has the name of what it wraps."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", type(function).__name__)
    return "function" if name == "<lambda>" else identifier(name)


def stand_for(wrapper: Callable[..., Any], function: Callable[..., Any]) -> None:
    """Give a wrapper the name, signature and place of a function, for JAX's own messages."""
    while isinstance(function, functools.partial):
        function = function.func
    functools.update_wrapper(wrapper, function, updated=())


def argument_paths(
    function: Callable[..., Any], arguments: Sequence[Any], keywords: dict[str, Any]
) -> list[str]:
    """The paths of all array arguments, in flat order: `params['w']`, `x`."""
    parameter_names = _parameter_names(function, len(arguments))
    labelled = list(zip(parameter_names, arguments, strict=True))
    # A dict is flattened in the order of its sorted keys.
    labelled += [(name, keywords[name]) for name in sorted(keywords)]
    paths = []
    for name, argument in labelled:
        for path, _ in jax.tree_util.tree_flatten_with_path(argument)[0]:
            paths.append(name + jax.tree_util.keystr(path))
    return paths


def _parameter_names(function: Callable[..., Any], count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        parameters = []
    found = []
    for item in parameters:
        if item.kind is item.VAR_POSITIONAL:
            found.extend(f"{item.name}[{index}]" for index in range(count - len(found)))
        elif item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD):
            found.append(item.name)
    found = found[:count]
    return found + [f"argument_{index}" for index in range(len(found), count)]


def closure_names(function: Callable[..., Any]) -> Callable[[Any], str]:
    """Return a function that names a closed-over array by the variable that holds it."""
    named: dict[int, str] = {}
    seen: set[int] = set()

    def collect(inner: Any, depth: int) -> None:
        while isinstance(inner, functools.partial):
            inner = inner.func
        inner = inspect.unwrap(inner) if callable(inner) else inner
        code = getattr(inner, "__code__", None)
        if code is None or id(inner) in seen or depth > 2:
            return
        seen.add(id(inner))
        held = {
            name: inner.__globals__[name] for name in code.co_names if name in inner.__globals__
        }
        for name, cell in zip(code.co_freevars, inner.__closure__ or (), strict=True):
            try:
                held[name] = cell.cell_contents
            except ValueError:
                continue
        for name, value in held.items():
            named.setdefault(id(value), name)
            if inspect.isfunction(value):
                collect(value, depth + 1)

    collect(function, 0)
    return lambda value: named.get(id(value), "")


def source(summary: str) -> tuple[str, int, int]:
    """The file, line and column in JAX's summary of where an equation comes from."""
    match = _SUMMARY.match(summary)
    return (match["file"], int(match["line"]), int(match["column"] or 0)) if match else ("", 0, 0)


@functools.lru_cache(maxsize=256)
def assigned_names(file: str) -> dict[tuple[int, int], str]:
    """The variables that a file assigns, by the line and column at which the value begins.

    JAX keeps no names of local variables, but it keeps where in the source each equation began.
    """
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return {}
    found: dict[tuple[int, int], str] = {}
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target = statement.target
        else:
            continue
        if isinstance(target, ast.Name) and statement.value is not None:
            found[(statement.value.lineno, statement.value.col_offset)] = target.id
    return found
