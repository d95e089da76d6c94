"""conv_net, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def conv_net(conv, dense, images):
    x = lax.conv_general_dilated(
        images,
        conv,
        window_strides=(1, 1),
        padding=((1, 1), (1, 1)),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )  # models.py:51
    x_1 = jax.nn.relu(x)  # models.py:54
    v5 = lax.slice(x_1, (0, 0, 0, 0), (2, 7, 7, 4), (1, 2, 2, 1))  # models.py:55
    v6 = lax.slice(x_1, (0, 0, 1, 0), (2, 7, 8, 4), (1, 2, 2, 1))  # models.py:55
    v7 = jnp.where(v5 >= v6, v5, v6)  # models.py:55
    v8 = lax.slice(x_1, (0, 1, 0, 0), (2, 8, 7, 4), (1, 2, 2, 1))  # models.py:55
    v9 = jnp.where(v7 >= v8, v7, v8)  # models.py:55
    v10 = lax.slice(x_1, (0, 1, 1, 0), (2, 8, 8, 4), (1, 2, 2, 1))  # models.py:55
    v11 = jnp.maximum(jnp.maximum(jnp.maximum(v5, v6), v8), v10)  # models.py:55
    v12 = jnp.where(
        v11 != v11,
        lax.full((2, 4, 4, 4), np.float32(jnp.nan)),
        lax.full((2, 4, 4, 4), np.float32(-0.0)),
    )  # models.py:55
    x_2 = jnp.where(v9 >= v10, v9, v10) + v12  # models.py:55
    return x_2.reshape(2, 64) @ dense
