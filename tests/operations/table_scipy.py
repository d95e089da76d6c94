"""The operation table of what else is in `jax.scipy`; `special` and `stats` have their own."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.spatial.transform import Rotation

from .operation import (
    Entries,
    Operation,
    Table,
    c64,
    f32,
    i32,
    invertible,
    ordered,
    positive,
    spd,
    unit,
)

op = Entries("jax.scipy")

LINALG: list[Operation] = [
    op("linalg.block_diag", f32(2, 2), f32(1, 3), i32(2, 1)),
    op("linalg.cholesky", spd(3)),
    op("linalg.cholesky", spd(3, dtype=jnp.complex64), lower=True),
    op("linalg.cho_factor", spd(3)),
    op(
        "linalg.cho_solve", spd(3), f32(3), via=lambda f, a, b: f((jnp.linalg.cholesky(a), True), b)
    ),
    *op.each("linalg.circulant linalg.fiedler linalg.toeplitz linalg.hankel", (f32(4),)),
    op("linalg.toeplitz", f32(3), f32(4)),
    *op.each("linalg.companion linalg.fiedler_companion", (positive(4),)),
    op("linalg.convolution_matrix", f32(3), 4),
    op("linalg.det", invertible(3)),
    op("linalg.dft", 4),
    op("linalg.dft", 3, scale="sqrtn"),
    op("linalg.eigh", spd(3)),
    op("linalg.eigh", spd(3), eigvals_only=True),
    op("linalg.eigh_tridiagonal", f32(4), f32(3), eigvals_only=True, differentiable=False),
    op("linalg.expm", f32(3, 3)),
    op("linalg.expm", f32(2, 3, 3), upper_triangular=True),
    op("linalg.expm_frechet", f32(3, 3), f32(3, 3)),
    op("linalg.funm", spd(2), jnp.sin, disp=False, differentiable=False),
    *op.each("linalg.hadamard", (4,)),
    *op.each(
        "linalg.helmert linalg.hilbert linalg.invhilbert linalg.invpascal linalg.pascal", (4,)
    ),
    op("linalg.hessenberg", invertible(3), differentiable=False),
    op("linalg.inv", invertible(3)),
    op("linalg.leslie", f32(3), f32(2)),
    op("linalg.lu", invertible(3)),
    op("linalg.lu", f32(3, 4), permute_l=True),
    op("linalg.lu_factor", invertible(3)),
    op(
        "linalg.lu_solve",
        invertible(3),
        f32(3),
        via=lambda f, a, b: f(jax.scipy.linalg.lu_factor(a), b),
    ),
    op("linalg.polar", invertible(3), method="svd"),
    op("linalg.polar", invertible(3), differentiable=False),
    op("linalg.qr", f32(3, 3)),
    op("linalg.qr", f32(4, 3), mode="economic"),
    op("linalg.qr_multiply", f32(4, 3), f32(2, 4), differentiable=False),
    op("linalg.rsf2csf", invertible(2), invertible(2)),
    op("linalg.schur", invertible(3), differentiable=False),
    op("linalg.solve", invertible(3), f32(3, 2)),
    op("linalg.solve", spd(3), f32(3), assume_a="pos"),
    op("linalg.solve_sylvester", spd(2), spd(2), f32(2, 2), differentiable=False),
    op("linalg.solve_triangular", invertible(3), f32(3), lower=True),
    op("linalg.sqrtm", spd(2), differentiable=False),
    op("linalg.svd", f32(4, 3), full_matrices=False),
]

SIGNAL: list[Operation] = [
    *op.each(
        "signal.convolve signal.correlate signal.fftconvolve",
        (f32(5), f32(3)),
        (f32(4, 3), f32(2, 2), "same"),
    ),
    op("signal.convolve", f32(5), f32(3), method="fft"),
    *op.each(
        "signal.convolve2d signal.correlate2d",
        (f32(4, 4), f32(2, 2)),
        (f32(3, 3), f32(2, 2), "valid"),
    ),
    op("signal.detrend", f32(2, 6)),
    op("signal.detrend", f32(6), type="constant"),
    op("signal.csd", f32(16), f32(16), nperseg=8),
    op("signal.welch", f32(2, 16), nperseg=8),
    op("signal.stft", f32(16), nperseg=8),
    op("signal.istft", c64(5, 5), nperseg=8),
]

OTHERS: list[Operation] = [
    op("cluster.vq.vq", f32(5, 2), f32(3, 2)),
    *op.each("fft.dct fft.idct", (f32(5),), (f32(3, 4),)),
    *op.each("fft.dctn fft.idctn", (f32(3, 4),)),
    *op.each("fft.dct", (f32(4),), norm="ortho"),
    op("integrate.trapezoid", f32(2, 4), dx=0.5),
    op("integrate.trapezoid", f32(4), ordered(4)),
    op(
        "interpolate.RegularGridInterpolator",
        ordered(3),
        f32(3),
        unit(2, 1),
        via=lambda f, x, y, p: f((x,), y, bounds_error=False, fill_value=0.0)(p),
    ),
    op("ndimage.map_coordinates", f32(4, 4), [positive(3), positive(3)], 1),
    op("ndimage.map_coordinates", f32(4), [f32(3, low=-2, high=6)], 0, mode="wrap"),
    op("ndimage.map_coordinates", f32(4), [f32(3, low=-2, high=6)], 1, mode="reflect", cval=0.5),
    op(
        "optimize.minimize",
        f32(2),
        via=lambda f, x: (
            f(lambda y: jnp.sum((y - 1) ** 2), x, method="BFGS", options={"maxiter": 3}).x
        ),
        differentiable=False,
    ),
    *op.each(
        "sparse.linalg.cg sparse.linalg.bicgstab",
        (spd(3), f32(3)),
        via=lambda f, a, b: f(a, b, maxiter=5)[0],
        tolerance=50.0,
    ),
    op(
        "sparse.linalg.gmres",
        spd(3),
        f32(3),
        via=lambda f, a, b: f(a, b, maxiter=2)[0],
        tolerance=50.0,
    ),
    op(
        "sparse.linalg.cg",
        f32(3),
        via=lambda f, b: f(lambda x: {"y": 2 * x["y"]}, {"y": b}, maxiter=3)[0],
    ),
    op("spatial.transform.Rotation", f32(4), f32(3), via=lambda r, q, v: r.from_quat(q).apply(v)),
    op("spatial.transform.Rotation", f32(3), via=lambda r, v: r.from_rotvec(v).as_matrix()),
    op(
        "spatial.transform.Slerp",
        f32(3, 4),
        f32(),
        via=lambda slerp, q, t: slerp.init(np.arange(3.0), Rotation.from_quat(q))(t + 1).as_quat(),
    ),
]

MISSING: dict[str, str] = {}

MODULES = (
    "linalg signal cluster.vq fft integrate interpolate ndimage optimize sparse.linalg "
    "spatial.transform"
)

TABLE = Table("jax.scipy", [*LINALG, *SIGNAL, *OTHERS], MISSING, tuple(MODULES.split()))
