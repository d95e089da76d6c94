"""The operation table of `jax.numpy`: element by element, reductions, and what makes arrays.

Shapes, indexing, sorting, sets and polynomials are in `table_numpy_shapes`.
"""

import jax.numpy as jnp
import numpy as np

from . import table_numpy_shapes
from .operation import (
    HAS_NEXTAFTER_GRADIENT,
    Entries,
    Operation,
    Table,
    bf16,
    boolean,
    c64,
    edges,
    f16,
    f32,
    f64,
    i32,
    positive,
    u8,
    unit,
    weak,
)

op = Entries("jax.numpy")

ELEMENTWISE: list[Operation] = [
    *op.each(
        "abs absolute arccosh acosh arcsinh asinh arctan atan cbrt ceil cos cosh deg2rad degrees "
        "exp exp2 expm1 fabs floor log log10 log1p log2 negative positive rad2deg radians "
        "reciprocal rint sign sin sinc sinh sqrt square tan tanh trunc i0 nan_to_num",
        (positive(3, 2, low=1.1),),
        (edges(),),
    ),
    *op.each("arccos acos arcsin asin arctanh atanh", (f32(4),), (edges(),)),
    *op.each(
        "abs conj conjugate cos exp imag log negative real sin sqrt square tanh angle", (c64(3),)
    ),
    *op.each("abs exp negative sign sin sqrt square tanh round", (bf16(3),), (f16(3),), (f64(3),)),
    *op.each("abs negative positive sign square sqrt exp invert", (i32(3),), (u8(3),)),
    *op.each("isfinite isinf isnan isneginf isposinf signbit", (edges(),), (i32(3),)),
    *op.each("iscomplex isreal real imag angle conj conjugate", (f32(3),), (c64(3),)),
    *op.each("frexp modf", (f32(3),), (edges(),)),
    *op.each("spacing", (f32(3),), (edges(),), differentiable=HAS_NEXTAFTER_GRADIENT),
    *op.each(
        "nextafter", (f32(3), f32(3)), (edges(), positive(9)), differentiable=HAS_NEXTAFTER_GRADIENT
    ),
    *op.each("bitwise_not bitwise_invert invert bitwise_count", (i32(3),), (u8(2, 2),), (u8(),)),
    *op.each("logical_not", (boolean(3),), (f32(3),)),
    *op.each(
        "add subtract multiply maximum minimum arctan2 atan2 copysign divide true_divide fmax "
        "fmin hypot logaddexp logaddexp2 mod remainder fmod floor_divide heaviside "
        "float_power",
        (f32(3, 2), positive(3, 2)),
        (f32(2, 1), positive(3)),
        (edges(), positive(9)),
        (bf16(3), bf16(3)),
    ),
    *op.each("add subtract multiply divide maximum power", (f32(3), weak(2.0)), (weak(3), f32(2))),
    *op.each("add subtract multiply divide power", (c64(3), c64(3)), (f32(3), c64(3))),
    *op.each(
        "add subtract multiply maximum minimum",
        (i32(3), i32(3)),
        (u8(3), i32(3)),
        (weak(1), weak(2)),
    ),
    *op.each("add multiply", (f64(2), f32(2)), (f16(2), bf16(2)), (boolean(2), boolean(2))),
    *op.each(
        "divmod floor_divide mod remainder fmod gcd lcm divide", (i32(4), i32(4, low=1, high=5))
    ),
    *op.each("divmod", (f32(3), positive(3)), (u8(3), u8(3))),
    *op.each(
        "power pow", (positive(3), f32(3)), (f32(3), weak(3)), (f32(3), 2), (i32(3), u8(3, high=3))
    ),
    *op.each("ldexp", (f32(3), i32(3))),
    *op.each("bitwise_and bitwise_or bitwise_xor", (i32(3), i32(3)), (boolean(3), boolean(3))),
    *op.each("bitwise_left_shift bitwise_right_shift left_shift right_shift", (i32(3), u8(3))),
    *op.each("logical_and logical_or logical_xor", (boolean(2, 3), boolean(3)), (f32(3), i32(3))),
    *op.each(
        "equal not_equal greater greater_equal less less_equal",
        (i32(4), i32(4)),
        (f32(9), edges()),
        (f32(3), weak(0)),
    ),
    *op.each("equal not_equal", (c64(3), c64(3)), (boolean(3), boolean(3))),
    *op.each("isclose allclose array_equal array_equiv", (f32(4), f32(4)), (edges(), edges())),
    op("array_equal", edges(), edges(), equal_nan=True),
    *op.each("around round", (f32(4),), (f32(4), 1), (i32(4),), (c64(2), 2)),
    op("clip", f32(4), -0.2, 0.3),
    op("clip", f32(4), f32(4), max=f32(4)),
    op("clip", i32(4), -1, 2),
    op("nan_to_num", edges(), nan=1.0, posinf=2.0, neginf=-2.0),
    op("unwrap", f32(5, low=-9, high=9)),
    op("where", boolean(3), f32(3), f32(3)),
    op("where", boolean(3, 1), f32(2), weak(0)),
    op("where", boolean(3), i32(3), f32(3)),
    op("where", boolean(4), size=2),
    op("select", [boolean(3), boolean(3)], [f32(3), f32(3)], weak(0.5)),
    op("piecewise", f32(4), [boolean(4), boolean(4)], [lambda x: x, lambda x: -x, 0.5]),
    op("choose", np.array([0, 1, 2]), [f32(3), f32(3)], mode="wrap"),
    op("choose", np.array([0, 3, -1]), [f32(3), f32(3)], mode="clip"),
]

