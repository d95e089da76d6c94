"""Losses over many classes run by blocks in every spelling, forward and backward."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl
from xlathe.compiler.passes import block_rows
from xlathe.compiler.pipeline import pipeline
from xlathe.compiler.targets import TARGETS

from .check import SMALL, arguments, errors, improved, joint, largest
from .spellings import BF16, LOOKALIKES, SPELLINGS, B, D, N, Spelling, T, V, by_index

PLAIN = SPELLINGS["optax, integers"]
NUMERICAL = ["log_softmax, take_along_axis", "one-hot, all summed", "T5, smoothed, z-loss", "Flax"]


def reasons(function: Any, given: list[Any], target=SMALL) -> list[str]:
    graph, record, _ = improved(function, given, target)
    assert "scan" not in graph.operations
    return [miss.reason for miss in record.rules.misses]


def some(every: int) -> list[Any]:
    """The spellings, one in so many by default, and the others in the sweep."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] if place % every else [])
        for place, name in enumerate(SPELLINGS)
    ]


@pytest.mark.parametrize("name", some(every=4))
def test_forward(name: str):
    spelling = SPELLINGS[name]
    graph, record, _ = improved(spelling.function, arguments(spelling))
    assert record.rules.hits["linear cross-entropy"] == 1, record.rules.misses
    assert largest(graph) < N * V


@pytest.mark.parametrize("name", some(every=2))
def test_joint_backward(name: str):
    spelling = SPELLINGS[name]
    given = arguments(spelling)
    graph, record, run = improved(joint(spelling), given)
    assert record.rules.hits["linear cross-entropy"] == 1, record.rules.misses
    assert largest(graph) < N * V
    tolerance = 1e-5 if spelling.dtype != BF16 else 1e-2
    wanted = jax.tree.map(lambda x: np.asarray(x, np.float64), jax.jit(joint(spelling))(*given))
    assert max(errors(jax.jit(run)(*given), wanted)) < tolerance


@pytest.mark.parametrize("name", LOOKALIKES)
@pytest.mark.parametrize("backward", [False, True])
def test_something_else(name: str, backward: bool):
    spelling, reason = LOOKALIKES[name]
    given = arguments(spelling)
    function = spelling.function
    if backward:
        has_aux = isinstance(function(*given), tuple)
        function = jax.value_and_grad(function, (0, 1), has_aux=has_aux)
    found = reasons(function, given)
    assert found or backward
    assert all(reason in one for one in found)


@pytest.mark.parametrize("name", NUMERICAL)
def test_error_against_float64(name: str):
    spelling = SPELLINGS[name]
    given = arguments(spelling)
    with jax.enable_x64(True):
        wide = [np.asarray(x, np.float64) for x in given[:-1]]
        exact = jax.tree.map(np.asarray, jax.jit(joint(spelling))(*wide, np.asarray(given[-1])))
    _, _, run = improved(joint(spelling), given)
    ours, plain = errors(run(*given), exact), errors(jax.jit(joint(spelling))(*given), exact)
    for error, reference in zip(ours, plain, strict=True):
        assert error <= 2 * reference + 1e-7


@pytest.mark.parametrize("dtype", [jnp.float32, BF16])
def test_differentiated_from_outside(dtype):
    given = arguments(SPELLINGS["float32 loss of bfloat16 states"], dtype)
    function = SPELLINGS["float32 loss of bfloat16 states"].function
    _, _, run = improved(function, given)
    kept = jax.make_jaxpr(lambda *x: jax.vjp(lambda h, w: run(h, w, x[2]), *x[:2])[1])(*given)
    assert max(value.aval.size for value in kept.jaxpr.outvars) < N * V
    exact = jax.grad(function, (0, 1))(*[x.astype(jnp.float32) for x in given[:2]], given[2])
    plain = errors(jax.grad(function, (0, 1))(*given), exact)
    for error, reference in zip(errors(jax.grad(run, (0, 1))(*given), exact), plain, strict=True):
        assert error <= 2 * reference + 1e-6


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_gradients_of_low_precision_add_up_in_float32(platform: str):
    spelling = SPELLINGS["float32 loss of bfloat16 states"]
    target = replace(SMALL, platform=platform)
    graph, _, _ = improved(joint(spelling), arguments(spelling), target)
    (scan,) = [item for item in graph.nodes if item.operation == "scan"]
    carried = scan["body"].results[: scan["carry"]]
    assert [item.type.dtype for item in carried] == [np.float32]
    (product,) = [item for item in carried[0].inputs if item.operation == "dot_general"]
    read = {source.type.dtype for source in product.inputs}
    assert read == {np.dtype(np.float32 if platform == "cpu" else BF16)}


