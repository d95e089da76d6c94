"""Compiling the emitted text to the function that runs.

Python finds the line of an instruction by walking its function's whole table of positions, and JAX
asks for the line of every operation: in a function of ten thousand lines that takes longer than
tracing it. A long function is therefore compiled in parts that share their variables. The text, the
lines in tracebacks and the results are the same.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

MAX_LINES = 64
_NAME = re.compile(r"\w+")
_STATEMENT_OF_MODULE = re.compile(r"\w+(?:\.def(?:jvp|vjp)| = \w+)\(")
_STATEMENT = re.compile(r"    [^\s)\]]")


def load(source: str, filename: str, name: str, namespace: dict[str, Any]) -> Callable[..., Any]:
    """Run the text of a module and return the function of this name.

    Args:
        source: the module's text, as `ModuleEmitter` lays it out.
        filename: what its lines are shown under.
        name: the function's name.
        namespace: the module's variables; those that the text defines are added.
    """
    lines = source.splitlines()
    parts: dict[str, list[CodeType]] = {}
    for start, end in _functions(lines):
        if end - start > MAX_LINES:
            long_name, body = _head(lines, start)
            parts[long_name] = _compile_parts(lines, body, end, filename, long_name)
            lines[body:end] = ["    pass", *[""] * (end - body - 1)]
    text = "\n".join(lines) if parts else source
    exec(compile(text, filename, "exec"), namespace)
    for long_name, codes in parts.items():
        _run_in_parts(namespace, long_name, codes)
    return namespace[name]


def _functions(lines: list[str]) -> Iterator[tuple[int, int]]:
    """The first line of each function, and the line after its last."""
    starts = [place for place, line in enumerate(lines) if line.startswith("def ")]
    handed_over = _handed_over(lines)
    for start in starts:
        end = start + 1
        # What a decorator makes of a function has no code to share variables with.
        if start and lines[start - 1].startswith("@"):
            continue
        if lines[start][len("def ") : lines[start].index("(")] in handed_over:
            continue
        while end < len(lines) and (lines[end].startswith((" ", ")")) or not lines[end]):
            end += 1
        yield start, end


def _handed_over(lines: list[str]) -> set[str]:
    """What the module uses while it runs, before it could be replaced, such as derivative rules."""
    names: set[str] = set()
    is_statement = False
    for line in lines:
        if line and not line.startswith((" ", ")")):
            is_statement = _STATEMENT_OF_MODULE.match(line) is not None
        if is_statement:
            names.update(_NAME.findall(line))
    return names


def _head(lines: list[str], start: int) -> tuple[str, int]:
    """A function's name, and the first line of its body."""
    body = start
    while not lines[body].endswith(":"):
        body += 1
    return lines[start][len("def ") : lines[start].index("(")], body + 1


def _compile_parts(
    lines: list[str], start: int, end: int, filename: str, name: str
) -> list[CodeType]:
    """Compile a function's statements a few dozen lines at a time; the last is its result."""
    statements = [place for place in range(start, end) if _STATEMENT.match(lines[place])]
    result = statements.pop()
    borders = [start]
    for place in statements:
        if place - borders[-1] >= MAX_LINES:
            borders.append(place)
    if borders[-1] < result:
        borders.append(result)
    codes = []
    for first, after in itertools.pairwise(borders):
        # The condition takes a line, so that the statements may keep their indentation.
        text = "if True:\n" + "\n".join(lines[first:after])
        codes.append(_moved(compile(text, filename, "exec"), first - 1))
    expression = "\n".join([lines[result].replace("return ", "", 1), *lines[result + 1 : end]])
    codes.append(_moved(compile(f"(\n{expression}\n)", filename, "eval"), result - 1))
    return [code.replace(co_name=name, co_qualname=name) for code in codes]


def _moved(code: CodeType, lines: int) -> CodeType:
    """The code as if so many lines stood above its text."""
    inner = (_moved(item, lines) if isinstance(item, CodeType) else item for item in code.co_consts)
    return code.replace(co_firstlineno=code.co_firstlineno + lines, co_consts=tuple(inner))


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
