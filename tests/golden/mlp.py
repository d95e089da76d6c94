"""mlp, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

import jax


def mlp(b1, b2, w1, w2, x):
    hidden = jax.nn.relu(x @ w1 + b1)  # models.py:28
    return hidden @ w2 + b2
