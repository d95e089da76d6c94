"""What looks like attention and is not, or is more: each with what the log says of it."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .spellings import BTNH, GROUPED, N, S, Spelling, T, einsum, mixed, scores, softmax, tril


def returning(extra: Any) -> Spelling:
    """Attention that also returns something of its scores."""

    def attend(q, k, v):
        s = scores(q, k)
        p = softmax(jnp.where(tril(), s, -1e9))
        return mixed(p, v), extra(s, p)

    return Spelling(attend)


def weighted(change: Any) -> Spelling:
    """Attention whose weights are changed before they meet the values."""
    return Spelling(lambda q, k, v: mixed(change(softmax(scores(q, k))), v))


def scored(change: Any) -> Spelling:
    """Attention whose scores are changed before the softmax."""
    return Spelling(lambda q, k, v: mixed(softmax(change(scores(q, k))), v))


def exponentials(total: Any) -> Spelling:
    """Attention whose exponentials are divided by something of one's own."""

    def attend(q, k, v):
        s = scores(q, k)
        e = jnp.exp(s - s.max(-1, keepdims=True))
        return mixed(e / total(s, e), v)

    return Spelling(attend)


def with_a_floor(p):
    return jnp.where(jax.random.bernoulli(jax.random.key(0), 0.9, p.shape), p, 0.01)


def gated(p):
    return p * jax.random.uniform(jax.random.key(0), p.shape)


def only_the_best(s):
    return jnp.where(s >= lax.top_k(s, 4)[0][..., -1:], s, -jnp.inf)


def additive(q, k, v):
    s = jnp.tanh(q[:, :, None] + k[:, None]).sum(-1).transpose(0, 3, 1, 2)
    return mixed(softmax(s), v)


def by_distance(q, k, v):
    s = -((q[:, :, None] - k[:, None]) ** 2).sum(-1).transpose(0, 3, 1, 2)
    return mixed(softmax(s), v)


def linear(q, k, v):
    return mixed(jax.nn.relu(scores(q, k)), v)


def twice(q, k, v):
    p = softmax(scores(q, k))
    return mixed(p, v) + mixed(p, v * v)


def across_heads(q, k, v):
    p = softmax(einsum("bqhd,bkhd->bqk", q, k))
    return einsum("bqk,bkhd->bqhd", p, v)


def without_batch(q, k, v):
    return einsum("bhqk,khd->bqhd", softmax(scores(q, k)), v[0])


def summed_over_heads(q, k, v):
    return einsum("bhqk,bkhd->bqd", softmax(scores(q, k)), v)


def weights_turned(q, k, v):
    return einsum("bhqk,bqhd->bkhd", softmax(scores(q, k)), v)


def mask_of_heads(q, k, v):
    mask = (jnp.arange(N)[:, None] >= jnp.arange(T)[None, :])[:, None, :]
    return mixed(softmax(jnp.where(mask, scores(q, k), -1e9)), v)


def precise(q, k, v):
    s = einsum("bqhd,bkhd->bhqk", q, k, precision="highest")
    return mixed(softmax(s), v)


def of_weights_alone(q, k, v):
    p = softmax(scores(q, k))
    return einsum("bhqk,bhkj->bhqj", p, p)


LOOKALIKES: dict[str, tuple[Spelling, str]] = {
    "scores returned": (returning(lambda s, p: s), "scores are also returned"),
    "weights returned": (returning(lambda s, p: p), "weights are also returned"),
    "log of the weights returned": (returning(lambda s, p: jnp.log(p)), "also read by log"),
    "entropy returned": (returning(lambda s, p: -(p * jnp.log(p)).sum(-1)), "also read by"),
    "greatest score returned": (returning(lambda s, p: s.max(-1)), "also read by reduce_max"),
    "scores summed": (returning(lambda s, p: s.sum()), "also read by reduce_sum"),
    "softmax over queries": (
        Spelling(lambda q, k, v: mixed(softmax(scores(q, k), axis=2), v)),
        "",
    ),
    "softmax over heads": (Spelling(lambda q, k, v: mixed(softmax(scores(q, k), axis=1), v)), ""),
    "softmax over the batch": (
        Spelling(lambda q, k, v: mixed(softmax(scores(q, k), axis=0), v)),
        "",
    ),
    "weights turned": (Spelling(weights_turned), ""),
    "weights with a floor": (weighted(with_a_floor), "pass through select_n"),
    "weights gated": (weighted(gated), "pass through mul"),
    "small weights dropped": (
        weighted(lambda p: jnp.where(p > 0.01, p, 0.0)),
        "weights are also read by gt",
    ),
    "weights squared": (weighted(lambda p: p * p), ""),
    "gradient stopped at the weights": (weighted(lax.stop_gradient), ""),
    "softmax twice": (weighted(softmax), "more than a number"),
    "weights rounded": (weighted(lambda p: jnp.round(p)), ""),
    "masked with 0": (scored(lambda s: jnp.where(tril(), s, 0.0)), "leaves them a weight"),
    "masked with -10": (scored(lambda s: jnp.where(tril(), s, -10.0)), "leaves them a weight"),
    "multiplied by a mask": (scored(lambda s: s * tril()), "more than a number"),
    "scores squared": (scored(lambda s: s * s), ""),
    "scores clipped": (scored(lambda s: jnp.maximum(s, 0.0)), "pass through max"),
    "gradient stopped at the scores": (scored(lax.stop_gradient), "pass through stop_gradient"),
    "the best scores only": (scored(only_the_best), "also read by"),
    "one more than the sum": (exponentials(lambda s, e: 1 + e.sum(-1, keepdims=True)), ""),
    "sum over queries": (exponentials(lambda s, e: e.sum(-2, keepdims=True)), ""),
    "sum of squares": (exponentials(lambda s, e: (e * e).sum(-1, keepdims=True)), ""),
    "sum of others": (exponentials(lambda s, e: jnp.exp(s).sum(-1, keepdims=True)), ""),
    "sigmoid": (Spelling(lambda q, k, v: mixed(jax.nn.sigmoid(scores(q, k)), v)), ""),
    "linear attention": (Spelling(linear), ""),
    "additive attention": (Spelling(additive), ""),
    "by distance": (Spelling(by_distance), ""),
    "two sets of values": (Spelling(twice), "several values"),
    "scores across heads": (Spelling(across_heads), "several axes"),
    "values without a batch": (Spelling(without_batch), ""),
    "summed over heads": (Spelling(summed_over_heads), ""),
    "a mask of heads and keys": (Spelling(mask_of_heads), "not the queries'"),
    "a precision asked for": (Spelling(precise), "precision"),
    "weights times weights": (Spelling(of_weights_alone), ""),
}

__all__ = ["BTNH", "GROUPED", "LOOKALIKES", "S"]
