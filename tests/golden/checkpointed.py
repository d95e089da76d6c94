"""checkpointed, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

import jax
from jax import lax


def checkpointed_1(x0, x1):
    return lax.sin(x1 @ x0) @ x0


def checkpointed(w, x):
    v2 = jax.checkpoint(checkpointed_1, policy=jax.checkpoint_policies.checkpoint_dots)(
        w, x,
    )  # models.py:125
    return v2.sum()
