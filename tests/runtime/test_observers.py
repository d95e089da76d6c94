"""Dumps to files and logs, as the environment asks for them."""

from __future__ import annotations

import functools
import logging
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import xlathe as xl
from xlathe.compiler.ir import parse, to_text

X = jnp.arange(3.0)


def model(x, scale=2.0):
    return (x * 1) * scale


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XLATHE_DUMP_TO", str(tmp_path / "dumps"))
    return tmp_path / "dumps"


def test_nothing_is_dumped_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XLATHE_DUMP_TO", "")
    xl.compile(model).trace(X).explain()
    assert not list(tmp_path.iterdir())


def test_a_file_after_each_pass(folder: Path):
    traced = xl.compile(model).trace(X)
    (dump,) = folder.iterdir()
    assert dump.name.endswith("_model")
    names = [f"{place:02d}_{record.name}.txt" for place, record in enumerate(traced.passes, 1)]
    assert sorted(path.name for path in dump.iterdir()) == ["00_captured.txt", *names]
    assert (dump / "00_captured.txt").read_text() == to_text(traced.captured)
    for name, record in zip(names, traced.passes, strict=True):
        assert (dump / name).read_text() == record.text
    assert parse((dump / names[-1]).read_text()) == traced.graph


def test_each_compilation_has_a_folder_in_order(folder: Path):
    compiled = xl.compile(model)
    compiled(X)
    compiled(jnp.arange(4.0))
    xl.compile(lambda x: jnp.sin(x))(X)
    first, second, third = sorted(folder.iterdir())
    assert [path.name.split("_")[1] for path in (first, second, third)] == [
        "model",
        "model",
        "function",
    ]
    assert "f32[3]" in (first / "00_captured.txt").read_text()
    assert "f32[4]" in (second / "00_captured.txt").read_text()


def test_a_folder_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XLATHE_DUMP_TO", str(tmp_path / "file"))
    with pytest.raises(OSError, match="file"):
        xl.compile(model)(X)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="xlathe")
    return caplog


def messages(log: pytest.LogCaptureFixture, part: str = "") -> list[str]:
    return [record.getMessage() for record in log.records if part in record.getMessage()]


def test_nothing_is_logged_unasked(log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("XLATHE_LOG", raising=False)
    compiled = xl.compile(model)
    compiled(X)
    compiled(jnp.arange(4.0))
    assert not messages(log)


def test_passes_are_logged(log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XLATHE_LOG", "passes")
    traced = xl.compile(model).trace(X)
    traced.explain()
    found = messages(log)
    assert len(found) == len(traced.passes)
    for place, (record, message) in enumerate(zip(traced.passes, found, strict=True), 1):
        nodes = f"{record.nodes_before} -> {record.nodes_after} nodes"
        assert message == f"model {place} {record.name}: {record.seconds * 1000:.1f} ms, {nodes}"


@pytest.fixture
def recompiles(
    log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    monkeypatch.setenv("XLATHE_LOG", " recompiles ,")
    return log


def test_the_first_trace_is_no_recompile(recompiles: pytest.LogCaptureFixture):
    compiled = xl.compile(model)
    compiled(X)
    compiled(X + 1)
    compiled.trace(X).explain()
    assert not messages(recompiles)


def test_another_type_is_logged(recompiles: pytest.LogCaptureFixture):
    compiled = xl.compile(model)
    compiled(X)
    compiled(jnp.arange(4.0))
    compiled(jnp.arange(4))
    assert messages(recompiles) == [
        "model is traced again, different input types: at x, now float32[4] and before float32[3]",
        "model is traced again, different input types: at x, now int32[4] and before float32[4]",
    ]


def test_all_changes_of_type_are_logged(recompiles: pytest.LogCaptureFixture):
    compiled = xl.compile(lambda params, x: params["w"] * params["b"] * x)
    compiled({"w": X, "b": X}, X)
    compiled({"w": X, "b": 1.0}, jnp.float32(2))
    (message,) = messages(recompiles)
    assert message.endswith(
        "different input types: at params['b'], now ~float32[] and before float32[3]; "
        "at x, now float32[] and before float32[3]"
    )


def test_another_weakness_is_logged(recompiles: pytest.LogCaptureFixture):
    compiled = xl.compile(model)
    compiled(jnp.float32(1))
    compiled(1.0)
    (message,) = messages(recompiles, "different input types")
    assert "now ~float32[] and before float32[]" in message


def test_another_structure_is_logged(recompiles: pytest.LogCaptureFixture):
    compiled = xl.compile(lambda tree: jax.tree.map(jnp.sin, tree))
    compiled([X, X])
    compiled((X, X))
    (message,) = messages(recompiles)
    assert "different input pytree: now PyTreeDef(" in message
    assert " and before PyTreeDef(" in message


def test_another_static_argument_is_logged(recompiles: pytest.LogCaptureFixture):
    compiled = xl.compile(lambda x, n, mode="a": x * n, static_argnums=1, static_argnames="mode")
    compiled(X, 2)
    compiled(X, 3)
    compiled(X, 3, mode="b")
    assert messages(recompiles) == [
        "<lambda> is traced again, different static arguments: at 1, now 3 and before 2",
        "<lambda> is traced again, different static arguments: at mode, now 'b' and before None",
    ]


def test_functions_without_a_name(recompiles: pytest.LogCaptureFixture):
    compiled = xl.compile(functools.partial(model, scale=3.0))
    compiled(X)
    compiled(jnp.arange(4.0))
    (message,) = messages(recompiles, "different input types")
    assert "at x, now float32[4]" in message


def test_both_logs(log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XLATHE_LOG", "passes,recompiles")
    compiled = xl.compile(model)
    compiled(X)
    compiled(jnp.arange(4.0))
    assert messages(log, "Simplify")
    assert len(messages(log, "is traced again")) == 1


def test_an_unknown_log_is_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XLATHE_LOG", "passes,memory")
    with pytest.raises(
        ValueError, match="XLATHE_LOG is 'passes,memory'; it takes passes and recompiles"
    ):
        xl.compile(model)(X)


def test_the_log_is_visible_where_none_is_set_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    logger = logging.getLogger("xlathe")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    monkeypatch.setenv("XLATHE_LOG", "passes")
    xl.compile(model)(X)
    assert "xlathe: model 1 InlineCalls: " in capsys.readouterr().err
