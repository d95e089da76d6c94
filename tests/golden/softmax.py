"""softmax, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

import jax
from jax import lax


def softmax(logits):
    v1 = logits - lax.stop_gradient(logits.max(axis=-1, keepdims=True))  # models.py:41
    v2 = lax.exp(v1)  # models.py:41
    return v2 / v2.sum(axis=-1, keepdims=True)
