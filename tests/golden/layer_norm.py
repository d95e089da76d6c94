"""layer_norm, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

import jax
from jax import lax


def layer_norm(x, scale, bias):
    mean = x.mean(axis=-1, keepdims=True)  # models.py:45
    v4 = x - mean  # models.py:46
    variance = lax.square(v4).mean(axis=-1, keepdims=True)  # models.py:46
    return v4 * lax.rsqrt(variance + 1e-05) * scale + bias
