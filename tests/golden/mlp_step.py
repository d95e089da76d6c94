"""mlp_step, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

import jax
import jax.numpy as jnp
from jax import lax


def mlp_step(b1, b2, w1, w2, x, y):
    v6 = x @ w1 + b1  # models.py:28
    v7 = jax.nn.relu(v6)  # models.py:28
    v8 = v6 > 0.0  # models.py:28
    v9 = v7 @ w2 + b2  # models.py:29
    v10 = v9 - y  # models.py:34
    v11 = lax.square(v10).mean()  # models.py:34
    v12 = 0.33333334 * v10  # models.py:34
    v13 = v12.sum(axis=0)  # models.py:29
    v14 = lax.dot_general(
        v12,
        v7,
        (((0,), (0,)), ((), ())),
        preferred_element_type=jnp.float32,
    )  # models.py:29
    v15 = v14.T  # models.py:29
    v16 = lax.dot_general(
        v12,
        w2,
        (((1,), (1,)), ((), ())),
        preferred_element_type=jnp.float32,
    )  # models.py:29
    d_hidden = jnp.where(v8, v16, 0.0)  # models.py:28
    v18 = d_hidden.sum(axis=0)  # models.py:28
    v19 = lax.dot_general(
        d_hidden,
        x,
        (((0,), (0,)), ((), ())),
        preferred_element_type=jnp.float32,
    )  # models.py:28
    v20 = v19.T  # models.py:28
    v21 = b1 - 0.1 * v18  # models.py:37
    v22 = b2 - 0.1 * v13  # models.py:37
    v23 = w1 - 0.1 * v20  # models.py:37
    v24 = w2 - 0.1 * v15  # models.py:37
    return (v11, v21, v22, v23, v24)
