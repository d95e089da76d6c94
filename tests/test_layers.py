"""Imports point one way: each folder's lint rule must catch an import of what lies above it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FORBIDDEN = [
    ("tracer", "from xlathe.compiler.passes import inline"),
    ("tracer", "from xlathe.compiler.lowering import lower"),
    ("tracer", "import xlathe.runtime.program"),
    ("compiler", "from xlathe.tracer.capture import capture"),
    ("compiler", "from xlathe import runtime"),
    ("compiler", "from ..tracer import capture"),
    ("runtime", "from xlathe import optimize"),
]
ALLOWED = [
    ("tracer", "from xlathe.compiler.ir import Graph"),
    ("tracer", "from xlathe.compiler.ops import registry"),
    ("compiler", "from xlathe.compiler.ir import Graph"),
    ("runtime", "from xlathe.compiler.passes import inline"),
    ("runtime", "from xlathe.tracer.capture import capture"),
    ("xlathe", "from xlathe.runtime.program import optimize"),
]


def lint(folder: str, statement: str) -> subprocess.CompletedProcess[str]:
    """Lint one import statement as if it stood in a file of `folder`."""
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID"]
    return subprocess.run(
        [*ruff, "--stdin-filename", f"{folder}/example.py", "-"],
        input=statement + "\n",
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.parametrize(("folder", "statement"), FORBIDDEN)
def test_import_of_a_later_stage_is_refused(folder: str, statement: str):
    result = lint(folder, statement)
    assert result.returncode == 1
    assert "TID25" in result.stdout


@pytest.mark.parametrize(("folder", "statement"), ALLOWED)
def test_import_of_an_earlier_stage_is_accepted(folder: str, statement: str):
    result = lint(folder, statement)
    assert result.returncode == 0, result.stdout
