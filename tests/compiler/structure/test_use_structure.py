"""Products and factorisations that structure makes unnecessary."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl
from xlathe.compiler.targets import TPU

from .check import Improved, improved, matrix_of, normal

N = 20
A, B, C, V = normal(0, N, N), normal(1, N, 9), normal(2, 8, N), normal(3, N)
INDEX = jnp.array([1, 3, 3, 19, 0, 25, -2])


def said(kind):
    return lambda x: xl.assume(x, kind)


def zero_products_left_out(function, *arguments, rule):
    """It fires where zeros count, and says why it does not where they do not."""
    found = improved(function, *arguments, numerics="finite")
    assert {item.rule for item in found.rewrites if item.numerics == "finite"} == {rule}
    kept = improved(function, *arguments)
    assert rule not in kept.rules
    assert any("numerics='finite'" in miss.reason for miss in kept.misses if miss.rule == rule)


def test_the_transpose_of_a_symmetric_matrix():
    s = matrix_of("symmetric", N)
    found = improved(lambda s: jnp.sin(said("symmetric")(s).T), s)
    assert found.rules == {"transpose of a symmetric matrix"}
    assert "transpose" not in found.operations()
    assert improved(lambda a: jnp.sin((a @ a.T).T), A).rules == {"transpose of a symmetric matrix"}
    stack = jnp.stack([s, s + 1])
    assert improved(jax.vmap(lambda s: jnp.sin(said("symmetric")(s).T)), stack).rules
    assert not improved(lambda a: jnp.sin(a.T), A).rules


Q = matrix_of("orthogonal", N)
CANCELLED = {
    "Q.T @ (Q @ v)": (lambda q, b: q.T @ (q @ b), V),
    "Q.T @ (Q @ B)": (lambda q, b: q.T @ (q @ b), B),
    "Q @ (Q.T @ B)": (lambda q, b: q @ (q.T @ b), B),
    "(C @ Q) @ Q.T": (lambda q, c: c @ q @ q.T, C),
    "(C @ Q.T) @ Q": (lambda q, c: c @ q.T @ q, C),
}


@pytest.mark.parametrize("case", CANCELLED.values(), ids=CANCELLED)
def test_an_orthogonal_matrix_and_its_transpose_cancel(case):
    function, b = case
    found = improved(lambda q, b: function(said("orthogonal")(q), b), Q, b)
    assert found.rules == {"orthogonal matrix twice"}
    assert "dot_general" not in found.operations()
    assert not improved(function, Q, b).rules


def test_an_orthogonal_matrix_times_its_transpose():
    def function(q):
        q = said("orthogonal")(q)
        return q.T @ q + q @ q.T

    found = improved(function, Q)
    assert found.rules == {"product of an orthogonal matrix"}
    assert "dot_general" not in found.operations()
    assert not improved(lambda q: said("orthogonal")(q) @ said("orthogonal")(q), Q).rules


D = matrix_of("diagonal", N)
SCALED = {
    "D @ B": (lambda d, b: d @ b, B),
    "D @ v": (lambda d, b: d @ b, V),
    "C @ D": (lambda d, b: b @ d, C),
    "v @ D": (lambda d, b: b @ d, V),
    "D.T @ B": (lambda d, b: d.T @ b, B),
    "gradient": (jax.grad(lambda d, b: jnp.sum(jnp.sin(d @ b)), (0, 1)), B),
}


@pytest.mark.parametrize("case", SCALED.values(), ids=SCALED)
def test_a_diagonal_matrix_scales(case):
    function, b = case
    found = improved(lambda d, b: function(said("diagonal")(d), b), D, b)
    assert "product with a diagonal matrix" in found.rules
    assert "product with a diagonal matrix" not in improved(function, D, b).rules


@pytest.mark.parametrize("axes", [(0, 0), (2, 2), (1, 0), (None, 1)])
def test_vmapped_diagonal_matrices(axes):
    d = D if axes[0] is None else jnp.moveaxis(jnp.stack([D, 2 * D]), 0, axes[0])
    b = jnp.moveaxis(jnp.stack([B, B + 1]), 0, axes[1])
    found = improved(jax.vmap(lambda d, b: said("diagonal")(d) @ b, axes), d, b)
    assert "product with a diagonal matrix" in found.rules
    assert "dot_general" not in found.operations()


def test_a_diagonal_matrix_of_half_precision():
    d, b = D.astype(jnp.bfloat16), B.astype(jnp.bfloat16)
    assert improved(lambda d, b: said("diagonal")(d) @ b, d, b).rules


P = matrix_of("permutation", N)


@pytest.mark.parametrize("case", [SCALED["D @ B"], SCALED["C @ D"], SCALED["D.T @ B"]])
def test_a_permutation_takes_rows(case):
    function, b = case
    found = improved(lambda p, b: function(said("permutation")(p), b), P, b)
    assert found.rules == {"product with a permutation"}
    assert "dot_general" not in found.operations()
    both = jax.vmap(lambda p, b: function(said("permutation")(p), b))
    assert improved(both, jnp.stack([P, P.T]), jnp.stack([b, b])).rules


def test_a_permutation_of_one_vector_is_no_gain():
    assert not improved(lambda p, b: said("permutation")(p) @ b, P, V).rules


STACKED = jnp.stack([INDEX, INDEX + 1])
ONE_HOT = {
    "rows": (lambda i, b: jax.nn.one_hot(i, N) @ b, INDEX, B),
    "columns": (lambda i, c: c @ jax.nn.one_hot(i, N).T, INDEX, C),
    "along the first axis": (lambda i, c: c @ jax.nn.one_hot(i, N, axis=0), INDEX, C),
    "of many axes": (lambda i, b: jnp.einsum("abv,vd->abd", jax.nn.one_hot(i, N), b), STACKED, B),
    "batched": (
        lambda i, b: jnp.einsum("abv,avd->abd", jax.nn.one_hot(i, N), b),
        STACKED,
        jnp.stack([B, B + 1]),
    ),
    "batched, on the right": (
        lambda i, b: jnp.einsum("avd,abv->abd", b, jax.nn.one_hot(i, N)),
        STACKED,
        jnp.stack([B, B + 1]),
    ),
    "vmapped": (jax.vmap(lambda i, b: jax.nn.one_hot(i, N) @ b, (0, None)), STACKED, B),
    "one": (lambda i, b: jax.nn.one_hot(i, N) @ b, jnp.int32(5), B),
    "by comparison": (
        lambda i, b: (i[:, None] == jnp.arange(N)).astype(jnp.float32) @ b,
        INDEX,
        B,
    ),
    "by where": (lambda i, b: jnp.where(jnp.arange(N) == i[:, None], 1.0, 0.0) @ b, INDEX, B),
    "rows of eye": (lambda i, b: jnp.eye(N)[i] @ b, jnp.argsort(V), B),
    "half precision": (
        lambda i, b: jax.nn.one_hot(i, N, dtype=jnp.bfloat16) @ b,
        INDEX,
        B.astype(jnp.bfloat16),
    ),
    "integers": (
        lambda i, b: jax.nn.one_hot(i, N, dtype=jnp.int32) @ b,
        INDEX,
        (9 * B).astype(int),
    ),
}


@pytest.mark.parametrize("case", ONE_HOT.values(), ids=ONE_HOT)
def test_one_hot_vectors_take_rows(case):
    zero_products_left_out(*case, rule="product with one-hot vectors")
    assert "dot_general" not in improved(*case, numerics="finite").operations()


def test_known_one_hot_vectors():
    def element(a):
        return jnp.zeros(N).at[3].set(1.0) @ a @ jax.nn.one_hot(4, N)

    found = improved(element, A, numerics="finite")
    assert not {"dot_general", "gather", "scatter"} & found.operations()
    assert found.rules & {"product with one-hot vectors"}


LONG = 70


def test_the_transpose_of_one_hot_vectors_adds_up():
    def loss(w, i):
        return jnp.sum(jnp.sin(jax.nn.one_hot(i, LONG) @ w))

    w = normal(0, LONG, 9)
    found = improved(jax.grad(loss), w, 3 * INDEX, numerics="finite")
    assert {"product with one-hot vectors", "sum by one-hot vectors"} <= found.rules
    assert "dot_general" not in found.operations()
    half = improved(jax.grad(loss), w.astype(jnp.bfloat16), 3 * INDEX, numerics="finite")
    assert "sum by one-hot vectors" in half.rules
    eye = improved(
        lambda i, b: b @ jnp.eye(LONG)[i],
        jnp.argsort(w[:, 0]),
        normal(1, 5, LONG),
        numerics="finite",
    )
    assert "sum by one-hot vectors" in eye.rules


def test_short_one_hot_vectors_are_no_gain():
    def function(i, b):
        return jax.nn.one_hot(i, 8) @ b

    assert not improved(function, INDEX, B[:8], numerics="finite").rules
    found = Improved(lambda i, b: jax.nn.one_hot(i, N) @ b, (INDEX, B), "finite", TPU)
    assert "product with one-hot vectors" not in found.rules


def test_products_with_zeros():
    zero_products_left_out(lambda a: jnp.zeros((3, N)) @ a, A, rule="product with zeros")
    zero_products_left_out(lambda a, c: c @ (0 * jnp.ones_like(a)), A, C, rule="product with zeros")


TRIANGLES = ["lower_triangular", "upper_triangular", "diagonal"]


@pytest.mark.parametrize("kind", TRIANGLES)
def test_a_triangular_matrix_is_factorised(kind):
    x = matrix_of(kind, 6) / 5
    functions = [
        lambda a: jnp.linalg.det(said(kind)(a)),
        lambda a: jnp.linalg.slogdet(said(kind)(a)),
        jax.value_and_grad(lambda a: jnp.linalg.det(said(kind)(a))),
        jax.value_and_grad(lambda a: jnp.linalg.slogdet(said(kind)(a))[1]),
        jax.vmap(lambda a: jnp.linalg.det(said(kind)(a))),
    ]
    for function in functions:
        argument = jnp.stack([x, 2 * x]) if function is functions[-1] else x
        found = improved(function, argument)
        assert "factors of a triangular matrix" in found.rules
        assert "lu" not in found.operations()


@pytest.mark.parametrize("kind", [*TRIANGLES, "positive_definite"])
def test_gradients_of_determinants_from_outside(kind):
    x = matrix_of(kind, 6) / 5
    for function in (jnp.linalg.det, lambda a: jnp.linalg.slogdet(a)[1]):

        def said_of(a, function=function):
            return function(said(kind)(a))

        np.testing.assert_allclose(
            jax.grad(xl.compile(said_of))(x), jax.grad(said_of)(x), rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("triangle", [jnp.tril, jnp.triu, lambda a: jnp.diag(jnp.diag(a))])
def test_the_determinant_of_a_triangle_that_the_program_shows(triangle):
    def function(a):
        return jnp.linalg.det(triangle(a))

    a = matrix_of("symmetric", 6)
    found = improved(function, a, numerics="finite")
    assert "determinant of a triangular matrix" in found.rules
    assert not found.operations() & {"lu", "custom_jvp"}
    improved(jax.vmap(function), jnp.stack([a, a + 1]), numerics="finite")
    assert not improved(function, a).rules
    within = improved(jax.grad(function), a, numerics="finite")
    assert "lu" not in within.operations()
    np.testing.assert_allclose(
        jax.grad(xl.compile(function, numerics="finite"))(a), jax.grad(function)(a), rtol=1e-4
    )


def test_the_gradient_of_a_determinant_solves_nothing():
    function = jax.grad(lambda a: jnp.linalg.det(jnp.tril(a)) ** 2)
    found = improved(function, matrix_of("symmetric", 6) / 5, numerics="finite")
    assert "diagonal of a solution" in found.rules
    assert "triangular_solve" not in found.operations()


ENTRIES = jnp.abs(V) + 1
DIAGONAL_SOLUTIONS = {
    "left": lambda d, b: substituted(jnp.diag(d), b, lower=True),
    "transposed": lambda d, b: substituted(jnp.diag(d), b, transpose_a=True),
    "right": lambda d, b: substituted(jnp.diag(d), b.T, left_side=False, lower=True),
    "ones on the diagonal": lambda d, b: substituted(jnp.diag(d), b, unit_diagonal=True),
    "the other triangle": lambda d, b: substituted(jnp.triu(jnp.outer(d, d)), b, lower=True),
    "vmap": lambda d, b: jax.vmap(lambda d: substituted(jnp.diag(d), b, lower=True))(
        jnp.stack([d, d + 1])
    ),
}


def substituted(a, b, **options):
    return lax.linalg.triangular_solve(a, b, **{"left_side": True, **options})


@pytest.mark.parametrize("function", DIAGONAL_SOLUTIONS.values(), ids=DIAGONAL_SOLUTIONS)
def test_a_triangle_that_is_a_diagonal_divides(function):
    found = improved(function, ENTRIES, B, numerics="finite")
    assert "solution with a diagonal matrix" in found.rules
    assert "triangular_solve" not in found.operations()
    assert "solution with a diagonal matrix" not in improved(function, ENTRIES, B, runs=False).rules
    loss = jax.grad(lambda d, b: jnp.sum(function(d, b) ** 2), (0, 1))
    improved(loss, ENTRIES, B, numerics="finite")


MASK = jnp.eye(N, dtype=bool)
TRIANGLE = matrix_of("symmetric", N)
DIAGONALS_OF_SOLUTIONS = {
    "lower": lambda t, a: substituted(t, jnp.tril(a), lower=True),
    "upper": lambda t, a: substituted(t, jnp.triu(a), lower=True, transpose_a=True),
    "right": lambda t, a: substituted(t, jnp.triu(a), left_side=False, unit_diagonal=True),
    "of a sum": lambda t, a: 2 * substituted(t, jnp.tril(a, -1) + jnp.eye(N), lower=True) + 1,
}


@pytest.mark.parametrize("solution", DIAGONALS_OF_SOLUTIONS.values(), ids=DIAGONALS_OF_SOLUTIONS)
def test_of_a_triangular_solution_the_diagonal_alone(solution):
    for function in (
        lambda t, a: jnp.diag(solution(t, a)),
        lambda t, a: jnp.tril(jnp.triu(solution(t, a))),
    ):
        found = improved(function, TRIANGLE, A, numerics="finite")
        assert {"diagonal", "diagonal of a solution"} & found.rules
        assert "triangular_solve" not in found.operations()
        assert "triangular_solve" in improved(function, TRIANGLE, A, runs=False).operations()


def test_the_diagonal_of_a_full_solution_stays():
    found = improved(
        lambda t, a: jnp.diag(substituted(t, a, lower=True)), TRIANGLE, A, numerics="finite"
    )
    assert "triangular_solve" in found.operations()


def test_the_diagonal_of_what_a_mask_chooses():
    for compare in (jnp.equal, jnp.not_equal, jnp.less, jnp.greater_equal):
        found = improved(
            lambda a, b, compare=compare: jnp.diag(
                jnp.where(compare(jnp.arange(N)[:, None], jnp.arange(N)), jnp.sin(a), b[0]).T
            ),
            A,
            TRIANGLE,
        )
        assert found.rules == {"diagonal"}
        assert {rewrite.numerics for rewrite in found.rewrites} == {"exact"}
        assert "select_n" not in found.operations()
    with_nan = A.at[3, 5].set(jnp.nan)
    function = lambda a: jnp.diag(jnp.tril(a) + jnp.triu(a, 1))  # noqa: E731
    np.testing.assert_array_equal(xl.compile(function)(with_nan), function(with_nan))


@pytest.mark.parametrize("rows", [lambda a: jnp.split(a, [5])[1], lambda a: a[5:]])
def test_the_diagonal_of_padded_rows(rows):
    def function(a, low=5):
        return jnp.diag(jnp.pad(2 * rows(jnp.sin(a)), ((low, 5 - low), (0, 0))))

    found = improved(function, A)
    assert found.rules == {"diagonal"}
    assert [i.type.shape for i in found.graph.nodes if i.operation == "sin"] == [(N,)]
    assert not improved(lambda a: function(a, 4), A, runs=False).rules


def test_rows_in_their_order():
    everything = lambda: jnp.arange(N)  # noqa: E731
    found = improved(lambda a: jnp.sin(a)[everything()], A)
    assert found.rules == {"rows in their order"}
    assert "gather" not in found.operations()
    found = improved(lambda a: jnp.zeros((N, 9)).at[everything()].add(jnp.sin(a)), B)
    assert found.rules == {"rows in their order"}
    for other in (
        lambda a: a[everything()[::-1]],
        lambda a: a[:, everything()],
        lambda a: a[everything() + 1],
    ):
        assert not improved(other, A, runs=False).rules
    assert not improved(lambda a: jnp.ones((N, 9)).at[everything()].add(a), B).rules


def test_the_determinant_of_a_positive_definite_matrix():
    x = matrix_of("positive_definite", 6)

    def logdet(a):
        return jnp.linalg.slogdet(said("positive_definite")(a))[1]

    for function in (logdet, jax.value_and_grad(logdet)):
        found = improved(function, x)
        assert "determinant of a positive definite matrix" in found.rules
        assert "cholesky" in found.operations()
    found = improved(lambda a: jnp.linalg.det(said("positive_definite")(a)), x)
    assert "determinant of a positive definite matrix" in found.rules
    assert not improved(logdet, x.astype(jnp.complex64)).rules


LOOPS = {
    "scan": (lambda d, b: lax.scan(lambda c, _: (d @ c, None), b, None, length=9)[0], D / 10, B),
    "scanned": (
        lambda d, b: lax.scan(lambda c, d: (d @ c, None), b, d)[0],
        jnp.stack([D] * 9) / 9,
        B,
    ),
    "fori": (lambda d, b: lax.fori_loop(0, 9, lambda _, c: d @ c, b), D / 10, B),
    "cond": (lambda d, b: lax.cond(b[0, 0] > 0, lambda d: d @ b, lambda d: b, d), D, B),
    "checkpoint": (jax.grad(lambda d, b: (jax.checkpoint(jnp.matmul)(d, b) ** 2).sum()), D, B),
    "gradient of a scan": (
        jax.grad(lambda d, b: lax.scan(lambda c, _: (d @ c, None), b, None, length=9)[0].sum()),
        D / 10,
        B,
    ),
}


@pytest.mark.parametrize("case", LOOPS.values(), ids=LOOPS)
def test_bodies_know_what_is_known_outside(case):
    function, d, b = case
    found = improved(lambda d, b: function(said("diagonal")(d), b), d, b)
    assert "product with a diagonal matrix" in found.rules


def test_a_carry_is_not_what_it_was_at_first():
    def function(d):
        return lax.fori_loop(0, 9, lambda _, c: c @ (c + 1), said("diagonal")(d))

    assert not improved(function, D / 40).rules