REDUCTIONS: list[Operation] = [
    *op.each(
        "sum prod max min mean std var any all amax amin ptp median count_nonzero nanmax nanmin "
        "nanmean nanmedian nanprod nanstd nansum nanvar average",
        (f32(3, 4),),
        (f32(3, 4), -1),
    ),
    *op.each(
        "sum prod max min mean std var any all", (f32(2, 3, 2), (0, 2)), (bf16(5),), (i32(4),)
    ),
    *op.each("sum prod mean nansum nanmean", (edges(),), (c64(3),)),
    *op.each("sum max argmax cumsum", (boolean(4),), (u8(2, 2),)),
    *op.each("sum mean max std", (f32(2, 3),), keepdims=True, axis=1),
    op("sum", f32(4), where=boolean(4), initial=weak(0.5)),
    op("max", f32(4), where=boolean(4), initial=-1.0),
    op("mean", f32(2, 3), axis=0, dtype=jnp.bfloat16),
    op("sum", f16(5), dtype=jnp.float32),
    op("sum", f64(3, 2), axis=0),
    op("sum", f32(0, 3), axis=0),
    op("var", f32(4), ddof=1),
    op("std", c64(4)),
    op("minmax", f32(3, 4), axis=1),
    op("average", f32(3, 4), axis=0, weights=positive(3)),
    *op.each("argmax argmin nanargmax nanargmin", (f32(3, 4),), (f32(3, 4), 1), (edges(),)),
    *op.each("cumsum cumprod nancumsum nancumprod", (f32(3, 2),), (f32(3, 2), 0), (i32(3),)),
    *op.each("cumulative_sum cumulative_prod", (f32(4),)),
    op("cumulative_sum", f32(3, 2), axis=1, include_initial=True),
    *op.each("percentile nanpercentile", (f32(3, 4), 30), (f32(5), np.array([10.0, 60.0], "f4"))),
    *op.each("quantile nanquantile", (f32(3, 4), 0.3), (f32(5), unit(2)), (f32(2, 3), 0.5, 1)),
    op("quantile", f32(5), 0.4, method="nearest"),
    *op.each("ediff1d trapezoid", (f32(4),)),
    op("trapezoid", f32(2, 4), f32(4)),
    *op.each("diff gradient", (f32(3, 4),), (f32(5),)),
    op("diff", f32(4, 2), n=2, axis=0),
    op("gradient", f32(4), 0.5),
    *op.each("corrcoef cov", (f32(3, 4),)),
    op("cov", f32(4), f32(4), ddof=0),
]

