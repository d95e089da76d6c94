"""The pipeline: its records, its observers, and what happens when a pass fails."""

from __future__ import annotations

import dataclasses
import itertools
import warnings

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import xlathe as xl
from xlathe.compiler.ir import Graph, VerificationError, array_type, node, parse, to_text
from xlathe.compiler.passes.everywhere import rewrite_everywhere
from xlathe.compiler.pipeline import (
    EXACT,
    PassFailure,
    PassRecord,
    Step,
    count_nodes,
    is_strict,
    pipeline,
    run_passes,
)
from xlathe.compiler.rules import Rule, RuleSet
from xlathe.runtime.options import Options
from xlathe.tracer.capture import capture

GRAPH = parse(
    """
def body(c: f32, x: f32):
    v: f32 = add(c, x)
    return (v,)

def f(x: f32, xs: f32[9]):
    a: f32 = neg(x)
    b: f32 = neg(a)
    c: f32 = scan(b, xs, body=body, consts=0, carry=1, length=9, reverse=False, unroll=1)
    return (c,)
"""
)


class Broken:
    """A pass with an error in it."""

    def __call__(self, graph: Graph) -> Graph:
        raise KeyError("what the pass did not find")


class Wrong:
    """A pass that returns a graph which contradicts itself."""

    def __call__(self, graph: Graph) -> Graph:
        wrong = node("sin", (graph.parameters[0],), array_type((2,), "float32"))
        return graph.with_outputs([wrong])


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLATHE_STRICT", raising=False)


BEFORE_AND_AFTER = (EXACT[0], Step(Broken(), "to fail"), EXACT[3])


def test_every_step_is_a_frozen_pass_with_a_reason():
    for step in pipeline():
        assert dataclasses.is_dataclass(step.transform)
        with pytest.raises(dataclasses.FrozenInstanceError):
            step.transform.max_trips = 1  # pyright: ignore
        assert step.reason
        assert step.name == type(step.transform).__name__


def test_records_follow_each_other():
    steps = pipeline("strict")
    graph, records = run_passes(GRAPH, steps)
    # No branch or loop is there to make work for a second round.
    assert [r.name for r in records] == [step.name for step in steps if not step.again]
    assert records[0].before is GRAPH
    for before, after in itertools.pairwise(records):
        assert after.before is before.after
    assert records[-1].after is graph


def test_a_record_says_what_the_pass_did():
    _, records = run_passes(GRAPH, [Step(EXACT[3].transform, "")])
    (record,) = records
    assert (record.nodes_before, record.nodes_after) == (4, 2)
    assert record.rules.hits == {"negate twice": 1}
    assert record.seconds > 0
    assert record.text == to_text(record.after)
    assert record.cost_before.flops == record.cost_after.flops + 2
    assert not record.failure


def test_a_pass_with_nothing_to_do_gives_the_same_graph():
    graph = parse("def f(x: f32):\n    y: f32 = sin(x)\n    return (y,)\n")
    final, records = run_passes(graph)
    assert final is graph
    assert all(record.after is record.before for record in records)


def test_running_the_pipeline_twice_changes_nothing_more():
    def model(x):
        y = jax.nn.gelu(x).mean(axis=0, keepdims=True)
        return lax.fori_loop(0, 3, lambda i, c: c * y + 0.0, x)

    once, _ = run_passes(capture(model, jnp.ones((3, 4))).graph)
    assert run_passes(once)[0] == once


def test_observers_see_each_pass_in_order():
    seen: list[tuple[int, PassRecord]] = []
    other: list[str] = []
    _, records = run_passes(
        GRAPH,
        observers=[
            lambda place, record: seen.append((place, record)),
            lambda place, record: other.append(record.name),
        ],
    )
    assert seen == list(enumerate(records))
    assert other == [record.name for record in records]


def test_nodes_of_nested_graphs_count_once():
    assert count_nodes(GRAPH) == 4


def test_a_failing_pass_is_left_out_with_one_warning(lenient: None):
    with pytest.warns(PassFailure) as caught:
        graph, records = run_passes(GRAPH, BEFORE_AND_AFTER)
    (warning,) = caught
    message = str(warning.message)
    assert "the pass Broken failed on f (KeyError: 'what the pass did not find')" in message
    assert "XLATHE_STRICT=1" in message
    failed = records[1]
    assert failed.failure == "KeyError: 'what the pass did not find'"
    assert failed.after is failed.before
    # The passes after it still run.
    assert graph == run_passes(GRAPH, (EXACT[0], EXACT[3]))[0]


def test_a_failing_pass_raises_in_strict_mode():
    assert is_strict()
    with pytest.raises(KeyError, match="what the pass did not find"):
        run_passes(GRAPH, BEFORE_AND_AFTER)


@pytest.mark.parametrize(("value", "strict"), [("", False), ("0", False), ("1", True)])
def test_strict_mode_is_asked_for(monkeypatch: pytest.MonkeyPatch, value: str, strict: bool):
    monkeypatch.setenv("XLATHE_STRICT", value)
    assert is_strict() == strict


def test_a_failing_rule_is_the_pass_that_failed(lenient: None):
    def fail(item):
        raise ZeroDivisionError("in a rule")

    @dataclasses.dataclass(frozen=True)
    class Rules:
        def __call__(self, graph: Graph) -> Graph:
            return rewrite_everywhere(graph, RuleSet([Rule("r", "a -> b", ("neg",), fail)]))

    with pytest.warns(PassFailure, match=r"the pass Rules failed .*ZeroDivisionError: in a rule"):
        graph, _ = run_passes(GRAPH, [Step(Rules(), "")])
    assert graph is GRAPH


def test_a_compiled_function_survives_a_failing_pass(
    lenient: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Options, "steps", lambda self: BEFORE_AND_AFTER)
    compiled = xl.compile(lambda x: jnp.sin(-x))
    with pytest.warns(PassFailure, match="Broken"):
        assert compiled(1.0) == jnp.sin(-1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled(2.0) == jnp.sin(-2.0)


def test_a_compiled_function_fails_with_its_pass_in_strict_mode(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Options, "steps", lambda self: BEFORE_AND_AFTER)
    with pytest.raises(KeyError, match="what the pass did not find"):
        xl.compile(lambda x: jnp.sin(x))(1.0)


def test_the_verifier_runs_on_request(monkeypatch: pytest.MonkeyPatch):
    steps = [Step(Wrong(), "")]
    monkeypatch.delenv("XLATHE_VERIFY", raising=False)
    assert run_passes(GRAPH, steps)[0] is not GRAPH
    monkeypatch.setenv("XLATHE_VERIFY", "1")
    with pytest.raises(VerificationError, match="in sin, its type is"):
        run_passes(GRAPH, steps)


def test_what_the_verifier_finds_is_a_failure_of_the_pass(
    lenient: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XLATHE_VERIFY", "1")
    with pytest.warns(PassFailure, match="the pass Wrong failed on f"):
        graph, _ = run_passes(GRAPH, [Step(Wrong(), "")])
    assert graph is GRAPH


def test_an_interrupt_is_not_swallowed(lenient: None):
    class Interrupted:
        def __call__(self, graph: Graph) -> Graph:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_passes(GRAPH, [Step(Interrupted(), "")])


def test_the_pipeline_is_where_options_find_it():
    assert xl.compile(lambda x: x).trace(1.0).passes[0].name == EXACT[0].name
