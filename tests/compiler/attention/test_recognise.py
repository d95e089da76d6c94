"""Attention is recognised in every spelling, forward and backward, and nothing else is."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import xlathe as xl

from .check import abstract, joint, operations, recognised
from .lookalikes import LOOKALIKES
from .spellings import (
    LAYER,
    SPELLINGS,
    B,
    C,
    N,
    Spelling,
    T,
    mixed,
    nano_gpt,
    scores,
    through,
    tril,
)


def layers_by_scan(x, ws, outs):
    return lax.scan(lambda x, weights: (x + nano_gpt(x, *weights), None), x, (ws, outs))[0]


_SAVED = "checkpointed, dots saved"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if place % 4 else [])
        for place, name in enumerate(SPELLINGS)
    ],
)
def test_forward(name: str):
    spelling = SPELLINGS[name]
    graph, record = recognised(spelling.function, *abstract(spelling), *spelling.others)
    assert operations(graph).count("attention") == 1, record.rules.misses
    assert "exp" not in operations(graph)


@pytest.mark.parametrize("name", [name for name in SPELLINGS if name != _SAVED])
def test_joint_backward(name: str):
    spelling = SPELLINGS[name]
    graph, record = recognised(joint(spelling), *abstract(spelling), *spelling.others)
    found = operations(graph)
    assert found.count("attention") == 1, record.rules.misses
    assert found.count("attention_grad") == 1, record.rules.misses
    assert "exp" not in found
    assert "reduce_max" not in found


@pytest.mark.parametrize("name", LOOKALIKES)
def test_something_else(name: str):
    spelling, reason = LOOKALIKES[name]
    for function in (spelling.function, joint(spelling)):
        graph, record = recognised(function, *abstract(spelling))
        assert not {"attention", "attention_grad"} & set(operations(graph))
        assert not record.rules.hits
        if function is spelling.function:
            reasons = [miss.reason for miss in record.rules.misses]
            assert any(reason in text for text in reasons) if reason else True, reasons


def test_scores_that_a_checkpoint_saves_stay():
    spelling = SPELLINGS[_SAVED]
    graph, record = recognised(joint(spelling), *abstract(spelling))
    assert not {"attention", "attention_grad"} & set(operations(graph))
    assert any("saved" in miss.reason for miss in record.rules.misses)


def test_layers_of_one_form_share_their_derivative():
    spelling = SPELLINGS["nanoGPT"]

    def model(x, *weights):
        for w, out in zip(weights[::2], weights[1::2], strict=True):
            x = x + nano_gpt(x, w, out)
        return x

    deep = Spelling(model, (spelling.shapes[0], *spelling.shapes[1:] * 3))
    graph, record = recognised(joint(deep), *abstract(deep))
    assert record.rules.hits == {"attention forward and backward": 3}
    bodies = {item["body"] for item in graph.nodes if item.operation == "attention_grad"}
    assert len(bodies) == 1


def test_attention_in_a_loop():
    def model(x, w, out):
        return lax.scan(lambda x, _: (nano_gpt(x, w, out), None), x, None, length=3)[0]

    graph, record = recognised(model, *abstract(SPELLINGS["nanoGPT"]))
    assert record.rules.hits == {"attention forward": 1}
    assert "exp" not in operations(graph)


def test_a_loop_keeps_no_scores_for_its_backward():
    layers = Spelling(layers_by_scan, (LAYER[0], *((3, *shape) for shape in LAYER[1:])))
    graph, record = recognised(joint(layers), *abstract(layers))
    assert record.rules.hits == {"attention forward": 1, "attention forward and backward": 1}
    assert "exp" not in operations(graph)
    assert all(type_.size < T * T * N * B for item in graph.nodes for type_ in item.types)


def test_a_loop_whose_scores_are_read_keeps_them():
    def model(x, ws, outs):
        def block(x, weights):
            q, k, v = (y.reshape(B, T, N, C // N) for y in jnp.split(x @ weights[0], 3, 2))
            p = jax.nn.softmax(scores(q, k))
            return x + mixed(p, v).reshape(B, T, C) @ weights[1], p

        return lax.scan(block, x, (ws, outs))

    layers = Spelling(model, (LAYER[0], *((3, *shape) for shape in LAYER[1:])))
    graph, record = recognised(joint(layers), *abstract(layers))
    assert not record.rules.hits
    assert "exp" in operations(graph)


@pytest.mark.parametrize("policy", [None, jax.checkpoint_policies.nothing_saveable])
def test_attention_in_a_loop_of_checkpoints(policy: Any):
    def model(x, ws, outs):
        @partial(jax.checkpoint, policy=policy)
        def block(x, weights):
            return x + nano_gpt(x, *weights), None

        return lax.scan(block, x, (ws, outs))[0]

    layers = Spelling(model, (LAYER[0], *((3, *shape) for shape in LAYER[1:])))
    graph, record = recognised(joint(layers), *abstract(layers))
    assert record.rules.hits == {"attention forward": 1, "attention forward and backward": 1}
    assert "exp" not in operations(graph)


def test_frozen_operands_need_no_gradient():
    spelling = SPELLINGS["tril of ones, -inf"]

    def step(q, k, v):
        return jax.grad(lambda k: (spelling.function(q, k, v) ** 2).sum())(k)

    graph, _ = recognised(step, *abstract(spelling))
    (gradient,) = [item for item in graph.nodes if item.operation == "attention_grad"]
    assert gradient["wanted"] == (1,)
    assert "exp" not in operations(graph)


def test_two_losses_on_one_attention():
    spelling = SPELLINGS["tril of ones, -inf"]

    def step(q, k, v):
        result, pull = jax.vjp(spelling.function, q, k, v)
        return pull(jnp.sin(result)), pull(jnp.cos(result))

    graph, _ = recognised(step, *abstract(spelling))
    assert operations(graph).count("attention_grad") == 2
    assert "exp" not in operations(graph)


def test_a_near_miss_is_explained_with_its_line():
    def attend(q, k, v):
        s = scores(q, k)
        return through(lambda q, k: s, tril)(q, k, v), s

    text = xl.compile(attend).trace(*abstract(SPELLINGS["einsum BTNH"])).explain()
    assert "attention, " in text
    assert "spellings.py:" in text
    assert "its scores are also returned" in text


def test_strict_numerics_leave_it_alone():
    spelling = SPELLINGS["einsum BTNH"]
    passes = xl.compile(spelling.function, numerics="strict").trace(*abstract(spelling)).passes
    assert "RecogniseAttention" not in [record.name for record in passes]


def test_a_mixture_is_attention_to_the_columns_of_its_weights():
    graph, _ = recognised(
        lambda x, w, values: jax.nn.softmax(x @ w) @ values,
        *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((8, C), (C, N), (N, 5))),
    )
    assert operations(graph).count("attention") == 1
