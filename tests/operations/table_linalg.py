"""The operation table of `jax.numpy.linalg`."""

import jax.numpy as jnp

from .operation import Entries, Operation, Table, c64, f32, f64, i32, invertible, spd

op = Entries("jax.numpy.linalg")

ENTRIES: list[Operation] = [
    *op.each("cholesky eigh eigvalsh", (spd(3),), (spd(3, dtype=jnp.complex64),)),
    op("cholesky", spd(2, 2), upper=True),
    *op.each("det inv slogdet pinv", (invertible(3),), (invertible(2, 2),), (invertible(4),)),
    *op.each("det inv", (invertible(3, dtype=jnp.complex64),), (invertible(2, dtype=jnp.float64),)),
    op("slogdet", invertible(3), method="qr"),
    *op.each("cond", (invertible(3),), (invertible(3), 1), (invertible(2), "fro")),
    op("eig", invertible(3), differentiable=False),
    op("eigvals", invertible(3)),
    *op.each(
        "lstsq",
        (f32(4, 3), f32(4)),
        (f32(4, 2), f32(4, 2)),
        tolerance=10.0,
        via=lambda f, a, b: f(a, b)[0],
    ),
    op("lstsq", f32(4, 3), f32(4), tolerance=10.0),
    *op.each("matmul", (f32(2, 3), f32(3, 4)), (i32(3), i32(3))),
    op("outer", f32(3), f32(2)),
    op("vecdot", f32(2, 3), f32(3)),
    op("tensordot", f32(2, 3), f32(3, 4), axes=1),
    op("cross", f32(2, 3), f32(2, 3)),
    op("multi_dot", [f32(2, 3), f32(3, 4), f32(4, 2)]),
    op("multi_dot", [f32(3), f32(3, 4), f32(4)]),
    *op.each("matrix_norm", (f32(3, 4),)),
    op("matrix_norm", f32(2, 3, 4), ord=jnp.inf, keepdims=True),
    *op.each("vector_norm", (f32(3, 4),)),
    op("vector_norm", f32(3, 4), axis=1, ord=1),
    *op.each(
        "norm", (f32(4),), (f32(3, 4),), (f32(3, 4), 1), (f32(3, 4), "nuc"), (c64(3), jnp.inf)
    ),
    op("norm", f32(3, 4), axis=0),
    op("norm", f32(3, 3), 2),
    op("matrix_power", invertible(3), 3),
    op("matrix_power", invertible(3), -2),
    op("matrix_rank", f32(4, 3)),
    op("matrix_transpose", f32(2, 3, 4)),
    op("diagonal", f32(2, 3, 4), offset=1),
    op("trace", f32(2, 3, 3)),
    op("qr", f32(4, 3)),
    op("qr", f32(3, 4), mode="r"),
    op("qr", f32(4, 3), mode="complete"),
    op("solve", invertible(3), f32(3)),
    op("solve", invertible(3, 2), f32(2, 3, 2)),
    op("solve", invertible(2, dtype=jnp.float64), f64(2)),
    op("svd", f32(4, 3), full_matrices=False),
    op("svd", f32(3, 4), differentiable=False),
    op("svd", f32(2, 3), compute_uv=False),
    op("svdvals", f32(3, 4)),
    op("tensorinv", invertible(4), via=lambda f, a: f(a.reshape(2, 2, 4), ind=2)),
    op("tensorsolve", invertible(4), f32(2, 2), via=lambda f, a, b: f(a.reshape(2, 2, 4), b)),
]

MISSING: dict[str, str] = {}

TABLE = Table("jax.numpy.linalg", ENTRIES, MISSING)
