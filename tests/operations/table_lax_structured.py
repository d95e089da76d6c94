"""The operation table of `jax.lax`, second part: windows, gathers, control flow, collectives."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .operation import Entries, Operation, bf16, boolean, c64, f32, i32, index

op = Entries("jax.lax")


def over_axis(f: Any, *arrays: Any, **kwargs: Any) -> Any:
    """Calls a collective under `vmap` over the axis named "i"."""
    return jax.vmap(lambda *xs: f(*xs, "i", **kwargs), axis_name="i")(*arrays)


def over_devices(f: Any, *arrays: Any, **kwargs: Any) -> Any:
    """Calls a collective on each of two devices along the mesh axis "i"."""
    spec = PartitionSpec("i")

    def local(*xs: Any) -> Any:
        return f(*xs, "i", **kwargs)

    return jax.shard_map(local, mesh=two_devices(), in_specs=spec, out_specs=spec)(*arrays)


def on_devices(f: Any, x: Any) -> Any:
    """Constrains the sharding of an intermediate value over two devices."""
    return f(x * 2, NamedSharding(two_devices(), PartitionSpec("i"))) + 1


def two_devices() -> Mesh:
    """A mesh of two devices along the axis "i"."""
    return Mesh(np.array(jax.devices()[:2]), ("i",))


CONV = (("NCHW", "OIHW", "NCHW"),)
NCH = ("NCH", "OIH", "NCH")
GATHER = lax.GatherDimensionNumbers((1,), (0,), (0,))
SCATTER = lax.ScatterDimensionNumbers((1,), (0,), (0,))

WINDOWS: list[Operation] = [
    *op.each("conv", (f32(1, 2, 5, 5), f32(3, 2, 2, 2), (1, 1), "SAME")),
    op("conv_transpose", f32(1, 4, 2), f32(3, 2, 2), (2,), "SAME"),
    op("conv_with_general_padding", f32(1, 2, 5), f32(3, 2, 3), (1,), [(1, 1)], (1,), (1,)),
    op("conv_general_dilated", f32(2, 3, 6), f32(4, 3, 2), (2,), "VALID", dimension_numbers=NCH),
    op(
        "conv_general_dilated",
        f32(1, 5, 5, 2),
        f32(2, 2, 2, 3),
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    ),
    op(
        "conv_general_dilated",
        f32(1, 4, 5),
        f32(4, 2, 2),
        (1,),
        [(0, 1)],
        (2,),
        (1,),
        feature_group_count=2,
    ),
    op("conv_general_dilated", f32(4, 2, 5), f32(2, 2, 2), (1,), "VALID", batch_group_count=2),
    op("conv_general_dilated", bf16(1, 2, 5), bf16(3, 2, 2), (1,), "VALID", rhs_dilation=(2,)),
    op("conv_general_dilated_local", f32(1, 2, 4), f32(3, 4, 3), (1,), "VALID", (2,)),
    op("conv_general_dilated_patches", f32(1, 2, 5), (2,), (1,), "VALID"),
    *op.each("reduce_window", (f32(4, 4), 0.0, lax.add, (2, 2), (2, 2), "VALID")),
    *op.each("reduce_window", (f32(5), -jnp.inf, lax.max, (2,), (1,), "SAME")),
    *op.each("reduce_window", (i32(5), 1, lax.mul, (2,), (2,), [(1, 0)])),
    *op.each("reduce_window", (i32(5), 0, lambda x, y: x + 2 * y, (2,), (1,), "VALID")),
    *op.each("fft", (c64(2, 4), "fft", (4,)), (c64(4), "ifft", (4,))),
    op("fft", f32(2, 4), lax.FftType.RFFT, (4,)),
    op("fft", c64(3), lax.FftType.IRFFT, (4,)),
]

INDEXING: list[Operation] = [
    *op.each("gather", (f32(5, 3), index(4, 1, size=5), GATHER, (1, 3))),
    op("gather", f32(3, 2), np.array([[1], [7]]), GATHER, (1, 2), mode="fill", fill_value=0.5),
    op(
        "gather",
        i32(3, 2),
        np.array([[1], [7]]),
        GATHER,
        (1, 2),
        mode="clip",
        indices_are_sorted=True,
    ),
    op("index_take", f32(5, 3), [index(2, size=5)], (0,)),
    *op.each(
        "scatter scatter_add scatter_sub scatter_max scatter_min",
        (f32(5, 3), np.array([[1], [3]]), f32(2, 3), SCATTER),
    ),
    op("scatter_mul", f32(5, 3), np.array([[1], [3]]), f32(2, 3), SCATTER, unique_indices=True),
    op("scatter_add", i32(5, 2), index(3, 1, size=5), i32(3, 2), SCATTER, mode="clip"),
    op(
        "scatter_apply",
        f32(5, 3),
        np.array([[1], [3]]),
        jnp.sin,
        SCATTER,
        update_shape=(2, 3),
        unique_indices=True,
        differentiable=False,
    ),
]

CONTROL_FLOW: list[Operation] = [
    op("cond", boolean(), jnp.sin, jnp.cos, f32(3)),
    op("cond", True, jnp.sin, jnp.cos, f32(3)),
    op("cond", boolean(), lambda x, y: (x, y), lambda x, y: (y, x), f32(2), f32(2)),
    op("switch", index(size=3), [jnp.sin, jnp.cos, jnp.negative], f32(3)),
    op("fori_loop", 0, 3, lambda i, x: x * 1.5 + i, f32(3)),
    op("fori_loop", 0, i32(low=1), lambda i, x: x + i, f32(3), differentiable=False),
    op(
        "while_loop",
        lambda c: c[0] < 3,
        lambda c: (c[0] + 1, c[1] * 2),
        (i32(), f32(2)),
        differentiable=False,
    ),
    op("scan", lambda c, x: (c * x + 1, c), f32(3), f32(4, 3)),
    op("scan", lambda c, x: ((c[0] + x, c[1] + 1), None), (f32(), i32()), f32(5), reverse=True),
    op("scan", lambda c, _: (jnp.sin(c), c), f32(2), None, length=3),
    op("scan", lambda c, x: (c + x, c), f32(2), f32(4, 2), unroll=2),
    op("map", jnp.sin, f32(3, 2)),
    op("map", lambda x: x[0] * x[1], (f32(4), f32(4)), batch_size=2),
    op("associative_scan", jnp.add, f32(5)),
    op(
        "associative_scan",
        lambda a, b: (a[0] * b[0], a[1] * b[0] + b[1]),
        (f32(4), f32(4)),
        reverse=True,
    ),
    op(
        "custom_root",
        lambda x: x**3 - x - 2,
        1.5,
        lambda g, x: x - g(x) / 5.75,
        lambda g, y: y / g(1.0),
        via=lambda f, *args: f(*args),
    ),
    op(
        "custom_root",
        f32(3),
        via=lambda f, a: f(
            lambda x: x - jnp.cos(a),
            jnp.zeros_like(a),
            lambda g, x: x - g(x),
            lambda g, y: y / g(jnp.ones_like(y)),
        ),
    ),
    op(
        "custom_linear_solve",
        f32(3),
        f32(3),
        via=lambda f, d, b: f(lambda x: (d + 2) * x, b, lambda mv, y: y / (d + 2), symmetric=True),
    ),
    op(
        "composite",
        f32(3),
        via=lambda f, x: f(lambda y: jnp.sin(y) * 2, "my.twice_sine")(x),
        differentiable=False,
    ),
    op("platform_dependent", f32(3), cpu=jnp.sin, default=jnp.cos),
    op("platform_dependent", f32(3), default=jnp.cos),
    op("dce_sink", f32(3), via=lambda f, x: (f(jnp.sin(x)), x + 1)[1]),
]

TOKENS: list[Operation] = [
    op("create_token", f32(3), via=lambda f, x: (f(), x * 2)[1]),
    op("after_all", f32(3), via=lambda f, x: (f(lax.create_token()), x * 2)[1]),
]

COLLECTIVES: list[Operation] = [
    *op.each("psum pmean all_gather", (f32(3, 2),), via=over_axis),
    *op.each("pmax pmin", (f32(3, 2),), via=over_axis, differentiable=False),
    *op.each("psum pmax", (i32(2, 2),), via=over_devices),
    *op.each("psum pmean", (f32(4, 2),), via=over_devices),
    op("all_gather", f32(4, 2), via=over_devices, tiled=True),
    op(
        "all_to_all",
        f32(3, 3, 2),
        0,
        0,
        via=lambda f, x, s, c: over_axis(lambda y, n: f(y, n, s, c), x),
    ),
    op(
        "all_to_all",
        f32(4, 2),
        via=lambda f, x: over_devices(lambda y, n: f(y, n, 0, 0, tiled=True), x),
    ),
    op("ppermute", f32(3, 2), perm=[(0, 1), (1, 2), (2, 0)], via=over_axis),
    op("ppermute", f32(4, 2), perm=[(0, 1), (1, 0)], via=over_devices),
    op("pshuffle", f32(3, 2), perm=[2, 0, 1], via=over_axis),
    op("pswapaxes", f32(3, 3), axis=0, via=over_axis),
    op("psum_scatter", f32(3, 3), via=over_axis),
    op("psum_scatter", f32(4, 2), via=over_devices, tiled=True),
    op("axis_index", f32(3), via=lambda f, x: over_axis(lambda y, n: y * f(n), x)),
    op("axis_size", f32(3), via=lambda f, x: over_axis(lambda y, n: y * f(n), x)),
    op("axis_index", f32(4), via=lambda f, x: over_devices(lambda y, n: y * f(n), x)),
    op(
        "pcast",
        f32(4),
        via=lambda f, x: over_devices(lambda y, n: y * f(jnp.ones(()), n, to="varying"), x),
    ),
    op("pbroadcast", f32(4, 2), source=0, via=over_devices, executes=False),
    op("ragged_all_to_all", f32(4), via=lambda f, x: over_devices(exchange(f), x), executes=False),
    op("psend", f32(4), via=lambda f, x: over_devices(sent(f), x), executes=False),
    op("precv", f32(4), via=lambda f, x: over_devices(received(f), x), executes=False),
    op(
        "psum_scatter_start",
        f32(4, 2),
        via=lambda f, x: over_devices(scattered(f), x),
        executes=False,
    ),
    op("with_sharding_constraint", f32(4), via=on_devices),
]


def sent(psend: Any) -> Any:
    """Sends an array from the first device to the second, and goes on when it has left."""

    def body(x: Any, name: str) -> Any:
        token = psend(x, name, [(0, 1)])
        return lax.optimization_barrier((x, token))[0]

    return body


def received(precv: Any) -> Any:
    """Receives what the first device sends to the second."""
    return lambda x, name: precv(lax.create_token(), jax.typeof(x), name, [(0, 1)])


def scattered(psum_scatter_start: Any) -> Any:
    """Starts a scattered sum and waits for its end."""
    return lambda x, name: psum_scatter_start(x, name, tiled=True).done()


def exchange(ragged_all_to_all: Any) -> Any:
    """Sends one element to each of two devices."""

    def body(x: Any, name: str) -> Any:
        offsets, ones = jnp.arange(2), jnp.ones(2, jnp.int32)
        mine = jnp.full(2, lax.axis_index(name))
        return ragged_all_to_all(x, jnp.zeros_like(x), offsets, ones, mine, ones, axis_name=name)

    return body


ENTRIES = [*WINDOWS, *INDEXING, *CONTROL_FLOW, *TOKENS, *COLLECTIVES]
