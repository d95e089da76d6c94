"""Callbacks: when they are called, what they stop, save and restore."""

import csv
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xlathe as xl
from xlathe import callbacks, layers

random = np.random.default_rng(5)
X = random.normal(size=(24, 4)).astype("float32")
Y = X.sum(-1, keepdims=True)


def no_layers() -> list[Any]:
    return []


def model_of(stack: Callable[[], list[Any]] = no_layers, rate: float = 0.05) -> Any:
    xl.set_random_seed(2)
    model = xl.Sequential([layers.Input((4,)), *stack(), layers.Dense(1)])
    model.compile(xl.optimizers.Adam(rate), "mse", metrics=["mae"])
    return model


def fit(model, *more, **options):
    options = {"epochs": 3, "batch_size": 8, "verbose": 0, **options}
    return model.fit(X, Y, callbacks=list(more), **options)


def test_the_order_of_calls():
    watch = callbacks.LambdaCallback()
    calls = []
    names = ["train_begin", "epoch_begin", "test_begin", "test_end", "epoch_end", "train_end"]
    for name in names:
        setattr(watch, f"on_{name}", lambda *args, name=name, **kwargs: calls.append(name))
    fit(model_of(), watch, epochs=1, validation_data=(X, Y))
    assert calls == [
        "train_begin",
        "epoch_begin",
        "test_begin",
        "test_end",
        "epoch_end",
        "train_end",
    ]


def test_early_stopping_restores_the_best_weights():
    model = model_of(rate=50.0)
    stop = callbacks.EarlyStopping(monitor="loss", patience=2, restore_best_weights=True)
    history = fit(model, stop, epochs=20)
    best = int(np.argmin(history.history["loss"]))
    assert len(history.epoch) == best + 3 < 20
    assert stop.best_epoch == best


