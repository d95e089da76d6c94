"""Products that need no carry are made for all turns before a scan."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from xlathe.compiler.passes.batch_scans import BatchScans
from xlathe.compiler.targets import CPU, GPU

from .check import operations
from .recurrent import (
    CELLS,
    INPUTS,
    TURNS,
    cell_arguments,
    gradient,
    gru,
    improved,
    loops,
    lstm,
    lstm_joined,
    lstm_of_parts,
    products,
    random,
)

BATCHED = BatchScans(GPU)
W = random(INPUTS, 4)
XS = random(TURNS, 3, INPUTS, seed=1)
H = random(3, 4, seed=2)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", [lambda f: f, gradient], ids=["forward", "gradient"])
def test_the_input_projection_of_a_cell_leaves_the_loop(cell, kind):
    graph, log = improved(BATCHED, kind(cell), *cell_arguments())
    expected = 2 if cell is gru else 1
    assert log.hits["for all turns before the loop"] == expected
    assert products(graph) >= expected
    assert products(loops(graph)[0]["body"]) == expected


def test_the_log_shows_the_formula():
    _, log = improved(BATCHED, lstm, *cell_arguments())
    (rewrite,) = log.rewrites
    assert rewrite.before == f"xs[t] @ w in each of {TURNS} turns"
    assert rewrite.after == "xs @ w at once"
    assert rewrite.flops_before == rewrite.flops_after == 2 * TURNS * 3 * INPUTS * 16
    assert rewrite.numerics == "relaxed"


def test_not_on_cpu():
    graph, log = improved(BatchScans(CPU), lstm, *cell_arguments())
    assert products(graph) == 0
    (miss,) = log.misses
    assert miss.reason == "not done on CPU, where a product in the loop runs from cache"


def test_not_where_sums_may_not_be_ordered_anew():
    graph, log = improved(BatchScans(GPU, relaxed=False), lstm, *cell_arguments())
    assert products(graph) == 0
    assert not log.hits


def test_not_where_the_results_take_too_much_memory():
    graph, log = improved(BatchScans(GPU, max_bytes=100), lstm, *cell_arguments())
    assert products(graph) == 0
    assert log.misses[0].reason == "its results for all turns take 0 MiB"


def test_not_where_turns_are_large():
    def f(w, xs):
        return lax.scan(lambda c, x: (jnp.tanh(c + x @ w), None), jnp.zeros((900, 900)), xs)[0]

    _, log = improved(BatchScans(GPU, min_gain=1.5), f, random(900, 900) * 0.1, random(5, 900, 900))
    assert not log.hits
    assert "gains little" in log.misses[0].reason


def test_reverse_scans():
    graph, _ = improved(BATCHED, lambda *a: lstm(*a, reverse=True), *cell_arguments())
    assert loops(graph)[0]["reverse"]
    assert products(graph) == 1


def test_a_joined_product_is_split():
    graph, _ = improved(BATCHED, lstm_joined, *cell_arguments())
    assert operations(loops(graph)[0]["body"])["concatenate"] == 0


def test_the_kernel_joined_in_the_cell_is_joined_once():
    graph, _ = improved(BATCHED, lstm_of_parts, *cell_arguments())
    assert operations(graph)["split"] >= 2
    assert len(loops(graph)[0]["body"].parameter_types) < 10


def test_a_whole_encoder_leaves_the_loop():
    def f(w, v, xs, h):
        def turn(h, x):
            y = jnp.tanh(jax.nn.relu(x @ w) @ v)
            return jnp.tanh(h + y), y.mean()

        return lax.scan(turn, h, xs)

    def without_rule(w, v, xs, h):
        def turn(h, x):
            y = jnp.tanh(jnp.maximum(x @ w, 0.0) @ v)
            return jnp.tanh(h + y), y.mean()

        return lax.scan(turn, h, xs)

    graph, _ = improved(BATCHED, without_rule, W, random(4, 4), XS, H)
    assert products(graph) == 2
    assert products(loops(graph)[0]["body"]) == 0
    improved(BATCHED, f, W, random(4, 4), XS, H)


def test_a_stack_that_needs_no_carry_is_not_made_in_the_loop():
    def f(w, xs, h):
        return lax.scan(lambda h, x: (jnp.tanh(h + x.sum()), x @ w), h, xs)

    graph, _ = improved(BATCHED, f, W, XS, H)
    assert len(loops(graph)[0].types) == 1


def test_a_product_of_two_slices_is_a_batch_of_products():
    def f(xs, ys, h):
        return lax.scan(lambda h, xy: (jnp.tanh(h + xy[0].T @ xy[1]), None), h, (xs, ys))[0]

    graph, _ = improved(BATCHED, f, XS, random(TURNS, 3, 4), random(INPUTS, 4))
    (product,) = [item for item in graph.nodes if item.operation == "dot_general"]
    assert product["dimension_numbers"][1] == ((0,), (0,))


def test_what_only_spreads_a_product_is_done_in_the_loop():
    def f(w, xs, h):
        def turn(h, x):
            z = x[0] @ w
            return jnp.tanh(h + jnp.broadcast_to(z, (50, 4)) * 2.0), None

        return lax.scan(turn, h, xs)[0]

    graph, _ = improved(BATCHED, f, W, XS, random(50, 4))
    assert products(graph) == 1
    assert loops(graph)[0].inputs[-1].type.shape == (TURNS, 4)


def test_convolutions_of_slices_are_one():
    def f(k, xs, h):
        def turn(h, x):
            y = lax.conv_general_dilated(
                x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            return jnp.tanh(h + y), h.sum()

        return lax.scan(turn, h, xs)

    graph, _ = improved(
        BATCHED, f, random(3, 3, 2, 4), random(TURNS, 2, 6, 6, 2), random(2, 6, 6, 4)
    )
    assert operations(loops(graph)[0]["body"])["conv_general_dilated"] == 0


def test_an_embedding_goes_along():
    def f(table, w, tokens, h):
        return lax.scan(lambda h, t: (jnp.tanh(h + table[t] @ w), h[0]), h, tokens)

    tokens = jnp.array([[0, 2, 1], [1, 1, 6], [3, 0, 0], [6, 5, 4], [2, 2, 2]])
    graph, _ = improved(BATCHED, f, random(7, INPUTS), W, tokens, H)
    assert operations(loops(graph)[0]["body"])["gather"] == 0


@pytest.mark.parametrize(
    "work",
    [
        lambda x, w: jnp.where((x @ w) > 0, x @ w, 0.1),
        lambda x, w: jnp.clip(x @ w, x.min(), 0.5),
        lambda x, w: (x @ w)[:, ::-1] * x.sum(),
        lambda x, w: jnp.pad(x @ w, ((0, 0), (1, 0)))[:, :-1],
        lambda x, w: jnp.cumsum(x @ w, axis=1) / (2.0 + jnp.sum(x @ w, axis=0)),
        lambda x, w: (w.T @ x.T).T,
        lambda x, w: jnp.einsum("bi,io,bj->bo", x, w, x),
        lambda x, w: jnp.concatenate([(x @ w)[:, :2], w[:3, :2]], axis=1),
        lambda x, w: jnp.sort(x @ w, axis=1),
        lambda x, w: (x @ w).astype(jnp.bfloat16).astype(jnp.float32),
        lambda x, w: lax.atan2(x @ w, jnp.ones((3, 4)) * w.sum()),
        lambda x, w: jnp.argmax(x @ w, axis=1)[:, None] * (x @ w).max(),
    ],
)
def test_operations_for_all_turns(work):
    def f(w, xs, h):
        return lax.scan(lambda h, x: (jnp.tanh(h + work(x, w)), work(x, w)), h, xs)

    graph, _ = improved(BATCHED, f, W, XS, H, tolerance=1e-4)
    assert products(graph) > 0


def test_under_vmap_and_in_half_precision():
    arguments = cell_arguments(dtype=jnp.bfloat16)
    improved(BATCHED, lstm, *arguments, tolerance=2e-2)
    stacked = jnp.stack([arguments[3], arguments[3] * 2]).astype(jnp.float32)
    many = jax.vmap(lstm, in_axes=(None, None, None, 0, None, None))
    arguments = cell_arguments()
    graph, _ = improved(BATCHED, many, *arguments[:3], stacked, *arguments[4:])
    assert products(graph) == 1


def test_precision_and_result_dtype_stay():
    def f(w, xs, h):
        def turn(h, x):
            y = lax.dot_general(
                x,
                w,
                (((1,), (0,)), ((), ())),
                precision=lax.Precision.HIGHEST,
                preferred_element_type=jnp.float32,
            )
            return jnp.tanh(h + y), None

        return lax.scan(turn, h, xs)[0]

    graph, _ = improved(
        BATCHED, f, W.astype(jnp.bfloat16), XS.astype(jnp.bfloat16), H, tolerance=1e-2
    )
    (product,) = [item for item in graph.nodes if item.operation == "dot_general"]
    assert "HIGHEST" in str(product["precision"])
    assert product.type.dtype == jnp.float32
