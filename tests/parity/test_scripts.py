"""Scripts written for Keras 3 run here with only their imports changed, and compute the same."""

import re
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest

import xlathe as xl

LONG = "autoencoder sentiment tickets toy_resnet transfer transformer vae".split()
SCRIPTS = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in LONG else [])
    for path in sorted((Path(__file__).parent / "scripts").glob("*.py"))
]
DRAWN = """VarianceScaling RandomNormal RandomUniform TruncatedNormal Orthogonal""".split()
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # Keras asks JAX for the shape of int64 labels, of which JAX 0.12 warns without x64.
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]


def with_imports_changed(code: str) -> str:
    """Return a script with its imports of Keras replaced by ours, and nothing else."""
    code = re.sub(r"^import keras$", "import xlathe as keras", code, flags=re.MULTILINE)
    return re.sub(r"^from keras([. ])", r"from xlathe\1", code, flags=re.MULTILINE)


def settled(shape: Any) -> np.ndarray:
    """Return the same values for the same shape, about as large as initial weights are."""
    shape = tuple(shape)
    size = np.sqrt(3 / max(np.prod(shape[:-1]), 1))
    return np.random.default_rng(len(shape)).uniform(-size, size, shape).astype("float32")


@pytest.fixture
def same_initial_weights(monkeypatch):
    def draw(self, shape, dtype=None, **kwargs):
        return jax.numpy.asarray(settled(shape), dtype or "float32")

    for initializers in (keras.initializers, xl.initializers):
        for name in DRAWN:
            monkeypatch.setattr(getattr(initializers, name), "__call__", draw)


def run(code: str, path: Path) -> dict[str, Any]:
    scope: dict[str, Any] = {"__name__": path.stem}
    exec(compile(code, str(path), "exec"), scope)
    return scope["results"]


def compare(ours: Any, theirs: Any, where: str) -> None:
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), where
        for key, value in theirs.items():
            compare(ours[key], value, f"{where}/{key}")
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), where
        for index, value in enumerate(theirs):
            compare(ours[index], value, f"{where}/{index}")
    elif isinstance(theirs, str):
        without_number = [re.sub(r"_\d+$", "", name) for name in (ours, theirs)]
        assert without_number[0] == without_number[1], where
    else:
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4, err_msg=where)


@pytest.mark.parametrize("path", SCRIPTS)
def test_script_runs_with_only_its_imports_changed(path: Path, same_initial_weights):
    code = path.read_text()
    changed = with_imports_changed(code)
    assert "keras" in code
    assert not re.search(r"^\s*(import|from) keras", changed, flags=re.MULTILINE)
    compare(run(changed, path), run(code, path), path.stem)
