"""clipped, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


@jax.custom_vjp
def clip_gradient(x0, x1):
    return x0


def clip_gradient_forward(x0, x1):
    return x0, (x1,)


def clip_gradient_backward(residuals, x1):
    x0, = residuals
    v2 = jnp.minimum(x0, jnp.maximum(-x0, x1))
    return (v2, np.float32(0.0))


clip_gradient.defvjp(clip_gradient_forward, clip_gradient_backward)


def clipped(x, limit):
    v2 = clip_gradient(x * 2.0, limit)  # models.py:116
    return lax.sin(v2)
