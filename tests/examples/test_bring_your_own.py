"""The example runs as a user would run it, and every kind of model learns."""

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "bring_your_own.py"


@pytest.mark.slow
def test_they_learn(capsys: pytest.CaptureFixture[str]) -> None:
    accuracies = runpy.run_path(str(EXAMPLE))["main"](epochs=4)
    assert list(accuracies) == ["Flax NNX", "Equinox", "function", "step"]
    assert min(accuracies.values()) > 0.8
    assert "digits not seen" in capsys.readouterr().out
