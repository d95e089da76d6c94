"""attention, as written by xlathe. It needs jax, and nothing of xlathe.

models.py is lowering/models.py
"""

import jax
import jax.numpy as jnp
from jax import lax


def attention(q, k, v):
    with jax.named_scope('attention_scores/scores/bqd,bkd->bqk'):
        v3 = lax.dot_general(
            q,
            k,
            (((2,), (2,)), ((0,), (0,))),
            preferred_element_type=jnp.float32,
        )  # models.py:148
    with jax.named_scope('attention_scores/scores'):
        v4 = lax.convert_element_type_p.bind(
            lax.sqrt(4.0),
            new_dtype=jnp.dtype("float32"),
            weak_type=False,
            sharding=None,
        )  # models.py:148
        v5 = v3 / v4  # models.py:148
    weights = jax.nn.softmax(v5, axis=-1)  # models.py:152
    with jax.named_scope('bqk,bkd->bqd'):
        v7 = lax.dot_general(
            weights,
            v,
            (((2,), (1,)), ((0,), (0,))),
            preferred_element_type=jnp.float32,
        )  # models.py:153
    return v7