PRODUCTS: list[Operation] = [
    *op.each("matmul dot inner", (f32(4), f32(4)), (f32(2, 4), f32(4))),
    *op.each(
        "matmul dot", (f32(3, 4), f32(4, 2)), (bf16(3, 4), bf16(4, 2)), (i32(2, 3), i32(3, 2))
    ),
    *op.each("matmul", (f32(2, 3, 4), f32(4, 2)), (c64(2, 3), c64(3, 2)), (f64(2, 3), f64(3, 2))),
    op("matmul", bf16(2, 3), bf16(3, 2), preferred_element_type=jnp.float32),
    op("matmul", f32(2, 3), f32(3, 2), precision="highest"),
    *op.each("vdot", (c64(3), c64(3)), (f32(2, 2), f32(4))),
    *op.each("outer", (f32(3), f32(2)), (i32(3), f32(2))),
    op("kron", f32(2, 3), f32(2, 2)),
    op("tensordot", f32(2, 3, 4), f32(3, 4, 2)),
    op("tensordot", f32(2, 3, 4), f32(4, 3), axes=([1, 2], [1, 0])),
    op("cross", f32(4, 3), f32(4, 3)),
    op("vecdot", f32(2, 3), f32(2, 3)),
    op("matvec", f32(2, 3, 4), f32(2, 4)),
    op("vecmat", f32(2, 3), f32(2, 3, 4)),
    op("einsum", "ij,jk,kl->il", f32(2, 3), f32(3, 4), f32(4, 2)),
    op("einsum", "bij,bjk->bk", f32(2, 3, 4), f32(2, 4, 2)),
    op("einsum", "ii->i", f32(3, 3)),
    op("einsum", "...ij->...ji", bf16(2, 3, 4)),
    *op.each("convolve correlate", (f32(5), f32(3)), (f32(4), f32(2), "same"), (i32(4), i32(2))),
    op("trace", f32(3, 4)),
    op("trace", f32(2, 3, 3), 1, 1, 2),
]

CREATION: list[Operation] = [
    op("arange", 5),
    op("arange", 1, 7, 2.5),
    op("arange", 4, dtype=jnp.bfloat16),
    *op.each("array asarray", (f32(2, 3),), ([f32(2), f32(2)],), ([weak(1), weak(2.0)],), (True,)),
    *op.each("array asarray", (i32(3),), (f32(3),), dtype=jnp.bfloat16),
    op("astype", f32(3, low=0, high=9), jnp.uint8),
    op("astype", i32(3), jnp.float32),
    op("astype", f32(3), bool),
    op("astype", c64(3), jnp.complex64),
    op("copy", f32(3)),
    *op.each("bartlett blackman hamming hanning", (5,)),
    op("kaiser", 5, 2.0),
    op("kaiser", 4, positive()),
    *op.each("empty zeros ones", ((2, 3),), ((2,), jnp.int32), (4, bool)),
    *op.each("empty_like zeros_like ones_like", (f32(2),), (boolean(3),), (weak(1),)),
    op("zeros_like", c64(2), dtype=jnp.float32),
    op("full", (2, 3), weak(0.5)),
    op("full", (2, 3), f32(3)),
    op("full", 3, 7, jnp.uint8),
    op("full_like", f32(2, 3), f32(3)),
    op("full_like", i32(2), 2.5, dtype=jnp.float32),
    op("eye", 3),
    op("eye", 2, 4, 1, dtype=jnp.int32),
    op("identity", 3),
    op("from_dlpack", f32(3), via=lambda f, x: f(np.ones(3, "f4")) + x),
    op("frombuffer", b"\x01\x02\x03\x04", dtype=jnp.uint8),
    op("fromfunction", lambda i, j: i + 2 * j, (2, 3)),
    op("fromstring", "1 2 3", dtype=jnp.int32, sep=" "),
    op("linspace", 0, 1, 5),
    op("linspace", f32(), f32(), 4),
    op("linspace", f32(3), f32(3), 3, endpoint=False, retstep=True),
    op("logspace", 0, 2, 4),
    op("logspace", f32(), f32(), 3),
    op("geomspace", 1, 8, 4),
    op("geomspace", positive(), positive(), 3),
    op("meshgrid", f32(2), f32(3)),
    op("meshgrid", f32(2), f32(3), indexing="ij", sparse=True),
    op("indices", (2, 3)),
    op("ix_", i32(2), i32(3)),
    op("diag_indices", 3),
    op("diag_indices_from", f32(3, 3)),
    op("mask_indices", 3, jnp.triu, size=6),
    op("tri", 3, 4, 1),
    op("tril_indices", 3),
    op("triu_indices", 3, 1),
    *op.each("tril_indices_from triu_indices_from", (f32(3, 3),)),
    op("vander", f32(3)),
    op("vander", f32(3), 2, True),
]