def test_autocast_and_blocks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(TARGETS, "cpu", SMALL)
    step = xl.compile(joint(PLAIN), precision="bfloat16", target="cpu")
    given = arguments(PLAIN)
    traced = step.trace(*given)
    assert f"bf16[{D}, {V}]" in traced.as_text("ir")
    assert "def block_of_rows(" in traced.as_text("python")
    assert "cross-entropy of 160 KiB of logits" in traced.explain()
    low = [x.astype(BF16).astype(jnp.float32) for x in given[:2]]
    ours, wanted = step(*given), joint(PLAIN)(*low, given[2])
    assert max(errors(ours, wanted)) < 2e-2


def test_two_losses_are_two_loops():
    def loss(h, w, other, y):
        return by_index(h @ w, abs(y)).mean() + by_index(jnp.sin(h) @ other, abs(y)).mean()

    spelling = Spelling(loss, ((B, T, D), (D, V), (D, V)))
    given = arguments(spelling)
    _, record, run = improved(joint(spelling), given)
    assert record.rules.hits["linear cross-entropy"] == 2
    wanted = joint(spelling)(*given)
    assert max(errors(run(*given), wanted)) < 1e-5


def test_in_a_scan_and_a_checkpoint():
    def loss(h, w, y):
        def turn(total, inputs):
            part = jax.checkpoint(PLAIN.function)(inputs[0], w, inputs[1])
            return total + part, None

        halves = h.reshape(2, B // 2, T, D), y.reshape(2, B // 2, T)
        return lax.scan(turn, 0.0, halves)[0]

    given = arguments(PLAIN)
    target = replace(SMALL, block_tokens=16)
    graph, record, run = improved(jax.value_and_grad(loss, (0, 1)), given, target)
    assert largest(graph) < N * V // 2 + 1
    assert record.rules.hits["linear cross-entropy"] == 2
    assert max(errors(run(*given), jax.value_and_grad(loss, (0, 1))(*given))) < 1e-5


def test_infinities_and_nans_reach_what_they_reached():
    h, w, y = arguments(PLAIN)
    h, w = h.at[1, 3, 2].set(jnp.nan), w.at[3, 5].set(jnp.inf)
    _, _, run = improved(joint(PLAIN), [h, w, y])
    for ours, wanted in zip(
        jax.tree.leaves(run(h, w, y)), jax.tree.leaves(joint(PLAIN)(h, w, y)), strict=True
    ):
        np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(wanted))


def test_a_gradient_that_waits_for_all_tokens():
    def perplexity(h, w, y):
        return jnp.exp(by_index(h @ w, abs(y)).mean())

    given = arguments(PLAIN)
    assert (
        "its gradient waits for a sum over all rows"
        in reasons(jax.grad(perplexity, (0, 1)), given)[0]
    )
    graph, *_ = improved(perplexity, given)
    assert largest(graph) < N * V


def test_small_logits_stay_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(block_rows, "_NOTED", 4 * N * V)
    target = replace(SMALL, large_logits=4 * N * V + 1)
    assert reasons(joint(PLAIN), arguments(PLAIN), target) == [
        "its logits take 160 KiB, too little to pay"
    ]


def test_logits_are_computed_again_only_where_they_are_large():
    target = replace(SMALL, large_scores=4 * N * V + 1)
    (reason,) = reasons(PLAIN.function, arguments(PLAIN), target)
    assert "160 KiB, too little to compute them again" in reason
    graph, *_ = improved(joint(PLAIN), arguments(PLAIN), target)
    assert "scan" in graph.operations


def test_few_tokens_stay_whole():
    found = reasons(joint(PLAIN), arguments(PLAIN), replace(SMALL, block_tokens=100))
    assert found == ["its 128 tokens make no two blocks that pay"]


def test_attention_is_no_loss():
    def attend(q, k):
        return jnp.log(1 + jnp.abs(jax.nn.softmax(q @ k.T) @ k)).sum()

    q, k = jnp.ones((N, D)), jnp.ones((V, D))
    assert reasons(jax.value_and_grad(attend, (0, 1)), [q, k]) == []


def test_strict_numerics_leave_losses_alone():
    names = [step.name for step in pipeline("strict", SMALL)]
    assert "BlockRows" not in names


def test_the_program_reads_as_a_loop():
    given = arguments(SPELLINGS["nanoGPT, flattened"])
    graph, record, _ = improved(joint(SPELLINGS["nanoGPT, flattened"]), given)
    (rewrite,) = record.rules.rewrites
    assert rewrite.before == "cross-entropy of 160 KiB of logits"
    assert rewrite.after == "the same for 32 of 128 tokens at a time"
    assert graph.operations.isdisjoint(["exp", "dot_general"])
