"""Elementwise functions are computed again for the backward where keeping them costs more."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

import xlathe as xl
from xlathe.compiler.ir import Graph
from xlathe.compiler.passes.recompute import RULE, Recompute
from xlathe.compiler.pipeline import EXACT, run_passes
from xlathe.compiler.rules import RuleLog, logging_rules
from xlathe.compiler.targets import CPU, GPU, TPU
from xlathe.tracer.capture import capture

from .check import operations, run_on

KEYS = jax.random.split(jax.random.key(0), 4)
X = jax.random.normal(KEYS[0], (6, 8))
W, V, U = (jax.random.normal(key, (8, 8)) for key in KEYS[1:])

ACTIVATIONS = {
    "gelu": jax.nn.gelu,
    "exact gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "silu": jax.nn.silu,
    "mish": jax.nn.mish,
    "gated": lambda x: jax.nn.sigmoid(x) * jnp.sin(x),
}


def layers(activation):
    def loss(w, v, x):
        return jnp.sum((activation(x @ w + 1.0) @ v) ** 2)

    return jax.grad(loss, (0, 1, 2))


def recomputed(graph: Graph, target=GPU) -> Graph:
    """The graph after the exact passes and the one that is tested, all arrays being large."""
    return Recompute(target, large=1)(run_passes(graph, EXACT)[0])


def recomputed_and_run(function, *values) -> tuple[Graph, RuleLog]:
    with logging_rules() as log:
        graph = run_on(recomputed, function, *values)
    return graph, log


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_computed_again(name):
    graph, log = recomputed_and_run(layers(ACTIVATIONS[name]), W, V, X)
    assert operations(graph)["optimization_barrier"] == 1
    assert {item.rule for item in log.rewrites} == {RULE}
    assert "are not kept" in log.rewrites[0].after


def test_all_that_is_made_of_a_product_is_made_again():
    graph, _ = recomputed_and_run(layers(jax.nn.gelu), W, V, X)
    assert operations(graph)["tanh"] == 2
    (barrier,) = [item for item in graph.nodes if item.operation == "optimization_barrier"]
    readers = [item.operation for item in graph.nodes if barrier.inputs[0] in item.inputs]
    assert sorted(readers) == ["add", "optimization_barrier"]


def test_functions_in_loops_are_computed_again():
    def loop(w, v, x):
        step = lambda c, _: (c - 0.1 * layers(jax.nn.gelu)(w, v, c)[2], None)  # noqa: E731
        return jax.lax.scan(step, x, length=2)[0]

    graph, _ = recomputed_and_run(loop, W, V, X)
    assert operations(graph)["optimization_barrier"] == 1


def test_layers_behind_each_other_are_each_computed_again():
    def loss(w, v, u, x):
        return jnp.sum((jax.nn.gelu(jax.nn.gelu(x @ w) @ v) @ u) ** 2)

    graph, _ = recomputed_and_run(jax.grad(loss, (0, 1, 2, 3)), W, V, U, X)
    assert operations(graph)["optimization_barrier"] == 2


STAY = {
    "forward only": lambda w, v, x: jax.nn.gelu(x @ w) @ v,
    "returned": lambda w, v, x: jax.value_and_grad(
        lambda w: (jnp.sum(jnp.tanh(x @ w) @ v), jnp.tanh(x @ w)), has_aux=True
    )(w),
    "an operand of the backward": lambda w, v, x: jax.grad(lambda w: jnp.sum(jnp.tanh(x @ w) @ v))(
        w
    ),
    "no product": lambda w, v, x: jax.grad(lambda x: jnp.sum(jax.nn.gelu(x + w[0])))(x),
}


@pytest.mark.parametrize("name", STAY)
def test_others_stay(name):
    graph = recomputed(capture(STAY[name], W, V, X).graph)
    assert "optimization_barrier" not in operations(graph)


def reasons(function, *values, target=GPU) -> set[str]:
    with logging_rules() as log:
        graph = recomputed(capture(function, *values).graph, target)
    assert "optimization_barrier" not in operations(graph)
    return {miss.reason for miss in log.misses}


def test_what_is_not_made_of_products_stays_and_says_so():
    function = jax.grad(lambda x, v: jnp.sum(jax.nn.gelu(jnp.cumsum(x, 0)) @ v))
    assert reasons(function, X, V) == {"it is not made of products in a few steps"}


def test_what_would_keep_as_much_stays_and_says_so():
    def loss(w, v, x):
        y = jnp.exp(x @ w)
        return jnp.sum(jnp.sin(y @ v) * (1.0 + y))

    reason = "what it is made of is not smaller, and is not kept in any case"
    assert reasons(jax.grad(loss), W, V, X) == {reason}


def test_on_tpus_xla_chooses_by_itself():
    graph = recomputed(capture(layers(jax.nn.gelu), W, V, X).graph, TPU)
    assert "optimization_barrier" not in operations(graph)


def test_on_cpus_more_than_one_function_takes_longer():
    graph = recomputed(capture(layers(jax.nn.gelu), W, V, X).graph, CPU)
    assert "optimization_barrier" in operations(graph)
    reason = "computing 3 functions again takes longer"
    assert reason in reasons(layers(jax.nn.mish), W, V, X, target=CPU)


def explained(rows: int, **options) -> str:
    shapes = ((1024, 1024), (1024, 1024), (rows, 1024))
    values = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    compiled = xl.compile(layers(jax.nn.gelu), target="gpu", **options)
    return compiled.trace(*values).explain()


@pytest.mark.parametrize("precision", [None, "bfloat16"])
def test_large_arrays_are_not_kept(precision):
    text = explained(4096, precision=precision)
    assert "computed again" in text
    assert "16 MiB are not kept" in text


def test_small_arrays_are_kept():
    assert RULE not in explained(512)


def test_strict_numerics_keep_what_was_computed():
    assert RULE not in explained(4096, numerics="strict")
