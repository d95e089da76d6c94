"""Laying out long lines as a formatter would."""

from __future__ import annotations

import re
import textwrap
from typing import NamedTuple

MAX_WIDTH = 100


class Line(NamedTuple):
    """A statement: what stands left of its expression, the expression, and a comment."""

    left: str
    text: str
    end: str


def wrapped(left: str, text: str, end: str, indent: str) -> str:
    """Write a statement on one line, or with the arguments of its outermost call on their own.

    Args:
        left: what stands before the expression, such as `x = `.
        text: the expression.
        end: what follows it: a colon, or a comment.
        indent: the spaces in front.
    """
    line = f"{indent}{left}{text}{end}"
    if len(line) <= MAX_WIDTH:
        return line
    opening = _last_group(text)
    if opening is None:
        return line
    inner = indent + "    "
    items = _split(text[opening + 1 : -1])
    if not items:
        return line
    # A trailing comma would make a tuple of what only stands in parentheses.
    is_call = opening > 0 and (text[opening - 1].isalnum() or text[opening - 1] in "_)]")
    comma = "," if len(items) > 1 or (is_call and not items[0].startswith("*")) else ""
    if all(item.isidentifier() for item in items):
        body = textwrap.fill(
            ", ".join(items) + comma,
            MAX_WIDTH,
            initial_indent=inner,
            subsequent_indent=inner,
            break_long_words=False,
        )
    else:
        body = ",\n".join(f"{inner}{item}" for item in items) + comma
    return f"{indent}{left}{text[: opening + 1]}\n{body}\n{indent}{text[-1]}{end}"


def _last_group(text: str) -> int | None:
    """Where the bracket opens that closes at the end of the text."""
    if not text or text[-1] not in ")]":
        return None
    stack = []
    opened = None
    for place, character in _marks(text):
        if character in "([{":
            stack.append(place)
        elif character in ")]}":
            opened = stack.pop()
    return opened


def _split(text: str) -> list[str]:
    """Split at the commas that are in no bracket, no string and between no lambda's parameters."""
    items, start, depth = [], 0, 0
    for place, character in _marks(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0:
            items.append(text[start:place].strip())
            start = place + 1
    last = text[start:].strip()
    return [*items, last] if last else items


_MARK_OR_OPAQUE = re.compile(
    r"[()\[\]{},]|\blambda\b[^:]*:|'(?:[^'\\]|\\.)*'|" + r'"(?:[^"\\]|\\.)*"',
    re.DOTALL,
)


def _marks(text: str) -> list[tuple[int, str]]:
    """The brackets and commas outside of strings and lambdas' heads, with their places."""
    found = _MARK_OR_OPAQUE.finditer(text)
    return [(match.start(), match[0]) for match in found if match.end() == match.start() + 1]
