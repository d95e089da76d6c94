"""Products whose rows start at odd addresses are padded where copies cost less than that."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import xlathe as xl
from xlathe.compiler.ir import Graph
from xlathe.compiler.lowering import lower
from xlathe.compiler.passes.pad_products import RULE, PadProducts
from xlathe.compiler.pipeline import EXACT, run_passes
from xlathe.compiler.rules import RuleLog, logging_rules
from xlathe.compiler.targets import CPU, GPU, TPU
from xlathe.tracer.capture import capture

from .check import run_on

FREE = replace(GPU, launch=0.0, bandwidth=math.inf)
"""A GPU on which copies take no time, so that small arrays show what is done with large ones."""


def random(*shapes):
    keys = jax.random.split(jax.random.key(0), len(shapes))
    pairs = zip(keys, shapes, strict=True)
    return tuple(jax.random.normal(key, shape) for key, shape in pairs)


def padded(graph: Graph, target=FREE) -> Graph:
    """The graph after the exact passes and the one that is tested."""
    return PadProducts(target)(run_passes(graph, EXACT)[0])


def padded_and_run(function, *values) -> tuple[Graph, RuleLog]:
    """The graph that computes what the function does, and what was logged."""
    with logging_rules() as log:
        graph = run_on(padded, function, *values)
    return graph, log


def is_padded(graph: Graph) -> bool:
    return any("pad" in inner.operations for inner in graph.walk())


def head(states, table, labels):
    logits = states @ table.T
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


PRODUCTS = {
    "columns": (lambda a, b: a @ b, (8, 16), (16, 9)),
    "summed": (lambda a, b: a @ b, (8, 9), (9, 16)),
    "both": (lambda a, b: a @ b, (8, 9), (9, 7)),
    "first factor transposed": (lambda a, b: a.T @ b, (16, 9), (16, 8)),
    "second factor transposed": (lambda a, b: a @ b.T, (16, 8), (9, 8)),
    "result transposed": (lambda a, b: (a @ b).T, (9, 8), (8, 16)),
    "batched": (lambda a, b: jnp.einsum("nij,njk->nik", a, b), (3, 8, 16), (3, 16, 9)),
    "several free axes": (lambda a, b: jnp.tensordot(a, b, 1), (2, 4, 9), (9, 8)),
    "two axes summed": (lambda a, b: jnp.tensordot(a, b, 2), (8, 4, 9), (4, 9, 8)),
    "with itself": (lambda a, b: a.T @ a + b.sum(), (16, 9), (2, 2)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_odd_rows_are_padded(name):
    function, *shapes = PRODUCTS[name]
    graph, log = padded_and_run(function, *random(*shapes))
    assert is_padded(graph)
    assert {item.rule for item in log.rewrites} == {RULE}


def test_rows_of_results_are_sliced_from_products_of_even_ones():
    graph, log = padded_and_run(lambda a, b: jnp.tanh(a @ b), *random((8, 16), (16, 9)))
    source = lower(graph).source
    assert "lax.pad(b, np.float32(0.0), ((0, 0, 0), (0, 3, 0)))" in source
    assert "lax.slice(" in source
    assert log.rewrites[0].after == "the same, padded from 9 to 12"


def test_forward_and_backward_of_a_loss_share_the_padded_table():
    states, table = random((32, 16), (11, 16))
    function = jax.value_and_grad(head, (0, 1))
    graph, log = padded_and_run(function, states, table, jnp.arange(32) % 11)
    assert len(log.rewrites) == 3
    assert lower(graph).source.count("lax.pad(table") == 1


def test_infinity_and_nan_stay_in_their_rows():
    a, b = random((8, 16), (16, 9))
    a = a.at[2, 3].set(jnp.inf).at[5, 0].set(jnp.nan)
    graph, _ = padded_and_run(lambda a, b: (a @ b) @ b.T, a, b)
    assert is_padded(graph)


def test_products_in_loops_are_padded():
    def loop(a, b):
        return jax.lax.scan(lambda c, _: (jnp.tanh(c @ b), None), a, length=3)[0]

    graph, _ = padded_and_run(loop, *random((8, 9), (9, 9)))
    assert is_padded(graph)


EVEN = {
    "even rows": (lambda a, b: a @ b, (9, 8), (8, 16)),
    "odd columns that no row lies along": (lambda a, b: a.T @ b, (16, 8), (16, 8)),
    "highest precision": (lambda a, b: jnp.matmul(a, b, precision="highest"), (8, 9), (9, 8)),
    "axis of the batch last": (lambda a, b: jnp.einsum("ijn,jkn->nik", a, b), (4, 8, 9), (8, 4, 9)),
    "a vector": (lambda a, b: a[:, 0] @ b[0], (9, 8), (8, 9)),
}


@pytest.mark.parametrize("name", EVEN)
def test_others_stay(name):
    function, *shapes = EVEN[name]
    assert not is_padded(padded(capture(function, *random(*shapes)).graph))


@pytest.mark.parametrize("dtype", [np.int32, np.complex64])
def test_other_numbers_stay(dtype):
    values = tuple(jnp.ones(shape, dtype) for shape in ((8, 9), (9, 8)))
    assert not is_padded(padded(capture(lambda a, b: a @ b, *values).graph))


@pytest.mark.parametrize("target", [CPU, TPU])
def test_other_devices_need_no_padding(target):
    values = random((8, 9), (9, 16))
    assert not is_padded(padded(capture(lambda a, b: a @ b, *values).graph, target))


def explained(function, *shapes, **options) -> str:
    values = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes]
    compiled: Any = xl.compile(function, target="gpu", **options)
    return compiled.trace(*values).explain()


LOGITS = (16384, 768), (50257, 768)


def test_what_is_returned_is_not_copied_for_little():
    text = explained(lambda a, b: a @ b.T, *LOGITS)
    assert "padded product" in text
    assert "copies would take" in text


def test_what_is_reduced_is_padded_for_little():
    text = explained(lambda a, b: jnp.max(a @ b.T, 1), *LOGITS)
    assert "the same, padded from 50257 to 50304" in text
    assert "copies would take" not in text


def test_strict_numerics_leave_products_alone():
    assert RULE not in explained(lambda a, b: jnp.max(a @ b.T, 1), *LOGITS, numerics="strict")


def test_small_products_are_not_worth_a_kernel():
    assert RULE not in explained(lambda a, b: a @ b, (512, 511), (511, 512))
