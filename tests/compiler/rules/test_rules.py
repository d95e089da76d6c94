"""Each rule on its cases: what it makes of them, and the same numbers before and after."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xlathe.compiler.ir import Graph, Node, Type, verify
from xlathe.compiler.lowering import lower
from xlathe.compiler.ops import make
from xlathe.compiler.passes.everywhere import rewrite_everywhere
from xlathe.compiler.rules import (
    ARITHMETIC,
    FORMS,
    INTERVALS,
    MOVEMENT,
    Rule,
    RuleLog,
    RuleSet,
    logging_rules,
)

from .cases import CASES, Case, parameters

RULES: dict[str, Rule] = {rule.name: rule for rule in (*ARITHMETIC, *INTERVALS, *MOVEMENT, *FORMS)}


def label(case: Case) -> str:
    kind = "fires" if callable(case.expected) else "declines" if case.expected else "leaves"
    return f"{case.rule}-{kind}-{case.types}"


FIRES = [case for case in CASES if callable(case.expected)]
DECLINES = [case for case in CASES if isinstance(case.expected, str)]
LEAVES = [case for case in CASES if case.expected is None]


def applied(case: Case) -> tuple[Graph, Graph, RuleLog]:
    """The graph of a case, what the rule alone makes of it, and the log of that."""
    inputs = parameters(case.types)
    graph = Graph(inputs, [case.build(*inputs)])
    verify(graph)
    with logging_rules() as log:
        new = rewrite_everywhere(graph, RuleSet([RULES[case.rule]]))
    verify(new)
    return graph, new, log


@pytest.mark.parametrize("case", FIRES, ids=label)
def test_fires(case: Case):
    assert callable(case.expected)
    graph, new, log = applied(case)
    assert new == Graph(graph.parameters, [case.expected(*graph.parameters)])
    assert new.result_types == graph.result_types
    assert log.hits == {case.rule: 1}
    assert not log.misses


@pytest.mark.parametrize("case", DECLINES, ids=label)
def test_declines_with_its_reason(case: Case):
    graph, new, log = applied(case)
    assert new is graph
    assert not log.hits
    (miss,) = log.misses
    assert miss.rule == case.rule
    assert miss.node is graph.results[0]
    assert str(case.expected) in miss.reason


@pytest.mark.parametrize("case", LEAVES, ids=label)
def test_leaves_alone_what_only_resembles_its_pattern(case: Case):
    graph, new, log = applied(case)
    assert new is graph
    assert not log.hits
    assert not log.misses


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_cases_of_both_kinds(rule: str):
    assert rule in {case.rule for case in FIRES}
    assert rule in {case.rule for case in (*DECLINES, *LEAVES)}


def test_every_case_is_of_a_rule_that_there_is():
    assert {case.rule for case in CASES} == set(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_says_what_it_does(rule: Rule):
    left, arrow, right = rule.form.partition(" -> ")
    assert left
    assert arrow
    assert right
    assert rule.operations
    assert rule.numerics == "exact"


def special_values(dtype: np.dtype) -> np.ndarray:
    """The numbers on which identities break: NaN, infinities, both zeros, the integers' ends.

    Denormal numbers are left out: whether they are numbers or zeros differs from target to target.
    """
    if dtype == np.bool_:
        return np.array([False, True])
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.array([0, 1, 2, 7, limits.min, limits.max, limits.max - 1], dtype)
    reals = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.5, 3e38, 2e-38]
    if dtype.kind == "c":
        return np.array([complex(a, b) for a in reals for b in reals], dtype)
    with np.errstate(all="ignore"):
        return np.array(reals, dtype)


def filled(type_: Type, turn: int) -> jax.Array:
    values = np.roll(special_values(type_.dtype), turn)
    return jnp.asarray(np.resize(values, type_.shape))


def assert_same_bits(got: jax.Array, wanted: jax.Array) -> None:
    """The same numbers, signs of zeros included; one NaN is as good as another."""
    assert got.dtype == wanted.dtype
    assert got.weak_type == wanted.weak_type
    first, second = np.asarray(got), np.asarray(wanted)
    np.testing.assert_array_equal(first != first, second != second)
    number = first == first
    assert np.where(number, first, 0).tobytes() == np.where(number, second, 0).tobytes()


@pytest.mark.parametrize("case", [case for case in FIRES if "~" not in case.types], ids=label)
def test_values_are_the_same_for_special_numbers(case: Case):
    graph, new, _ = applied(case)
    before, after = lower(graph), lower(new)
    for turn in range(9):
        inputs = [
            filled(type_, turn * (place + 1)) for place, type_ in enumerate(graph.parameter_types)
        ]
        # Evaluated one by one, so that XLA has no chance to simplify on its side.
        (wanted,), (got,) = before(*inputs), after(*inputs)
        assert_same_bits(jnp.asarray(got), jnp.asarray(wanted))


def is_differentiable(case: Case) -> bool:
    types = [*case.types.split("; "), str(case.build(*parameters(case.types)).type)]
    return all(type_.startswith("f") for type_ in types)


@pytest.mark.parametrize("case", [case for case in FIRES if is_differentiable(case)], ids=label)
def test_gradients_are_the_same(case: Case):
    graph, new, _ = applied(case)
    keys = jax.random.split(jax.random.key(0), len(graph.parameters) + 1)
    inputs = [
        jax.random.normal(key, item.type.shape, item.type.dtype)
        for key, item in zip(keys[1:], graph.parameters, strict=True)
    ]
    cotangent = jax.random.normal(keys[0], graph.results[0].type.shape)

    def pulled_back(program):
        values, pullback = jax.vjp(lambda *x: jnp.asarray(program(*x)[0]), *inputs)
        return values, *pullback(cotangent)

    for got, wanted in zip(pulled_back(lower(new)), pulled_back(lower(graph)), strict=True):
        # The transpose of one broadcast adds in another order than that of two.
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def chained(operation: str, x: Node, count: int) -> Node:
    for _ in range(count):
        x = make(operation, x)
    return x


def test_rules_are_applied_until_none_fires():
    (x,) = parameters("f32[9]")
    graph = Graph([x], [chained("neg", x, 7)])
    with logging_rules() as log:
        new = rewrite_everywhere(graph, RuleSet([RULES["negate twice"]]))
    assert new == Graph([x], [chained("neg", x, 1)])
    assert log.hits == {"negate twice": 3}


def test_the_first_rule_that_fires_wins():
    (x,) = parameters("f32[9]")
    first = Rule("first", "neg -> sin", ("neg",), lambda item: chained("sin", item.inputs[0], 1))
    second = Rule("second", "neg -> cos", ("neg",), lambda item: chained("cos", item.inputs[0], 1))
    rules = RuleSet([first, second])
    assert rules(chained("neg", x, 1)) is chained("sin", x, 1)
    assert rules(x) is None


def test_a_rule_that_gives_the_node_back_ends_the_loop():
    (x,) = parameters("f32[9]")
    idle = Rule("idle", "neg -> neg", ("neg",), lambda item: item)
    assert RuleSet([idle])(chained("neg", x, 1)) is None


def test_logs_do_not_mix():
    (x,) = parameters("f32[9]")
    rules = RuleSet([RULES["negate twice"]])
    with logging_rules() as outer:
        with logging_rules() as inner:
            rules(chained("neg", x, 2))
        assert inner.hits == {"negate twice": 1}
    assert not outer.hits
    rules(chained("neg", x, 2))
    assert inner.hits == {"negate twice": 1}
