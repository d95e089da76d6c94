"""Training gives the numbers that Keras 3 on JAX gives, from the same weights and data."""

import importlib
import os
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import jax
import numpy as np
import pytest

import xlathe as xl

pytestmark = [
    # Keras's variables don't know the argument `copy` of NumPy 2's protocol.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # Keras asks JAX for the shape of int64 labels, of which JAX 0.12 warns without x64.
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]

keras: Any = importlib.import_module("keras")
random = np.random.default_rng(0)
X = random.normal(size=(43, 8)).astype("float32")
LABELS = random.integers(0, 3, 43)
TARGETS = random.normal(size=(43, 1)).astype("float32")
WEIGHTS = random.uniform(size=43).astype("float32")
QUIET = {"verbose": 0, "shuffle": False, "batch_size": 16}


def classifier(library):
    layers = library.layers
    model = library.Sequential(
        [layers.Input((8,)), layers.Dense(6, activation="relu"), layers.Dense(3)]
    )
    model.compile(
        optimizer=library.optimizers.Adam(1e-2),
        loss=library.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        weighted_metrics=["accuracy"],
    )
    return model


def two_inputs_two_outputs(library):
    layers = library.layers
    first, second = layers.Input((8,), name="first"), layers.Input((4,), name="second")
    hidden = layers.Dense(6, kernel_regularizer="l2")(first)
    hidden = layers.Concatenate()([hidden, second])
    hidden = layers.BatchNormalization()(hidden)
    number = layers.Dense(1, name="number")(hidden)
    kind = layers.Dense(3, activation="softmax", name="kind")(hidden)
    model = library.Model([first, second], [number, kind])
    model.compile(
        "sgd",
        loss={"number": "mse", "kind": "sparse_categorical_crossentropy"},
        loss_weights={"number": 0.5, "kind": 2.0},
        metrics={"number": ["mae"], "kind": ["accuracy"]},
    )
    return model


def own_train_step(library):
    """Keras's own guide to custom training steps with JAX, shortened."""
    layers = library.layers

    class Custom(library.Model):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.loss_tracker = library.metrics.Mean(name="loss")
            self.mae_metric = library.metrics.MeanAbsoluteError(name="mae")
            self.loss_fn = library.losses.MeanSquaredError()

        def compute_loss_and_updates(self, trainable, others, x, y, training=False):
            y_pred, others = self.stateless_call(trainable, others, x, training=training)
            return self.loss_fn(y, y_pred), (y_pred, others)

        def train_step(self, state, data):
            trainable, others, optimizer, metrics = state
            x, y = data[:2]
            grad_fn = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
            (loss, (y_pred, others)), grads = grad_fn(trainable, others, x, y, training=True)
            trainable, optimizer = self.optimizer.stateless_apply(optimizer, grads, trainable)
            new, logs = [], {}
            for metric in self.metrics:
                values = metrics[len(new) : len(new) + len(metric.variables)]
                if metric.name == "loss":
                    values = metric.stateless_update_state(values, loss)
                else:
                    values = metric.stateless_update_state(values, y, y_pred)
                logs[metric.name] = metric.stateless_result(values)
                new += values
            return logs, (trainable, others, optimizer, new)

        @property
        def metrics(self):
            return [self.loss_tracker, self.mae_metric]

    inputs = layers.Input((8,))
    model = Custom(inputs, layers.Dense(1)(layers.Dense(4, activation="relu")(inputs)))
    model.compile(optimizer=library.optimizers.Adam(1e-2))
    return model


