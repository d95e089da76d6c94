"""Losses over a vocabulary as people write them, one line each, and what is no such loss."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import logsumexp

B, T, D, V = 4, 32, 8, 320
N = B * T
F32, BF16 = jnp.float32, jnp.bfloat16
log_softmax, one_hot = jax.nn.log_softmax, jax.nn.one_hot
by_index = optax.softmax_cross_entropy_with_integer_labels

BATCHED = ((B, T, D), (D, V))
FLAT = ((N, D), (D, V))
TIED = ((B, T, D), (V, D))
BIASED = ((B, T, D), (D, V), (V,))


class Spelling(NamedTuple):
    """A loss.

    Attributes:
        function: the loss, of hidden states, weights, perhaps a bias, and labels.
        shapes: those of all but the labels.
        dtype: their type.
    """

    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...] = BATCHED
    dtype: Any = F32


def labels(spelling: Spelling) -> jax.Array:
    """A label for each row; two of them are -1, for losses that ignore these."""
    rows = spelling.shapes[0][:-1]
    found = jax.random.randint(jax.random.key(7), rows, 0, V)
    return found.at[(0,) * len(rows)].set(-1).at[(-1,) * len(rows)].set(-1)


def of_logits(loss: Callable[..., Any], dtype: Any = F32) -> Spelling:
    """A loss that knows logits and labels, which are counted from 0."""
    return Spelling(lambda h, w, y: loss(h @ w, abs(y)), dtype=dtype)


def flat(loss: Callable[..., Any]) -> Spelling:
    """The same of tokens in one row."""
    return of_logits(loss)._replace(shapes=FLAT)


def picked(logp, y):
    return jnp.take_along_axis(logp, y[..., None], -1)[..., 0]


def by_hand(logits, y):
    shifted = logits - logits.max(-1, keepdims=True)
    return -picked(shifted - jnp.log(jnp.exp(shifted).sum(-1, keepdims=True)), y).mean()


def masked(h, w, y):
    keep = y >= 0
    losses = by_index(h @ w, jnp.where(keep, y, 0))
    return jnp.where(keep, losses, 0).sum() / keep.sum()


def weighted(h, w, y):
    weights = (y % 3).astype(F32)
    return (by_index(h @ w, abs(y)) * weights).sum() / weights.sum()


def nano_gpt(h, w, y):
    logits = (h @ w).reshape(-1, V)
    keep = y.reshape(-1) != -1
    losses = -picked(log_softmax(logits, -1), jnp.where(keep, y.reshape(-1), 0))
    return (losses * keep).sum() / jnp.maximum(keep.sum(), 1)


def z_loss(logits, y, factor=1e-4):
    z = logsumexp(logits, -1)
    return (z - picked(logits, y) + factor * z**2).mean()


def t5(logits, y, smoothing=0.1):
    low = smoothing / (V - 1)
    targets = one_hot(y, V) * (1 - smoothing - low) + low
    z = logsumexp(logits, axis=-1, keepdims=True)
    return (-(targets * (logits - z)).sum(-1) + 1e-4 * z[..., 0] ** 2).mean()


def smoothed(logits, y):
    logp = log_softmax(logits)
    return -(0.9 * picked(logp, y) + 0.1 * logp.mean(-1)).mean()


def flax_dense(h, w, b, y):
    logits: Any = nn.Dense(V).apply({"params": {"kernel": w, "bias": b}}, h)
    return by_index(logits, abs(y)).mean()


def equinox_linear(h, w, b, y):
    linear = eqx.nn.Linear(D, V, key=jax.random.key(0))
    linear = eqx.tree_at(lambda layer: (layer.weight, layer.bias), linear, (w.T, b))
    logits = jax.vmap(jax.vmap(linear))(h)
    return by_index(logits, abs(y)).mean()


def shifted(h, w, y):
    return by_index((h @ w)[:, :-1], abs(y)[:, 1:]).mean()


def with_accuracy(h, w, y):
    logits = h @ w
    right = (logits.argmax(-1) == abs(y)).mean()
    return by_index(logits, abs(y)).mean() + 0 * right


def soft_capped(h, w, y):
    return by_index(30 * jnp.tanh(h @ w / 30), abs(y)).mean()


def masked_words(logits, y):
    allowed = jnp.arange(V) < V - 20
    return by_index(jnp.where(allowed, logits, -1e9), y % (V - 20)).mean()


def focal(logits, y):
    logp = picked(log_softmax(logits), y)
    return -((1 - jnp.exp(logp)) ** 2 * logp).mean()


def distilled(h, w, y):
    teacher = log_softmax(jnp.sin(h) @ w[:, ::-1])
    return (jnp.exp(teacher) * (teacher - log_softmax(h @ w))).sum(-1).mean()


def perplexities(h, w, y):
    return jnp.exp(by_index(h @ w, abs(y)).mean(-1)).mean()


def in_low_precision(h, w, y):
    return by_index((h @ w).astype(F32), abs(y)).mean()


SPELLINGS: dict[str, Spelling] = {
    "log_softmax, take_along_axis": of_logits(lambda x, y: -picked(log_softmax(x), y).mean()),
    "by hand": of_logits(by_hand),
    "indexed by rows": flat(lambda x, y: -log_softmax(x)[jnp.arange(N), y].mean()),
    "indexed by rows and columns": of_logits(
        lambda x, y: -log_softmax(x)[jnp.arange(B)[:, None], jnp.arange(T), y].mean()
    ),
    "indexed under vmap": flat(
        lambda x, y: -jax.vmap(lambda row, i: row[i])(log_softmax(x), y).mean()
    ),
    "the whole loss under vmap": flat(
        lambda x, y: jax.vmap(lambda row, i: logsumexp(row) - row[i])(x, y).mean()
    ),
    "one-hot": of_logits(lambda x, y: -(one_hot(y, V) * log_softmax(x)).sum(-1).mean()),
    "one-hot, all summed": of_logits(lambda x, y: -(one_hot(y, V) * log_softmax(x)).sum() / N),
    "one-hot, einsum": of_logits(
        lambda x, y: -jnp.einsum("btv,btv->", one_hot(y, V), log_softmax(x)) / N
    ),
    "logsumexp - picked": of_logits(lambda x, y: (logsumexp(x, -1) - picked(x, y)).mean()),
    "log of a softmax": flat(lambda x, y: -jnp.log(picked(jax.nn.softmax(x), y)).mean()),
    "log of a softmax and epsilon": flat(
        lambda x, y: -jnp.log(jax.nn.softmax(x) + 1e-7)[jnp.arange(N), y].mean()
    ),
    "optax, integers": of_logits(lambda x, y: by_index(x, y).mean()),
    "optax, one-hot": of_logits(lambda x, y: optax.softmax_cross_entropy(x, one_hot(y, V)).mean()),
    "optax, smoothed": of_logits(
        lambda x, y: optax.softmax_cross_entropy(x, optax.smooth_labels(one_hot(y, V), 0.1)).mean()
    ),
    "sum": of_logits(lambda x, y: by_index(x, y).sum()),
    "mean over masked tokens": Spelling(masked),
    "weights of tokens": Spelling(weighted),
    "nanoGPT, flattened": Spelling(nano_gpt),
    "z-loss": of_logits(z_loss),
    "T5, smoothed, z-loss": of_logits(t5),
    "smoothed by hand": of_logits(smoothed),
    "Flax": Spelling(flax_dense, BIASED),
    "Equinox under vmap": Spelling(equinox_linear, BIASED),
    "a bias": Spelling(lambda h, w, b, y: by_index(h @ w + b, abs(y)).mean(), BIASED),
    "tied embeddings": Spelling(lambda h, e, y: by_index(h @ e.T, abs(y)).mean(), TIED),
    "tied, einsum": Spelling(
        lambda h, e, y: by_index(jnp.einsum("btd,vd->btv", h, e), abs(y)).mean(), TIED
    ),
    "tokens behind words": Spelling(
        lambda h, w, y: by_index(jnp.einsum("btd,dv->vbt", h, w), abs(y), axis=0).mean()
    ),
    "tokens shifted": Spelling(shifted),
    "beside the accuracy": Spelling(with_accuracy),
    "soft cap": Spelling(soft_capped),
    "words ruled out": of_logits(masked_words),
    "focal": of_logits(focal),
    "distillation": Spelling(distilled),
    "a mean for each text": Spelling(perplexities),
    "float32 loss of bfloat16 states": Spelling(in_low_precision, dtype=BF16),
}


def returning_logits(h, w, y):
    logits = h @ w
    return by_index(logits, abs(y)).mean(), logits


def returning_probabilities(h, w, y):
    logits = h @ w
    return by_index(logits, abs(y)).mean(), jax.nn.softmax(logits)


def over_everything(h, w, y):
    return -picked((h @ w) - logsumexp(h @ w), abs(y)).mean()


def over_tokens(h, w, y):
    return -picked(log_softmax(h @ w, (0, 1)), abs(y)).mean()


def below_the_greatest(h, w, y):
    logits = h @ w
    return by_index(logits - logits.max((0, 1), keepdims=True), abs(y)).mean()


def sorted_logits(h, w, y):
    return by_index(jnp.sort(h @ w, axis=-1), abs(y)).mean()


def mirrored(h, w, y):
    logits = (h @ w).reshape(-1, V)
    return by_index(jnp.sin(logits) + logits[::-1], abs(y).reshape(-1)).mean()


LOOKALIKES: dict[str, tuple[Spelling, str]] = {
    "logits are returned": (Spelling(returning_logits), "its logits are also returned"),
    "probabilities are returned": (
        Spelling(returning_probabilities),
        "values as large as its logits are also returned",
    ),
    "softmax over everything": (Spelling(over_everything), "meet in reduce_max"),
    "softmax over tokens": (Spelling(over_tokens), "meet in reduce_max"),
    "the greatest of all tokens": (Spelling(below_the_greatest), "meet in reduce_max"),
    "sorted": (Spelling(sorted_logits), "pass through sort"),
    "tokens of both ends meet": (Spelling(mirrored), "meet in rev"),
}
