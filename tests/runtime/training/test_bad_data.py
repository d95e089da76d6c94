"""What can be known to be wrong is said before training starts, and the weights stay."""

import numpy as np
import pytest

import xlathe as xl
from xlathe import layers

X = np.ones((10, 4), "float32")
LABELS = np.arange(10) % 3


def model_of(**options):
    model = xl.Sequential([layers.Input((4,)), layers.Dense(3)])
    options = {"loss": "sparse_categorical_crossentropy", "optimizer": "sgd", **options}
    model.compile(**options)
    return model


CASES = {
    "wrong width": ((X[:, :3], LABELS), {}, "shape"),
    "lengths": ((X, LABELS[:9]), {}, r"'x' sizes: 10\n'y' sizes: 9"),
    "weights' length": ((X, LABELS), {"sample_weight": np.ones(4)}, "'sample_weight' sizes: 4"),
    "no samples": ((X[:0], LABELS[:0]), {}, "no samples"),
    "no data": ((None,), {}, "`x` is None"),
    "text": ((np.array([["a"] * 4] * 10), LABELS), {}, "must be numbers"),
    "objects": ((np.array([[object()] * 4] * 10), LABELS), {}, "Python objects"),
    "a number": ((3.0,), {}, "Received: 3.0"),
    "label too large": ((X, LABELS + 1), {}, r"label value of 3 .* \[0, 3\)"),
    "label below zero": ((X, LABELS - 1), {}, r"label value of -1 .* \[0, 3\)"),
    "no targets": ((X,), {}, "no targets"),
    "a function": ((lambda: X,), {}, "call it first"),
    "targets beside batches": ((iter([(X, LABELS)]), LABELS), {}, "`y` must not be given"),
    "an empty generator": ((iter([]),), {}, "yielded no batch"),
    "four parts": ((iter([(X, X, X, X)]),), {}, "tuple of 4"),
    "batch of no rows": ((X, LABELS), {"batch_size": 0}, "batch_size=0"),
    "shuffle": ((X, LABELS), {"shuffle": "rows"}, "shuffle='rows'"),
    "split of all": ((X, LABELS), {"validation_split": 1.0}, "between 0 and 1"),
    "split of few": ((X[:1], LABELS[:1]), {"validation_split": 0.1}, "contains 1 samples"),
    "split of batches": ((iter([(X, LABELS)]),), {"validation_split": 0.5}, "only supported"),
    "both weights": (
        (X, LABELS),
        {"class_weight": {0: 1.0}, "sample_weight": np.ones(10)},
        "at the same time",
    ),
    "both weights in batches": (
        (iter([(X, LABELS, np.ones(10))]),),
        {"class_weight": {0: 1.0}},
        "at the same time",
    ),
    "classes by name": ((X, LABELS), {"class_weight": {"a": 1.0}}, "numbers of classes"),
    "labels between classes": ((X, LABELS + 0.5), {}, "label value of 0.5"),
    "labels of a first batch": ((iter([(X, LABELS + 1)]),), {}, "label value of 3"),
    "labels of validation": ((X, LABELS), {"validation_data": (X, LABELS + 1)}, "value of 3"),
    "lengths of validation": ((X, LABELS), {"validation_data": (X, LABELS[:2])}, "cardinality"),
    "no validation samples": ((X, LABELS), {"validation_data": (X[:0], LABELS[:0])}, "no samples"),
    "dates": ((X.astype("datetime64[D]"), LABELS), {}, "must be numbers"),
    "weights' shape": (
        (X, LABELS),
        {"sample_weight": np.ones((10, 7))},
        r"sample weights of shape \(10, 7\) don't fit outputs of shape \(10, 3\)",
    ),
    "part of a batch": ((X, LABELS), {"batch_size": 2.5}, "batch_size=2.5"),
    "epochs of no steps": ((X, LABELS), {"steps_per_epoch": 0}, "steps_per_epoch=0"),
    "validation after 0 epochs": (
        (X, LABELS),
        {"validation_data": (X, LABELS), "validation_freq": 0},
        "validation_freq=0",
    ),
    "callback": ((X, LABELS), {"callbacks": [print]}, "callbacks.Callback"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_before_training(name):
    arguments, options, message = CASES[name]
    model = model_of()
    before = [np.array(weight) for weight in model.get_weights()]
    with pytest.raises(ValueError, match=message):
        model.fit(*arguments, verbose=0, **options)
    for mine, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_targets_of_another_shape_are_refused_before_callbacks_start(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("kept")
    model = model_of(loss="mse")
    with pytest.raises(ValueError, match=r"shape \(10, 5\) don't fit outputs of shape \(10, 3\)"):
        model.fit(X, np.ones((10, 5)), verbose=0, callbacks=xl.callbacks.CSVLogger(log))
    assert log.read_text() == "kept"


def test_complex_numbers_are_refused():
    inputs = layers.Input((4,), dtype="complex64")
    model = xl.Model(inputs, layers.Lambda(lambda x: x * 2)(inputs))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="outputs are complex"):
        model.evaluate(X + 1j, X, verbose=0)
    with pytest.raises(ValueError, match="targets are complex"):
        model_of(loss="mse").fit(X, X[:, :3] + 1j, verbose=0)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((X, LABELS[:3]), "cardinality"),
        ((X[:0], LABELS[:0]), "no samples"),
        ((X, LABELS + 1), "label value of 3"),
        ((X[:, :2], LABELS), "shape"),
        ((np.array([["a"] * 4] * 10), LABELS), "must be numbers"),
    ],
)
def test_one_batch_is_checked_too(batch, message):
    model = model_of()
    before = [np.array(weight) for weight in model.get_weights()]
    for call in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match=message):
            call(*batch)
    for mine, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_numbers_of_evaluate_and_predict():
    model = model_of()
    with pytest.raises(ValueError, match="batch_size=0"):
        model.predict(X, batch_size=0)
    with pytest.raises(ValueError, match="steps=-1"):
        model.evaluate(X, LABELS, steps=-1)
    with pytest.raises(ValueError, match="no samples"):
        model.predict(X[:0], verbose=0)


