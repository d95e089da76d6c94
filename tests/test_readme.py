"""README's program runs, and what it says is printed is what is printed."""

import re
import runpy
from pathlib import Path

import jax
import pytest

README = Path(__file__).resolve().parent.parent / "README.md"


def blocks() -> list[str]:
    """The Python blocks of README, in order."""
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_printed_program_is_the_one_that_runs(tmp_path: Path) -> None:
    example, _, _, _, printed = blocks()
    path = tmp_path / "model.py"
    path.write_text(example)
    variables = runpy.run_path(str(path))
    traced = variables["predict"].trace(variables["params"], variables["x"])
    text = traced.as_text("python").replace(str(path), "/home/you/model.py")
    assert text == printed
    assert variables["probabilities"].shape == (32, 4)


def test_the_formula_becomes_what_is_said(tmp_path: Path) -> None:
    _, _, formula, *_ = blocks()
    path = tmp_path / "formula.py"
    path.write_text(f"import jax.numpy as jnp\nimport xlathe as xl\n\n{formula}")
    update = runpy.run_path(str(path))["update"]
    matrix = jax.ShapeDtypeStruct((300, 300), "float32")
    vector = jax.ShapeDtypeStruct((300,), "float32")
    ((_, after),) = re.findall(
        r"(\(A - .*) {2}-> {2}(.*)", update.trace(matrix, matrix, vector).explain()
    )
    assert after == "A @ x - H @ x @ H"


def test_the_training_prints_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    _, program, *_ = blocks()
    (said,) = re.findall(
        r"training output: begin -->\n```\n(.*?)```", README.read_text(), re.DOTALL
    )
    exec(compile(program, "README.md", "exec"), {})
    shown = capsys.readouterr().out
    numbers = r"[0-9.]+(e-?[0-9]+)?(us|ms|s\b)?"
    assert re.sub(numbers, "#", shown) == re.sub(numbers, "#", said)
    assert float(re.findall(r" accuracy: ([0-9.]+)", shown)[-1]) > 0.85
