"""Attention as people write it: one line a spelling, and look-alikes that are something else."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

B, T, S, N, K, D, C = 2, 64, 128, 4, 2, 8, 32
F32, BF16 = jnp.float32, jnp.bfloat16
softmax = jax.nn.softmax
einsum = jnp.einsum

BTNH = ((B, T, N, D),) * 3
BNTH = ((B, N, T, D),) * 3
CROSS = ((B, T, N, D), (B, S, N, D), (B, S, N, D))
GROUPED = ((B, T, N, D), (B, T, K, D), (B, T, K, D))
SINGLE = ((T, D),) * 3
LAYER = ((B, T, C), (C, 3 * C), (C, C))
SPLIT = ((B, T, C), (C, C), (C, C), (C, C))


class Spelling(NamedTuple):
    """An attention.

    Attributes:
        function: the attention.
        shapes: those of the arrays that it is differentiated by.
        dtype: their type.
        others: further arguments: masks, lengths, keys.
    """

    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...] = BTNH
    dtype: Any = F32
    others: tuple[Any, ...] = ()


def scores(q, k):
    return einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(D)


def mixed(p, v):
    return einsum("bhqk,bkhd->bqhd", p, v)


def tril(rows=T, columns=T):
    return jnp.tril(jnp.ones((rows, columns), bool))


def positions(rows=T, columns=T):
    return jnp.arange(rows)[:, None], jnp.arange(columns)[None, :]


def by_hand(s):
    e = jnp.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def through(score, mask=None, fill=-1e9, weights=softmax):
    """Attention whose scores are made by `score`, masked by `mask`."""

    def attend(q, k, v):
        s = score(q, k)
        return mixed(weights(s if mask is None else jnp.where(mask(), s, fill)), v)

    return attend


def biased(bias, *shapes, others=(), dtype=F32):
    """Attention to whose scores `bias` of the further arguments is added."""

    def attend(q, k, v, *more):
        return mixed(softmax(scores(q, k) + bias(*more)), v)

    return Spelling(attend, (*BTNH, *shapes), dtype, others)


def masked(mask, others, fill=-1e9):
    """Attention masked by `mask` of the further arguments."""

    def attend(q, k, v, *more):
        return mixed(softmax(jnp.where(mask(*more), scores(q, k), fill)), v)

    return Spelling(attend, BTNH, F32, others)


def heads(x, w):
    return (x @ w).reshape(B, T, N, D)


def nano_gpt(x, w, out):
    q, k, v = jnp.split(x @ w, 3, axis=2)
    q, k, v = (y.reshape(B, T, N, C // N).transpose(0, 2, 1, 3) for y in (q, k, v))
    att = (q @ k.swapaxes(-2, -1)) * (1.0 / math.sqrt(k.shape[-1]))
    att = jnp.where(jnp.tril(jnp.ones((T, T)))[None, None] == 0, -jnp.inf, att)
    y = softmax(att, axis=-1) @ v
    return y.transpose(0, 2, 1, 3).reshape(B, T, C) @ out


def gpt2(x, w, out):
    qkv = (x @ w).reshape(B, T, 3, N, D)
    q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    s = einsum("bthd,bshd->bhts", q, k) / np.float32(np.sqrt(D))
    s = s + (1.0 - jnp.tri(T)) * -1e10
    return mixed(softmax(s), v).reshape(B, T, C) @ out


def llama(x, wq, wk, wv):
    q, k, v = heads(x, wq), heads(x, wk[:, : K * D].repeat(2, 1)), heads(x, wv)
    s = einsum("bqhd,bkhd->bhqk", q.astype(F32), k.astype(F32)) * D**-0.5
    s = jnp.where(tril(), s, jnp.finfo(F32).min)
    return mixed(softmax(s.astype(F32), axis=-1).astype(x.dtype), v)


def vit(x, w, out):
    q, k, v = (x @ w).reshape(B, T, 3, N, D).transpose(2, 0, 3, 1, 4)
    y = softmax(q @ k.transpose(0, 1, 3, 2) * D**-0.5) @ v
    return y.transpose(0, 2, 1, 3).reshape(B, T, C) @ out


def bert(x, wq, wk, wv, mask):
    q, k, v = (heads(x, w).transpose(0, 2, 1, 3) for w in (wq, wk, wv))
    s = jnp.matmul(q, k.transpose(0, 1, 3, 2)) / math.sqrt(D)
    s = s + (1.0 - mask[:, None, None, :].astype(F32)) * -10000.0
    return jnp.matmul(softmax(s, axis=-1), v).transpose(0, 2, 1, 3).reshape(B, T, C)


def t5(q, k, v, table, buckets):
    bias = table[buckets].transpose(2, 0, 1)[None]
    return mixed(softmax(einsum("bqhd,bkhd->bhqk", q, k) + bias), v)


def haiku(x, wq, wk, wv):
    q, k, v = (heads(x, w) for w in (wq, wk, wv))
    logits = einsum("...thd,...Thd->...htT", q, k)
    logits = jnp.where(tril()[None, None], logits / np.sqrt(D).astype(np.float32), -1e30)
    return einsum("...htT,...Thd->...thd", softmax(logits), v).reshape(*x.shape[:-1], -1)


def equinox(q, k, v):
    def one(q, k, v, mask):
        logits = einsum("sd,Sd->sS", q / math.sqrt(D), k)
        logits = jnp.where(mask, logits, jnp.finfo(logits.dtype).min)
        return einsum("sS,Sd->sd", softmax(logits, axis=-1), v)

    return jax.vmap(lambda q, k, v: jax.vmap(one, (1, 1, 1, None), 1)(q, k, v, tril()))(q, k, v)


def equinox_layer(q, k, v):
    layer = eqx.nn.MultiheadAttention(N, N * D, key=jax.random.key(0))
    flat = (x.reshape(B, T, N * D) for x in (q, k, v))
    return jax.vmap(lambda q, k, v: layer(q, k, v, mask=tril()))(*flat)


def keras(q, k, v):
    s = einsum("aecd,abcd->acbe", k, q * jnp.asarray(1.0 / math.sqrt(D)))
    s = s + -3e4 * (1.0 - tril()[None, None].astype(s.dtype))
    return einsum("acbe,aecd->abcd", softmax(s, axis=-1), v)


def alibi():
    slopes = 2.0 ** -jnp.arange(1.0, N + 1)
    rows, columns = positions()
    return slopes[:, None, None] * (columns - rows)


def grouped(q, k, v):
    q = q.reshape(B, T, K, N // K, D)
    s = einsum("btkgd,bskd->bkgts", q, k) * D**-0.5
    s = jnp.where(tril(), s, -jnp.inf)
    return einsum("bkgts,bskd->btkgd", softmax(s), v).reshape(B, T, N, D)


def multi_query(q, k, v):
    s = einsum("btnd,bsd->bnts", q, k) * D**-0.5
    return einsum("bnts,bsd->btnd", softmax(jnp.where(tril(), s, -1e9)), v)


def repeated(q, k, v):
    k, v = jnp.repeat(k, N // K, axis=2), jnp.repeat(v, N // K, axis=2)
    return mixed(softmax(jnp.where(tril(), scores(q, k), -jnp.inf)), v)


def broadcast_heads(q, k, v):
    k, v = (
        jnp.broadcast_to(x[:, :, :, None], (B, T, K, N // K, D)).reshape(B, T, N, D) for x in (k, v)
    )
    return mixed(softmax(scores(q, k)), v)


def in_float32(q, k, v):
    s = einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=F32) * D**-0.5
    p = softmax(jnp.where(tril(), s, -jnp.inf), axis=-1).astype(BF16)
    return mixed(p, v)


def widened(q, k, v):
    s = einsum("bqhd,bkhd->bhqk", q.astype(F32), k.astype(F32)) * D**-0.5
    return mixed(softmax(s), v.astype(F32)).astype(BF16)


def upcast(q, k, v):
    s = scores(q, k).astype(F32)
    return mixed(softmax(jnp.where(tril(), s, -jnp.inf)).astype(q.dtype), v)


def decoding(q, k, v, length):
    s = einsum("bqhd,bkhd->bhqk", q, k) * D**-0.5
    s = jnp.where(jnp.arange(S) < length, s, -1e9)
    return mixed(softmax(s), v)


def unbatched(q, k, v):
    return softmax(jnp.where(tril(), q @ k.T / math.sqrt(D), -jnp.inf)) @ v


def windowed(width):
    rows, columns = positions()
    return (rows >= columns) & (rows - columns < width)


def offset_causal(q, k, v):
    rows, columns = positions(T, S)
    return mixed(softmax(jnp.where(rows + (S - T) >= columns, scores(q, k), -1e9)), v)


def capped(q, k, v):
    s = jnp.tanh(scores(q, k) / 50.0) * 50.0
    return mixed(softmax(jnp.where(tril(), s, -1e9)), v)


def remembered(q, k, v):
    past = jnp.concatenate([k, k], axis=1), jnp.concatenate([v, v], axis=1)
    return mixed(softmax(scores(q, past[0])), past[1])


def rotated(q, k, v):
    angle = jnp.arange(T)[:, None] / 10000.0 ** (jnp.arange(D // 2) / (D // 2))
    cos, sin = jnp.cos(angle)[:, None, :], jnp.sin(angle)[:, None, :]

    def turn(x):
        left, right = jnp.split(x, 2, axis=-1)
        return jnp.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1)

    return through(scores, tril)(turn(q), turn(k), v)


PADDING = jnp.arange(T)[None, :] < jnp.array([[T], [T // 2]])
LENGTHS = jnp.array([T, T // 2])
SEGMENTS = jnp.arange(T)[None, :] // jnp.array([[16], [32]])
BUCKETS = jnp.abs(jnp.arange(T)[:, None] - jnp.arange(T)[None, :]) // 8
ROWS, COLUMNS = positions()


def keep(shape=(B, N, T, T)):
    return jax.random.bernoulli(jax.random.key(0), 0.9, shape)


def thinned(drop, mask=None):
    """Attention some of whose weights are dropped."""
    return Spelling(through(scores, mask, weights=lambda s: drop(softmax(s))))


def flax_dropout(q, k, v):
    return nn.dot_product_attention(
        q, k, v, dropout_rng=jax.random.key(0), dropout_rate=0.1, deterministic=False
    )


SPELLINGS: dict[str, Spelling] = {
    "einsum BTNH": Spelling(through(scores)),
    "tril of ones, -inf": Spelling(through(scores, tril, -jnp.inf)),
    "tril of ones, -1e9": Spelling(through(scores, tril)),
    "tril of ones, finfo.min": Spelling(through(scores, tril, float(jnp.finfo(F32).min))),
    "tril of floats == 0": Spelling(through(scores, lambda: ~(jnp.tril(jnp.ones((T, T))) == 0))),
    "tri": Spelling(through(scores, lambda: jnp.tri(T, dtype=bool))),
    "NumPy tril in the function": Spelling(through(scores, lambda: jnp.asarray(~(~tril())))),
    "not triu": Spelling(through(scores, lambda: ~jnp.triu(jnp.ones((T, T), bool), 1))),
    "rows >= columns": Spelling(through(scores, lambda: positions()[0] >= positions()[1])),
    "columns <= rows": Spelling(through(scores, lambda: positions()[1] <= positions()[0])),
    "not columns > rows": Spelling(through(scores, lambda: ~(positions()[1] > positions()[0]))),
    "columns < rows + 1": Spelling(through(scores, lambda: positions()[1] < positions()[0] + 1)),
    "rows - columns >= 0": Spelling(through(scores, lambda: positions()[0] - positions()[1] >= 0)),
    "broadcasted iota": Spelling(
        through(
            scores,
            lambda: (
                lax.broadcasted_iota(jnp.int32, (1, 1, T, T), 2)
                >= lax.broadcasted_iota(jnp.int32, (1, 1, T, T), 3)
            ),
        )
    ),
    "triu of -inf added": biased(lambda: jnp.triu(jnp.full((T, T), -jnp.inf), 1)),
    "where(mask, 0, -1e9) added": biased(lambda: jnp.where(tril(), 0.0, -1e9)),
    "(1 - tril) * -1e9 added": biased(lambda: (1 - jnp.tril(jnp.ones((T, T)))) * -1e9),
    "1e10 * (1 - tril) subtracted": Spelling(
        lambda q, k, v: mixed(softmax(scores(q, k) - 1e10 * (1 - jnp.tri(T))), v)
    ),
    "scale on q": Spelling(through(lambda q, k: einsum("bqhd,bkhd->bhqk", q * D**-0.5, k), tril)),
    "scale on q and k": Spelling(
        through(lambda q, k: einsum("bqhd,bkhd->bhqk", q / D**0.25, k / D**0.25), tril)
    ),
    "scale by jnp.sqrt": Spelling(
        through(lambda q, k: einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(D), tril)
    ),
    "scale by rsqrt": Spelling(
        through(lambda q, k: einsum("bqhd,bkhd->bhqk", q, k) * lax.rsqrt(float(D)))
    ),
    "scale by an array of one": Spelling(
        through(lambda q, k: einsum("bqhd,bkhd->bhqk", q, k) / jnp.asarray(D, F32) ** 0.5)
    ),
    "no scale": Spelling(through(lambda q, k: einsum("bqhd,bkhd->bhqk", q, k))),
    "scale after the mask": Spelling(
        lambda q, k, v: mixed(
            softmax(jnp.where(tril(), einsum("bqhd,bkhd->bhqk", q, k), -1e9) * D**-0.5), v
        )
    ),
    "softmax by hand": Spelling(through(scores, tril, weights=by_hand)),
    "softmax by hand, no gradient of the maximum": Spelling(
        through(
            scores,
            tril,
            weights=lambda s: (
                (e := jnp.exp(s - lax.stop_gradient(s.max(-1, keepdims=True))))
                / jnp.sum(e, -1, keepdims=True)
            ),
        )
    ),
    "softmax by log_softmax": Spelling(
        through(scores, tril, weights=lambda s: jnp.exp(jax.nn.log_softmax(s)))
    ),
    "BNTH by matmul": Spelling(
        lambda q, k, v: softmax(q @ k.swapaxes(-1, -2) / math.sqrt(D)) @ v, BNTH
    ),
    "BNTH by einsum": Spelling(
        lambda q, k, v: einsum(
            "bnts,bnsd->bntd", softmax(einsum("bntd,bnsd->bnts", q, k) * D**-0.5), v
        ),
        BNTH,
    ),
    "BNTH by dot_general": Spelling(
        lambda q, k, v: lax.dot_general(
            softmax(lax.dot_general(q, k, (((3,), (3,)), ((0, 1), (0, 1)))) * D**-0.5),
            v,
            (((3,), (2,)), ((0, 1), (0, 1))),
        ),
        BNTH,
    ),
    "scores of keys by queries": Spelling(
        lambda q, k, v: einsum(
            "bhkq,bkhd->bqhd", softmax(einsum("bkhd,bqhd->bhkq", k, q) / D**0.5, axis=2), v
        )
    ),
    "causal scores of keys by queries": Spelling(
        lambda q, k, v: einsum(
            "bhkq,bkhd->bqhd",
            softmax(jnp.where(tril().T, einsum("bkhd,bqhd->bhkq", k, q) / D**0.5, -1e9), axis=2),
            v,
        )
    ),
    "TBNH": Spelling(
        lambda q, k, v: einsum(
            "bhts,sbhd->tbhd", softmax(einsum("tbhd,sbhd->bhts", q, k) / D**0.5), v
        ),
        ((T, B, N, D),) * 3,
    ),
    "heads first": Spelling(
        lambda q, k, v: einsum(
            "hbts,hbsd->bthd", softmax(einsum("hbtd,hbsd->hbts", q, k) / D**0.5), v
        ),
        ((N, B, T, D),) * 3,
    ),
    "one head": Spelling(
        lambda q, k, v: softmax(einsum("btd,bsd->bts", q, k) / D**0.5) @ v, ((B, T, D),) * 3
    ),
    "unbatched, one head": Spelling(unbatched, SINGLE),
    "heads and batch by vmap": Spelling(jax.vmap(jax.vmap(unbatched, in_axes=1, out_axes=1)), BTNH),
    "batch by vmap": Spelling(
        jax.vmap(
            lambda q, k, v: einsum(
                "hqk,khd->qhd", softmax(einsum("qhd,khd->hqk", q, k) * D**-0.5), v
            )
        )
    ),
    "three axes in common": Spelling(
        lambda q, k, v: einsum(
            "abhts,abshd->abthd", softmax(einsum("abthd,abshd->abhts", q, k) * D**-0.5), v
        ),
        ((2, 3, T, N, D),) * 3,
    ),
    "cross attention": Spelling(through(scores), CROSS),
    "causal with an offset": Spelling(offset_causal, CROSS),
    "other depth of the values": Spelling(through(scores, tril), (*BTNH[:2], (B, T, N, 2 * D))),
    "grouped queries": Spelling(grouped, GROUPED),
    "multi-query": Spelling(multi_query, ((B, T, N, D), (B, T, D), (B, T, D))),
    "repeated keys and values": Spelling(repeated, GROUPED),
    "broadcast keys and values": Spelling(broadcast_heads, GROUPED),
    "padding": masked(lambda mask: mask[:, None, None, :], (PADDING,)),
    "padding and causal": masked(lambda mask: mask[:, None, None, :] & tril(), (PADDING,)),
    "padding by lengths": masked(
        lambda n: (jnp.arange(T)[None, :] < n[:, None])[:, None, None, :], (LENGTHS,)
    ),
    "segments": masked(lambda s: (s[:, :, None] == s[:, None, :])[:, None], (SEGMENTS,)),
    "logical_not of a mask of what is hidden": masked(
        lambda mask: jnp.logical_not(mask)[:, None, None, :], (~PADDING,), -jnp.inf
    ),
    "Flax's combined masks": masked(
        lambda mask: nn.combine_masks(
            nn.make_attention_mask(mask, mask), nn.make_causal_mask(jnp.ones((B, T)))
        ).astype(bool),
        (PADDING,),
    ),
    "additive padding, by BERT": biased(
        lambda mask: (1.0 - mask[:, None, None, :]) * -10000.0, others=(PADDING.astype(F32),)
    ),
    "a bias of heads": biased(lambda bias: bias[None], (N, T, T)),
    "a bias of everything": biased(lambda bias: bias, (B, N, T, T)),
    "a bias beside a mask": biased(
        lambda bias, mask: bias + jnp.where(mask[:, None, None], 0.0, -1e9),
        (1, N, T, T),
        others=(PADDING,),
    ),
    "ALiBi": biased(lambda: alibi()),
    "ALiBi, causal": Spelling(
        lambda q, k, v: mixed(softmax(jnp.where(tril(), scores(q, k) + alibi(), -jnp.inf)), v)
    ),
    "sliding window": Spelling(through(scores, lambda: windowed(16))),
    "sliding window by tril and triu": Spelling(
        through(scores, lambda: tril() & jnp.triu(jnp.ones((T, T), bool), -15))
    ),
    "window to both sides": Spelling(
        through(scores, lambda: jnp.abs(positions()[0] - positions()[1]) <= 8)
    ),
    "soft cap": Spelling(capped),
    "dropout": thinned(lambda p: jnp.where(keep(), p / 0.9, 0.0)),
    "dropout, causal": thinned(lambda p: jnp.where(keep(), p / 0.9, 0.0), tril),
    "dropout, scaled afterwards": thinned(lambda p: jnp.where(~keep(), 0.0, p) / 0.9),
    "dropout by a product": thinned(lambda p: p * (keep().astype(p.dtype) / 0.9)),
    "dropout, one mask for all heads": thinned(lambda p: p * keep((B, 1, T, T)) / 0.9),
    "dropout by Equinox": thinned(lambda p: eqx.nn.Dropout(0.1)(p, key=jax.random.key(0))),
    "dropout by Flax": Spelling(flax_dropout),
    "masked weights": thinned(lambda p: p * tril()),
    "rotary embedding": Spelling(rotated),
    "one query": Spelling(decoding, ((B, 1, N, D), *CROSS[1:]), F32, (jnp.asarray(5),)),
    "keys joined to a cache": Spelling(remembered),
    "bfloat16 throughout": Spelling(through(scores, tril, -jnp.inf), BTNH, BF16),
    "float32 scores in bfloat16 code": Spelling(in_float32, BTNH, BF16),
    "float32 operands in bfloat16 code": Spelling(widened, BTNH, BF16),
    "float32 softmax in bfloat16 code": Spelling(upcast, BTNH, BF16),
    "float16": Spelling(through(scores, tril, -3e4), BTNH, jnp.float16),
    "nanoGPT": Spelling(nano_gpt, LAYER),
    "GPT-2": Spelling(gpt2, LAYER),
    "GPT-2 in bfloat16": Spelling(gpt2, LAYER, BF16),
    "Llama": Spelling(llama, SPLIT),
    "Llama in bfloat16": Spelling(llama, SPLIT, BF16),
    "ViT": Spelling(vit, LAYER),
    "BERT": Spelling(bert, SPLIT, F32, (PADDING,)),
    "T5": Spelling(t5, (*BTNH, (8, N)), F32, (BUCKETS,)),
    "T5 in bfloat16": Spelling(t5, (*BTNH, (8, N)), BF16, (BUCKETS,)),
    "Haiku": Spelling(haiku, SPLIT),
    "Equinox": Spelling(equinox),
    "Equinox's layer": Spelling(equinox_layer),
    "Keras": Spelling(keras),
    "Flax's dot_product_attention": Spelling(nn.dot_product_attention),
    "Flax's dot_product_attention, masked": Spelling(
        lambda q, k, v: nn.dot_product_attention(q, k, v, mask=tril()[None, None])
    ),
    "jax.nn.dot_product_attention": Spelling(jax.nn.dot_product_attention),
    "jax.nn.dot_product_attention, causal": Spelling(
        lambda q, k, v: jax.nn.dot_product_attention(q, k, v, is_causal=True)
    ),
    "jax.nn.dot_product_attention, grouped": Spelling(
        lambda q, k, v: jax.nn.dot_product_attention(q, k, v, is_causal=True), GROUPED
    ),
    "checkpointed": Spelling(jax.checkpoint(through(scores, tril))),
    "checkpointed, dots saved": Spelling(
        jax.checkpoint(through(scores, tril), policy=jax.checkpoint_policies.dots_saveable)
    ),
}
