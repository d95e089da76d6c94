"""entropy, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

import jax
import jax.numpy as jnp
from jax import lax


@jax.custom_jvp
def safe_log(x0):
    return lax.log(jnp.maximum(x0, 1e-06))


def safe_log_jvp(primals, tangents):
    x0, = primals
    x1, = tangents
    v2 = safe_log(x0)  # models.py:97
    v3 = x1 / jnp.maximum(x0, 0.001)  # models.py:97
    return v2, v3


safe_log.defjvp(safe_log_jvp)


def entropy(p):
    v1 = safe_log(p)  # models.py:101
    return -(p * v1).sum()
