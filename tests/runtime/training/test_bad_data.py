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
    with pytest.raises(TypeError, match="numeric"):
        model_of(numeric="strict")
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
