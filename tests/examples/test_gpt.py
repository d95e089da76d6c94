"""The example learns letters, from plain code, and writes some."""

import runpy
from pathlib import Path

import pytest

GPT = Path(__file__).resolve().parents[2] / "examples" / "gpt.py"


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16"])
def test_gpt(precision: str, capsys: pytest.CaptureFixture[str]):
    first, last = runpy.run_path(str(GPT))["main"](steps=30, precision=precision, size=20)
    assert last < 0.92 * first

    shown = capsys.readouterr().out
    assert f"loss {first:.3f} at first, {last:.3f} at last" in shown
    assert "\nThe " in shown
