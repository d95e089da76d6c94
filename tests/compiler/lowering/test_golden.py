"""The printed programs and graphs of small models, as they are kept in tests/golden.

After a change that is meant, `XLATHE_UPDATE_GOLDEN=1 pytest tests/compiler/lowering` writes the
files anew; read the difference before you commit it.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

import jax
import numpy as np
import pytest

import xlathe as xl

from .models import MODELS

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
UPDATE = os.environ.get("XLATHE_UPDATE_GOLDEN", "") not in ("", "0")


def portable(text: str) -> str:
    """The text without the repository's folder, and without what only some versions of JAX say."""
    text = text.replace(str(Path(__file__).resolve().parent), "lowering")
    return re.sub(r"(reduce_max\(.*), out_sharding=None\)", r"\1)", text)


def compare(path: Path, text: str) -> None:
    """Fail with the difference if the file does not hold this text, or write it there."""
    if UPDATE:
        path.write_text(text)
        return
    known = path.read_text() if path.exists() else ""
    difference = difflib.unified_diff(
        known.splitlines(), text.splitlines(), "golden", "now", lineterm="", n=2
    )
    assert known == text, (
        f"{path.name} has changed. If that is meant, run `XLATHE_UPDATE_GOLDEN=1 pytest "
        "tests/compiler/lowering`, and commit it.\n" + "\n".join(difference)
    )


@pytest.mark.parametrize("name", MODELS)
def test_program(name: str):
    function, arguments = MODELS[name]
    traced = xl.compile(function).trace(*arguments)
    compare(GOLDEN / f"{name}.py", portable(traced.as_text("python")))


@pytest.mark.parametrize("name", MODELS)
def test_graph(name: str):
    function, arguments = MODELS[name]
    traced = xl.compile(function).trace(*arguments)
    compare(GOLDEN / f"{name}.txt", portable(traced.as_text("ir")))


@pytest.mark.parametrize("name", MODELS)
def test_program_in_the_file_computes_the_same(name: str, tmp_path: Path):
    function, arguments = MODELS[name]
    program = xl.compile(function).trace(*arguments).program
    namespace: dict = {"__name__": name}
    exec(compile((GOLDEN / f"{name}.py").read_text(), f"{name}.py", "exec"), namespace)
    got = namespace[program.name](*jax.tree.leaves(arguments), **program.constants)
    wanted = function(*arguments)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_no_file_is_left_over():
    assert {path.stem for path in GOLDEN.glob("*.*")} == set(MODELS)
