"""The operation table of `jax.lax.linalg`."""

import jax.numpy as jnp
import numpy as np

from .operation import Entries, Operation, Table, f32, invertible, positive, spd

op = Entries("jax.lax.linalg")

ENTRIES: list[Operation] = [
    *op.each(
        "cholesky",
        (spd(3),),
        (spd(2, 2),),
        (spd(3, dtype=jnp.complex64),),
        (spd(2, dtype=jnp.float64),),
    ),
    op("cholesky", invertible(3), symmetrize_input=False),
    op(
        "cholesky_update",
        spd(3),
        f32(3),
        via=lambda f, a, w: f(jnp.triu(a), w),
        differentiable=False,
    ),
    op("eig", invertible(3), compute_left_eigenvectors=False, differentiable=False),
    op("eig", invertible(3), enable_eigvec_derivs=True, compute_left_eigenvectors=False),
    op("eig", invertible(3), compute_left_eigenvectors=False, compute_right_eigenvectors=False),
    op("eigh", spd(3)),
    op("eigh", spd(2, 2), lower=False, sort_eigenvalues=False),
    op("hessenberg", invertible(3), differentiable=False),
    op("householder_product", f32(4, 3), f32(3), differentiable=False),
    op("lu", invertible(3)),
    op("lu", f32(2, 3, 4), via=lambda f, a: f(a)[0]),
    op("lu_pivots_to_permutation", np.array([1, 2, 2], "i4"), 4),
    op("ormqr", f32(4, 3), f32(3), f32(4, 2), differentiable=False),
    op("qdwh", invertible(3), differentiable=False),
    op("qr", f32(4, 3), full_matrices=False),
    op("qr", f32(4, 3), pivoting=True, full_matrices=False),
    op("schur", invertible(3), differentiable=False),
    op("svd", f32(4, 3), full_matrices=False),
    op("svd", f32(3, 3), compute_uv=False),
    op("symmetric_product", f32(3, 4), spd(3), alpha=2.0, beta=0.5, differentiable=False),
    op("triangular_solve", invertible(3), f32(3, 2), left_side=True, lower=True),
    op("triangular_solve", invertible(3), f32(2, 3), transpose_a=True, unit_diagonal=True),
    op("tridiagonal", spd(3), differentiable=False),
    op("tridiagonal_solve", f32(4), positive(4, low=2.0, high=3.0), f32(4), f32(4, 2)),
]

MISSING: dict[str, str] = {}

TABLE = Table("jax.lax.linalg", ENTRIES, MISSING)
