"""`fit`: what it takes, what it leaves, and that no path of running steps changes a number."""

import gc
import signal
from typing import Any

import jax
import numpy as np
import optax
import pytest

import xlathe as xl
from xlathe import layers
from xlathe.runtime.training import dispatch, preparation, staging

random = np.random.default_rng(3)
X = random.normal(size=(37, 4)).astype("float32")
LABELS = random.integers(0, 3, 37)


def one_layer():
    return [layers.Dense(5, activation="tanh")]


def model_of(stack: Any = one_layer, seed: int = 1, **options: Any) -> Any:
    xl.set_random_seed(seed)
    model = xl.Sequential([layers.Input((4,)), *stack(), layers.Dense(3, activation="softmax")])
    options = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", **options}
    model.compile(metrics=["accuracy"], **options)
    return model


def trained(model: Any, x: Any = X, y: Any = LABELS, **options: Any) -> Any:
    options = {"epochs": 2, "verbose": 0, "batch_size": 8, **options}
    history = model.fit(x, y, **options).history
    return history, [np.array(weight) for weight in model.get_weights()]


def assert_same(first, second, rtol=1e-5):
    for mine, other in zip(first[1], second[1], strict=True):
        np.testing.assert_allclose(mine, other, rtol=rtol, atol=1e-6)
    for name in second[0]:
        np.testing.assert_allclose(first[0][name], second[0][name], rtol=rtol, err_msg=name)


def test_it_learns():
    model = model_of(optimizer=xl.optimizers.Adam(0.05))
    labels = (X[:, 0] > 0).astype(int)
    history = model.fit(X, labels, epochs=30, verbose=0)
    assert history.history["loss"][-1] < 0.3 < history.history["loss"][0]
    assert model.evaluate(X, labels, verbose=0, return_dict=True)["accuracy"] > 0.9
    assert (model.predict(X, verbose=0).argmax(-1) == labels).mean() > 0.9


@pytest.mark.parametrize("rows", [4, 5, 37])
def test_arrays_handed_out_are_the_callers_to_change(rows):
    model = model_of()
    predicted = model.predict(X[:rows], verbose=0)
    handed_out = [predicted, model.predict(X[:rows], batch_size=64, verbose=0)]
    handed_out += [model.predict_on_batch(X[:rows]), *model.get_weights()]
    handed_out += [np.array(weight) for weight in model.weights]
    for array in handed_out:
        array[...] = 7
    np.testing.assert_array_equal(model.predict(X[:rows], verbose=0) == 7, False)


class TwoOptimizers(xl.Model):
    """Two layers that learn the same, each by an optimizer of its own."""

    def __init__(self):
        super().__init__()
        self.first, self.second = layers.Dense(1), layers.Dense(1)

    def compile(self, first, second):  # pyright: ignore[reportIncompatibleMethodOverride]
        super().compile(optimizer=first)
        self.second_optimizer = second
        self.optimizer.build(self.first.trainable_variables)
        self.second_optimizer.build(self.second.trainable_variables)

    def call(self, x):
        return self.first(x), self.second(x)

    def train_step(self, state, data):
        trainable, others, optimizers, metrics = state
        x, y = data[:2]

        def loss(values):
            outputs, _ = self.stateless_call(values, others, x)
            return sum(((output - y) ** 2).mean() for output in outputs)

        value, grads = jax.value_and_grad(loss)(trainable)
        count = len(self.optimizer.variables)
        first, state_1 = self.optimizer.stateless_apply(
            optimizers[:count], grads[:2], trainable[:2]
        )
        second, state_2 = self.second_optimizer.stateless_apply(
            optimizers[count:], grads[2:], trainable[2:]
        )
        return {"loss": value}, (first + second, others, state_1 + state_2, metrics)


