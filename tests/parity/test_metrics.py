"""Metrics give the numbers that Keras 3 gives over several weighted batches."""

import importlib
import os
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import jax
import numpy as np
import pytest

from xlathe.runtime.training.metrics import catalogue as metrics

keras: Any = importlib.import_module("keras")
random = np.random.default_rng(1)
PROBABILITIES = random.dirichlet(np.ones(7), (2, 8)).astype("float32")
ONE_HOT = np.eye(7, dtype="float32")[random.integers(0, 7, (2, 8))]
LABELS = random.integers(0, 7, (2, 8))
BINARY = random.integers(0, 2, (2, 8, 7)).astype("float32")
REALS = random.normal(size=(2, 8, 7)).astype("float32")
SCORES = random.uniform(size=(2, 8)).astype("float32")
YES = random.integers(0, 2, (2, 8)).astype("float32")
WEIGHTS = random.uniform(size=(2, 8)).astype("float32")

CASES = [
    ("Accuracy", {}, LABELS, LABELS[::-1]),
    ("BinaryAccuracy", {"threshold": 0.3}, YES, SCORES),
    ("BinaryAccuracy", {}, BINARY, PROBABILITIES),
    ("CategoricalAccuracy", {}, ONE_HOT, PROBABILITIES),
    ("SparseCategoricalAccuracy", {}, LABELS, PROBABILITIES),
    ("SparseCategoricalAccuracy", {}, LABELS[..., None], PROBABILITIES),
    ("TopKCategoricalAccuracy", {"k": 3}, ONE_HOT, PROBABILITIES),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, LABELS, PROBABILITIES),
    ("MeanSquaredError", {}, REALS, PROBABILITIES),
    ("RootMeanSquaredError", {}, REALS, PROBABILITIES),
    ("MeanAbsoluteError", {}, REALS, PROBABILITIES),
    ("MeanAbsolutePercentageError", {}, REALS, PROBABILITIES),
    ("MeanSquaredLogarithmicError", {}, abs(REALS), PROBABILITIES),
    ("CosineSimilarity", {}, REALS, PROBABILITIES),
    ("LogCoshError", {}, REALS, PROBABILITIES),
    ("Hinge", {}, BINARY, PROBABILITIES),
    ("SquaredHinge", {}, BINARY, PROBABILITIES),
    ("CategoricalHinge", {}, ONE_HOT, PROBABILITIES),
    ("KLDivergence", {}, PROBABILITIES[::-1], PROBABILITIES),
    ("Poisson", {}, abs(REALS), PROBABILITIES),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, BINARY, PROBABILITIES),
    ("CategoricalCrossentropy", {}, ONE_HOT, PROBABILITIES),
    ("SparseCategoricalCrossentropy", {}, LABELS, PROBABILITIES),
    ("PearsonCorrelation", {}, REALS, PROBABILITIES),
    ("ConcordanceCorrelation", {}, REALS, PROBABILITIES),
    ("TruePositives", {"thresholds": [0.2, 0.8]}, YES, SCORES),
    ("FalsePositives", {}, YES, SCORES),
    ("TrueNegatives", {}, YES, SCORES),
    ("FalseNegatives", {}, BINARY, PROBABILITIES),
    ("Precision", {}, YES, SCORES),
    ("Precision", {"thresholds": [0.1, 0.5, 0.9], "class_id": 2}, BINARY, PROBABILITIES),
    ("Precision", {"top_k": 3}, BINARY, PROBABILITIES),
    ("Recall", {"thresholds": 0.1}, BINARY, PROBABILITIES),
    ("Recall", {"top_k": 2, "class_id": 1}, BINARY, PROBABILITIES),
    ("SensitivityAtSpecificity", {"specificity": 0.5}, YES, SCORES),
    ("SpecificityAtSensitivity", {"sensitivity": 0.5}, YES, SCORES),
    ("PrecisionAtRecall", {"recall": 0.5}, YES, SCORES),
    ("RecallAtPrecision", {"precision": 0.6, "num_thresholds": 50}, YES, SCORES),
    ("AUC", {}, YES, SCORES),
    ("AUC", {"curve": "PR"}, YES, SCORES),
    ("AUC", {"curve": "PR", "summation_method": "majoring"}, YES, SCORES),
    ("AUC", {"curve": "PRGAIN", "summation_method": "minoring"}, YES, SCORES),
    ("AUC", {"thresholds": [0.1, 0.35, 0.7]}, YES, SCORES),
    ("AUC", {"multi_label": True, "label_weights": np.arange(7.0)}, BINARY, PROBABILITIES),
    ("FBetaScore", {"average": "weighted", "beta": 2.0}, ONE_HOT, PROBABILITIES),
    ("F1Score", {}, ONE_HOT, PROBABILITIES),
    ("F1Score", {"average": "micro", "threshold": 0.2}, BINARY, PROBABILITIES),
    ("F1Score", {"average": "macro"}, ONE_HOT, PROBABILITIES),
    ("R2Score", {}, REALS, PROBABILITIES),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, REALS, PROBABILITIES),
    ("R2Score", {"class_aggregation": None, "num_regressors": 2}, REALS, PROBABILITIES),
]
UNWEIGHTED = [
    ("IoU", {"num_classes": 7, "target_class_ids": [0, 3]}, LABELS, LABELS[::-1]),
    ("BinaryIoU", {"threshold": 0.4}, YES, SCORES),
    ("MeanIoU", {"num_classes": 7, "ignore_class": 2}, LABELS, LABELS[::-1]),
    ("OneHotIoU", {"num_classes": 7, "target_class_ids": [1]}, ONE_HOT, PROBABILITIES),
    ("OneHotMeanIoU", {"num_classes": 7}, ONE_HOT, PROBABILITIES),
]


