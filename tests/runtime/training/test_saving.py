"""Saved files: what comes back, and what a damaged or hostile one does."""

import json
import zipfile

import numpy as np
import optax
import pytest
import safetensors.numpy

import xlathe as xl
from xlathe import layers
from xlathe.runtime.training.archive import read_archive, write_archive

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


def model_of(width=5):
    return xl.Sequential(
        [layers.Input((4,)), layers.Dense(width), layers.BatchNormalization(), layers.Dense(2)]
    )


def test_a_model_comes_back(tmp_path):
    model = model_of()
    model.compile("adam", "mse")
    model.fit(X, X[:, :2], verbose=0)
    model.save(tmp_path / "m.xlathe")
    loaded = xl.load_model(tmp_path / "m.xlathe")
    assert type(loaded) is xl.Sequential
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    assert [path.name for path in tmp_path.iterdir()] == ["m.xlathe"]


def test_weights_come_back_or_nothing_changes(tmp_path):
    first, second, wider = model_of(), model_of(), model_of(6)
    first.save_weights(tmp_path / "w")
    second.load_weights(tmp_path / "w")
    np.testing.assert_array_equal(first.predict(X, verbose=0), second.predict(X, verbose=0))
    before = wider.get_weights()
    with pytest.raises(ValueError, match=r"float32\[4, 6\] in the model and float32\[4, 5\]"):
        wider.load_weights(tmp_path / "w")
    for mine, expected in zip(wider.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, expected)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        first.save_weights(tmp_path / "w", overwrite=False)
    with pytest.raises(ValueError, match="holds no model"):
        xl.load_model(tmp_path / "w")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "bool", "float16"])
def test_element_types(tmp_path, dtype):
    array = np.ones((2, 3)).astype(np.dtype(xl.Variable(np.ones(1), dtype=dtype).dtype))
    write_archive(tmp_path / "a", {"x/y": array, "none": array[:0]}, {"n": 1})
    arrays, config = read_archive(tmp_path / "a")
    assert config == {"n": 1}
    assert {name: (a.dtype, a.shape) for name, a in arrays.items()} == {
        "x/y": (array.dtype, (2, 3)),
        "none": (array.dtype, (0, 3)),
    }


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.xlathe"
    model_of().save(path)
    old = path.read_bytes()
    with pytest.raises(TypeError):
        write_archive(path, {}, {"not plain": object()})
    assert path.read_bytes() == old
    assert [item.name for item in tmp_path.iterdir()] == ["m.xlathe"]


def damaged(path, changes, compression=zipfile.ZIP_STORED):
    """Write an archive of one array with parts of it replaced."""
    parts = {"config.json": listing(["a"]), "arrays.safetensors": tensors(), **changes}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in parts.items():
            if data is not None:
                archive.writestr(name, data)
    return path


def listing(names, config=None):
    return json.dumps({"config": {} if config is None else config, "arrays": names})


def tensors(data=bytes(8), **changes):
    described = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}
    header = json.dumps({"a": described}).encode()
    return len(header).to_bytes(8, "little") + header + data


def test_the_arrays_are_a_safetensors_file(tmp_path):
    path = damaged(tmp_path / "d", {"arrays.safetensors": tensors(np.ones(2, "float32").tobytes())})
    arrays, _ = read_archive(path)
    np.testing.assert_array_equal(arrays["a"], [1, 1])
    write_archive(path, {"b": np.ones(1), "a": np.array([[1, 2]]).T}, {})
    with zipfile.ZipFile(path) as archive:
        stored = safetensors.numpy.load(archive.read("arrays.safetensors"))
    np.testing.assert_array_equal(stored["a"], [[1], [2]])
    assert list(read_archive(path)[0]) == ["b", "a"]


