"""Saved files: what comes back, and what a damaged or hostile one does."""

import json
import zipfile

import numpy as np
import pytest

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


def damaged(path, **changes):
    """Write an archive of one array with parts of it replaced."""
    config = {"config": {}, "arrays": [{"name": "a", "dtype": "float32", "shape": [2]}]}
    parts = {"config.json": json.dumps(config), "arrays/0.bin": bytes(8), **changes}
    with zipfile.ZipFile(path, "w", changes.pop("compression", zipfile.ZIP_STORED)) as archive:
        for name, data in parts.items():
            if data is not None and name != "compression":
                archive.writestr(name, data)


def entry(**changes):
    described = {"name": "a", "dtype": "float32", "shape": [2], **changes}
    return json.dumps({"config": {}, "arrays": [described]})


@pytest.mark.parametrize(
    "changes",
    [
        {"arrays/0.bin": None},
        {"arrays/0.bin": bytes(4)},
        {"config.json": None},
        {"config.json": "{"},
        {"config.json": "[]"},
        {"config.json": entry(shape=[3])},
        {"config.json": entry(shape=[-2])},
        {"config.json": entry(shape="x")},
        {"config.json": entry(dtype="object")},
        {"config.json": entry(dtype="nothing")},
    ],
)
def test_damaged_files_are_refused(tmp_path, changes):
    damaged(tmp_path / "d", **changes)
    with pytest.raises(ValueError, match=r"damaged|file's"):
        read_archive(tmp_path / "d")


def test_truncated_and_inflating_files_are_refused(tmp_path):
    path = tmp_path / "m.xlathe"
    model_of().save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="damaged"):
        xl.load_model(path)
    big = entry(shape=[1 << 20])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", big)
        archive.writestr("arrays/0.bin", bytes(4 << 20))
    with pytest.raises(ValueError, match="bytes"):
        read_archive(path)
    with pytest.raises(FileNotFoundError):
        xl.load_model(tmp_path / "none")


def test_a_class_of_the_file_is_never_looked_up_outside(tmp_path):
    config = {"format": "xlathe model 1", "model": {"class_name": "os.system", "config": "true"}}
    write_archive(tmp_path / "h", {}, config)
    with pytest.raises(ValueError, match="Unknown class"):
        xl.load_model(tmp_path / "h")