def check(name, arguments, y_true, y_pred, weights=None):
    """Compare with Keras over two batches, by the stateful and by the pure form."""
    ours, theirs = getattr(metrics, name)(**arguments), getattr(keras.metrics, name)(**arguments)
    pure = getattr(metrics, name)(**arguments)
    pure.build(y_true[0], y_pred[0])
    state = pure.init()
    for i in range(2):
        weight = None if weights is None else weights[i]
        ours.update_state(y_true[i], y_pred[i], sample_weight=weight)
        theirs.update_state(y_true[i], y_pred[i], sample_weight=weight)
        state = jax.jit(pure.update)(state, y_true[i], y_pred[i], weight)
    np.testing.assert_allclose(ours.result(), theirs.result(), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(pure.stateless_result(state), theirs.result(), rtol=2e-5, atol=1e-6)
    ours.reset_state()
    assert all(not np.any(variable.numpy()) for variable in ours.variables)


@pytest.mark.parametrize("case", CASES, ids=[f"{name}-{i}" for i, (name, *_) in enumerate(CASES)])
def test_weighted(case):
    name, arguments, y_true, y_pred = case
    check(name, arguments, y_true, y_pred, WEIGHTS)


PLAIN = [case for case in CASES if case[0] in ("BinaryAccuracy", "Precision", "R2Score", "F1Score")]


@pytest.mark.parametrize("case", PLAIN, ids=[f"{name}-{i}" for i, (name, *_) in enumerate(PLAIN)])
def test_plain(case):
    name, arguments, y_true, y_pred = case
    check(name, arguments, y_true, y_pred)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype:UserWarning")
@pytest.mark.parametrize("case", UNWEIGHTED, ids=[name for name, *_ in UNWEIGHTED])
def test_integer_metric(case):
    name, arguments, y_true, y_pred = case
    check(name, {**arguments, "dtype": "int32"}, y_true, y_pred)


@pytest.mark.parametrize("name", ["Mean", "Sum"])
def test_reductions(name):
    ours, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
    for values, weights in [(REALS[0], None), (REALS[1], WEIGHTS[1]), (3.0, 2.0)]:
        np.testing.assert_allclose(ours(values, weights), theirs(values, weights), rtol=1e-5)


@pytest.mark.parametrize("name", ["auc", "f1_score", "mse", "MAE", "top_k_categorical_accuracy"])
def test_names(name):
    ours: Any = metrics.get(name)
    theirs = keras.metrics.get(name)
    assert type(ours).__name__ == type(theirs).__name__
    assert ours.name == theirs.name or theirs.name.startswith(ours.name)
