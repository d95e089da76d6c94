"""The example finds scikit-learn's weights both ways, and shows the programs and the times."""

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "least_squares.py"


def test_least_squares(capsys: pytest.CaptureFixture[str]):
    distances = runpy.run_path(str(EXAMPLE))["main"](degree=2, rounds=1)
    assert set(distances) == {"ridge", "kalman"}
    assert max(distances.values()) < 1e-4

    shown = capsys.readouterr().out
    for method in distances:
        assert f"def {method}(X, y):" in shown
        assert f"{method}: what was done" in shown
    assert shown.count("times as fast") == 2
