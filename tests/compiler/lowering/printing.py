"""What the tests of lowering share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xlathe.compiler.lowering import Program, lower
from xlathe.compiler.pipeline import run_passes
from xlathe.tracer.capture import capture


def printed(function: Callable[..., Any], *arguments: Any) -> Program:
    """The program of a function, as `compile` would print it."""
    captured = capture(function, *arguments)
    graph, _ = run_passes(captured.graph)
    return lower(graph, constant_count=captured.constant_count)
