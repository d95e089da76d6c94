"""Losses give the numbers and the gradients that Keras 3 gives, argument by argument."""

import importlib
import os
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import jax
import numpy as np
import pytest

from xlathe.runtime.training.losses import catalogue as losses

keras: Any = importlib.import_module("keras")
random = np.random.default_rng(0)
PROBABILITIES = random.dirichlet(np.ones(5), (6, 3)).astype("float32")
LOGITS = random.normal(size=(6, 3, 5)).astype("float32")
ONE_HOT = np.eye(5, dtype="float32")[random.integers(0, 5, (6, 3))]
LABELS = random.integers(0, 5, (6, 3))
BINARY = random.integers(0, 2, (6, 3, 5)).astype("float32")
REALS = random.normal(size=(6, 3, 5)).astype("float32")
UNIT = (REALS[:, 0] / np.linalg.norm(REALS[:, 0], axis=-1, keepdims=True)).astype("float32")

CASES = [
    ("MeanSquaredError", {}, REALS, LOGITS),
    ("MeanAbsoluteError", {}, REALS, LOGITS),
    ("MeanAbsolutePercentageError", {}, REALS, LOGITS),
    ("MeanSquaredLogarithmicError", {}, abs(REALS), abs(LOGITS)),
    ("CosineSimilarity", {}, REALS, LOGITS),
    ("CosineSimilarity", {"axis": 1}, REALS, LOGITS),
    ("Huber", {}, REALS, LOGITS),
    ("Huber", {"delta": 0.3}, REALS, LOGITS),
    ("LogCosh", {}, REALS, LOGITS),
    ("Hinge", {}, BINARY, LOGITS),
    ("Hinge", {}, BINARY * 2 - 1, LOGITS),
    ("SquaredHinge", {}, BINARY, LOGITS),
    ("CategoricalHinge", {}, ONE_HOT, LOGITS),
    ("KLDivergence", {}, PROBABILITIES[::-1], PROBABILITIES),
    ("Poisson", {}, abs(REALS), PROBABILITIES),
    ("BinaryCrossentropy", {}, BINARY, PROBABILITIES),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, BINARY, LOGITS),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True}, BINARY, PROBABILITIES),
    ("BinaryFocalCrossentropy", {"from_logits": True, "gamma": 3.0}, BINARY, LOGITS),
    ("CategoricalCrossentropy", {}, ONE_HOT, PROBABILITIES),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, ONE_HOT, LOGITS),
    ("CategoricalFocalCrossentropy", {}, ONE_HOT, PROBABILITIES),
    ("CategoricalFocalCrossentropy", {"from_logits": True, "alpha": 0.5}, ONE_HOT, LOGITS),
    ("SparseCategoricalCrossentropy", {}, LABELS, PROBABILITIES),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, LOGITS),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS[..., None], LOGITS),
    ("SparseCategoricalCrossentropy", {"ignore_class": 0}, LABELS, PROBABILITIES),
    ("CTC", {}, np.sort(LABELS[:, :3], axis=1)[:, ::-1].copy(), random.normal(size=(6, 9, 5))),
    ("Dice", {}, BINARY, PROBABILITIES),
    ("Dice", {"axis": (1, 2)}, BINARY, PROBABILITIES),
    ("Tversky", {"alpha": 0.3, "beta": 0.7}, BINARY, PROBABILITIES),
    ("Circle", {}, np.array([0, 0, 1, 1, 2, 2]), UNIT),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.7}, LABELS, PROBABILITIES),
]
IDS = [f"{name}-{i}" for i, (name, *_) in enumerate(CASES)]


def weights_for(values: np.ndarray) -> np.ndarray | None:
    return None if values.ndim == 0 else np.linspace(0.0, 2.0, values.size).reshape(values.shape)


@pytest.mark.parametrize(("name", "arguments", "y_true", "y_pred"), CASES, ids=IDS)
def test_loss_and_gradient(name, arguments, y_true, y_pred):
    ours, theirs = getattr(losses, name)(**arguments), getattr(keras.losses, name)(**arguments)
    value, gradient = jax.value_and_grad(lambda p: ours(y_true, p))(y_pred.astype("float32"))
    expected = jax.value_and_grad(lambda p: theirs(y_true, p))(y_pred.astype("float32"))
    np.testing.assert_allclose(value, expected[0], rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-4, atol=1e-6)
    assert ours.name == theirs.name


REDUCED = [CASES[0], CASES[23], CASES[26], CASES[29]]


@pytest.mark.parametrize(("name", "arguments", "y_true", "y_pred"), REDUCED)
@pytest.mark.parametrize("reduction", ["sum", "mean", "mean_with_sample_weight", None])
def test_reductions_and_weights(name, arguments, y_true, y_pred, reduction):
    ours = getattr(losses, name)(**arguments, reduction=reduction)
    theirs = getattr(keras.losses, name)(**arguments, reduction=reduction)
    plain = np.asarray(getattr(losses, name)(**arguments, reduction=None)(y_true, y_pred))
    weights = weights_for(plain)
    np.testing.assert_allclose(
        ours(y_true, y_pred, weights), theirs(y_true, y_pred, weights), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_a_mask_counts_as_in_keras(reduction):
    mask = random.integers(0, 2, (6, 3)).astype(bool)
    ours = losses.MeanSquaredError(reduction=reduction)(REALS, LOGITS, None, mask)
    theirs = keras.losses.MeanSquaredError(reduction=reduction)
    predictions = keras.ops.convert_to_tensor(LOGITS)
    predictions._keras_mask = mask
    np.testing.assert_allclose(ours, theirs(REALS, predictions), rtol=1e-6)


@pytest.mark.parametrize("name", ["mse", "MAE", "bce", "kld", "msle", "MAPE", "log_cosh"])
def test_short_names(name):
    ours, theirs = losses.get(name), keras.losses.get(name)
    y_true = PROBABILITIES[::-1]
    np.testing.assert_allclose(
        ours(y_true, PROBABILITIES), theirs(y_true, PROBABILITIES), rtol=1e-5
    )
