"""dropout, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives


def dropout(key, x):
    v2 = primitives.random_bits_p.bind(key, bit_width=32, shape=(3, 4))  # models.py:141
    v3 = lax.or_p.bind(
        lax.shift_right_logical(v2, np.uint32(9)),
        np.uint32(1065353216),
    )  # models.py:141
    v4 = lax.bitcast_convert_type_p.bind(v3, new_dtype=jnp.dtype("float32"))  # models.py:141
    kept = jnp.maximum(0.0, v4 - 1.0 + 0.0) < 0.9  # models.py:141
    return jnp.where(kept, x / 0.9, 0.0)
