"""Structure that the program shows, and structure that `xl.assume` tells of."""

import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import cho_factor, cho_solve, solve_triangular

from xlathe import assume

from .record import Expression

RIGHT_SIDES = 4


def gram(A, levels=2):
    """A@A.T by blocks: of the blocks off the diagonal, only those below it."""
    if not levels:
        return A @ A.T
    half = A.shape[0] // 2
    upper, lower = A[:half], A[half:]
    corner = lower @ upper.T
    return jnp.block([[gram(upper, levels - 1), corner.T], [corner, gram(lower, levels - 1)]])


def tridiagonal_product(T, A):
    below, middle, above = (jnp.diag(T, k)[:, None] for k in (-1, 0, 1))
    edge = jnp.zeros_like(A[:1])
    return (
        middle * A
        + jnp.concatenate([above * A[1:], edge])
        + jnp.concatenate([edge, below * A[:-1]])
    )


def tridiagonal_solve(T, b):
    zero = jnp.zeros(1, T.dtype)
    below = jnp.concatenate([zero, jnp.diag(T, -1)])
    above = jnp.concatenate([jnp.diag(T, 1), zero])
    return lax.linalg.tridiagonal_solve(below, jnp.diag(T), above, b[:, None])[:, 0]


def two_halves(r, n):
    return r.matrix(n // 2), r.matrix(n // 2), r.matrix(n // 2 * 2)


def block_diagonal(A, B, X):
    half = A.shape[0]
    return jnp.concatenate([A @ X[:half], B @ X[half:]])


def block_triangular(A, B, C, X):
    half = A.shape[0]
    return jnp.concatenate([A @ X[:half] + B @ X[half:], C @ X[half:]])


STRUCTURE = (
    Expression(
        "diag(d)@A",
        "structure",
        lambda d, A: jnp.diag(d) @ A,
        lambda d, A: d[:, None] * A,
        lambda r, n: (r.array(n), r.matrix(n)),
        "finite",
    ),
    Expression(
        "A@diag(d)",
        "structure",
        lambda A, d: A @ jnp.diag(d),
        lambda A, d: A * d,
        lambda r, n: (r.matrix(n), r.array(n)),
        "finite",
    ),
    Expression(
        "diag(c)@A@diag(d)",
        "structure",
        lambda c, A, d: jnp.diag(c) @ A @ jnp.diag(d),
        lambda c, A, d: c[:, None] * A * d,
        lambda r, n: (r.array(n), r.matrix(n), r.array(n)),
        "finite",
    ),
    Expression(
        "eye@A",
        "structure",
        lambda A: jnp.eye(A.shape[0]) @ A,
        lambda A: +A,
        lambda r, n: (r.matrix(n),),
        "finite",
    ),
    Expression(
        "inv(diag(d))@b",
        "structure",
        lambda d, b: jnp.linalg.inv(jnp.diag(d)) @ b,
        lambda d, b: b / d,
        lambda r, n: (r.array(n), r.array(n)),
        "finite",
        largest=1500,
    ),
    Expression(
        "solve(tril(A),b)",
        "structure",
        lambda A, b: jnp.linalg.solve(jnp.tril(A), b),
        lambda A, b: solve_triangular(A, b, lower=True),
        lambda r, n: (r.near_triangular(n), r.array(n)),
        "finite",
    ),
    Expression(
        "solve(triu(A),B)",
        "structure",
        lambda A, B: jnp.linalg.solve(jnp.triu(A), B),
        lambda A, B: solve_triangular(A, B, lower=False),
        lambda r, n: (r.near_triangular(n), r.array(n, RIGHT_SIDES)),
        "finite",
    ),
    Expression(
        "inv(A)@b",
        "structure",
        lambda A, b: jnp.linalg.inv(A) @ b,
        jnp.linalg.solve,
        lambda r, n: (r.invertible(n), r.array(n)),
        largest=1500,
    ),
    Expression(
        "inv(X.T@X + eye)@X.T@y",
        "structure",
        lambda X, y: jnp.linalg.inv(X.T @ X + jnp.eye(X.shape[1])) @ X.T @ y,
        lambda X, y: jnp.linalg.solve(X.T @ X + jnp.eye(X.shape[1]), X.T @ y),
        lambda r, n: (r.matrix(n), r.array(n)),
        largest=1500,
    ),
    Expression(
        "det(tril(A))",
        "structure",
        lambda A: jnp.linalg.det(jnp.tril(A)),
        lambda A: jnp.prod(jnp.diag(A)),
        lambda r, n: (r.near_triangular(n),),
        "finite",
        largest=1500,
    ),
    Expression(
        "block([[A,0],[0,B]])@X",
        "structure",
        lambda A, B, X: jnp.block([[A, jnp.zeros_like(A)], [jnp.zeros_like(B), B]]) @ X,
        block_diagonal,
        two_halves,
        "finite",
    ),
    Expression(
        "block([[A,B],[0,C]])@X",
        "structure",
        lambda A, B, C, X: jnp.block([[A, B], [jnp.zeros_like(C), C]]) @ X,
        block_triangular,
        lambda r, n: (r.matrix(n // 2), *two_halves(r, n)),
        "finite",
    ),
    Expression(
        "outer(u,v)@x",
        "structure",
        lambda u, v, x: jnp.outer(u, v) @ x,
        lambda u, v, x: u * (v @ x),
        lambda r, n: (r.array(n), r.array(n) / n, r.array(n)),
    ),
    Expression(
        "outer(u,v)@A",
        "structure",
        lambda u, v, A: jnp.outer(u, v) @ A,
        lambda u, v, A: jnp.outer(u, v @ A),
        lambda r, n: (r.array(n), r.array(n) / n, r.matrix(n)),
    ),
    Expression(
        "eye[p]@A",
        "structure",
        lambda A, p: jnp.eye(A.shape[0])[p] @ A,
        lambda A, p: A[p],
        lambda r, n: (r.matrix(n), r.permutation(n)),
        "finite",
    ),
    Expression(
        "A@A.T",
        "structure",
        lambda A: A @ A.T,
        gram,
        lambda r, n: (r.matrix(n),),
        gradient=lambda A: 2 * (gram(A) @ A),
    ),
)

ASSUMED = (
    Expression(
        "solve(assume(L,'lower_triangular'),b)",
        "assumed structure",
        lambda L, b: jnp.linalg.solve(assume(L, "lower_triangular"), b),
        lambda L, b: solve_triangular(L, b, lower=True),
        lambda r, n: (jnp.tril(r.near_triangular(n)), r.array(n)),
        wrt=(1,),
    ),
    Expression(
        "solve(assume(U,'upper_triangular'),b)",
        "assumed structure",
        lambda U, b: jnp.linalg.solve(assume(U, "upper_triangular"), b),
        lambda U, b: solve_triangular(U, b, lower=False),
        lambda r, n: (jnp.triu(r.near_triangular(n)), r.array(n)),
        wrt=(1,),
    ),
    Expression(
        "assume(D,'diagonal')@A",
        "assumed structure",
        lambda D, A: assume(D, "diagonal") @ A,
        lambda D, A: jnp.diag(D)[:, None] * A,
        lambda r, n: (r.banded(n, 0, 0), r.matrix(n)),
        wrt=(1,),
    ),
    Expression(
        "assume(T,'tridiagonal')@A",
        "assumed structure",
        lambda T, A: assume(T, "tridiagonal") @ A,
        tridiagonal_product,
        lambda r, n: (r.banded(n, 1, 1), r.matrix(n)),
        wrt=(1,),
    ),
    Expression(
        "solve(assume(T,'tridiagonal'),b)",
        "assumed structure",
        lambda T, b: jnp.linalg.solve(assume(T, "tridiagonal"), b),
        tridiagonal_solve,
        lambda r, n: (r.banded(n, 1, 1), r.array(n)),
        wrt=(1,),
    ),
    Expression(
        "S.T@A + S@A with assume(S,'symmetric')",
        "assumed structure",
        lambda S, A: (lambda S: S.T @ A + S @ A)(assume(S, "symmetric")),
        lambda S, A: S @ (2 * A),
        lambda r, n: (r.positive_definite(n), r.matrix(n)),
        wrt=(1,),
    ),
    Expression(
        "solve(assume(P,'positive_definite'),b)",
        "assumed structure",
        lambda P, b: jnp.linalg.solve(assume(P, "positive_definite"), b),
        lambda P, b: cho_solve(cho_factor(P), b),
        lambda r, n: (r.positive_definite(n), r.array(n)),
        wrt=(1,),
    ),
    Expression(
        "inv(assume(Q,'orthogonal'))@b",
        "assumed structure",
        lambda Q, b: jnp.linalg.inv(assume(Q, "orthogonal")) @ b,
        lambda Q, b: Q.T @ b,
        lambda r, n: (r.orthogonal(n), r.array(n)),
        wrt=(1,),
        largest=1500,
    ),
)
