"""The examples of models run as a user would run them, learn, and say how well."""

import runpy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

# For each: arguments that make it short, what its results must be, and what it must print.
RUNS: dict[str, tuple[dict[str, Any], Callable[..., bool], str]] = {
    "digits_cnn": (
        {"epochs": 2},
        lambda accuracy, baseline: accuracy > 0.5 and baseline > 0.9,
        "digits not seen",
    ),
    "text_rnn": (
        {"epochs": 2, "vocabulary_size": 150},
        lambda perplexity, baseline: perplexity < 60 and baseline < 60,
        "perplexity",
    ),
    "translate_dates": (
        {"epochs": 2, "samples": 3000},
        lambda share, accuracies: accuracies[-1] > accuracies[0] + 0.1,
        "dates not seen are right in full",
    ),
    "recommender": (
        {"epochs": 6},
        lambda error, means, noise: noise < error < means - 0.05,
        "films that user 7 should see",
    ),
    "keyword_spotting": (
        {"epochs": 5, "speakings": 50},
        lambda accuracy, baseline: accuracy > 0.3 and baseline > 0.4,
        "asu heard as",
    ),
    "text_transformer": (
        {"epochs": 3, "passages": 448},
        lambda accuracy, baseline: accuracy > 0.3 and baseline > 0.4,
        "naive Bayes",
    ),
    "transfer_learning": (
        {"epochs": 2},
        lambda frozen, tuned, scratch: min(frozen, tuned, scratch) > 0.5,
        "the frozen weights are unchanged",
    ),
    "multi_input": (
        {"epochs": 25},
        lambda error, accuracy, linear, share: error < 60 and accuracy > 0.6,
        "by logistic regression",
    ),
    "tensorflow_basics": (
        {"steps": 60},
        lambda slope, intercept: abs(slope - 3) < 0.1 and abs(intercept - 2) < 0.1,
        "def energy(matrix, x):",
    ),
}

# The baselines say how well others do it; what is drawn has about the digits' brightness.
PICTURES: dict[str, tuple[dict[str, Any], Callable[..., bool]]] = {
    "digits_vae": ({"epochs": 8}, lambda error, baseline: error < 0.06 and baseline < 0.06),
    "digits_gan": ({"epochs": 12}, lambda share, baseline: 0.5 < baseline <= share <= 1),
}


LONG = (
    "text_rnn translate_dates keyword_spotting text_transformer transfer_learning digits_gan "
    "digits_vae multi_input"
)
"""What is run in the longer sweep."""


def sorted_out(names: Iterable[str]) -> list[Any]:
    """The names, those of the longer sweep marked."""
    slow = LONG.split()
    return [pytest.param(n, marks=[pytest.mark.slow] if n in slow else []) for n in names]


def run(name: str, **arguments: Any) -> Any:
    results = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](**arguments)
    return results if isinstance(results, tuple) else (results,)


@pytest.mark.parametrize("name", sorted_out(RUNS))
def test_it_learns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, holds, said = RUNS[name]
    results = run(name, **arguments)
    assert holds(*results), results
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted_out(PICTURES))
def test_it_draws(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, holds = PICTURES[name]
    picture = tmp_path / "digits.png"
    results = run(name, out=picture, **arguments)
    assert holds(*results), results
    pixels = np.asarray(Image.open(picture)) / 255
    brightness = pixels.reshape(-1, 80, pixels.shape[1] // 80, 80)[:, 8:-8, :, 8:-8].mean()
    assert abs(brightness - load_digits(return_X_y=True)[0].mean() / 16) < 0.08
    assert str(picture) in capsys.readouterr().out
