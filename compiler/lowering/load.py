"""Compiling the emitted text to the function that runs.

Python finds the line of an instruction by walking its function's whole table of positions, and JAX
asks for the line of every operation: in a function of ten thousand lines that takes longer than
tracing it. A long function is therefore compiled in parts that share their variables. The text, the
lines in tracebacks and the results are the same.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

MAX_STATEMENTS = 256


def load(
    source: str, filename: str, name: str, namespace: dict[str, Any]
) -> Callable[..., Any]:
    """Run the text of a module and return the function of this name.

    Args:
        source: the module's text.
        filename: what its lines are shown under.
        name: the function's name.
        namespace: the module's variables; those that the text defines are added.
    """
    module = ast.parse(source, filename)
    long = [
        item
        for item in module.body
        if isinstance(item, ast.FunctionDef) and len(item.body) > MAX_STATEMENTS
    ]
    parts = {item.name: _compile_parts(item, filename) for item in long}
    for item in long:
        item.body = [ast.copy_location(ast.Pass(), item.body[0])]
    exec(compile(module, filename, "exec"), namespace)
    for long_name, codes in parts.items():
        _run_in_parts(namespace, long_name, codes)
    return namespace[name]


def _compile_parts(function: ast.FunctionDef, filename: str) -> list[CodeType]:
    """Compile a function's statements a few hundred at a time; the last part gives its result."""
    *statements, last = function.body
    if not isinstance(last, ast.Return) or last.value is None:
        raise SyntaxError(f"{function.name} does not end with its result.")
    codes = []
    for start in range(0, len(statements), MAX_STATEMENTS):
        part = ast.Module(statements[start : start + MAX_STATEMENTS], type_ignores=[])
        codes.append(compile(part, filename, "exec"))
    codes.append(compile(ast.Expression(last.value), filename, "eval"))
    return [code.replace(co_name=function.name, co_qualname=function.name) for code in codes]


def _run_in_parts(namespace: dict[str, Any], name: str, codes: list[CodeType]) -> None:
    """Put a function in the namespace that runs the parts one after the other."""
    declared: FunctionType = namespace[name]
    *first, last = codes
    count = declared.__code__.co_argcount
    parameters = declared.__code__.co_varnames[: count + declared.__code__.co_kwonlyargcount]

    @functools.wraps(declared)
    def in_parts(*arguments: Any, **keywords: Any) -> Any:
        variables = namespace | dict(zip(parameters, arguments, strict=False)) | keywords
        for code in first:
            exec(code, variables)
        return eval(last, variables)

    namespace[name] = in_parts
