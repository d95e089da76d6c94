"""Chains of products: what the order of multiplication costs."""

import jax
import jax.numpy as jnp

from .record import Expression


def gram_of_product_gradient(A, B):
    T = A.T @ B
    dT = 2 * (T @ (T.T @ T))
    return B @ dT.T, A @ dT


CHAINS = (
    Expression(
        "(A@B)@v",
        "chains",
        lambda A, B, v: (A @ B) @ v,
        lambda A, B, v: A @ (B @ v),
        lambda r, n: (r.matrix(n), r.matrix(n), r.array(n)),
    ),
    Expression(
        "A@B@C@v",
        "chains",
        lambda A, B, C, v: A @ B @ C @ v,
        lambda A, B, C, v: A @ (B @ (C @ v)),
        lambda r, n: (r.matrix(n), r.matrix(n), r.matrix(n), r.array(n)),
    ),
    Expression(
        "A.T@B@A.T@B@y",
        "chains",
        lambda A, B, y: A.T @ B @ A.T @ B @ y,
        lambda A, B, y: A.T @ (B @ (A.T @ (B @ y))),
        lambda r, n: (r.matrix(n), r.matrix(n), r.array(n)),
    ),
    Expression(
        "(A.T@B).T@(A.T@B)",
        "chains",
        lambda A, B: (A.T @ B).T @ (A.T @ B),
        lambda A, B: (lambda T: T.T @ T)(A.T @ B),
        lambda r, n: (r.matrix(n), r.matrix(n)),
        gradient=gram_of_product_gradient,
    ),
    Expression(
        "A.T@A@v",
        "chains",
        lambda A, v: A.T @ A @ v,
        lambda A, v: A.T @ (A @ v),
        lambda r, n: (r.matrix(n), r.array(n)),
    ),
    Expression(
        "A@A@A@v",
        "chains",
        lambda A, v: A @ A @ A @ v,
        lambda A, v: A @ (A @ (A @ v)),
        lambda r, n: (r.matrix(n), r.array(n)),
    ),
    Expression(
        "(B.T@A.T).T@v",
        "chains",
        lambda A, B, v: (B.T @ A.T).T @ v,
        lambda A, B, v: A @ (B @ v),
        lambda r, n: (r.matrix(n), r.matrix(n), r.array(n)),
    ),
    Expression(
        "(v@A)@(B@C) with v a row",
        "chains",
        lambda v, A, B, C: (v @ A) @ (B @ C),
        lambda v, A, B, C: ((v @ A) @ B) @ C,
        lambda r, n: (r.array(1, n), r.matrix(n), r.matrix(n), r.matrix(n)),
    ),
    Expression(
        "U@V@X, U and V thin",
        "chains",
        lambda U, V, X: (U @ V) @ X,
        lambda U, V, X: U @ (V @ X),
        lambda r, n: (r.matrix(n, 32), r.matrix(32, n), r.matrix(n)),
    ),
    Expression(
        "multi_dot([A,B,C])@v",
        "chains",
        lambda A, B, C, v: jnp.linalg.multi_dot([A, B, C]) @ v,
        lambda A, B, C, v: A @ (B @ (C @ v)),
        lambda r, n: (r.matrix(n), r.matrix(n), r.matrix(n), r.array(n)),
    ),
    Expression(
        "einsum('ij,jk->ik') then einsum('ik,k->i')",
        "chains",
        lambda A, B, v: jnp.einsum("ik,k->i", jnp.einsum("ij,jk->ik", A, B), v),
        lambda A, B, v: A @ (B @ v),
        lambda r, n: (r.matrix(n), r.matrix(n), r.array(n)),
    ),
    Expression(
        "einsum('bij,bjk->bik')@V, batched",
        "chains",
        lambda A, B, V: jnp.einsum("bij,bjk->bik", A, B) @ V,
        lambda A, B, V: A @ (B @ V),
        lambda r, n: (
            r.array(8, n // 3, n // 3) / n,
            r.array(8, n // 3, n // 3) / n,
            r.array(8, n // 3, 4),
        ),
    ),
    Expression(
        "vmap((A@B)@v) over v",
        "chains",
        lambda A, B, V: jax.vmap(lambda v: (A @ B) @ v)(V),
        lambda A, B, V: (V @ B.T) @ A.T,
        lambda r, n: (r.matrix(n), r.matrix(n), r.array(16, n)),
    ),
    Expression(
        "vmap((A@B)@v) over A, B and v",
        "chains",
        lambda A, B, V: jax.vmap(lambda A, B, v: (A @ B) @ v)(A, B, V),
        lambda A, B, V: jax.vmap(lambda A, B, v: A @ (B @ v))(A, B, V),
        lambda r, n: (
            r.array(4, n // 2, n // 2) / n,
            r.array(4, n // 2, n // 2) / n,
            r.array(4, n // 2),
        ),
    ),
    Expression(
        "(c*A)@x",
        "chains",
        lambda A, x, c: (c * A) @ x,
        lambda A, x, c: A @ (c * x),
        lambda r, n: (r.matrix(n), r.array(n), r.array()),
        gradient=lambda A, x, c: (
            lambda y: (jnp.outer(c * c * y, x), c * c * (A.T @ y), c * (y @ y))
        )(A @ x),
    ),
    Expression(
        "0.5*(A@B)@(3.0*v)",
        "chains",
        lambda A, B, v: 0.5 * (A @ B) @ (3.0 * v),
        lambda A, B, v: A @ (B @ (1.5 * v)),
        lambda r, n: (r.matrix(n), r.matrix(n), r.array(n)),
    ),
    Expression(
        "A@(B@v), best as typed",
        "chains",
        lambda A, B, v: A @ (B @ v),
        lambda A, B, v: A @ (B @ v),
        lambda r, n: (r.matrix(n), r.matrix(n), r.array(n)),
    ),
    Expression(
        "tanh(A@B)@C, best as typed",
        "chains",
        lambda A, B, C: jnp.tanh(A @ B) @ C,
        lambda A, B, C: jnp.tanh(A @ B) @ C,
        lambda r, n: (r.matrix(n), r.matrix(n), r.matrix(n)),
    ),
)
