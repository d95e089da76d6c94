"""Sums of products: factors taken out, and sums multiplied out, whichever costs less."""

import jax.numpy as jnp

from .record import Expression

RANK = 32


def sum_with_transpose_gradient(A, B):
    T = A @ B.T
    S = T + T.T
    return 2 * (S @ B), 2 * (S @ A)


def residual_gradient(X, w, y):
    r = X @ w - y
    g = X.T @ r
    Xg = X @ g
    return jnp.outer(r, g) + jnp.outer(Xg, w), X.T @ Xg, -Xg


PRODUCTS = (
    Expression(
        "A@B + A@C",
        "sums of products",
        lambda A, B, C: A @ B + A @ C,
        lambda A, B, C: A @ (B + C),
        lambda r, n: (r.matrix(n), r.matrix(n), r.matrix(n)),
    ),
    Expression(
        "A@B + C@B",
        "sums of products",
        lambda A, B, C: A @ B + C @ B,
        lambda A, B, C: (A + C) @ B,
        lambda r, n: (r.matrix(n), r.matrix(n), r.matrix(n)),
    ),
    Expression(
        "A@B + A@C + A@D",
        "sums of products",
        lambda A, B, C, D: A @ B + A @ C + A @ D,
        lambda A, B, C, D: A @ (B + C + D),
        lambda r, n: (r.matrix(n), r.matrix(n), r.matrix(n), r.matrix(n)),
    ),
    Expression(
        "2*(A@B) - 0.5*(A@C)",
        "sums of products",
        lambda A, B, C: 2.0 * (A @ B) - 0.5 * (A @ C),
        lambda A, B, C: A @ (2.0 * B - 0.5 * C),
        lambda r, n: (r.matrix(n), r.matrix(n), r.matrix(n)),
    ),
    Expression(
        "(A - H.T@H)@x",
        "sums of products",
        lambda A, H, x: (A - H.T @ H) @ x,
        lambda A, H, x: A @ x - H.T @ (H @ x),
        lambda r, n: (2 * r.matrix(n), r.matrix(n), r.array(n)),
    ),
    Expression(
        "(W + U@V)@x, U and V thin",
        "sums of products",
        lambda W, U, V, x: (W + U @ V) @ x,
        lambda W, U, V, x: W @ x + U @ (V @ x),
        lambda r, n: (r.matrix(n), r.matrix(n, RANK), r.matrix(RANK, n), r.array(n)),
    ),
    Expression(
        "(W + U@V)@X, X thin too",
        "sums of products",
        lambda W, U, V, X: (W + U @ V) @ X,
        lambda W, U, V, X: W @ X + U @ (V @ X),
        lambda r, n: (r.matrix(n), r.matrix(n, RANK), r.matrix(RANK, n), r.array(n, 8)),
    ),
    Expression(
        "(diag(d) + outer(u,v))@x",
        "sums of products",
        lambda d, u, v, x: (jnp.diag(d) + jnp.outer(u, v)) @ x,
        lambda d, u, v, x: d * x + u * (v @ x),
        lambda r, n: (r.array(n), r.array(n), r.array(n) / n, r.array(n)),
        "finite",
    ),
    Expression(
        "(diag(d) + outer(u,v))@X",
        "sums of products",
        lambda d, u, v, X: (jnp.diag(d) + jnp.outer(u, v)) @ X,
        lambda d, u, v, X: d[:, None] * X + jnp.outer(u, v @ X),
        lambda r, n: (r.array(n), r.array(n), r.array(n) / n, r.matrix(n)),
        "finite",
    ),
    Expression(
        "(eye - 2*outer(v,v))@A",
        "sums of products",
        lambda v, A: (jnp.eye(v.size) - 2 * jnp.outer(v, v)) @ A,
        lambda v, A: A - jnp.outer(2 * v, v @ A),
        lambda r, n: (r.array(n) / n**0.5, r.matrix(n)),
        "finite",
    ),
    Expression(
        "A.T@B + A.T@B",
        "sums of products",
        lambda A, B: A.T @ B + A.T @ B,
        lambda A, B: A.T @ (2 * B),
        lambda r, n: (r.matrix(n), r.matrix(n)),
    ),
    Expression(
        "A@B.T + B@A.T",
        "sums of products",
        lambda A, B: A @ B.T + B @ A.T,
        lambda A, B: (lambda T: T + T.T)(A @ B.T),
        lambda r, n: (r.matrix(n), r.matrix(n)),
        gradient=sum_with_transpose_gradient,
    ),
    Expression(
        "A@B@v + A@C@v",
        "sums of products",
        lambda A, B, C, v: A @ B @ v + A @ C @ v,
        lambda A, B, C, v: A @ (B @ v + C @ v),
        lambda r, n: (r.matrix(n), r.matrix(n), r.matrix(n), r.array(n)),
    ),
    Expression(
        "X.T@X@w - X.T@y",
        "sums of products",
        lambda X, w, y: X.T @ X @ w - X.T @ y,
        lambda X, w, y: X.T @ (X @ w - y),
        lambda r, n: (r.matrix(n), r.array(n), 3 * r.array(n)),
        gradient=residual_gradient,
    ),
)