def test_early_stopping_knows_which_way_is_better():
    model = xl.Sequential([layers.Input((4,)), layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    stop = callbacks.EarlyStopping(monitor="accuracy")
    model.fit(X, (Y > 0).astype(int), callbacks=stop, verbose=0)
    assert stop.improves(0.9, 0.8)
    assert not stop.improves(0.7, 0.8)
    with pytest.warns(UserWarning, match="`val_los` which is not available"):
        fit(model_of(), callbacks.EarlyStopping("val_los"), epochs=1)


def test_learning_rates_are_set_without_a_second_program():
    model = model_of()
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    history = fit(model, schedule)
    np.testing.assert_allclose(history.history["learning_rate"], [0.025, 0.0125, 0.00625])
    (run,) = model.fit_state.programs["train"]._many.values()
    assert run._cache_size() == 1
    plateau = callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=1e9)
    history = fit(model, plateau)
    np.testing.assert_allclose(
        history.history["learning_rate"], [0.00625, 0.00625, 0.000625], rtol=1e-5
    )
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(0.0000625)


def test_the_csv_file(tmp_path):
    path = tmp_path / "log.csv"
    history = fit(model_of(), callbacks.CSVLogger(path), validation_split=0.25)
    fit(model_of(), callbacks.CSVLogger(path, append=True), epochs=1)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert list(rows[0]) == ["epoch", "loss", "mae", "val_loss", "val_mae"]
    assert [float(row["loss"]) for row in rows[:3]] == history.history["loss"]
    assert len(rows) == 4
    assert rows[3]["loss"]


def test_model_checkpoints(tmp_path):
    model = model_of()
    best = callbacks.ModelCheckpoint(tmp_path / "best.xlathe", monitor="loss", save_best_only=True)
    each = callbacks.ModelCheckpoint(
        tmp_path / "{epoch:02d}-{loss:.2f}.weights", save_weights_only=True
    )
    history = fit(model, best, each)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(
        [
            "best.xlathe",
            *(f"{i + 1:02d}-{x:.2f}.weights" for i, x in enumerate(history.history["loss"])),
        ]
    )
    loaded = xl.load_model(tmp_path / "best.xlathe")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    model.load_weights(tmp_path / names[0])
    assert not np.array_equal(loaded.get_weights()[0], model.get_weights()[0])


def test_model_checkpoints_of_batches_and_of_the_best(tmp_path, capsys):
    keep = callbacks.ModelCheckpoint(
        tmp_path / "{epoch}-{batch}.weights", save_weights_only=True, save_freq=2
    )
    fit(model_of(), keep, epochs=2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["1-2.weights", "2-1.weights", "2-3.weights"]

    def best(name, **options):
        return callbacks.ModelCheckpoint(
            tmp_path / name, "loss", 1, save_best_only=True, save_weights_only=True, **options
        )

    low = best("low.weights", initial_value_threshold=1e-9)
    worst = best("worst.weights", mode="max", initial_value_threshold=1e-9)
    history = fit(model_of(), low, worst, epochs=1)
    assert not (tmp_path / "low.weights").exists()
    assert (tmp_path / "worst.weights").exists()
    (loss,) = history.history["loss"]
    assert worst.best == loss
    shown = capsys.readouterr().out
    assert "Epoch 1: loss did not improve from 0.00000" in shown
    assert f"loss improved from 0.00000 to {loss:.5f}, saving model to" in shown
    with pytest.raises(KeyError, match="Known names: epoch, loss, mae"):
        fit(model_of(), callbacks.ModelCheckpoint(tmp_path / "{val_loss}.weights"), epochs=1)
    with pytest.raises(ValueError, match="Unrecognized save_freq: 0"):
        callbacks.ModelCheckpoint(tmp_path / "m", save_freq=0)


@pytest.mark.parametrize(("save_freq", "stop_at"), [("epoch", (1, 2)), (2, (1, 2))])
def test_resuming_is_bit_identical(tmp_path, save_freq, stop_at):
    def dropout():
        return model_of(lambda: [layers.Dropout(0.3), layers.BatchNormalization()])

    whole = dropout()
    expected = fit(whole, callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None))

    class Crash(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            if (self.epoch, batch) == stop_at:
                raise KeyboardInterrupt

    def backup():
        return callbacks.BackupAndRestore(tmp_path / "backup", save_freq)

    with pytest.raises(KeyboardInterrupt):
        fit(dropout(), backup(), Crash())
    resumed = dropout()
    history = fit(resumed, backup())
    assert history.history["loss"] == expected.history["loss"][-len(history.epoch) :]
    for mine, other in zip(resumed.variables, whole.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())
    assert not (tmp_path / "backup").exists()


def test_a_backup_of_another_model_is_refused(tmp_path):
    keep = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    fit(model_of(), keep)
    with pytest.raises(ValueError, match="of another model"):
        fit(model_of(lambda: [layers.Dense(3)]), callbacks.BackupAndRestore(tmp_path))


def test_history_draws_or_says_what_is_missing():
    history = callbacks.History()
    history.epoch, history.history = [0, 1], {"loss": [2.0, 1.0], "val_loss": [3.0, 2.0]}
    if importlib.util.find_spec("matplotlib") is None:
        with pytest.raises(ImportError, match="pip install matplotlib"):
            history.plot()
    else:
        assert len(history.plot("loss").axes[0].lines) == 2


def test_the_progress_bar_reads_as_keras_has_it(capsys):
    model = model_of()
    fit(model, epochs=2, verbose=1)
    shown = capsys.readouterr().out
    assert "Epoch 1/2\n" in shown
    assert "\x1b[1m3/3\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m" in shown
    last = shown.splitlines()[-1].rsplit("\r", 1)[-1]
    assert last.count(" - ") == 2
    assert "/step - loss: " in last
    assert " - mae: " in last
    fit(model, epochs=1, verbose=2)
    line = capsys.readouterr().out
    assert line.startswith("3/3 - 0s - ")
    model.evaluate(X, Y, verbose=1)
    assert "1/1" in capsys.readouterr().out
    model.predict(X, verbose=1)
    assert "1/1" in capsys.readouterr().out