def test_two_optimizers_each_keep_their_own_state(tmp_path):
    def trained_by_both(**options):
        model = TwoOptimizers()
        model.build((None, 4))
        for layer in (model.first, model.second):
            layer.set_weights([np.full((4, 1), 0.5), np.zeros(1)])
        model.compile(xl.optimizers.Adam(0.1), xl.optimizers.SGD(0.1, momentum=0.9))
        model.fit(X, X[:, :1], batch_size=8, shuffle=False, verbose=0, **options)
        return model

    mine = trained_by_both(epochs=4)
    for layer, optimizer in [
        (mine.first, xl.optimizers.Adam(0.1)),
        (mine.second, xl.optimizers.SGD(0.1, momentum=0.9)),
    ]:
        alone = xl.Sequential([layers.Input((4,)), layers.Dense(1)])
        alone.set_weights([np.full((4, 1), 0.5), np.zeros(1)])
        alone.compile(optimizer=optimizer, loss="mse")
        alone.fit(X, X[:, :1], batch_size=8, shuffle=False, epochs=4, verbose=0)
        for weight, expected in zip(layer.get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=1e-6)

    backup = xl.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    trained_by_both(epochs=2, callbacks=[backup])
    resumed = trained_by_both(epochs=4, callbacks=[backup])
    assert resumed.history.epoch == [2, 3]
    for weight, expected in zip(resumed.get_weights(), mine.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_one_batch_at_a_time_and_eagerly_give_the_same(monkeypatch):
    looped = trained(model_of())
    assert_same(
        looped,
        trained(
            model_of(),
            callbacks=xl.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None),
        ),
    )
    assert_same(looped, trained(model_of(steps_per_execution=3)))
    assert_same(looped, trained(model_of(numerics="strict")))
    assert_same(looped, trained(model_of(run_eagerly=True)), rtol=1e-4)
    monkeypatch.setattr(preparation, "loops_well", lambda jaxpr: False)
    assert_same(looped, trained(model_of()))


@pytest.mark.parametrize(("size", "loops"), [(8, True), (64, False)])
def test_steps_with_small_convolutions_run_in_a_loop(size, loops):
    layout = ("NHWC", "HWIO", "NHWC")

    @jax.jit
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)

    x, kernel = np.zeros((32, size, size, 3), "float32"), np.zeros((3, 3, 3, 16), "float32")
    assert dispatch.loops_well(jax.make_jaxpr(convolve)(x, kernel)) == loops


