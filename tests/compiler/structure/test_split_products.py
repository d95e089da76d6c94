"""Products by diagonals, strips and blocks."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.linalg import block_diag

import xlathe as xl
from xlathe.compiler.passes import split_products
from xlathe.compiler.structure import blocks
from xlathe.compiler.targets import CPU, GPU, TPU, Target

from .check import Improved, improved, matrix_of, normal

N = 24
B, C, V = normal(1, N, 9), normal(2, 8, N), normal(3, N)
DIAGONALS = "product with a matrix of few diagonals"
TRIANGLE = "product with a triangular matrix"
BLOCKS = "product by blocks"
SLOW = Target("slow", "cpu", flops=1e6, bandwidth=1e12, launch=0.0)
"""A device on which only operations count, so that small matrices show what large ones do."""

SIDES = {
    "T @ B": (lambda t, b: t @ b, B),
    "T @ v": (lambda t, b: t @ b, V),
    "T.T @ B": (lambda t, b: t.T @ b, B),
    "C @ T": (lambda t, b: b @ t, C),
    "C @ T.T": (lambda t, b: b @ t.T, C),
    "v @ T": (lambda t, b: b @ t, V),
}
T = matrix_of("tridiagonal", N)


def tridiagonal(x):
    return xl.assume(x, "tridiagonal")


@pytest.mark.parametrize("case", SIDES.values(), ids=SIDES)
def test_a_tridiagonal_matrix_multiplies_by_its_diagonals(case):
    function, b = case
    found = improved(lambda t, b: function(tridiagonal(t), b), T, b)
    assert DIAGONALS in found.rules
    assert "dot_general" not in found.operations()
    assert not improved(function, T, b).rules


@pytest.mark.parametrize("axes", [(0, 0), (2, 2), (1, 1)])
def test_vmapped_tridiagonal_matrices(axes):
    t = jnp.moveaxis(jnp.stack([T, 2 * T]), 0, axes[0])
    b = jnp.moveaxis(jnp.stack([B, B + 1]), 0, axes[1])
    assert DIAGONALS in improved(jax.vmap(lambda t, b: tridiagonal(t) @ b, axes), t, b).rules
    c = jnp.moveaxis(jnp.stack([C, C + 1]), 0, axes[1])
    assert DIAGONALS in improved(jax.vmap(lambda t, c: c @ tridiagonal(t), axes), t, c).rules


def test_the_gradient_of_a_tridiagonal_product():
    def loss(t, b):
        return jnp.sum(jnp.sin(tridiagonal(t) @ b))

    assert DIAGONALS in improved(jax.grad(loss, (0, 1)), T, B).rules


def test_half_precision_is_summed_in_single():
    t, b = T.astype(jnp.bfloat16), B.astype(jnp.bfloat16)
    assert DIAGONALS in improved(lambda t, b: tridiagonal(t) @ b, t, b).rules


def test_bands_that_the_program_shows():
    def three(d, e, b):
        return (jnp.diag(d) + jnp.diag(e[1:], 1) + jnp.diag(e[1:], -1)) @ b

    assert DIAGONALS in improved(three, V, V + 1, B, numerics="finite").rules
    assert DIAGONALS not in improved(three, V, V + 1, B).rules

    def band(a, b):
        return jnp.triu(jnp.tril(a, 2), -1) @ b

    assert DIAGONALS in improved(band, normal(4, N, N), B, numerics="finite").rules

    def wide(a, b):
        return jnp.triu(jnp.tril(a, 4), -4) @ b

    assert DIAGONALS not in improved(wide, normal(4, N, N), B, numerics="finite").rules


def test_on_tpu_one_vector_is_no_gain():
    assert not Improved(lambda t, b: tridiagonal(t) @ b, (T, V), target=TPU).rules
    assert Improved(lambda t, b: tridiagonal(t) @ b, (T, normal(0, N, 16)), target=TPU).rules


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(split_products, "_MIN_STRIP", 4)
    monkeypatch.setattr(split_products, "_MIN_SYMMETRIC", (8, 4))
    monkeypatch.setattr(split_products, "_ROWS_A_CORE", 4)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", ["lower_triangular", "upper_triangular"])
@pytest.mark.parametrize("case", SIDES.values(), ids=SIDES)
def test_a_triangular_matrix_multiplies_in_strips(kind, case):
    function, b = case
    x = matrix_of(kind, N)
    found = improved(lambda t, b: function(xl.assume(t, kind), b), x, b, target=SLOW)
    assert found.rules == {TRIANGLE}
    (rewrite,) = found.rewrites
    assert 0.5 < rewrite.flops_after / rewrite.flops_before < 0.7
    assert "in 6 strips" in rewrite.after


@pytest.mark.usefixtures("small")
def test_triangles_that_the_program_shows():
    def function(a, b):
        return jnp.tril(a) @ b

    found = improved(function, normal(0, N, N), B, numerics="finite", target=SLOW)
    assert found.rules == {TRIANGLE}
    assert not improved(function, normal(0, N, N), B, target=SLOW).rules
    stack = normal(0, 2, N, N)
    batched = improved(jax.vmap(jnp.tril), stack, numerics="finite", target=SLOW)
    assert not batched.rules
    both = jax.vmap(function, (0, None))
    assert improved(both, stack, B, numerics="finite", target=SLOW).rules <= {TRIANGLE}


def lower(t, b):
    return xl.assume(t, "lower_triangular") @ b


def shapes(*sizes):
    return [jax.ShapeDtypeStruct(size, jnp.float32) for size in sizes]


def test_strips_are_worth_it_for_large_products_only():
    def rules(function, *sizes, target=CPU):
        return Improved(function, tuple(shapes(*sizes)), target=target).rules

    assert rules(lower, (1500, 1500), (1500, 1500)) == {TRIANGLE}
    assert not rules(lower, (1500, 1500), (1500,))
    assert not rules(lower, (200, 200), (200, 200))
    assert not rules(lower, (1500, 1500), (1500, 1500), target=GPU)


SYMMETRIC = {
    "A @ A.T": lambda a: a @ a.T,
    "A.T @ A": lambda a: a.T @ a,
    "einsum": lambda a: jnp.einsum("ki,kj->ij", a, a),
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("function", SYMMETRIC.values(), ids=SYMMETRIC)
def test_a_symmetric_product_is_half_computed(function):
    found = improved(function, normal(0, 17, 18), target=SLOW)
    assert found.rules == {"symmetric product"}
    (rewrite,) = found.rewrites
    assert rewrite.flops_after == 0.75 * rewrite.flops_before
    assert not improved(lambda a, b: a @ b.T, normal(0, 17, 18), normal(1, 17, 18)).rules


def test_symmetric_products_are_worth_it_for_large_ones_only():
    (a,) = shapes((3000, 3000))
    (rewrite,) = Improved(lambda a: a @ a.T, (a,)).rewrites
    assert rewrite.flops_after == 0.625 * rewrite.flops_before
    assert not Improved(lambda a: a @ a.T, (a,), target=GPU).rules
    assert not Improved(lambda a: a @ a.T, (a,), target=replace(CPU, cores=32)).rules
    assert not Improved(lambda a: a @ a.T, tuple(shapes((500, 500)))).rules


Z = jnp.zeros
M = 60
E, F, X = normal(0, M, M), normal(1, M, M), normal(2, 2 * M, 50)
ZEROS = {
    "block": (lambda e, f, x: jnp.block([[e, Z((M, M))], [Z((M, M)), f]]) @ x, 0.5),
    "block of one side": (lambda e, f, x: jnp.block([[e, f], [Z((M, M)), f]]) @ x, 0.75),
    "block_diag": (lambda e, f, x: block_diag(e, f) @ x, 0.5),
    "transposed": (lambda e, f, x: block_diag(e, f).T @ x, 0.5),
    "on the right": (lambda e, f, x: x.T @ block_diag(e, f), 0.5),
    "both": (lambda e, f, x: block_diag(e, f) @ block_diag(f, e), 0.25),
    "corner": (lambda e, f, x: jnp.block([[Z((M, M)), e], [Z((M, M)), Z((M, M))]]) @ x, 0.25),
}


@pytest.mark.parametrize("case", ZEROS.values(), ids=ZEROS)
def test_zero_blocks_are_left_out(case):
    function, share = case
    found = improved(function, E, F, X, numerics="finite", target=SLOW)
    (rewrite,) = found.rewrites
    assert rewrite.rule == BLOCKS
    assert rewrite.numerics == "finite"
    assert rewrite.flops_after == share * rewrite.flops_before
    kept = improved(function, E, F, X, target=SLOW)
    assert not kept.rules
    assert any("numerics='finite'" in miss.reason for miss in kept.misses if miss.rule == BLOCKS)


def test_blocks_of_batches_and_gradients():
    def function(e, f, x):
        return block_diag(e, f) @ x

    stacks = [jnp.stack([item, item + 1]) for item in (E, F, X)]
    mapped = jax.vmap(lambda e, f, x: jnp.block([[e, Z((M, M))], [Z((M, M)), f]]) @ x)
    assert BLOCKS in improved(mapped, *stacks, numerics="finite", target=SLOW).rules
    gradient = jax.grad(lambda *inputs: jnp.sum(jnp.sin(function(*inputs))), (0, 1, 2))
    assert BLOCKS in improved(gradient, E, F, X, numerics="finite", target=SLOW).rules


def test_parts_are_not_put_together_to_be_multiplied_once():
    def side_by_side(e, f, x):
        return jnp.concatenate([e, f], 1) @ x

    large = shapes((1000, 1000), (1000, 1000), (2000,))
    assert Improved(side_by_side, tuple(large)).rules == {BLOCKS}
    (rewrite,) = improved(
        side_by_side, *(normal(i, 300, 300) for i in (0, 1)), normal(2, 600)
    ).rewrites
    assert rewrite.after == "e @ x[0:300] + f @ x[300:600]"
    assert rewrite.numerics == "relaxed"
    pair = shapes(*[(1500, 1500)] * 4)
    found = Improved(
        lambda a, b, c, d: jnp.concatenate([a, b], 1) @ jnp.concatenate([c, d]), tuple(pair)
    )
    assert not found.rules


def test_many_parts_are_left_together():
    def function(x, y):
        return jnp.stack([x + i for i in range(blocks._MAX_PRODUCTS + 1)]) @ y

    assert not improved(function, V, B).rules


def test_what_is_said_of_a_sum_or_product_parts_no_chain():
    def function(a, b, v):
        return xl.assume(a @ b, "tridiagonal") @ v

    found = Improved(function, tuple(shapes((500, 500), (500, 500), (500,))))
    assert found.rules == {"reorder products"}


def test_what_a_loop_joins_once_is_one_factor():
    def cell(kernels, x, h):
        def turn(h, x):
            h = jnp.tanh(x @ jnp.concatenate(kernels, axis=1) + h)
            return h, None

        return jax.lax.scan(turn, h, x)[0]

    kernels = [jnp.full((256, 64), 1e-3, jnp.float32)] * 4
    given = kernels, jnp.ones((16, 8, 256), jnp.float32), jnp.ones((8, 256), jnp.float32)
    graph = xl.compile(cell, target="cpu").trace(*given).graph
    (scan,) = [item for item in graph.nodes if item.operation == "scan"]
    assert [item.operation for item in scan["body"].nodes].count("dot_general") == 1
    np.testing.assert_allclose(xl.compile(cell)(*given), jax.jit(cell)(*given), rtol=1e-6)
