"""huber, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

import jax
from jax import lax


def branch(x0, x1):
    return x1 * (lax.abs(x0) - 0.5 * x1)


def branch_1(x0, x1):
    return 0.5 * lax.square(x0)


def huber(error, delta):
    v2 = lax.cond(lax.abs(error) < delta, branch_1, branch, error, delta)  # models.py:86
    return v2
