"""softmax, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

import jax


def softmax(logits):
    return jax.nn.softmax(logits, axis=-1)
