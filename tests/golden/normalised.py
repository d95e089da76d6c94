"""normalised, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

import jax
import jax.numpy as jnp
import numpy as np


def normalised(x, *, MEAN):
    v2 = jnp.expand_dims(np.array([1.0, 2.0, 0.5, 4.0], jnp.float32), 0)  # models.py:137
    return ((x - MEAN).reshape(6, 4) * v2).sum()
