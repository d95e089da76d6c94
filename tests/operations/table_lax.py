"""The operation table of `jax.lax`: arithmetic, shapes, products, sorting and arrays from nothing.

Windows, gathers, control flow and collectives are in `table_lax_structured`.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax

from . import table_lax_structured
from .operation import (
    HAS_NEXTAFTER_GRADIENT,
    Entries,
    Operation,
    Sample,
    Table,
    bf16,
    boolean,
    c64,
    edges,
    f16,
    f32,
    f64,
    i32,
    index,
    positive,
    u8,
    unit,
    weak,
)

op = Entries("jax.lax")

ELEMENTWISE: list[Operation] = [
    *op.each(
        "abs acosh asinh atan bessel_i0e bessel_i1e cbrt ceil cos cosh digamma erf erfc exp exp2 "
        "expm1 floor lgamma log log1p log2 logistic neg reciprocal round rsqrt sign sin sinh sqrt "
        "square tan tanh one_minus_square",
        (positive(3, 2, low=1.1),),
        (edges(),),
    ),
    *op.each("acos asin atanh erf_inv", (f32(4),), (edges(),)),
    *op.each("is_finite", (edges(),), (bf16(3),)),
    *op.each("abs conj cos exp imag log neg real sqrt tanh sign rsqrt", (c64(3),)),
    *op.each("exp logistic tanh rsqrt neg erf", (bf16(3),), (f16(3),), (f64(3),)),
    *op.each("abs neg sign square", (i32(3),)),
    *op.each("bitwise_not", (i32(3),), (u8(2, 2),), (boolean(3),)),
    *op.each("clz population_count", (i32(3),), (u8(3),)),
    op("round", f32(4), lax.RoundingMethod.TO_NEAREST_EVEN),
    *op.each(
        "add sub mul div max min rem atan2 pow",
        (positive(3, 2), positive(3, 2)),
        (edges(), positive(9)),
        (bf16(3), bf16(3)),
    ),
    *op.each("add sub mul max min div rem", (i32(4), i32(4, low=1)), (u8(3), u8(3))),
    *op.each("add sub mul div pow", (c64(3), c64(3))),
    *op.each("add mul", (f32(2), weak(2.0)), (weak(1), weak(2))),
    op("pow", f32(3), i32(3, low=0)),
    *op.each("nextafter", (f32(3), f32(3)), differentiable=HAS_NEXTAFTER_GRADIENT),
    *op.each("integer_pow", (f32(3), 3), (f32(3), -2), (i32(3), 2), (c64(2), 3)),
    op("complex", f32(3), f32(3)),
    *op.each("bitwise_and bitwise_or bitwise_xor", (i32(3), i32(3)), (boolean(3), boolean(3))),
    *op.each("shift_left shift_right_arithmetic shift_right_logical", (i32(3), i32(3, low=0))),
    *op.each("mulhi", (Sample((3,), jnp.uint32, 1e6, 4e9), Sample((3,), jnp.uint32, 1e6, 4e9))),
    *op.each("eq ne ge gt le lt", (f32(9), edges()), (i32(4), i32(4)), (u8(3), u8(3))),
    *op.each("igamma igammac", (positive(3), positive(3))),
    *op.each("igamma_grad_a random_gamma_grad", (positive(3), positive(3)), differentiable=False),
    op("betainc", positive(3), positive(3), unit(3), differentiable=(2,)),
    op("zeta", positive(3, low=1.5), positive(3), differentiable=False),
    op("polygamma", np.array([1.0, 2.0], "f4"), positive(2), differentiable=(1,)),
    op("clamp", -0.3, f32(4), 0.4),
    op("clamp", f32(), f32(4), positive(), differentiable=(1,)),
    op("clamp", f32(4), f32(4), positive(4)),
    *op.each("select select_n", (boolean(3), f32(3), f32(3)), (boolean(), i32(2), i32(2))),
    op("select_n", index(4, size=3), f32(4), f32(4), f32(4)),
    op("reduce_precision", f32(3), 5, 2),
    op("polynomial", f32(3), [f32(), f32(), f32()]),
    op("polynomial", f32(3), [1.0] * 10),
    op("stop_gradient", f32(3)),
    op("stop_gradient", f32(3), via=lambda f, x: x * f(jnp.sin(x))),
    op("optimization_barrier", (f32(3), i32(2))),
    op("stage", f32(2)),
]

TYPES: list[Operation] = [
    *op.each(
        "convert_element_type", (f32(3), jnp.bfloat16), (i32(3), jnp.float32), (edges(), bool)
    ),
    op("convert_element_type", weak(1), jnp.float32),
    op("convert_element_type", f32(3), jnp.float8_e4m3fn),
    op("convert_element_type", i32(3), jnp.int4),
    op("bitcast_convert_type", f32(3), jnp.int32),
    op("bitcast_convert_type", f32(3), jnp.uint8),
    op("bitcast_convert_type", u8(3, 4), jnp.float32),
]

SHAPES: list[Operation] = [
    op("broadcast", f32(3), (2,)),
    op("broadcast_in_dim", f32(3), (3, 2), (0,)),
    op("broadcast_in_dim", f32(), (2, 2), ()),
    op("broadcast_like", f32(3), f32(2, 3)),
    op("broadcast_to_rank", f32(3), 3),
    op("broadcast_shapes", (2, 1), (1, 3)),
    op("broadcasted_iota", jnp.int32, (2, 3), 1),
    op("iota", jnp.float32, 4),
    op("collapse", f32(2, 3, 2), 0, 2),
    op("concatenate", [f32(2, 3), f32(1, 3)], 0),
    op("concatenate", [c64(2), c64(1), c64(3)], 0),
    op("expand_dims", f32(2, 3), (0, 2)),
    op("squeeze", f32(1, 3, 1), (0, 2)),
    op("pad", f32(2, 3), f32(), ((1, 0, 0), (0, 2, 1))),
    op("pad", f32(5), 0.0, ((-1, -2, 0),)),
    op("reshape", f32(2, 6), (3, 4)),
    op("reshape", f32(2, 3), (3, 2), (1, 0)),
    op("rev", f32(2, 3), (0, 1)),
    op("tile", f32(2, 3), (2, 1)),
    op("transpose", f32(2, 3, 4), (2, 0, 1)),
    op("split", f32(6, 2), (1, 2, 3)),
    op("stack", [f32(3), f32(3)], axis=1),
    op("unstack", f32(3, 2)),
    op("slice", f32(5, 3), (1, 0), (4, 3), (2, 1)),
    op("slice_in_dim", f32(5), 1, 4),
    op("slice_in_dim", f32(2, 5), None, -1, 2, 1),
    op("index_in_dim", f32(4, 2), 1),
    op("index_in_dim", f32(4, 2), -1, 1, keepdims=False),
    op("dynamic_index_in_dim", f32(4, 2), index(size=4)),
    op("dynamic_slice", f32(4, 3), (index(size=4), i32()), (2, 2)),
    op("dynamic_slice", i32(5), (2,), (2,)),
    op("dynamic_slice_in_dim", f32(5), index(size=5), 2),
    op("dynamic_update_index_in_dim", f32(4, 2), f32(2), index(size=4), 0),
    op("dynamic_update_slice", f32(4, 3), f32(2, 2), (index(size=4), index(size=3))),
    op("dynamic_update_slice_in_dim", f32(5), f32(2), index(size=5), 0),
    *op.each("empty", ((2, 3), jnp.float32)),
    op("full", (2, 3), f32(), jnp.float32),
    op("full", (2,), 3, jnp.bfloat16),
    op("full_like", f32(2, 3), weak(0.5)),
    op("full_like", f32(2), 1, jnp.int32, (3,)),
    op("shape_as_value", (2, 3)),
    *op.each("conv_shape_tuple", ((1, 2, 5), (3, 2, 3), (1,), [(0, 0)])),
    *op.each(
        "conv_general_shape_tuple conv_transpose_shape_tuple",
        ((1, 2, 5), (3, 2, 3), (1,), "VALID", ("NCH", "OIH", "NCH")),
    ),
    op("conv_general_permutations", ("NHC", "HIO", "NHC")),
    op("padtype_to_pads", (5, 5), (2, 3), (1, 2), "SAME"),
    op("reduce_window_shape_tuple", (5, 4), (2, 2), (1, 2), [(0, 0), (0, 0)]),
]

REDUCTIONS: list[Operation] = [
    *op.each("cumsum cumprod cummax cummin cumlogsumexp", (f32(3, 2),), (f32(2, 3), 1)),
    *op.each("cumsum cummax", (i32(4),), reverse=True),
    *op.each("argmax argmin", (f32(3, 4), 1, jnp.int32), (edges(), 0, jnp.int32)),
    *op.each(
        "reduce_sum reduce_prod reduce_max reduce_min", (f32(3, 4), (0,)), (i32(2, 3), (0, 1))
    ),
    *op.each("reduce_and reduce_or reduce_xor", (boolean(2, 3), (1,)), (i32(3), (0,))),
    *op.each("reduce", (f32(3, 4), 0.0, lax.add, (1,)), (i32(3), 1, lambda x, y: x * y + 1, (0,))),
    op(
        "reduce",
        (f32(4), i32(4)),
        (0.0, 0),
        lambda x, y: (x[0] * y[0], x[1] + y[1]),
        (0,),
        differentiable=False,
    ),
    *op.each("sort", (f32(3, 4),), (edges(),), (i32(4), 0)),
    op("sort", (i32(5), f32(5)), num_keys=2),
    op("sort_key_val", f32(5), i32(5)),
    *op.each("top_k", (f32(2, 5), 3), (i32(5), 2), (bf16(4), 1)),
    *op.each("approx_max_k approx_min_k", (f32(2, 6), 2)),
]

PRODUCTS: list[Operation] = [
    *op.each(
        "dot", (f32(3), f32(3)), (f32(2, 3), f32(3, 4)), (f32(2, 3), f32(3)), (i32(2, 2), i32(2, 2))
    ),
    op("batch_matmul", f32(2, 3, 4), f32(2, 4, 3)),
    op("dot_general", f32(2, 3, 4), f32(2, 4, 3), (((2,), (1,)), ((0,), (0,)))),
    op("dot_general", f32(2, 3, 4), f32(4, 5, 3), (((1, 2), (2, 0)), ((), ()))),
    op(
        "dot_general",
        bf16(2, 3),
        bf16(3, 2),
        (((1,), (0,)), ((), ())),
        preferred_element_type=jnp.float32,
    ),
    op("dot_general", i32(2, 3), i32(3, 2), (((1,), (0,)), ((), ()))),
    op(
        "dot_general",
        f32(2, 3),
        f32(3, 2),
        (((1,), (0,)), ((), ())),
        precision=lax.Precision.HIGHEST,
    ),
    op(
        "dot_general",
        u8(2, 3),
        u8(3, 2),
        (((1,), (0,)), ((), ())),
        preferred_element_type=jnp.int32,
    ),
    op("ragged_dot", f32(5, 3), f32(2, 3, 4), np.array([2, 3], "i4")),
    op(
        "ragged_dot_general",
        f32(5, 3),
        f32(2, 3, 4),
        np.array([2, 3], "i4"),
        lax.RaggedDotDimensionNumbers((((1,), (1,)), ((), ())), [0], [0]),
    ),
    op(
        "scaled_dot",
        bf16(2, 4),
        bf16(4, 3),
        lhs_scale=bf16(2, 2),
        rhs_scale=bf16(2, 3),
        differentiable=False,
    ),
]

RANDOM: list[Operation] = [
    op("rng_bit_generator", np.arange(4, dtype="u4"), (3,)),
    op("rng_bit_generator", np.arange(4, dtype="u4"), (2, 2), dtype=jnp.uint8),
    op("rng_uniform", 0.0, 1.0, (3,), via=lambda f, a, b, shape: f(a, b, shape) >= 0),
]

MISSING = {
    "ConvGeneralDilatedDimensionNumbers": "a type",
    "DotDimensionNumbers": "a type",
    "PrecisionLike": "a type",
    "conv_dimension_numbers": "returns dimension numbers, not an array",
    "dtype": "returns a dtype",
}

TABLE = Table(
    "jax.lax",
    [
        *ELEMENTWISE,
        *TYPES,
        *SHAPES,
        *REDUCTIONS,
        *PRODUCTS,
        *RANDOM,
        *table_lax_structured.ENTRIES,
    ],
    MISSING,
    some_versions=frozenset(
        {
            "ConvGeneralDilatedDimensionNumbers",
            "PrecisionLike",
            "log2",
            "one_minus_square",
            "polynomial",
            "precv",
            "psend",
            "psum_scatter_start",
        }
    ),
)
