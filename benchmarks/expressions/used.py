"""Only what is used: slices, sums, traces and the like move into what they are taken of."""

import jax
import jax.numpy as jnp

from .record import Expression

CONVOLUTION = ("NHWC", "HWIO", "NHWC")
ROWS = 16


def convolve(x, w, padding: str | tuple[tuple[int, int], ...] = "SAME"):
    return jax.lax.conv_general_dilated(x, w, (1, 1), padding, dimension_numbers=CONVOLUTION)


def two_matrices(r, n):
    return r.matrix(n), r.matrix(n)


def three_matrices(r, n):
    return r.matrix(n), r.matrix(n), r.matrix(n)


def image(r, n):
    return r.array(1, n // 8, n // 8, 16), r.array(3, 3, 16, 16) / 144


def trace_of_product_gradient(A, B):
    trace = jnp.vdot(A, B.T)
    return trace * B.T, trace * A.T


USED = (
    Expression(
        "(A@B)[2,2]",
        "only what is used",
        lambda A, B: (A @ B)[2, 2],
        lambda A, B: A[2] @ B[:, 2],
        two_matrices,
        gradient_numerics="finite",
    ),
    Expression(
        "(A@B)[:,3]",
        "only what is used",
        lambda A, B: (A @ B)[:, 3],
        lambda A, B: A @ B[:, 3],
        two_matrices,
        gradient_numerics="finite",
    ),
    Expression(
        "(A@B)[5:9]",
        "only what is used",
        lambda A, B: (A @ B)[5:9],
        lambda A, B: A[5:9] @ B,
        two_matrices,
        gradient_numerics="finite",
    ),
    Expression(
        "(A@B@C)[2]",
        "only what is used",
        lambda A, B, C: (A @ B @ C)[2],
        lambda A, B, C: (A[2] @ B) @ C,
        three_matrices,
        gradient_numerics="finite",
    ),
    Expression(
        "(A@B).sum(0)",
        "only what is used",
        lambda A, B: (A @ B).sum(0),
        lambda A, B: A.sum(0) @ B,
        two_matrices,
    ),
    Expression(
        "(A@B).mean()",
        "only what is used",
        lambda A, B: (A @ B).mean(),
        lambda A, B: A.sum(0) @ B.sum(1) / (A.shape[0] * B.shape[1]),
        two_matrices,
    ),
    Expression(
        "trace(A@B)",
        "only what is used",
        lambda A, B: jnp.trace(A @ B),
        lambda A, B: jnp.sum(A * B.T),
        two_matrices,
        gradient=trace_of_product_gradient,
        gradient_numerics="finite",
    ),
    Expression(
        "diag(A@B)",
        "only what is used",
        lambda A, B: jnp.diag(A @ B),
        lambda A, B: jnp.sum(A * B.T, axis=1),
        two_matrices,
        gradient_numerics="finite",
    ),
    Expression(
        "sum(A@B@C)",
        "only what is used",
        lambda A, B, C: jnp.sum(A @ B @ C),
        lambda A, B, C: (A.sum(0) @ B) @ C.sum(1),
        three_matrices,
    ),
    Expression(
        "(A@B + C)[0]",
        "only what is used",
        lambda A, B, C: (A @ B + C)[0],
        lambda A, B, C: A[0] @ B + C[0],
        three_matrices,
        gradient_numerics="finite",
    ),
    Expression(
        "tanh(A@B)[:,:4]",
        "only what is used",
        lambda A, B: jnp.tanh(A @ B)[:, :4],
        lambda A, B: jnp.tanh(A @ B[:, :4]),
        two_matrices,
        gradient_numerics="finite",
    ),
    Expression(
        "concatenate([A@B,A@C])[:5]",
        "only what is used",
        lambda A, B, C: jnp.concatenate([A @ B, A @ C])[:5],
        lambda A, B, C: A[:5] @ B,
        three_matrices,
        wrt=(0, 1),
        gradient_numerics="finite",
    ),
    Expression(
        "concatenate([A@B,C]).sum(0)",
        "only what is used",
        lambda A, B, C: jnp.concatenate([A @ B, C]).sum(0),
        lambda A, B, C: A.sum(0) @ B + C.sum(0),
        three_matrices,
    ),
    Expression(
        "stack([A@B,A@C])[1,:,7]",
        "only what is used",
        lambda A, B, C: jnp.stack([A @ B, A @ C])[1, :, 7],
        lambda A, B, C: A @ C[:, 7],
        three_matrices,
        wrt=(0, 2),
        gradient_numerics="finite",
    ),
    Expression(
        "(A@B).reshape(-1)[:n]",
        "only what is used",
        lambda A, B: (A @ B).reshape(-1)[: B.shape[1]],
        lambda A, B: A[0] @ B,
        two_matrices,
        gradient_numerics="finite",
    ),
    Expression(
        "(A@B).T[idx]",
        "only what is used",
        lambda A, B, idx: (A @ B).T[idx],
        lambda A, B, idx: B[:, idx].T @ A.T,
        lambda r, n: (*two_matrices(r, n), r.indices(ROWS, n)),
        gradient_numerics="finite",
    ),
    Expression(
        "(A@B)[idx]",
        "only what is used",
        lambda A, B, idx: (A @ B)[idx],
        lambda A, B, idx: A[idx] @ B,
        lambda r, n: (*two_matrices(r, n), r.indices(ROWS, n)),
        gradient_numerics="finite",
    ),
    Expression(
        "one_hot(i)@A",
        "only what is used",
        lambda A, i: jax.nn.one_hot(i, A.shape[0], dtype=A.dtype) @ A,
        lambda A, i: A.at[i].get(mode="fill", fill_value=0),
        lambda r, n: (r.matrix(n), r.indices(1, n)[0]),
        "finite",
    ),
    Expression(
        "one_hot(idx)@A",
        "only what is used",
        lambda A, idx: jax.nn.one_hot(idx, A.shape[0], dtype=A.dtype) @ A,
        lambda A, idx: A.at[idx].get(mode="fill", fill_value=0),
        lambda r, n: (r.matrix(n), r.indices(ROWS, n)),
        "finite",
    ),
    Expression(
        "ones@A",
        "only what is used",
        lambda A: jnp.ones_like(A) @ A,
        lambda A: jnp.broadcast_to(A.sum(0), A.shape),
        lambda r, n: (r.matrix(n),),
    ),
    Expression(
        "broadcast_to(v,(n,n))@A",
        "only what is used",
        lambda v, A: jnp.broadcast_to(v, A.shape) @ A,
        lambda v, A: jnp.broadcast_to(v @ A, A.shape),
        lambda r, n: (r.array(n), r.matrix(n)),
    ),
    Expression(
        "conv(x,w)[:,:4]",
        "only what is used",
        lambda x, w: convolve(x, w)[:, :4],
        lambda x, w: convolve(x[:, :5], w, ((1, 0), (1, 1))),
        image,
        gradient_numerics="finite",
    ),
    Expression(
        "conv(x,w)[...,:1]",
        "only what is used",
        lambda x, w: convolve(x, w)[..., :1],
        lambda x, w: convolve(x, w[..., :1]),
        image,
        gradient_numerics="finite",
    ),
)
