"""Long statements are laid out as a formatter would."""

from __future__ import annotations

import pytest

from xlathe.compiler.lowering.layout import wrapped

LONG = "argument_" * 11

STATEMENTS = {
    "short": ("f(a, b)", "x = f(a, b)"),
    "arguments": (
        f"f({LONG}, g(b, c), 'd, e')",
        f"x = f(\n    {LONG},\n    g(b, c),\n    'd, e',\n)",
    ),
    "lambda": (
        f"f({LONG}, lambda _, b: solve(v2, b))",
        f"x = f(\n    {LONG},\n    lambda _, b: solve(v2, b),\n)",
    ),
    "group": (f"({LONG} + b)", f"x = (\n    {LONG} + b\n)"),
    "no group": (f"{LONG} + b", f"x = {LONG} + b"),
}


@pytest.mark.parametrize(("text", "laid_out"), STATEMENTS.values(), ids=STATEMENTS)
def test_long_statements_have_an_argument_a_line(text, laid_out):
    assert wrapped("x = ", text, "", "") == laid_out
