"""embedding, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

import jax
import jax.numpy as jnp
from jax import lax


def embedding(table, tokens):
    v2 = jnp.expand_dims(jnp.where(tokens < 0, tokens + 10, tokens), 1)  # models.py:129
    v3 = lax.gather(
        table,
        v2,
        dimension_numbers=lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,), operand_batching_dims=(), start_indices_batching_dims=()),
        slice_sizes=(1, 4),
        mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS,
    )  # models.py:129
    return v3.mean(axis=0)
