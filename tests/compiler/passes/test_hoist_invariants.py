"""What is the same in every turn leaves scans and while loops."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from xlathe.compiler.passes.hoist_invariants import HoistInvariants
from xlathe.compiler.targets import CPU, GPU

from .check import operations, run_on
from .recurrent import gradient, improved, loops, products, random

A = random(8, 8)
V = random(8, seed=1)
HOIST = HoistInvariants(GPU)


def test_a_product_of_constants_leaves_a_scan():
    def f(a, v):
        return lax.scan(lambda c, _: (jnp.tanh(a.T @ a @ c), None), v, None, length=6)[0]

    graph, log = improved(HOIST, f, A, V)
    assert products(graph) == products(loops(graph)[0]["body"]) == 1
    (rewrite,) = log.rewrites
    assert rewrite.before == "a.T @ a in each of 6 turns"
    assert rewrite.after == "a.T @ a once"
    assert rewrite.flops_before == 6 * rewrite.flops_after == 6 * 2 * 8**3
    assert rewrite.numerics == "exact"


def test_values_are_the_same_to_the_last_bit():
    def f(a, v):
        def turn(c, x):
            return jnp.sin(c) + jnp.exp(a) * x, (c, a[0].sum())

        return lax.scan(turn, jnp.tanh(a), v)

    wide = random(40, 40)
    graph, _ = improved(HOIST, f, wide, V, tolerance=0.0)
    assert operations(loops(graph)[0]["body"])["exp"] == 0


def test_it_leaves_nested_loops_all_the_way():
    def f(a, v):
        def outer(c, x):
            inner = lax.fori_loop(0, 5, lambda i, c: jnp.tanh(a @ a @ c) + x, c)
            return inner, inner

        return lax.scan(outer, v, v)

    graph, _ = improved(HOIST, f, A, V)
    assert products(graph) == 1
    outer = loops(graph)[0]["body"]
    assert products(outer) == 0
    assert products(loops(outer)[0]["body"]) == 1


def test_an_invariant_loop_leaves_as_a_whole():
    def f(a, v):
        def outer(c, x):
            power = lax.fori_loop(0, 7, lambda i, p: jnp.tanh(p @ a), a)
            return c @ power + x, None

        return lax.scan(outer, v, random(6, 8))[0]

    graph, _ = improved(HOIST, f, A, V)
    assert len(loops(graph)) == 2
    assert not any(loops(item["body"]) for item in loops(graph))


def test_a_stacked_invariant_becomes_a_broadcast():
    def f(a, v):
        return lax.scan(lambda c, x: (c + x, (a, c, 3.0)), v, random(6, 8))

    graph, _ = improved(HOIST, f, A, V)
    assert len(loops(graph)[0]["body"].results) == 2


def test_a_loop_that_only_repeats_is_no_loop():
    def f(a, v):
        return lax.scan(lambda _, x: (None, jnp.sin(a) @ v), None, None, length=6)[1]

    graph, _ = improved(HOIST, f, A, V)
    assert not loops(graph)


def test_broadcasts_stay():
    def f(v):
        def turn(c, x):
            return c * lax.broadcast_in_dim(v, (8, 8), (1,)) + x, None

        return lax.scan(turn, A, V)[0]

    graph, _ = improved(HOIST, f, V)
    assert len(loops(graph)[0].inputs) == 3
    assert operations(loops(graph)[0]["body"])["broadcast_in_dim"] == 1


def test_what_blows_a_small_array_up_stays_and_is_made_anew():
    def f(v, rows):
        def turn(c, x):
            return c + jnp.exp(v[:, None] - v[None, :]) * x, None

        return lax.scan(turn, rows[0][:, None] * rows[0], rows[:, 0])[0]

    large = random(800)
    rows = random(6, 800)
    graph, log = improved(HOIST, f, large, rows, tolerance=1e-4)
    assert operations(loops(graph)[0]["body"])["exp"] == 1
    assert log.misses[0].reason == "made anew it costs less than keeping so large an array"
    roomy = HoistInvariants(GPU, max_blown=1 << 30)
    assert (
        operations(loops(improved(roomy, f, large, rows, tolerance=1e-4)[0])[0]["body"])["exp"] == 0
    )


def test_a_few_numbers_stay():
    def f(v, scale):
        return lax.scan(lambda c, x: (c * jnp.exp(scale) + x, None), v, random(6, 8))[0]

    graph, _ = improved(HOIST, f, V, jnp.float32(0.3))
    assert operations(loops(graph)[0]["body"])["exp"] == 1


def test_small_work_leaves_a_while_loop_and_its_condition():
    def f(a, v, limit):
        def more(c):
            return (c * (a @ a)[0]).sum() < limit

        return lax.while_loop(more, lambda c: c + jnp.abs(a @ a @ c) + 0.1, v)

    graph, log = improved(HOIST, f, A, V, jnp.float32(3.0))
    assert products(graph) == 1
    (loop,) = loops(graph, "while")
    assert products(loop["condition"]) == 0
    assert products(loop["body"]) == 1
    assert {rewrite.before for rewrite in log.rewrites} >= {"a @ a in each turn"}


def test_dear_work_of_a_while_loop_waits_for_its_condition():
    def f(a, v, n):
        return lax.fori_loop(0, n, lambda i, c: jnp.tanh(a @ a @ c + i), v)

    large, vector = random(300, 300) * 0.05, random(300)
    strict = HoistInvariants(CPU, max_idle=0.0)
    for turns in (0, 1, 4):
        graph, _ = improved(strict, f, large, vector, turns, tolerance=1e-4)
    assert products(graph) == 0
    (choice,) = loops(graph, "cond")
    assert sum(products(branch) for branch in choice["branches"]) == 1
    assert products(loops(graph, "while")[0]["body"]) == 1


def test_effects_are_left_alone():
    def f(a, v):
        def turn(c, x):
            jax.debug.print("{}", x)
            return jnp.tanh(a @ a @ c) + x, None

        return lax.scan(turn, v, random(6, 8))[0]

    graph = run_on(HOIST, f, A, V)
    assert products(loops(graph)[0]["body"]) == 2


def test_keys_and_random_numbers_may_be_invariant():
    def f(key, v):
        def turn(c, x):
            return c + jax.random.normal(key, (40, 40)) * x, None

        return lax.scan(turn, random(40, 40), v)[0]

    graph, _ = improved(HOIST, f, jax.random.key(0), V)
    assert operations(loops(graph)[0]["body"])["random_bits"] == 0


def test_gradients_of_a_hoisted_program():
    def f(a, v):
        return lax.scan(lambda c, x: (jnp.tanh(a.T @ a @ c) + x, c), v, random(6, 8))

    improved(HOIST, gradient(f), A, V)


def test_no_turn_is_no_work():
    def f(a, v):
        return lax.scan(lambda c, x: (jnp.tanh(a @ a @ c) + x, c), v, jnp.zeros((0, 8)))

    captured = jax.jit(f)(A, V)
    assert captured[1].shape == (0, 8)
    np.testing.assert_array_equal(run_on(HOIST, f, A, V).result_types[1].shape, (0, 8))