def own_loss(library):
    layers = library.layers

    class Custom(library.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ((y_pred - y) ** 4).mean() + sum(self.losses)  # pyright: ignore[reportOptionalOperand]

    inputs = layers.Input((8,))
    model = Custom(inputs, layers.Dense(1, kernel_regularizer="l1")(inputs))
    model.compile(optimizer="sgd")
    return model


def masked(library):
    layers = library.layers
    model = library.Sequential(
        [
            layers.Input((5,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=True),
            layers.SimpleRNN(4, return_sequences=True),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def convolutional(library):
    layers = library.layers
    model = library.Sequential(
        [
            layers.Input((6, 6, 1)),
            layers.Conv2D(2, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy", "auc"])
    return model


WORDS = random.integers(0, 9, (43, 5))
TAGS = random.integers(0, 3, (43, 5))
IMAGES = random.normal(size=(43, 6, 6, 1)).astype("float32")
BOTH = {"first": X, "second": X[:, :4]}
CASES = {
    "classifier": (classifier, X, LABELS, {"sample_weight": WEIGHTS, "validation_split": 0.3}),
    "class weights": (classifier, X, LABELS, {"class_weight": {0: 2.0, 1: 0.5}}),
    "two of each": (two_inputs_two_outputs, BOTH, {"number": TARGETS, "kind": LABELS}, {}),
    "masked": (masked, WORDS, TAGS, {}),
    "convolutional": (convolutional, IMAGES, np.eye(3)[LABELS], {}),
    "own train step": (own_train_step, X, TARGETS, {}),
    "own loss": (own_loss, X, TARGETS, {}),
}


def pair(build):
    theirs, ours = build(keras), build(xl)
    ours.set_weights(theirs.get_weights())
    return ours, theirs


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-5, err_msg=name)


LONG = ("masked", "two of each")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in LONG else []) for n in CASES]
)
def test_fit_and_evaluate(name):
    build, x, y, options = CASES[name]
    ours, theirs = pair(build)
    logs = [model.fit(x, y, epochs=2, **QUIET, **options).history for model in (ours, theirs)]
    if name == "masked":
        # Keras on JAX loses the mask of training metrics, not that of evaluation's.
        logs = [{"loss": history["loss"]} for history in logs]
    assert_equal(*logs)
    for mine, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-6)
    if name != "own train step":
        options = {"batch_size": 16, "verbose": 0}
        assert_equal(*(m.evaluate(x, y, **options, return_dict=True) for m in (ours, theirs)))
        if name == "two of each":
            measured = [model.evaluate(x, y, **options) for model in (ours, theirs)]
            np.testing.assert_allclose(*measured, rtol=2e-5)


def test_predict_and_single_batches():
    ours, theirs = pair(classifier)
    for _ in range(2):
        logs = [model.train_on_batch(X, LABELS, return_dict=True) for model in (ours, theirs)]
        assert_equal(*logs)
    assert_equal(*(model.test_on_batch(X, LABELS, return_dict=True) for model in (ours, theirs)))
    for rows in (1, 5, 43):
        np.testing.assert_allclose(
            ours.predict(X[:rows], batch_size=16, verbose=0),
            theirs.predict(X[:rows], batch_size=16, verbose=0),
            rtol=1e-5,
            atol=1e-6,
        )
    np.testing.assert_allclose(
        ours.predict_on_batch(X), theirs.predict_on_batch(X), rtol=1e-5, atol=1e-6
    )


def test_a_dataset_with_workers():
    def dataset(library, **options):
        class Batches(library.utils.PyDataset):
            def __len__(self):
                return 3

            def __getitem__(self, index):
                rows = slice(index * 16, index * 16 + 16)
                return X[rows], LABELS[rows]

        return Batches(**options)

    ours, theirs = pair(classifier)
    histories = [
        model.fit(dataset(library, workers=workers), epochs=2, verbose=0, shuffle=False)
        for model, library, workers in ((ours, xl, 3), (theirs, keras, 1))
    ]
    assert_equal(*(history.history for history in histories))


def test_optimizer_options_in_a_fit():
    def build(library):
        model = classifier(library)
        schedule = library.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
        optimizer = library.optimizers.SGD(schedule, momentum=0.9, clipnorm=0.1, use_ema=True)
        model.compile(optimizer=optimizer, loss=model.loss)
        return model

    ours, theirs = pair(build)
    histories = [model.fit(X, LABELS, epochs=2, **QUIET) for model in (ours, theirs)]
    np.testing.assert_allclose(*(h.history["loss"] for h in histories), rtol=2e-5)
    for mine, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-6)