def test_one_hot_targets_for_a_sparse_loss():
    with pytest.raises(ValueError, match="use categorical_crossentropy"):
        model_of().fit(X, np.eye(3)[LABELS], verbose=0)


def test_nothing_to_minimise():
    with pytest.raises(ValueError, match="No loss to compute"):
        model_of(loss=None).fit(X, LABELS, verbose=0)


def test_not_compiled():
    model = xl.Sequential([layers.Input((4,)), layers.Dense(3)])
    for call in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match=r"You must call `compile\(\)`"):
            call(X, LABELS)
    assert model.predict(X, verbose=0).shape == (10, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adm"}, "There is no optimizer .* Did you mean 'adam'"),
        ({"loss": "binary_crossentropi"}, "Did you mean 'binary_crossentropy'"),
        ({"metrics": ["acuracy"]}, "There is no metric .* Did you mean 'accuracy'"),
        ({"metrics": "accuracy"}, "Expected `metrics` argument to be a list"),
        ({"steps_per_execution": 0}, "steps_per_execution=0"),
        ({"optimizer": 3}, "Could not interpret optimizer identifier: 3"),
    ],
)
def test_unknown_names(options, message):
    with pytest.raises(ValueError, match=message):
        model_of(**options)


def test_unknown_options_and_outputs():
    with pytest.raises(TypeError, match="Did you mean 'numerics'"):
        model_of(numeric="strict")
    with pytest.raises(TypeError, match="Did you mean 'metrics'"):
        model_of(metric=["accuracy"])
    with pytest.raises(ValueError, match="Did you mean 'activation'"):
        layers.Dense(3, activaton="relu")  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match="Did you mean 'score'"):
        xl.Sequential([layers.Input((4,)), layers.Dense(3, name="score")]).get_layer("scor")
    inputs = layers.Input((4,))
    outputs = [layers.Dense(1, name="first")(inputs), layers.Dense(1, name="second")(inputs)]
    model = xl.Model(inputs, outputs)
    model.compile("sgd", loss={"first": "mse", "secund": "mse"})
    with pytest.raises(ValueError, match="Did you mean 'second'"):
        model.fit(X, [X[:, 0], X[:, 1]], verbose=0)
    model.compile("sgd", loss=["mse"])
    with pytest.raises(ValueError, match="2 outputs"):
        model.fit(X, [X[:, 0], X[:, 1]], verbose=0)


def test_not_a_number_is_warned_of_and_can_stop_training(capsys):
    model = model_of()
    holes = np.where(np.eye(10, 4) > 0, np.nan, X)
    with pytest.warns(UserWarning, match="`x` contains NaN"):
        history = model.fit(
            holes, LABELS, epochs=5, verbose=0, callbacks=[xl.callbacks.TerminateOnNaN()]
        )
    assert len(history.epoch) == 1
    assert "Invalid loss" in capsys.readouterr().out


def test_infinity_is_warned_of():
    with pytest.warns(UserWarning, match="`y` contains NaN or infinity"):
        model_of(loss="mse").fit(X, np.where(np.eye(10, 3) > 0, np.inf, 0.0), verbose=0)


def test_a_generator_that_raises_leaves_the_last_complete_step():
    def batches():
        yield X, LABELS
        yield X, LABELS
        raise RuntimeError("the disk is gone")

    model, other = model_of(), model_of()
    other.set_weights(model.get_weights())
    with pytest.raises(RuntimeError, match="the disk is gone"):
        model.fit(batches(), verbose=0)
    for _ in range(2):
        other.train_on_batch(X, LABELS)
    for mine, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-6)


def test_a_generator_that_ends_early_is_warned_of():
    model = model_of()
    with pytest.warns(UserWarning, match="ran out of data"):
        history = model.fit(iter([(X, LABELS)] * 3), steps_per_epoch=2, epochs=4, verbose=0)
    assert history.epoch == [0, 1]
    assert int(model.optimizer.iterations) == 3
