"""What `trace` returns: the program at each stage, and what was done to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl
from xlathe.compiler.ir import parse, to_text
from xlathe.compiler.pipeline import pipeline
from xlathe.runtime.options import Options

X = jnp.arange(12.0).reshape(3, 4)
TABLE = jnp.arange(40.0)


def model(params, x):
    hidden = jax.nn.relu(x @ params["w"])
    return {"mean": hidden.mean(), "hidden": lax.neg(lax.neg(hidden))}


@pytest.fixture
def traced() -> xl.Traced:
    return xl.compile(model).trace({"w": X.T}, X)


def test_the_graph_as_text(traced: xl.Traced):
    text = traced.as_text()
    assert text == traced.as_text("ir") == to_text(traced.graph)
    assert parse(text, traced.graph.objects()) == traced.graph
    assert "def model(w: f32[4, 3], x: f32[3, 4]):" in text
    assert "# result['hidden'], result['mean']" in text


def test_the_captured_graph_as_text(traced: xl.Traced):
    assert traced.as_text("captured") == to_text(traced.captured)
    assert traced.captured != traced.graph
    assert "neg(" in traced.as_text("captured")
    assert "neg(" not in traced.as_text("ir")


def test_the_program_as_text(traced: xl.Traced):
    assert traced.as_text("python") == traced.program.source
    assert "hidden = jax.nn.relu(x @ w)" in traced.as_text("python")


def test_what_xla_is_given(traced: xl.Traced):
    text = traced.as_text("stablehlo")
    assert "stablehlo.dot_general" in text
    assert "module @jit_model" in text


def test_what_xla_made_of_it(traced: xl.Traced):
    assert "HloModule jit_model" in traced.as_text("hlo")


def test_an_unknown_stage_is_refused_with_the_known_ones(traced: xl.Traced):
    with pytest.raises(ValueError, match="No stage 'asm'; the stages are ir, captured, python"):
        traced.as_text(cast(Any, "asm"))


def test_passes_are_recorded(traced: xl.Traced):
    names = [record.name for record in traced.passes]
    assert names == [step.name for step in pipeline() if not step.again]
    assert traced.passes[0].before is traced.captured
    assert traced.passes[-1].after is traced.graph
    for record in traced.passes:
        assert record.seconds >= 0
        assert record.nodes_before > 0
        assert record.nodes_after > 0
        assert record.cost_before.bytes > 0
        assert record.text == to_text(record.after)


def test_the_program_runs_alone(traced: xl.Traced):
    hidden, mean = traced.program(X.T, X)
    wanted = model({"w": X.T}, X)
    np.testing.assert_allclose(hidden, wanted["hidden"], rtol=1e-6)
    np.testing.assert_allclose(mean, wanted["mean"], rtol=1e-6)


def test_the_program_holds_what_it_closes_over():
    program = xl.compile(lambda x: x * TABLE).trace(TABLE).program
    assert list(program.constants) == ["TABLE"]
    np.testing.assert_array_equal(program(TABLE)[0], TABLE * TABLE)


def test_text_for_debugging(traced: xl.Traced):
    assert repr(traced) == f"<xlathe.Traced model: {len(traced.graph.nodes)} nodes>"


def test_stages_of_jax_are_there(traced: xl.Traced):
    assert traced.fun_name == "model"
    assert jax.tree.structure(traced.out_info) == jax.tree.structure({"mean": 0, "hidden": 0})
    compiled = traced.lower().compile()
    np.testing.assert_allclose(compiled({"w": X.T}, X)["mean"], model({"w": X.T}, X)["mean"])


def test_each_signature_has_a_program_of_its_own():
    compiled = xl.compile(lambda x: x * 2)
    small, large = compiled.trace(jnp.ones(3)), compiled.trace(jnp.ones(5))
    assert str(small.graph.parameter_types[0]) == "f32[3]"
    assert str(large.graph.parameter_types[0]) == "f32[5]"
    assert str(small.graph.result_types[0]) == "f32[3]"


def test_explain_says_what_was_done(traced: xl.Traced):
    lines = traced.explain().splitlines()
    before = sum(len(graph.nodes) for graph in traced.captured.walk())
    after = sum(len(graph.nodes) for graph in traced.graph.walk())
    assert lines[0] == f"model: {before} nodes as traced, {after} as it runs"
    assert lines[1].startswith("  before: ")
    assert "FLOP" in lines[2]
    for record in traced.passes:
        (line,) = [line for line in lines if line.startswith(f"  {record.name} ")][:1]
        assert " ms " in line
    assert "       1 x negate twice" in lines
    assert any(line.endswith("nothing to do") for line in lines)


def test_explain_says_what_was_not_done_and_why():
    def f(x):
        y = x + 0.0
        return y * 2

    text = xl.compile(f).trace(X).explain()
    line = f.__code__.co_firstlineno + 1
    assert f"  add zero, test_traced.py:{line}: x + 0.0 is not x where x is -0.0" in text


def test_explain_names_each_place_once():
    def turn(c, _):
        return c + 0.0, c

    text = xl.compile(lambda x: lax.scan(turn, x, None, length=9)).trace(X).explain()
    assert text.count("add zero") == 1


def test_explain_shortens_a_long_list(tmp_path: Path):
    path = tmp_path / "many_lines.py"
    lines = [f"    x = jnp.sin(x * {number}) + 0.0" for number in range(2, 32)]
    path.write_text("\n".join(["def f(x):", *lines, "    return x", ""]))
    namespace: dict[str, Any] = {"jnp": jnp}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    function: Callable[..., Any] = namespace["f"]
    text = xl.compile(function).trace(X).explain()
    assert text.count("add zero, many_lines.py:") == 20
    assert text.endswith("  … and 10 more\n")


def test_explain_of_a_function_with_nothing_to_do():
    text = xl.compile(lambda x: lax.sin(x)).trace(X).explain()
    assert "not done, and why" not in text
    assert text.count("nothing to do") == text.count(" ms ")


def test_explain_reports_options_without_effect():
    finite = xl.compile(lambda x: lax.sin(x), numerics="finite").trace(X).explain()
    assert "options without effect\n  numerics='finite': " in finite
    assert "options without effect" not in xl.compile(lambda x: lax.sin(x)).trace(X).explain()


def test_explain_reports_a_failed_pass(monkeypatch: pytest.MonkeyPatch):
    class Broken:
        def __call__(self, graph):
            raise KeyError("lost")

    from xlathe.compiler.pipeline import PassFailure, Step

    monkeypatch.delenv("XLATHE_STRICT")
    monkeypatch.setattr(Options, "steps", lambda self: (Step(Broken(), "to fail"),))
    with pytest.warns(PassFailure):
        text = xl.compile(lambda x: lax.sin(x)).trace(X).explain()
    assert "failed: KeyError: 'lost'" in text