def test_convolutions_in_a_loop_give_the_same(monkeypatch):
    def network():
        return [
            layers.Reshape((6, 6, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
        ]

    def model():
        xl.set_random_seed(1)
        stack = [layers.Input((36,)), *network(), layers.Dense(3, activation="softmax")]
        made = xl.Sequential(stack)
        made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return made

    x = np.repeat(X, 9, axis=1)
    looped = trained(model(), x)
    monkeypatch.setattr(preparation, "loops_well", lambda jaxpr: False)
    assert_same(looped, trained(model(), x))


@pytest.mark.parametrize("rows", [32, 37])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(
    ("name", "value"), [("_PIECE_BYTES", 300), ("_RESIDENT_BYTES", {"cpu": 1 << 20})]
)
def test_where_the_data_lies_changes_nothing(monkeypatch, rows, shuffle, name, value):
    x, y = X[:rows], LABELS[:rows]
    expected = trained(model_of(), x, y, shuffle=shuffle)
    monkeypatch.setattr(staging, name, value)
    model = model_of()
    assert_same(expected, trained(model, x, y, shuffle=shuffle), rtol=0)
    programs = model.fit_state.programs["train"]._many
    assert [run._cache_size() for run in programs.values()] == [1]


def test_a_dispatch_runs_the_steps_that_a_fifth_of_a_second_holds():
    pace = dispatch.Pace(None)
    sizes = []
    for seconds in (9.0, 0.001, 0.016, 0.4, 1.0):
        pace.took(pace.size, seconds)
        sizes.append(pace.size)
    assert sizes == [1, 16, 200, 100, 20]


def test_how_long_steps_take_is_remembered():
    model = model_of()
    trained(model)
    paces = dict(model.fit_state.programs["train"].paces)
    trained(model)
    assert list(paces) == [(8, (4,), ())]
    assert model.fit_state.programs["train"].paces == paces


def test_a_smaller_last_batch_needs_no_second_program():
    model = model_of()
    trained(model)
    program = model.fit_state.programs["train"]
    assert model.fit_state.pads[True]
    assert [run._cache_size() for run in program._many.values()] == [1]
    assert program._one._cache_size() == 0


def test_a_smaller_last_batch_counts_for_itself_where_rows_mix():
    def normalised():
        return model_of(lambda: [layers.BatchNormalization(), layers.Dense(5)])

    model = normalised()
    looped = trained(model, shuffle=False)
    assert not model.fit_state.pads[True]
    other = normalised()
    for _ in range(2):
        for start in range(0, 37, 8):
            other.train_on_batch(X[start : start + 8], LABELS[start : start + 8])
    for mine, expected in zip(looped[1], other.get_weights(), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-6)


def test_dropout_and_shuffling_follow_the_seed():
    def build(seed):
        return model_of(lambda: [layers.Dropout(0.5)], seed=seed)

    first, second = trained(build(1)), trained(build(1))
    assert_same(first, second, rtol=0)
    assert not np.allclose(first[1][0], trained(build(2))[1][0])


@pytest.mark.parametrize(
    "source",
    [
        lambda: ((X[i : i + 8], LABELS[i : i + 8]) for i in range(0, 37, 8)),
        lambda: [(X[i : i + 8], LABELS[i : i + 8]) for i in range(0, 37, 8)].__iter__(),
    ],
)
def test_batches_from_an_iterator(source):
    arrays = trained(model_of(), epochs=1, shuffle=False)
    assert_same(arrays, trained(model_of(), source(), None, epochs=1, batch_size=None))


class Batches:
    """Neither an array nor a dataset: only iterable, with a length."""

    def __len__(self):
        return 5

    def __iter__(self):
        return ((X[i : i + 8], LABELS[i : i + 8]) for i in range(0, 37, 8))


def test_any_iterable_of_batches():
    arrays = trained(model_of(), shuffle=False)
    assert_same(arrays, trained(model_of(), Batches(), None))
    assert_same(arrays, trained(model_of(), list(Batches()), None))
    history, _ = trained(model_of(), Batches(), None, validation_data=Batches())
    assert len(history["val_loss"]) == 2


class Frame:
    """What pandas gives: an object that knows how to become an array."""

    def __init__(self, values):
        self.values = values
        self.shape = values.shape

    def to_numpy(self):
        return self.values


def test_frames_and_lists():
    arrays = trained(model_of())
    assert_same(arrays, trained(model_of(), Frame(X.astype("float64")), Frame(LABELS)))
    assert_same(arrays, trained(model_of(), X.tolist(), list(LABELS)))


def test_optax_transformations_and_schedules():
    ours = trained(model_of(optimizer=optax.chain(optax.clip(1.0), optax.sgd(0.1))))
    assert_same(ours, trained(model_of(optimizer=xl.optimizers.SGD(0.1, clipvalue=1.0))))
    schedule = optax.exponential_decay(0.1, 5, 0.5)
    ours = trained(model_of(optimizer=xl.optimizers.SGD(schedule)))
    assert_same(ours, trained(model_of(optimizer=optax.sgd(schedule))))


def test_steps_and_epochs():
    seen = []
    watch = xl.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(epoch),
        on_train_batch_end=lambda batch, logs: seen.append((batch, sorted(logs))),
    )
    model_of().fit(
        X,
        LABELS,
        batch_size=8,
        epochs=3,
        initial_epoch=2,
        steps_per_epoch=2,
        verbose=0,
        callbacks=[watch],
    )
    assert seen == [2, (0, ["accuracy", "loss"]), (1, ["accuracy", "loss"])]


def test_frozen_layers_stay():
    model = model_of()
    model.layers[0].trainable = False
    before = [np.array(weight) for weight in model.layers[0].get_weights()]
    last = np.array(model.layers[1].get_weights()[0])
    trained(model)
    for mine, expected in zip(model.layers[0].get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, expected)
    assert not np.array_equal(model.layers[1].get_weights()[0], last)
    model.layers[0].trainable = True
    model.compile("sgd", "sparse_categorical_crossentropy")
    trained(model)
    assert not np.array_equal(model.layers[0].get_weights()[0], before[0])


def test_arrays_that_a_user_holds_are_not_overwritten():
    model = model_of()
    held = [variable.value for variable in model.variables]
    copies = [np.array(value) for value in held]
    trained(model)
    for value, copy in zip(held, copies, strict=True):
        np.testing.assert_array_equal(np.asarray(value), copy)


def test_an_interrupt_leaves_the_last_complete_step():
    model = model_of()
    states = []

    def stop(batch, logs):
        states.append([np.array(weight) for weight in model.get_weights()])
        if batch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(model, callbacks=xl.callbacks.LambdaCallback(on_train_batch_end=stop))
    assert len(states) == 3
    for mine, expected in zip(model.get_weights(), states[-1], strict=True):
        np.testing.assert_array_equal(mine, expected)
    assert int(model.optimizer.iterations) == 3
    trained(model)


@pytest.fixture
def interrupts_raise():
    """Python's own handler of SIGINT, which a shell's background job starts without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_until_the_state_is_stored(interrupts_raise):
    seen = []

    def interrupted():
        with dispatch.uninterrupted():
            signal.raise_signal(signal.SIGINT)
            seen.append("stored")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert seen == ["stored"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_pure_form_of_a_trained_model_goes_through_jax():
    model = model_of()
    trained(model)
    outputs, _ = model.apply(model.get_params(), X)
    np.testing.assert_allclose(outputs, model.predict(X, verbose=0), rtol=1e-5)
    gc.collect()
    assert jax.tree.all(jax.tree.map(lambda leaf: not leaf.is_deleted(), model.get_params()))


def test_nothing_is_compiled_twice():
    model = model_of()
    for _ in range(2):
        trained(model, validation_data=(X, LABELS))
        model.evaluate(X, LABELS, batch_size=8, verbose=0)
        for rows in (3, 4, 9, 37):
            model.predict(X[:rows], batch_size=8, verbose=0)
    for program in model.fit_state.programs.values():
        assert [run._cache_size() for run in program._many.values()] == [1]
    assert model.__dict__["_predictor"]._run._cache_size() == 2


def test_predict_keeps_states_and_seeds():
    recurrent = layers.LSTM(2, stateful=True)
    model = xl.Sequential([layers.Input((2, 3), batch_size=4), recurrent])
    x = np.random.default_rng(0).normal(size=(4, 2, 3)).astype("float32")
    first, second = (model.predict(x, verbose=0) for _ in range(2))
    assert not np.allclose(first, second)
    recurrent.reset_state()
    np.testing.assert_allclose(
        model.predict(np.tile(x, (2, 1, 1)), batch_size=4, verbose=0)[4:], second
    )
    plain: Any = xl.Sequential([layers.Input((3,)), layers.Dense(2), layers.BatchNormalization()])
    plain.predict(x[:, 0], verbose=0)
    assert plain._predictor.written == []


def test_a_step_is_given_what_there_is_of_a_batch():
    seen = []

    class Looking(xl.Model):
        def train_step(self, state, data):
            seen.append(data)
            return {}, state

    inputs = layers.Input((2,))
    model = Looking(inputs, layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    x, y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")
    for arguments in ((x,), (x, y), (x, y, None, np.ones(4))):
        names = ("x", "y", "batch_size", "sample_weight")
        options: dict[str, Any] = dict(zip(names, arguments, strict=False))
        model.fit(**options, verbose=0)
    lengths = [len(data) if isinstance(data, tuple) else 1 for data in seen]
    assert list(dict.fromkeys(lengths)) == [1, 2, 3]


def test_targets_for_those_outputs_alone_that_have_a_loss():
    inputs = xl.Input((2,))
    hidden = xl.layers.Dense(3, name="hidden")(inputs)
    model = xl.Model(inputs, [xl.layers.Dense(1, name="out")(hidden), hidden])
    model.compile("sgd", loss=["mse", None], metrics=[["mae"], None])
    x, y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")
    assert set(model.fit(x, y, verbose=0).history) == {"loss", "out_mae"}
    model.compile("sgd", loss={"out": "mse"})
    assert model.evaluate(x, {"out": y}, verbose=0) == pytest.approx(
        np.mean((model.predict(x, verbose=0)[0] - y) ** 2), rel=1e-4
    )
    with pytest.raises(ValueError, match="2 outputs, and there are 3 targets"):
        model.fit(x, [y, y, y], verbose=0)
