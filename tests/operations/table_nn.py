"""The operation table of `jax.nn`."""

import jax
import jax.numpy as jnp
import numpy as np

from .operation import (
    Entries,
    Operation,
    Table,
    bf16,
    boolean,
    edges,
    f32,
    i32,
    index,
    positive,
    weak,
)

op = Entries("jax.nn")

ENTRIES: list[Operation] = [
    *op.each(
        "celu elu gelu hard_sigmoid hard_silu hard_swish hard_tanh identity leaky_relu log_sigmoid "
        "mish relu relu6 selu sigmoid silu soft_sign softplus sparse_plus sparse_sigmoid "
        "squareplus swish tanh",
        (f32(3, 4),),
        (bf16(3),),
        (edges(),),
    ),
    *op.each("relu sigmoid tanh gelu silu", (weak(0.5),)),
    op("relu", i32(4)),
    op("gelu", f32(4), approximate=False),
    op("elu", f32(4), positive()),
    op("leaky_relu", f32(4), 0.3),
    op("log1mexp", positive(4)),
    op("glu", f32(3, 4)),
    *op.each(
        "log_softmax softmax logsumexp logmeanexp standardize",
        (f32(3, 4),),
        (bf16(4),),
        (f32(3, 4), 0),
    ),
    *op.each("softmax log_softmax logsumexp", (f32(3, 4),), axis=(0, 1)),
    *op.each("softmax log_softmax logsumexp logmeanexp", (f32(5),), where=np.arange(5) < 3),
    op("logsumexp", f32(4), b=f32(4), return_sign=True),
    op("standardize", f32(3, 4), mean=f32(3, 1), variance=positive(3, 1)),
    op("one_hot", index(4, size=3), 3),
    op("one_hot", index(2, 2, size=3), 3, axis=0, dtype=jnp.bfloat16),
    op("dot_product_attention", f32(2, 3, 2, 4), f32(2, 5, 2, 4), f32(2, 5, 2, 4)),
    op("dot_product_attention", f32(3, 4, 2), f32(3, 2, 2), f32(3, 2, 2), is_causal=True),
    op(
        "dot_product_attention",
        bf16(1, 3, 2, 4),
        bf16(1, 3, 2, 4),
        bf16(1, 3, 2, 4),
        bias=bf16(1, 2, 3, 3),
        scale=0.5,
    ),
    op(
        "dot_product_attention",
        f32(1, 3, 2, 4),
        f32(1, 3, 2, 4),
        f32(1, 3, 2, 4),
        mask=boolean(1, 2, 3, 3),
    ),
    op(
        "get_scaled_dot_general_config",
        f32(2, 32),
        f32(3, 32),
        via=lambda f, x, y: scaled(x, y, f("mxfp8")),
        executes=False,
    ),
    op(
        "scaled_dot_general",
        f32(2, 4),
        f32(3, 4),
        via=lambda f, x, y: f(x, y, (((1,), (1,)), ((), ()))),
    ),
    op(
        "scaled_matmul",
        f32(1, 2, 4),
        f32(1, 3, 4),
        positive(1, 2, 2),
        positive(1, 3, 2),
        executes=False,
    ),
]


def scaled(x, y, config):
    """A block-scaled product of two matrices along their last axes."""
    dimensions = (((2,), (2,)), ((0,), (0,)))
    return jax.nn.scaled_dot_general(x[None], y[None], dimensions, configs=[config] * 3)


MISSING: dict[str, str] = {}

TABLE = Table("jax.nn", ENTRIES, MISSING)
