"""Programs with constants, and programs in files: whole, or as they were."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl
from xlathe.compiler.lowering import Program, lower
from xlathe.tracer.capture import capture

W = jnp.arange(4.0)
A = jnp.float32(2)
WEIGHTS = jnp.arange(100.0)
HALVES = WEIGHTS.astype(jnp.bfloat16)
KEYS = jax.random.split(jax.random.key(3), 40)


def load(path: Path):
    specification = importlib.util.spec_from_file_location("saved", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def traced_program(function: Callable[..., Any], *arguments: Any) -> Program:
    return xl.compile(function).trace(*arguments).program


def test_a_saved_program_without_constants_is_one_file(tmp_path: Path):
    def f(x):
        return jnp.sin(x) + 1

    traced_program(f, W).save(tmp_path / "f.py")
    assert [path.name for path in tmp_path.iterdir()] == ["f.py"]
    np.testing.assert_array_equal(load(tmp_path / "f.py").f(W), f(W))


@pytest.mark.parametrize("suffix", [".py", "", ".v1", ".v1.py"])
def test_saved_constants_lie_beside_the_program(tmp_path: Path, suffix: str):
    def f(x):
        return x + WEIGHTS

    path = tmp_path / f"model{suffix}"
    traced_program(f, WEIGHTS).save(str(path))
    assert len(list(tmp_path.iterdir())) == 2
    loader = importlib.machinery.SourceFileLoader("saved", str(path))
    specification = importlib.util.spec_from_loader("saved", loader)
    assert specification is not None
    module = importlib.util.module_from_spec(specification)
    loader.exec_module(module)
    np.testing.assert_array_equal(module.f(WEIGHTS), f(WEIGHTS))


@pytest.mark.parametrize(
    "held",
    [WEIGHTS, HALVES, WEIGHTS.astype(jnp.int4), WEIGHTS.astype(jnp.float8_e4m3fn), WEIGHTS > 3],
    ids=lambda held: str(held.dtype),
)
def test_saved_constants_of_every_dtype(tmp_path: Path, held: jax.Array):
    def f(x):
        return held[::-1], x

    traced_program(f, W).save(tmp_path / "f.py")
    got = load(tmp_path / "f.py").f(W)[0]
    assert got.dtype == held.dtype
    assert np.asarray(got).tobytes() == np.asarray(held[::-1]).tobytes()


def test_saved_keys(tmp_path: Path):
    def f(x):
        return jax.vmap(jax.random.normal)(KEYS) + x

    traced_program(f, A).save(tmp_path / "f.py")
    np.testing.assert_allclose(load(tmp_path / "f.py").f(A), f(A), rtol=1e-5)


def test_a_program_with_objects_is_not_saved(tmp_path: Path):
    def f(x):
        return jax.pure_callback(np.sin, x, x)

    with pytest.raises(ValueError, match=r"f refers to object_.*, which cannot be written"):
        traced_program(f, W).save(tmp_path / "f.py")
    assert not list(tmp_path.iterdir())


def test_a_program_over_values_of_an_outer_transformation_is_not_saved(tmp_path: Path):
    def outer(x):
        big = x * jnp.ones(100)
        program = xl.compile(lambda y: y + big).trace(x).program
        with pytest.raises(ValueError, match=r"closes over .*big.* Pass them as arguments"):
            program.save(tmp_path / "f.py")
        return x

    jax.jit(outer)(A)
    assert not list(tmp_path.iterdir())


def failing_to_write(*_args, **_keywords):
    raise OSError("the disk is full")


def test_a_failed_save_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def f(x):
        return x + WEIGHTS

    path = tmp_path / "f.py"
    program = traced_program(f, WEIGHTS)
    program.save(path)
    before = {item.name: item.read_bytes() for item in tmp_path.iterdir()}
    for module, name in ((np, "savez"), (os, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, failing_to_write)
            with pytest.raises(OSError, match="the disk is full"):
                program.save(path)
        assert {item.name: item.read_bytes() for item in tmp_path.iterdir()} == before


def test_saving_into_a_folder_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        traced_program(lambda x: x + 1, W).save(tmp_path / "missing" / "f.py")


def test_a_saved_file_is_as_readable_as_others(tmp_path: Path):
    (tmp_path / "other").write_text("")
    traced_program(lambda x: x + 1, W).save(tmp_path / "f.py")
    assert (tmp_path / "f.py").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_constants_are_taken_by_name():
    graph = capture(lambda x: x + WEIGHTS, WEIGHTS).graph
    program = lower(graph, constants={"WEIGHTS": WEIGHTS})
    assert program.constant_names == ("WEIGHTS",)
    np.testing.assert_array_equal(program(WEIGHTS)[0], WEIGHTS * 2)
