"""The example runs as a user would run it, and learns."""

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits_mlp.py"


def test_it_learns(capsys: pytest.CaptureFixture[str]) -> None:
    accuracy = runpy.run_path(str(EXAMPLE))["main"](epochs=8)
    assert accuracy > 0.9
    shown = capsys.readouterr().out
    assert "Epoch 8/8" in shown
    assert "val_accuracy" in shown
    assert "digits not seen" in shown
