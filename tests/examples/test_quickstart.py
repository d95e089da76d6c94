"""The quickstart learns, and shows the graph before and after, the program, and the timing."""

import runpy
from pathlib import Path

import pytest

QUICKSTART = Path(__file__).resolve().parents[2] / "examples" / "quickstart.py"


def test_quickstart(capsys: pytest.CaptureFixture[str]):
    accuracy = runpy.run_path(str(QUICKSTART))["main"](steps=150)
    assert accuracy > 0.9

    shown = capsys.readouterr().out
    sections = ["as written", "improved", "program that ran", "what was done", "time per step"]
    positions = [shown.find(section) for section in sections]
    assert positions == sorted(positions)
    assert positions[0] >= 0
    assert "import jax.numpy as jnp" in shown
