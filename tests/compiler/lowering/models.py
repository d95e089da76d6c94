"""Small models whose printed programs and graphs are kept in tests/golden."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


class Model(NamedTuple):
    """A function and the arguments to trace it with."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def _filled(*shape: int) -> jax.Array:
    count = int(np.prod(shape))
    return jnp.asarray(np.sin(np.arange(count, dtype=np.float32)).reshape(shape))


def mlp(params, x):
    hidden = jax.nn.relu(x @ params["w1"] + params["b1"])
    return hidden @ params["w2"] + params["b2"]


def mlp_step(params, x, y):
    def loss(params):
        return ((mlp(params, x) - y) ** 2).mean()

    value, grads = jax.value_and_grad(loss)(params)
    return value, jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)


def softmax(logits):
    return jax.nn.softmax(logits, axis=-1)


def layer_norm(x, scale, bias):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * scale + bias


def conv_net(params, images):
    x = lax.conv_general_dilated(
        images, params["conv"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    x = jax.nn.relu(x)
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return x.reshape(x.shape[0], -1) @ params["dense"]


def recurrent(w, h, inputs):
    def cell(state, x):
        state = jnp.tanh(state @ w + x)
        return state, state.sum(axis=-1)

    return lax.scan(cell, h, inputs)


def newton(x):
    def unfinished(state):
        guess, steps = state
        return (jnp.abs(guess**2 - x) > 1e-4) & (steps < 20)

    def improve(state):
        guess, steps = state
        return 0.5 * (guess + x / guess), steps + 1

    return lax.while_loop(unfinished, improve, (x, 0))


def huber(error, delta):
    def quadratic(e, d):
        return 0.5 * e**2

    def linear(e, d):
        return d * (jnp.abs(e) - 0.5 * d)

    return lax.cond(jnp.abs(error) < delta, quadratic, linear, error, delta)


@jax.custom_jvp
def safe_log(x):
    return jnp.log(jnp.maximum(x, 1e-6))


@safe_log.defjvp
def _safe_log_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return safe_log(x), dx / jnp.maximum(x, 1e-3)


def entropy(p):
    return -(p * safe_log(p)).sum()


@jax.custom_vjp
def clip_gradient(x, limit):
    return x


clip_gradient.defvjp(
    lambda x, limit: (x, limit),
    lambda limit, g: (jnp.clip(g, -limit, limit), jnp.zeros_like(limit)),
)


def clipped(x, limit):
    return jnp.sin(clip_gradient(x * 2, limit))


@partial(jax.checkpoint, policy=jax.checkpoint_policies.dots_saveable)
def block(w, x):
    return jnp.sin(x @ w) @ w


def checkpointed(w, x):
    return block(w, x).sum()


def embedding(table, tokens):
    return table[tokens].mean(axis=0)


_MEAN = _filled(24)
_SCALES = np.array([1.0, 2.0, 0.5, 4.0], np.float32)


def normalised(x):
    return ((x - _MEAN).reshape(6, 4) * _SCALES).sum()


def dropout(key, x):
    kept = jax.random.bernoulli(key, 0.9, x.shape)
    return jnp.where(kept, x / 0.9, 0)


@jax.jit
def attention_scores(q, k):
    with jax.named_scope("scores"):
        return jnp.einsum("bqd,bkd->bqk", q, k) / jnp.sqrt(q.shape[-1])


def attention(q, k, v):
    weights = jax.nn.softmax(attention_scores(q, k), axis=-1)
    return jnp.einsum("bqk,bkd->bqd", weights, v)


_PARAMS = {"w1": _filled(4, 8), "b1": _filled(8), "w2": _filled(8, 2), "b2": _filled(2)}

MODELS = {
    "mlp": Model(mlp, (_PARAMS, _filled(3, 4))),
    "mlp_step": Model(mlp_step, (_PARAMS, _filled(3, 4), _filled(3, 2))),
    "softmax": Model(softmax, (_filled(3, 5),)),
    "layer_norm": Model(layer_norm, (_filled(3, 5), _filled(5), _filled(5))),
    "conv_net": Model(
        conv_net, ({"conv": _filled(3, 3, 2, 4), "dense": _filled(64, 3)}, _filled(2, 8, 8, 2))
    ),
    "recurrent": Model(recurrent, (_filled(4, 4), _filled(2, 4), _filled(6, 2, 4))),
    "newton": Model(newton, (jnp.float32(2),)),
    "huber": Model(huber, (jnp.float32(3), jnp.float32(1))),
    "entropy": Model(entropy, (_filled(4),)),
    "clipped": Model(clipped, (_filled(4), jnp.float32(0.5))),
    "checkpointed": Model(checkpointed, (_filled(4, 4), _filled(3, 4))),
    "embedding": Model(embedding, (_filled(10, 4), jnp.array([1, 0, 9]))),
    "normalised": Model(normalised, (_filled(24),)),
    "dropout": Model(dropout, (jax.random.key(0), _filled(3, 4))),
    "attention": Model(attention, (_filled(2, 3, 4), _filled(2, 5, 4), _filled(2, 5, 4))),
}
