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
    v11 = 2.0 * v10  # models.py:34
    v12 = lax.square(v10).mean()  # models.py:34
    v13 = 0.16666667 * v11  # models.py:34
    v14 = v13.sum(axis=0)  # models.py:29
    v15 = lax.dot_general(
        v13,
        v7,
        (((0,), (0,)), ((), ())),
        preferred_element_type=jnp.float32,
    )  # models.py:29
    v16 = v15.T  # models.py:29
    v17 = lax.dot_general(
        v13,
        w2,
        (((1,), (1,)), ((), ())),
        preferred_element_type=jnp.float32,
    )  # models.py:29
    d_hidden = jnp.where(v8, v17, 0.0)  # models.py:28
    v19 = d_hidden.sum(axis=0)  # models.py:28
    v20 = lax.dot_general(
        d_hidden,
        x,
        (((0,), (0,)), ((), ())),
        preferred_element_type=jnp.float32,
    )  # models.py:28
    v21 = v20.T  # models.py:28
    v22 = b1 - 0.1 * v19  # models.py:37
    v23 = b2 - 0.1 * v14  # models.py:37
    v24 = w1 - 0.1 * v21  # models.py:37
    v25 = w2 - 0.1 * v16  # models.py:37
    return (v12, v22, v23, v24, v25)