@pytest.mark.parametrize(
    "changes",
    [
        {"arrays.safetensors": None},
        {"arrays.safetensors": tensors(bytes(4))},
        {"arrays.safetensors": tensors(bytes(12))},
        {"arrays.safetensors": b""},
        {"arrays.safetensors": (1 << 62).to_bytes(8, "little") + b"{}"},
        {"arrays.safetensors": tensors(shape=[3])},
        {"arrays.safetensors": tensors(shape=[-2])},
        {"arrays.safetensors": tensors(shape=[1 << 62, 1 << 62])},
        {"arrays.safetensors": tensors(shape="x")},
        {"arrays.safetensors": tensors(dtype="object")},
        {"arrays.safetensors": tensors(data_offsets=[8, 0])},
        {"arrays.safetensors": tensors(data_offsets=[0, 1 << 62], shape=[1 << 60])},
        {"config.json": None},
        {"config.json": "{"},
        {"config.json": "[]"},
        {"config.json": "[" * 100_000},
        {"config.json": b"\xff\xfe"},
        {"config.json": listing([])},
        {"config.json": listing(["a", "b"])},
        {"config.json": listing(["a", "a"])},
        {"config.json": listing([1])},
        {"config.json": listing(["a"], config=[1])},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_damaged_files_are_refused(tmp_path, changes):
    damaged(tmp_path / "d", changes)
    with pytest.raises(ValueError, match="is not a file that xlathe wrote, or it is damaged"):
        read_archive(tmp_path / "d")


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "m.xlathe"
    model_of().save(path)
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="damaged"):
            xl.load_model(path)
    with pytest.raises(FileNotFoundError):
        xl.load_model(tmp_path / "none")


def test_an_inflating_file_is_refused(tmp_path):
    huge = tensors(bytes(4 << 20), shape=[1 << 20], data_offsets=[0, 4 << 20])
    for part in ({"arrays.safetensors": huge}, {"config.json": " " * (4 << 20)}):
        path = damaged(tmp_path / "d", part, zipfile.ZIP_DEFLATED)
        assert path.stat().st_size < 100_000
        with pytest.raises(ValueError, match=r"claims to have .* bytes"):
            read_archive(path)


def test_names_of_a_file_are_no_paths(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    path = damaged(inner / "d", {"../evil": b"x", "/evil": b"x"})
    read_archive(path)
    write_archive(path, {"../../evil": np.ones(2)}, {})
    assert list(read_archive(path)[0]) == ["../../evil"]
    assert [item.name for item in tmp_path.rglob("*")] == ["inner", "d"]


def test_weights_of_other_shapes_are_refused(tmp_path):
    path = tmp_path / "m.xlathe"
    model_of().save(path)
    arrays, config = read_archive(path)
    name = next(iter(arrays))
    write_archive(path, {**arrays, name: arrays[name].T}, config)
    with pytest.raises(ValueError, match=r"don't fit .* float32\[5, 4\] in the file"):
        xl.load_model(path)


def test_element_types_that_files_have_no_name_for(tmp_path):
    with pytest.raises(TypeError, match="'a' has the element type complex128"):
        write_archive(tmp_path / "a", {"a": np.ones(2, complex)}, {})
    assert not list(tmp_path.iterdir())


def test_a_class_of_the_file_is_never_looked_up_outside(tmp_path):
    config = {"format": "xlathe model 1", "model": {"class_name": "os.system", "config": "true"}}
    write_archive(tmp_path / "h", {}, config)
    with pytest.raises(ValueError, match="Unknown class"):
        xl.load_model(tmp_path / "h")


DENSE = {"class_name": "Dense", "config": {"units": 2}}


@pytest.mark.parametrize(
    "model",
    [
        None,
        [],
        "Sequential",
        DENSE,
        {"class_name": "Sequential"},
        {"class_name": "Sequential", "config": {"name": "s"}},
        {"class_name": "Sequential", "config": {"name": "s", "layers": [None]}},
        {"class_name": "Sequential", "config": {"name": "s", "layers": [DENSE, 3]}},
        {"class_name": ["Sequential"], "config": {}},
        {"class_name": "Model", "config": {"layers": [], "input_layers": {"__tensor__": [1]}}},
        {"class_name": "Sequential", "config": {"name": "s", "layers": [{**DENSE, "config": {}}]}},
    ],
    ids=lambda model: str(model)[:60],
)
def test_a_configuration_that_is_none_is_refused(tmp_path, model):
    config = {"format": "xlathe model 1", "model": model, "inputs": None, "compile": None}
    write_archive(tmp_path / "h", {}, config)
    with pytest.raises(ValueError, match=r"\S"):
        xl.load_model(tmp_path / "h")


@pytest.mark.parametrize(
    "changes",
    [
        {"compile": {"optimizer": {"class_name": "Popen", "config": {"args": "true"}}}},
        {"compile": {"optimizer": {"class_name": "Adam", "config": {"nothing": 1}}}},
        {"compile": {"loss": {"class_name": "function", "config": "system"}}},
        {"compile": 3},
        {"inputs": {"x": [3]}},
    ],
    ids=str,
)
def test_settings_that_are_none_are_refused(tmp_path, changes):
    model, _ = from_data()
    model(X)
    model.compile("adam", "mse")
    model.save(tmp_path / "m")
    arrays, config = read_archive(tmp_path / "m")
    write_archive(tmp_path / "m", arrays, {**config, **changes})
    with pytest.raises(ValueError, match=r"\S"):
        xl.load_model(tmp_path / "m")


def compiled_as(kind):
    model = model_of()
    metric = xl.metrics.BinaryAccuracy(threshold=0.3)
    if kind == "schedule":
        schedule = xl.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)
        optimizer = xl.optimizers.SGD(schedule, momentum=0.9, clipnorm=1.0)
        model.compile(optimizer, xl.losses.Huber(delta=0.5), metrics=[metric, "mae"])
    elif kind == "scaled":
        optimizer = xl.optimizers.LossScaleOptimizer(xl.optimizers.Adam(0.01))
        model.compile(optimizer, "mse", weighted_metrics=["mse"], numerics="strict")
    else:
        model.compile("adam", "mse", metrics=[xl.metrics.mean_squared_error])
    return model


@pytest.mark.parametrize("kind", ["plain", "schedule", "scaled"])
def test_training_goes_on_as_it_would_have(tmp_path, kind):
    model = compiled_as(kind)
    options = {"epochs": 2, "batch_size": 3, "shuffle": False, "verbose": 0}
    model.fit(X, X[:, :2], **options)
    model.save(tmp_path / "m.xlathe")
    loaded = xl.load_model(tmp_path / "m.xlathe")
    again = [m.fit(X, X[:, :2], **options).history for m in (model, loaded)]
    assert again[0] == again[1]
    for mine, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, expected)
    assert not xl.load_model(tmp_path / "m.xlathe", compile=False).compiled


