"""Sums and products that nothing in a scan reads are made after it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from xlathe.compiler.ir.rewrite import users
from xlathe.compiler.passes.sink_accumulations import SinkAccumulations
from xlathe.compiler.targets import CPU, GPU

from .check import operations
from .recurrent import (
    BATCH,
    CELLS,
    HIDDEN,
    INPUTS,
    TURNS,
    cell_arguments,
    gradient,
    improved,
    loops,
    lstm,
    products,
    random,
)

SUNK = SinkAccumulations(GPU)
XS = random(TURNS, BATCH, INPUTS)
ZS = random(TURNS, BATCH, HIDDEN, seed=1)
START = random(INPUTS, HIDDEN, seed=2)
H = random(BATCH, HIDDEN, seed=3)
U = random(HIDDEN, HIDDEN, seed=4)


@pytest.mark.parametrize("target", [CPU, GPU], ids=["cpu", "gpu"])
@pytest.mark.parametrize("cell", CELLS)
def test_the_gradient_of_the_weights_is_one_product(cell, target):
    graph, log = improved(SinkAccumulations(target, min_flops=0), gradient(cell), *cell_arguments())
    backward = loops(graph)[-1]
    assert backward["reverse"]
    weights = {(INPUTS, 4 * HIDDEN), (HIDDEN, 4 * HIDDEN), (INPUTS + HIDDEN, 4 * HIDDEN)}
    assert not any(type_.shape in weights for type_ in backward.types)
    assert backward["carry"] <= 2
    assert log.hits["once after the loop"] >= 2


def test_the_log_shows_the_formula():
    def f(start, xs, zs):
        return lax.scan(lambda c, xz: (c + xz[0].T @ xz[1], None), start, (xs, zs))[0]

    graph, log = improved(SUNK, f, START, XS, ZS)
    assert not loops(graph)
    (product,) = [item for item in graph.nodes if item.operation == "dot_general"]
    assert product["dimension_numbers"] == (((0, 2), (0, 1)), ((), ()))
    (rewrite,) = log.rewrites
    assert rewrite.before == f"xs[t].T @ zs[t] in each of {TURNS} turns"
    assert rewrite.after == "the sum over turns of xs[t].T @ zs[t] at once"
    assert rewrite.numerics == "relaxed"


def test_what_is_made_in_the_loop_leaves_as_a_stack():
    def f(start, xs, h, u):
        def turn(carry, x):
            h, total = carry
            h = jnp.tanh(h @ u)
            return (h, total + x.T @ h - (x.T @ jnp.cos(h)) / 3.0), None

        return lax.scan(turn, (h, start), xs)[0]

    graph, _ = improved(SUNK, f, START, XS, H, U)
    (scan,) = loops(graph)
    assert products(scan["body"]) == 1
    assert sorted(type_.shape for type_ in scan.types[1:]) == [(TURNS, BATCH, HIDDEN)] * 2


def test_a_running_sum_that_is_read_stays():
    def f(start, xs, zs):
        def turn(total, xz):
            total = total + xz[0].T @ xz[1]
            return total, total[0]

        return lax.scan(turn, start, (xs, zs))

    graph, log = improved(SUNK, f, START, XS, ZS)
    assert products(loops(graph)[0]["body"]) == 1
    assert log.misses[0].reason == "the loop reads the running sum"


@pytest.mark.parametrize(
    "turn",
    [
        lambda c, x, z: c * 0.5 + x.T @ z,
        lambda c, x, z: x.T @ z - c,
        lambda c, x, z: jnp.maximum(c, x.T @ z),
        lambda c, x, z: c + c * (x.T @ z),
    ],
)
def test_what_is_no_sum_stays(turn):
    def f(start, xs, zs):
        return lax.scan(lambda c, xz: (turn(c, *xz), None), start, (xs, zs))[0]

    graph, _ = improved(SUNK, f, START, XS, ZS)
    assert len(loops(graph)) == 1


@pytest.mark.parametrize(
    "term",
    [
        lambda x, z: jnp.pad(x.T @ z[:, :2], ((0, 0), (1, 1))),
        lambda x, z: 2.0 * (x.T @ z) - (z.T @ x).T,
        lambda x, z: jnp.concatenate([(x.T @ z)[:2], x.T[2:] @ z]),
        lambda x, z: jnp.tanh(x.T @ z),
        lambda x, z: (x.T @ z) * x.sum(),
        lambda x, z: (x.T @ z).sum(),
        lambda x, z: jnp.ones((INPUTS, HIDDEN)) * (x.T @ z).sum(0, keepdims=True),
        lambda x, z: jnp.einsum("bi,bj->bij", x, z).sum(0),
        lambda x, z: jnp.ones((INPUTS, 3)) @ z,
        lambda x, z: x.sum() * jnp.ones((INPUTS, HIDDEN)),
        lambda x, z: jnp.ones((INPUTS, HIDDEN)) + x[0][:, None],
        lambda x, z: (x.T @ z)[::-1].reshape(HIDDEN, INPUTS).T,
        lambda x, z: jnp.outer(x.sum(0), z.sum(0)),
    ],
)
def test_sums_of_many_forms(term):
    def f(start, xs, zs):
        def turn(c, xz):
            return c + term(*xz), None

        return lax.scan(turn, start, (xs, zs), reverse=True)[0]

    graph, _ = improved(SUNK, f, START, XS, ZS)
    assert not loops(graph)
    improved(SUNK, gradient(f), START, XS, ZS)


def test_a_sum_is_kept_if_its_operands_would_have_to_be_stacked():
    def f(start, h, u, xs):
        def turn(carry, x):
            h, total = carry
            h = jnp.tanh(h @ u + x)
            return (h, total + jnp.sin(h).sum(0)), None

        return lax.scan(turn, (h, start), xs)[0]

    graph, _ = improved(SUNK, f, START[0], H, U, ZS)
    assert loops(graph)[0]["carry"] == 2


def test_a_sum_follows_where_its_operands_are_stacked_anyhow():
    def f(start, h, u, xs):
        def turn(carry, x):
            h, total = carry
            h = jnp.tanh(h @ u + x)
            return (h, total + h.sum(0)), h

        return lax.scan(turn, (h, start), xs)

    graph, _ = improved(SUNK, f, START[0], H, U, ZS)
    assert loops(graph)[0]["carry"] == 1


def test_the_output_projection_is_made_for_all_turns():
    def f(h, u, xs, out):
        def turn(h, x):
            h = jnp.tanh(h @ u + x)
            return h, jax.nn.sigmoid(h @ out + 1.0)

        return lax.scan(turn, h, xs)[1]

    graph, log = improved(SUNK, f, H, U, ZS, random(HIDDEN, 7))
    assert products(graph) == 1
    assert products(loops(graph)[0]["body"]) == 1
    assert log.rewrites[0].after == "logistic(h @ out + 1) at once"


def test_a_product_that_the_carry_needs_is_not_made_twice():
    def f(h, u, xs, out):
        def turn(h, x):
            z = h @ u
            return jnp.tanh(z + x), (z, z @ out, jnp.sort(h @ out))

        return lax.scan(turn, h, xs)[1]

    graph, _ = improved(SUNK, f, H, U, ZS, random(HIDDEN, 7))
    assert products(graph) == 1
    assert products(loops(graph)[0]["body"]) == 2


def test_not_where_operands_take_too_much_memory():
    def f(start, xs, zs):
        return lax.scan(lambda c, xz: (c + jnp.tanh(xz[0]).T @ xz[1], None), start, (xs, zs))[0]

    def carried(start, xs, h):
        def turn(carry, x):
            h, total = carry
            return (jnp.tanh(h), total + x.T @ h), None

        return lax.scan(turn, (h, start), xs)[0]

    graph, log = improved(SinkAccumulations(GPU, max_bytes=64), carried, START, XS, H)
    assert loops(graph)[0]["carry"] == 2
    assert "for all turns" in log.misses[0].reason
    assert not loops(improved(SUNK, f, START, XS, ZS)[0])


def test_not_where_sums_may_not_be_ordered_anew():
    graph, log = improved(SinkAccumulations(GPU, relaxed=False), gradient(lstm), *cell_arguments())
    assert not log.hits
    assert loops(graph)[-1]["carry"] > 2


def test_nested_loops_sink_through_both():
    def f(start, xs, zs):
        def outer(total, xz):
            def inner(total, xz):
                return total + xz[0][:, None] * xz[1], None

            return lax.scan(inner, total, xz)[0], None

        return lax.scan(outer, start, (xs, zs))[0]

    def with_products(start, xs, zs):
        def outer(total, xz):
            def inner(total, xz):
                return total + xz[0][None].T @ xz[1][None], None

            return lax.scan(inner, total, xz)[0], None

        return lax.scan(outer, start, (xs, zs))[0]

    wide = random(TURNS, 5, INPUTS), random(TURNS, 5, HIDDEN)
    improved(SUNK, f, START, *wide)
    graph, _ = improved(SUNK, with_products, START, *wide)
    assert not loops(graph)


def test_half_precision_is_summed_with_fewer_roundings():
    xs, zs = random(200, BATCH, INPUTS), random(200, BATCH, HIDDEN)

    def f(start, xs, zs):
        return lax.scan(lambda c, xz: (c + xz[0].T @ xz[1], None), start, (xs, zs))[0]

    exact = np.einsum("tbi,tbj->ij", np.float64(xs), np.float64(zs))
    arguments = [value.astype(jnp.bfloat16) for value in (START * 0, xs, zs)]
    graph, _ = improved(SUNK, f, *arguments, tolerance=0.2)
    assert graph.result_types[0].dtype == jnp.bfloat16
    loop = np.float64(jax.jit(f)(*arguments))
    once = np.float64(jnp.einsum("tbi,tbj->ij", *arguments[1:]))
    assert np.abs(once - exact).max() <= np.abs(loop - exact).max()


def test_a_wide_sum_of_narrow_products_stays_wide():
    def f(start, xs, zs):
        def turn(c, xz):
            return c + (xz[0].T @ xz[1]).T.astype(jnp.float32).T, None

        return lax.scan(turn, start, (xs, zs))[0]

    graph, _ = improved(
        SUNK, f, START, XS.astype(jnp.bfloat16), ZS.astype(jnp.bfloat16), tolerance=2e-2
    )
    (product,) = [item for item in graph.nodes if item.operation == "dot_general"]
    assert product.type.dtype == jnp.float32
    assert operations(graph)["reduce_sum"] == 0


def test_integers_are_summed_exactly():
    def f(start, xs, zs):
        return lax.scan(lambda c, xz: (c + xz[0].T @ xz[1] + 3, c.dtype.itemsize), start, (xs, zs))

    numbers = [jnp.round(value * 1e4).astype(jnp.int32) for value in (START, XS, ZS)]
    graph, _ = improved(SUNK, f, *numbers, tolerance=0.0)
    assert operations(graph)["dot_general"] == 1


def test_nan_and_infinity_reach_what_they_reached():
    def f(start, xs, zs):
        return lax.scan(lambda c, xz: (c + xz[0].T @ xz[1], None), start, (xs, zs))[0]

    bad = XS.at[1, 0, 2].set(jnp.nan).at[3, 1, 1].set(jnp.inf)
    improved(SUNK, f, START, bad, jnp.abs(ZS))


def test_a_sum_is_read_once_only_if_nothing_else_reads_the_carry():
    graph, _ = improved(SUNK, gradient(lstm), *cell_arguments())
    for scan in loops(graph):
        readers = users(scan["body"])
        assert all(readers.get(item) for item in scan["body"].parameters)


def test_products_that_a_loop_holds_for_nothing_stay_on_cpus():
    def scores(xs, u):
        return lax.scan(lambda c, x: (c, x @ u @ x), 0.0, xs)[1]

    row, matrix = random(TURNS, 8), random(8, 8, seed=1)
    graph, log = improved(SinkAccumulations(CPU), scores, row, matrix)
    assert [item.operation for item in graph.nodes].count("scan") == 1
    assert "once after the loop" not in log.hits
    assert [miss.reason for miss in log.misses] == [
        "144 FLOP a turn are part of the loop's own code"
    ]
    for pass_ in (SinkAccumulations(GPU), SinkAccumulations(CPU, min_flops=0)):
        graph, log = improved(pass_, scores, row, matrix)
        assert log.hits["once after the loop"] == 1
