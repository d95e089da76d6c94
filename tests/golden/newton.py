"""newton, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax


def condition(x0, carry):
    x1, x2 = carry
    v3 = lax.convert_element_type_p.bind(
        x2 < 20,
        new_dtype=jnp.dtype("bool"),
        weak_type=False,
        sharding=None,
    )  # models.py:70
    return (lax.abs(lax.square(x1) - x0) > 0.0001) & v3


def body(x0, carry):
    x1, x2 = carry
    v3 = 0.5 * (x1 + x0 / x1)  # models.py:74
    v4 = x2 + 1  # models.py:74
    return (v3, v4)


def newton(x):
    (v1, v2) = lax.while_loop(partial(condition, x), partial(body, x), (x, 0))  # models.py:76
    return (v1, v2)