HIGHER_ORDER: list[Operation] = [
    op("apply_along_axis", jnp.sort, 0, f32(3, 2)),
    op("apply_over_axes", jnp.sum, f32(2, 3, 2), (0, 2)),
    op(
        "vectorize",
        f32(2, 3),
        f32(3),
        via=lambda f, x, y: f(jnp.dot, signature="(n),(n)->()")(x, y),
    ),
    op("vectorize", f32(2, 1), f32(3), via=lambda f, x, y: f(lambda a, b: a * b + a)(x, y)),
    op(
        "frompyfunc",
        f32(3),
        f32(3),
        via=lambda f, x, y: f(lambda a, b: a * b, 2, 1, identity=1)(x, y),
    ),
    op("frompyfunc", f32(3), via=lambda f, x: f(jnp.add, 2, 1, identity=0).reduce(x)),
    *op.each("add multiply", (f32(3, 2),), via=lambda f, x: f.reduce(x)),
    *op.each("add", (f32(3, 2),), via=lambda f, x: f.accumulate(x)),
    op("add", f32(4), i32(2, low=0), f32(2), via=lambda f, x, i, y: f.at(x, i, y, inplace=False)),
    op("multiply", f32(3), f32(2), via=lambda f, x, y: f.outer(x, y)),
    op("iscomplexobj", c64(2)),
    op("isrealobj", f32(2)),
    op("isscalar", f32()),
    op("iterable", f32(3)),
    *op.each("ndim shape size", (f32(2, 3),)),
    op("can_cast", jnp.int32, jnp.float32),
    op("isdtype", jnp.float32, "real floating"),
    op("issubdtype", jnp.bfloat16, jnp.floating),
    op("broadcast_shapes", (2, 1), (1, 3)),
]

MISSING = {
    "array_repr": "returns a string",
    "array_str": "returns a string",
    "einsum_path": "returns a plan of strings",
    "fromfile": "reads a file",
    "fromiter": "JAX does not implement it",
    "get_printoptions": "takes and returns no array",
    "load": "reads a file",
    "printoptions": "a context manager",
    "promote_types": "returns a dtype",
    "result_type": "returns a dtype",
    "save": "writes a file",
    "savez": "writes a file",
    "set_printoptions": "takes and returns no array",
    "trim_zeros": "the shape of the result depends on values",
}

TABLE = Table(
    "jax.numpy",
    [*ELEMENTWISE, *REDUCTIONS, *PRODUCTS, *CREATION, *HIGHER_ORDER, *table_numpy_shapes.ENTRIES],
    MISSING,
    some_versions=frozenset({"minmax", "top_k"}),
)