def test_functions_of_your_own_are_given_by_name(tmp_path):
    def my_loss(y_true, y_pred):
        return (y_true - y_pred) ** 2

    model = model_of()
    model.compile("sgd", my_loss)
    model.save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"'my_loss'.*custom_objects.*compile=False"):
        xl.load_model(tmp_path / "m")
    loaded = xl.load_model(tmp_path / "m", custom_objects={"my_loss": my_loss})
    assert loaded.loss is my_loss
    model.compile(optax.sgd(0.1), "mse")
    model.save(tmp_path / "m")
    assert not xl.load_model(tmp_path / "m").compiled


class Subclassed(xl.Model):
    def __init__(self, units):
        super().__init__()
        self.embed = layers.Embedding(7, units)
        self.head = xl.Sequential([layers.Dense(3), layers.BatchNormalization()])

    def call(self, inputs, training=False):
        return self.head(self.embed(inputs["tokens"]).mean(1) + inputs["rows"])


def from_data():
    return xl.Sequential([layers.Dense(3), layers.BatchNormalization()]), X


def subclassed():
    return Subclassed(4), {"tokens": np.ones((6, 5), "int32"), "rows": X}


class Plain(xl.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)


def test_a_model_that_was_built_by_a_shape_comes_back(tmp_path):
    model = Plain()
    model.build((None, 4))
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(xl.load_model(tmp_path / "m")(X), model(X))


@pytest.mark.parametrize("make", [from_data, subclassed])
def test_a_model_that_data_built_comes_back(tmp_path, make):
    model, x = make()
    with pytest.raises(ValueError, match="is not built"):
        model.save(tmp_path / "m")
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "m")
    loaded = xl.load_model(tmp_path / "m", custom_objects={"Subclassed": Subclassed})
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)


def test_objects_and_architectures_as_data(tmp_path):
    model = xl.Sequential([xl.Input((2,)), xl.layers.Dense(3, activation="relu", name="first")])
    again = xl.models.model_from_json(model.to_json(indent=2))
    assert [layer.get_config() for layer in again.layers] == [
        layer.get_config() for layer in model.layers
    ]
    for item in (
        xl.layers.Dense(2, name="d"),
        xl.optimizers.SGD(0.25, momentum=0.5),
        xl.losses.Huber(delta=2.0),
        xl.losses.MeanSquaredError(reduction="sum"),
        xl.metrics.MeanSquaredError(name="squares"),
        xl.metrics.Mean(name="m"),
        xl.regularizers.L2(0.5),
        xl.initializers.constant(2.0),
        xl.constraints.max_norm(3),
        xl.optimizers.schedules.ExponentialDecay(0.1, 3, 0.9),
    ):
        found = xl.saving.deserialize_keras_object(xl.saving.serialize_keras_object(item))
        assert type(found) is type(item)
        assert found.get_config() == item.get_config()
    assert xl.activations.deserialize(xl.activations.serialize(xl.activations.relu)) is (
        xl.activations.relu
    )


def test_a_scope_of_custom_objects():
    def squash(x):
        return xl.ops.tanh(x) ** 2

    inputs = xl.Input((2,))
    model = xl.Model(inputs, xl.layers.Activation(squash)(inputs))
    config = model.get_config()
    with pytest.raises(ValueError, match="Unknown function: 'squash'"):
        xl.Model.from_config(config)
    with xl.saving.custom_object_scope({"squash": squash}):
        again = xl.Model.from_config(config)
        assert xl.saving.get_registered_object("squash") is squash
    assert xl.saving.get_registered_object("squash") is None
    ones = np.ones((1, 2), "float32")
    np.testing.assert_allclose(again(ones), model(ones))


def test_configs_where_names_are_taken():
    optimizer = xl.optimizers.get({"class_name": "SGD", "config": {"momentum": 0.5}})
    assert optimizer.get_config()["momentum"] == 0.5
    assert xl.losses.get({"class_name": "Huber", "config": {"delta": 0.5}})([2.0], [0.0]) == 0.875
    assert xl.metrics.get(xl.metrics.serialize(xl.metrics.Mean(name="m"))).name == "m"
    for module in (xl.losses, xl.metrics):
        item = module.MeanSquaredError(name="squares")
        assert type(module.deserialize(module.serialize(item))) is type(item)
        assert type(module.get({"class_name": "MeanSquaredError", "config": {}})) is type(item)
    with pytest.raises(ValueError, match="Unknown class: 'Hubert'"):
        xl.losses.get({"class_name": "Hubert", "config": {}})
