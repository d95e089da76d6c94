"""Linear systems: which solver is chosen, and where an inverse is none."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl
from xlathe.compiler.targets import CPU, TPU

from .check import Improved, improved, matrix_of, normal

inv, solve = jnp.linalg.inv, jnp.linalg.solve
N = 7
A = normal(0, N, N) + 4 * jnp.eye(N)
B, C, V = normal(1, N, 3), normal(2, 4, N), normal(3, N)
STACK = jnp.stack([A, A.T, A + 1])
STACK_B = normal(4, 3, N, 3)

INVERSES = {
    "inv(A) @ v": (lambda a, b: inv(a) @ b, A, V, "solve(a, b)"),
    "inv(A) @ B": (lambda a, b: inv(a) @ b, A, B, "solve(a, b)"),
    "inv(A).T @ B": (lambda a, b: inv(a).T @ b, A, B, "solve(a.T, b)"),
    "v @ inv(A)": (lambda a, b: b @ inv(a), A, V, "solve(a.T, b)"),
    "C @ inv(A)": (lambda a, b: b @ inv(a), A, C, "solve(a.T, b.T)"),
    "batched": (lambda a, b: inv(a) @ b, STACK, STACK_B, "solve(a, b)"),
}


@pytest.mark.parametrize("case", INVERSES.values(), ids=INVERSES)
def test_a_product_with_an_inverse_is_a_solution(case):
    function, a, b, after = case
    found = improved(function, a, b)
    assert found.rules == {"solve instead of inverting"}
    (rewrite,) = found.rewrites
    assert rewrite.after == after
    assert rewrite.flops_after < rewrite.flops_before
    assert rewrite.numerics == "relaxed"


def test_a_vmapped_inverse():
    found = improved(jax.vmap(lambda a, b: inv(a) @ b), STACK, STACK_B[:, :, 0])
    assert found.rules == {"solve instead of inverting"}
    mapped = jax.vmap(lambda a, b: b @ inv(a), in_axes=(2, 1))
    assert improved(mapped, jnp.moveaxis(STACK, 0, 2), STACK_B[:, :, 0].T).rules


def test_several_products_share_the_factors():
    found = improved(lambda a, b, c: (inv(a) @ b, c @ inv(a)), A, V, C)
    assert len(found.rewrites) == 2
    assert sum(item.operation == "lu" for item in found.graph.nodes) == 1


def test_an_inverse_that_is_read_itself_stays():
    found = improved(lambda a, b: (inv(a), inv(a) @ b), A, V)
    assert not found.rewrites
    assert "the inverse is read itself" in {miss.reason for miss in found.misses}


def test_an_inverse_for_many_columns_stays():
    found = improved(lambda a, b: inv(a) @ b, A, normal(5, N, 3 * N))
    assert not found.rewrites
    reason = f"the inverse serves {3 * N} columns, and has {N}"
    assert reason in {miss.reason for miss in found.misses}


def test_nothing_is_done_where_numerics_are_strict():
    found = improved(
        lambda a, b: inv(xl.assume(a, "lower_triangular")) @ b, A, V, numerics="strict"
    )
    assert not found.rewrites


def test_chains_with_inverses():
    a, b, v = matrix_of("symmetric", 64), normal(1, 64, 64), normal(2, 64)
    found = improved(lambda a, b, v: inv(a) @ b @ v, a, b, v)
    assert found.rewrites[-1].after == "solve(a, b @ v)"
    found = improved(lambda a, b, v: b @ inv(a) @ v, a, b, v)
    assert found.rewrites[-1].after == "solve(a, v)"
    found = improved(lambda a, b, v: inv(a) @ (inv(b) @ v), A, STACK[2], V)
    assert [item.after for item in found.rewrites] == ["solve(b, v)", "solve(a, solve(b, v))"]


def test_a_solution_for_more_columns_than_its_product_has():
    found = improved(lambda a, b, v: solve(a, b) @ v, A, STACK[2], V)
    assert found.rules == {"solve for fewer columns"}
    found = improved(lambda a, b, v: v @ solve(a, b), A, STACK[2], V)
    assert found.rules == {"solve for fewer columns"}
    assert not improved(lambda a, b, c: solve(a, b) @ c, A, V[:, None], V[None]).rewrites


def test_a_thin_product_is_solved_for_its_factor():
    found = improved(lambda a, u, v: solve(a, jnp.outer(u, v)), A, V, V + 1)
    assert found.rules == {"solve for the thin factor"}
    assert not improved(lambda a, u, v: solve(a, u @ v), A, normal(5, N, 9), normal(6, 9, 8)).rules


@pytest.mark.parametrize("right", [V, B], ids=["vector", "matrix"])
def test_gradients_of_inverses(right):
    def loss(a, b):
        return jnp.sum(jnp.sin(inv(a) @ b))

    found = improved(jax.grad(loss, (0, 1)), A, right)
    assert {"solve instead of inverting", "solve for the thin factor"} <= found.rules
    # The other way round: the gradient of the improved program.
    for got, wanted in zip(
        jax.grad(xl.optimize(loss), (0, 1))(A, right), jax.grad(loss, (0, 1))(A, right), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4)


WORDS = {
    "lower_triangular": "triangular",
    "upper_triangular": "triangular",
    "unit_lower_triangular": "triangular",
    "unit_upper_triangular": "triangular",
    "diagonal": "diagonal",
    "tridiagonal": "tridiagonal",
    "orthogonal": "orthogonal",
    "permutation": "orthogonal",
    "positive_definite": "positive definite",
}


OFTEN = ("lower_triangular", "diagonal", "tridiagonal", "orthogonal", "positive_definite")


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=[] if k in OFTEN else [pytest.mark.slow]) for k in WORDS]
)
def test_the_solver_follows_the_hint(kind):
    x = matrix_of(kind, N)
    rule = {f"solve with a {WORDS[kind]} matrix".replace("a ortho", "an ortho")}

    def said(a):
        return xl.assume(a, kind)

    def loss(a, b):
        return jnp.sum(solve(said(a), b) ** 2)

    assert improved(lambda a, b: solve(said(a), b), x, V).rules == rule
    assert improved(lambda a, b: solve(said(a), b), x, B).rules == rule
    assert rule <= improved(lambda a, b: solve(said(a).T, b), x, B).rules
    assert rule <= improved(lambda a, b: inv(said(a)) @ b, x, B).rules
    assert rule <= improved(lambda a: inv(said(a)), x).rules
    found = improved(jax.grad(loss, (0, 1)), x, B)
    assert rule <= found.rules
    assert "lu" not in found.operations()
    pair = jnp.stack([x, x])
    assert improved(jax.vmap(lambda a, b: solve(said(a), b)), pair, STACK_B[:2]).rules == rule


@pytest.mark.parametrize("kind", WORDS)
def test_the_gradient_from_outside_is_that_of_any_solve(kind):
    x = matrix_of(kind, N)

    def loss(a, b):
        return jnp.sum(solve(xl.assume(a, kind), b) ** 2)

    got = jax.grad(xl.compile(loss))(x, B)
    np.testing.assert_allclose(got, jax.grad(loss)(x, B), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["symmetric", "hermitian"])
def test_some_hints_are_no_help_to_a_solver(kind):
    found = improved(lambda a, b: solve(xl.assume(a, kind), b), matrix_of(kind, N), V)
    assert not found.rewrites


def test_the_solver_follows_the_program_where_zeros_count():
    def lower(a, b):
        return solve(jnp.tril(a), b)

    found = improved(lower, A, B, numerics="finite")
    assert [item.numerics for item in found.rewrites] == ["finite"]
    assert not improved(lower, A, B).rewrites

    def three(d, e, b):
        return solve(jnp.diag(d) + jnp.diag(e[1:], 1) + jnp.diag(e[1:], -1), b)

    found = improved(three, V + 6, V, B, numerics="finite")
    assert found.rules == {"solve with a tridiagonal matrix"}


@pytest.mark.parametrize(("masked", "other"), [(jnp.tril, jnp.triu), (jnp.triu, jnp.tril)])
def test_a_mask_that_the_solver_would_not_read_is_left_out(masked, other):
    dirty = A + jnp.where(other(jnp.ones_like(A)) - jnp.eye(N) > 0, jnp.nan, 0)
    found = improved(lambda a, b: solve(masked(a), b), dirty, B, numerics="finite")
    (node,) = [item for item in found.graph.nodes if item.operation == "linear_solve"]
    masks = [item.inputs[0].operation for item in node.inputs if item.operation == "stop_gradient"]
    assert set(masks) == {"parameter"}
    strict = improved(lambda a, b: solve(masked(a, 1 if masked is jnp.tril else -1), b), A, B)
    assert not strict.rewrites


DIVISIONS = {
    "solve": lambda d, b: solve(jnp.diag(d), b),
    "inverse": lambda d, b: jnp.linalg.inv(jnp.diag(d)) @ b,
    "inverse from the right": lambda d, b: b @ jnp.linalg.inv(jnp.diag(d)),
    "the inverse itself": lambda d, b: jnp.linalg.inv(jnp.diag(d)) + b,
    "vmap": lambda d, b: jax.vmap(lambda d: solve(jnp.diag(d), b))(jnp.stack([d, d + 1])),
}


@pytest.mark.parametrize("function", DIVISIONS.values(), ids=DIVISIONS)
def test_a_diagonal_that_the_program_shows_divides(function):
    d, b = jnp.abs(V) + 1, A
    found = improved(function, d, b, numerics="finite")
    assert "solve with a diagonal matrix" in found.rules
    assert not found.operations() & {"linear_solve", "lu", "dot_general"}
    assert "linear_solve" in improved(function, d, b, runs=False).operations()

    def loss(d, b):
        return jnp.sum(function(d, b) ** 2)

    within = improved(jax.grad(loss, (0, 1)), d, b, numerics="finite")
    assert not within.operations() & {"linear_solve", "lu"}
    outside = jax.grad(xl.compile(loss, numerics="finite"), (0, 1))(d, b)
    for one, other in zip(outside, jax.grad(loss, (0, 1))(d, b), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_a_tridiagonal_solver_that_may_fail_is_not_taken():
    arguments = (matrix_of("tridiagonal", N), B)

    def function(a, b):
        return solve(xl.assume(a, "tridiagonal"), b)

    assert Improved(function, arguments, target=CPU).rules
    assert not Improved(function, arguments, target=TPU).rules


def test_a_solver_of_the_users_own_stays():
    def function(a, b):
        a = xl.assume(a, "lower_triangular")
        return jax.lax.custom_linear_solve(
            lambda x: a @ x, b, lambda _, y: jax.scipy.sparse.linalg.cg(lambda v: a @ v, y)[0]
        )

    assert not Improved(function, (A @ A.T, V)).rules


@pytest.mark.parametrize("kind", ["lower_triangular", "diagonal"])
def test_complex_numbers(kind):
    x = matrix_of(kind, N) + 1j * matrix_of(kind, N)
    found = improved(lambda a, b: solve(xl.assume(a, kind), b), x, B + 2j)
    assert len(found.rewrites) == 1
    assert improved(lambda a, b: inv(a) @ b, A + 1j, B + 2j).rules


def test_complex_numbers_where_the_method_is_for_real_ones():
    x = matrix_of("positive_definite", N).astype(jnp.complex64)
    found = improved(lambda a, b: solve(xl.assume(a, "positive_definite"), b), x, B + 2j)
    assert not found.rewrites


def test_double_precision():
    with jax.enable_x64(True):
        a, b = np.asarray(A, np.float64), np.asarray(B, np.float64)
        got = xl.compile(lambda a, b: inv(xl.assume(a @ a.T, "positive_definite")) @ b)(a, b)
        np.testing.assert_allclose(got, np.linalg.solve(a @ a.T, b), rtol=1e-9)


def test_nan_reaches_what_it_reached():
    program = xl.compile(lambda a, b: inv(a) @ b)
    for a, b in (
        (A.at[2, 3].set(jnp.nan), V),
        (A, V.at[0].set(jnp.nan)),
        (A, V.at[6].set(jnp.inf)),
    ):
        assert not np.any(np.isfinite(program(a, b)))
