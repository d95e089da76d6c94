"""Attention is cast before its kernel is chosen: forward, backward, and its softmax stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xlathe.compiler.ir import Graph, verify
from xlathe.compiler.pipeline import PassRecord, run_passes
from xlathe.compiler.targets import TARGETS
from xlathe.runtime.options import Options
from xlathe.tracer.capture import capture

X = jnp.ones((2, 128, 2, 64))


@pytest.fixture(autouse=True)
def short_attention_pays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(TARGETS, "gpu", replace(TARGETS["gpu"], small_scores=0))


def attend(q: Any, k: Any, v: Any) -> Any:
    with jax.named_scope("attend"):
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / 8.0
        scores = jnp.where(jnp.tril(jnp.ones(scores.shape[-2:], bool)), scores, -jnp.inf)
        return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v)


def step(q: Any, k: Any, v: Any) -> Any:
    return jax.grad(lambda *a: (attend(*a) ** 2).sum(), argnums=(0, 1, 2))(q, k, v)


def improved(function: Any, precision: Any, target: str = "gpu") -> tuple[Graph, PassRecord]:
    graph, records = run_passes(
        capture(function, X, X, X).graph, Options(precision=precision, target=target).steps()
    )
    verify(graph)
    (record,) = [record for record in records if record.name == "CastAttention"]
    return graph, record


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_the_kernel_is_given_low_precision(precision: str):
    graph, record = improved(step, precision)
    (kernel,) = [item for item in graph.nodes if item.operation == "attention_kernel"]
    (gradient,) = [item for item in graph.nodes if item.operation == "attention_kernel_grad"]
    assert kernel["kernel"] == "cudnn"
    assert {str(source.type.dtype) for source in kernel.inputs} == {precision}
    assert {str(type_.dtype) for type_ in (kernel.type, *gradient.type)} == {precision}
    assert {str(type_.dtype) for type_ in graph.result_types} == {"float32"}
    assert record.rules.hits == {f"attention in {precision}, its softmax in float32": 1}


def test_what_no_kernel_computes_keeps_its_softmax_in_float32():
    graph, _ = improved(lambda q, k, v: attend(q, k, v[..., :48]), "bfloat16")
    assert "attention_kernel" not in graph.operations
    exps = [item for inner in graph.walk() for item in inner.nodes if item.operation == "exp"]
    products = [item for item in graph.nodes if item.operation == "dot_general"]
    assert [item.type.dtype for item in exps] == [np.float32]
    assert {str(s.type.dtype) for item in products for s in item.inputs} == {"bfloat16"}


def test_a_pattern_keeps_it_in_float32():
    precision = {"default": "bfloat16", "attend": "float32"}
    graph, record = improved(step, precision)
    assert "bfloat16" not in {str(t.dtype) for item in graph.nodes for t in item.types}
    assert [miss.reason for miss in record.rules.misses] == [
        "attention stays in float32: precision['attend'] keeps it"
    ]


def test_attention_that_is_low_by_hand_is_left_alone():
    def f(q, k, v):
        return attend(*(a.astype(jnp.bfloat16) for a in (q, k, v)))

    graph, record = improved(f, "float16")
    assert not record.rules.hits
    (kernel,) = [item for item in graph.nodes if item.operation == "attention_kernel"]
    assert {str(source.type.dtype) for source in kernel.inputs} == {"bfloat16"}
