"""Losses of models in plain JAX, with their parameters and batches, for `models.py`.

They are written as their first papers or the usual tutorials write them, without thought for speed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax

Size = Literal["small", "large"]
MODELS: list["Model"] = []


@dataclass(frozen=True)
class Model:
    """A model.

    Attributes:
        name: what to call it.
        loss: the loss of parameters and a batch.
        make: the parameters and the batch, of a key and a size.
    """

    name: str
    loss: Callable[..., jax.Array]
    make: Callable[[jax.Array, Size], tuple[Any, tuple[Any, ...]]]


def entry(make: Callable[..., Any]) -> Callable[[Callable[..., jax.Array]], Callable[..., Any]]:
    """Enter a loss into the list, with what makes its arguments."""

    def enter(loss: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
        MODELS.append(Model(loss.__name__.removesuffix("_loss"), loss, make))
        return loss

    return enter


class Draw:
    """Random arrays, one after the other, of a key."""

    def __init__(self, key: jax.Array):
        self.key = key

    def _next(self) -> jax.Array:
        self.key, key = jax.random.split(self.key)
        return key

    def weights(self, *shape: int) -> jax.Array:
        """Normal numbers over the root of all but the last size."""
        fan_in = prod(shape[:-1])
        return jax.random.normal(self._next(), shape) / fan_in**0.5

    def data(self, *shape: int) -> jax.Array:
        """Normal numbers."""
        return jax.random.normal(self._next(), shape)

    def integers(self, limit: int, *shape: int) -> jax.Array:
        """Integers below the limit."""
        return jax.random.randint(self._next(), shape, 0, limit)

    def dense(self, *sizes: int) -> list[tuple[jax.Array, jax.Array]]:
        """Weights and biases of layers with the sizes between them."""
        return [(self.weights(a, b), jnp.zeros(b)) for a, b in pairwise(sizes)]


def pick(size: Size, small: Any, large: Any) -> Any:
    return small if size == "small" else large


def labelled(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The mean cross-entropy of logits at integer labels."""
    log_probabilities = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_probabilities, labels[..., None], -1).mean()


def layer_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    mean = x.mean(-1, keepdims=True)
    variance = x.var(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-5) * scale + bias


def run_dense(layers: Any, x: jax.Array, activation: Callable[..., Any] = jax.nn.relu) -> jax.Array:
    for w, b in layers[:-1]:
        x = activation(x @ w + b)
    w, b = layers[-1]
    return x @ w + b


def make_mlp(key, size):
    draw = Draw(key)
    wide, rows = pick(size, (256, 256), (4096, 4096))
    return draw.dense(wide, wide, wide, wide, 10), (draw.data(rows, wide), draw.integers(10, rows))


@entry(make_mlp)
def mlp_loss(parameters, x, labels):
    return labelled(run_dense(parameters, x), labels)


def convolve(x, w, stride=1):
    axes = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (stride, stride), "SAME", dimension_numbers=axes)


def batch_norm(x, scale, bias):
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) * lax.rsqrt(variance + 1e-5) * scale + bias


def make_resnet(key, size):
    draw = Draw(key)
    wide, rows, side, depth = pick(size, (8, 8, 16, 2), (64, 128, 64, 4))
    norm = lambda n: (jnp.ones(n), jnp.zeros(n))  # noqa: E731
    block = lambda n: [(draw.weights(3, 3, n, n), norm(n)) for _ in range(2)]  # noqa: E731
    stages = [
        (draw.weights(3, 3, a, b), [block(b) for _ in range(depth)])
        for a, b in ((wide, wide), (wide, 2 * wide), (2 * wide, 4 * wide))
    ]
    parameters = draw.weights(7, 7, 3, wide), stages, draw.weights(4 * wide, 10)
    return parameters, (draw.data(rows, side, side, 3), draw.integers(10, rows))


@entry(make_resnet)
def resnet_loss(parameters, x, labels):
    stem, stages, head = parameters
    x = jax.nn.relu(convolve(x, stem, 2))
    for down, blocks in stages:
        x = convolve(x, down, 2)
        for (w1, n1), (w2, n2) in blocks:
            y = jax.nn.relu(batch_norm(convolve(x, w1), *n1))
            x = jax.nn.relu(x + batch_norm(convolve(y, w2), *n2))
    return labelled(x.mean((1, 2)) @ head, labels)


def make_blocks(draw, depth, wide):
    ln = lambda: (jnp.ones(wide), jnp.zeros(wide))  # noqa: E731
    return [
        {
            "ln1": ln(),
            "qkv": draw.weights(wide, 3 * wide),
            "out": draw.weights(wide, wide),
            "ln2": ln(),
            "mlp": draw.dense(wide, 4 * wide, wide),
        }
        for _ in range(depth)
    ]


def transformer(blocks, x, heads, mask=None):
    batch, length, wide = x.shape
    for block in blocks:
        h = layer_norm(x, *block["ln1"]) @ block["qkv"]
        q, k, v = jnp.moveaxis(h.reshape(batch, length, 3, heads, wide // heads), 2, 0)
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(wide // heads)
        if mask is not None:
            scores = jnp.where(mask, scores, -1e9)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v)
        x = x + mixed.reshape(batch, length, wide) @ block["out"]
        x = x + run_dense(block["mlp"], layer_norm(x, *block["ln2"]), jax.nn.gelu)
    return x


def make_vit(key, size):
    draw = Draw(key)
    wide, rows, side, depth = pick(size, (64, 8, 32, 2), (768, 64, 224, 6))
    patches = (side // 16) ** 2 if size == "large" else (side // 8) ** 2
    patch = 16 if size == "large" else 8
    parameters = {
        "patch": draw.weights(patch * patch * 3, wide),
        "place": draw.weights(patches + 1, wide),
        "token": jnp.zeros(wide),
        "blocks": make_blocks(draw, depth, wide),
        "head": draw.weights(wide, 10),
    }
    return parameters, (draw.data(rows, side, side, 3), draw.integers(10, rows))


@entry(make_vit)
def vit_loss(parameters, x, labels):
    rows, side, _, _ = x.shape
    patch = 16 if side > 32 else 8
    x = x.reshape(rows, side // patch, patch, side // patch, patch, 3)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(rows, -1, patch * patch * 3) @ parameters["patch"]
    token = jnp.broadcast_to(parameters["token"], (rows, 1, x.shape[-1]))
    x = jnp.concatenate([token, x], axis=1) + parameters["place"]
    x = transformer(parameters["blocks"], x, x.shape[-1] // 32)
    return labelled(x[:, 0] @ parameters["head"], labels)


def make_bert(key, size):
    draw = Draw(key)
    words, wide, rows, length, depth = pick(size, (500, 64, 4, 64, 2), (30522, 768, 32, 512, 4))
    parameters = {
        "words": draw.weights(words, wide),
        "places": draw.weights(length, wide),
        "blocks": make_blocks(draw, depth, wide),
    }
    tokens = draw.integers(words, rows, length)
    lengths = draw.integers(length, rows) + 1
    return parameters, (tokens, lengths, draw.integers(words, rows, length))


@entry(make_bert)
def bert_loss(parameters, tokens, lengths, labels):
    x = parameters["words"][tokens] + parameters["places"]
    valid = jnp.arange(tokens.shape[1]) < lengths[:, None]
    x = transformer(parameters["blocks"], x, x.shape[-1] // 64, valid[:, None, None, :])
    log_probabilities = jax.nn.log_softmax(x @ parameters["words"].T)
    picked = jnp.take_along_axis(log_probabilities, labels[..., None], -1)[..., 0]
    return -(picked * valid).sum() / valid.sum()


def make_llama(key, size):
    draw = Draw(key)
    words, wide, rows, length, depth = pick(size, (500, 64, 2, 64, 2), (32000, 1024, 8, 1024, 4))
    heads = wide // 64 if size == "large" else 4
    each = wide // heads
    blocks = [
        {
            "norm1": jnp.ones(wide),
            "q": draw.weights(wide, heads * each),
            "k": draw.weights(wide, heads // 4 * each),
            "v": draw.weights(wide, heads // 4 * each),
            "o": draw.weights(wide, wide),
            "norm2": jnp.ones(wide),
            "gate": draw.weights(wide, 3 * wide),
            "up": draw.weights(wide, 3 * wide),
            "down": draw.weights(3 * wide, wide),
        }
        for _ in range(depth)
    ]
    parameters = draw.weights(words, wide), blocks, jnp.ones(wide), draw.weights(wide, words)
    return parameters, (draw.integers(words, rows, length + 1),)


def rms_norm(x, scale):
    return x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * scale


def rotated(x):
    half = x.shape[-1] // 2
    angles = jnp.arange(x.shape[1])[:, None] / 10000 ** (jnp.arange(half) / half)
    cos, sin = jnp.cos(angles)[:, None], jnp.sin(angles)[:, None]
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1)


@entry(make_llama)
def llama_loss(parameters, tokens):
    words, blocks, norm, head = parameters
    x = words[tokens[:, :-1]]
    batch, length, wide = x.shape
    causal = jnp.tril(jnp.ones((length, length), bool))
    heads = wide // 64 if wide >= 1024 else 4
    each = wide // heads
    for block in blocks:
        h = rms_norm(x, block["norm1"])
        q = rotated((h @ block["q"]).reshape(batch, length, -1, each))
        k = rotated((h @ block["k"]).reshape(batch, length, -1, each))
        v = (h @ block["v"]).reshape(batch, length, -1, each)
        k, v = jnp.repeat(k, 4, axis=2), jnp.repeat(v, 4, axis=2)
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * each**-0.5
        weights = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf))
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(batch, length, wide)
        x = x + mixed @ block["o"]
        h = rms_norm(x, block["norm2"])
        x = x + (jax.nn.silu(h @ block["gate"]) * (h @ block["up"])) @ block["down"]
    return labelled(rms_norm(x, norm) @ head, tokens[:, 1:])


def make_lstm(key, size):
    draw = Draw(key)
    words, wide, rows, length = pick(size, (100, 64, 8, 32), (10000, 1024, 64, 128))
    parameters = {
        "words": draw.weights(words, wide),
        "input": draw.weights(wide, 4 * wide),
        "state": draw.weights(wide, 4 * wide),
        "bias": jnp.zeros(4 * wide),
        "head": draw.weights(wide, words),
    }
    return parameters, (draw.integers(words, rows, length + 1),)


@entry(make_lstm)
def lstm_loss(parameters, tokens):
    x = parameters["words"][tokens[:, :-1]].swapaxes(0, 1)

    def step(carry, x):
        h, c = carry
        gates = x @ parameters["input"] + h @ parameters["state"] + parameters["bias"]
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros(x.shape[1:])
    _, states = lax.scan(step, (zeros, zeros), x)
    return labelled(states.swapaxes(0, 1) @ parameters["head"], tokens[:, 1:])


def group_norm(x, scale, bias, groups=8):
    grouped = x.reshape(*x.shape[:-1], groups, -1)
    mean = grouped.mean((1, 2, 4), keepdims=True)
    variance = grouped.var((1, 2, 4), keepdims=True)
    return ((grouped - mean) * lax.rsqrt(variance + 1e-5)).reshape(x.shape) * scale + bias


def make_unet(key, size):
    draw = Draw(key)
    wide, rows, side = pick(size, (16, 4, 16), (64, 32, 64))
    unit = lambda a, b: (draw.weights(3, 3, a, b), jnp.ones(b), jnp.zeros(b))  # noqa: E731
    parameters = {
        "stem": draw.weights(3, 3, 3, wide),
        "down": [unit(wide, wide), unit(wide, 2 * wide), unit(2 * wide, 4 * wide)],
        "middle": unit(4 * wide, 4 * wide),
        "up": [unit(8 * wide, 2 * wide), unit(4 * wide, wide), unit(2 * wide, wide)],
        "time": draw.weights(64, 4 * wide),
        "head": draw.weights(3, 3, wide, 3),
    }
    images = draw.data(rows, side, side, 3)
    return parameters, (images, draw.data(*images.shape), jax.random.uniform(key, (rows,)))


@entry(make_unet)
def unet_loss(parameters, images, noise, times):
    mix = times[:, None, None, None]
    x = jnp.sqrt(1 - mix) * images + jnp.sqrt(mix) * noise
    angles = times[:, None] * jnp.exp(jnp.linspace(0, 7, 32))
    embedded = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1) @ parameters["time"]
    unit = lambda x, w, scale, bias: jax.nn.silu(group_norm(convolve(x, w), scale, bias))  # noqa: E731
    x = convolve(x, parameters["stem"])
    kept = []
    for layer in parameters["down"]:
        x = unit(x, *layer)
        kept.append(x)
        x = lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "SAME") / 4
    x = unit(x, *parameters["middle"]) + embedded[:, None, None, :]
    for layer in parameters["up"]:
        x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        x = unit(jnp.concatenate([x, kept.pop()], -1), *layer)
    return jnp.mean((convolve(x, parameters["head"]) - noise) ** 2)


def make_gcn(key, size):
    draw = Draw(key)
    nodes, edges, wide = pick(size, (200, 1000, 32), (20000, 400000, 256))
    sources, targets = draw.integers(nodes, edges), draw.integers(nodes, edges)
    batch = draw.data(nodes, wide), sources, targets, draw.integers(7, nodes)
    return draw.dense(wide, wide, wide, 7), batch


@entry(make_gcn)
def gcn_loss(parameters, x, sources, targets, labels):
    nodes = x.shape[0]
    degree = jax.ops.segment_sum(jnp.ones(targets.shape), targets, nodes) + 1
    for w, b in parameters:
        sent = (x @ w)[sources] / jnp.sqrt(degree[sources] * degree[targets])[:, None]
        x = jax.nn.relu(jax.ops.segment_sum(sent, targets, nodes) + b)
    return labelled(x, labels)


def make_mixer(key, size):
    draw = Draw(key)
    rows, patches, wide, depth = pick(size, (8, 16, 64, 2), (128, 196, 512, 6))
    blocks = [
        {
            "ln1": (jnp.ones(wide), jnp.zeros(wide)),
            "tokens": draw.dense(patches, 2 * patches, patches),
            "ln2": (jnp.ones(wide), jnp.zeros(wide)),
            "channels": draw.dense(wide, 4 * wide, wide),
        }
        for _ in range(depth)
    ]
    parameters = blocks, draw.weights(wide, 10)
    return parameters, (draw.data(rows, patches, wide), draw.integers(10, rows))


@entry(make_mixer)
def mixer_loss(parameters, x, labels):
    blocks, head = parameters
    for block in blocks:
        mixed = run_dense(block["tokens"], layer_norm(x, *block["ln1"]).swapaxes(1, 2), jax.nn.gelu)
        x = x + mixed.swapaxes(1, 2)
        x = x + run_dense(block["channels"], layer_norm(x, *block["ln2"]), jax.nn.gelu)
    return labelled(x.mean(1) @ head, labels)


def make_vae(key, size):
    draw = Draw(key)
    rows, pixels, wide, latent = pick(size, (64, 64, 64, 8), (4096, 784, 1024, 64))
    parameters = draw.dense(pixels, wide, 2 * latent), draw.dense(latent, wide, pixels)
    return parameters, (jax.nn.sigmoid(draw.data(rows, pixels)), draw.data(rows, latent))


@entry(make_vae)
def vae_loss(parameters, x, noise):
    encoder, decoder = parameters
    mean, log_variance = jnp.split(run_dense(encoder, x), 2, axis=-1)
    latent = mean + jnp.exp(0.5 * log_variance) * noise
    logits = run_dense(decoder, latent)
    likelihood = jnp.sum(x * jax.nn.log_sigmoid(logits) + (1 - x) * jax.nn.log_sigmoid(-logits), -1)
    divergence = 0.5 * jnp.sum(jnp.exp(log_variance) + mean**2 - 1 - log_variance, -1)
    return jnp.mean(divergence - likelihood)


def make_wavenet(key, size):
    draw = Draw(key)
    rows, length, wide, depth = pick(size, (4, 128, 16, 4), (16, 8192, 128, 10))
    parameters = [
        (draw.weights(2, wide, 2 * wide), draw.weights(1, wide, wide)) for _ in range(depth)
    ]
    return (parameters, draw.weights(1, 1, wide), draw.weights(1, wide, 1)), (
        draw.data(rows, length, 1),
    )


@entry(make_wavenet)
def wavenet_loss(parameters, sound):
    layers, stem, head = parameters

    def convolve(x, w, dilation=1):
        padding = ((w.shape[0] - 1) * dilation, 0)
        return lax.conv_general_dilated(
            x, w, (1,), [padding], rhs_dilation=(dilation,), dimension_numbers=("NWC", "WIO", "NWC")
        )

    x = convolve(sound[:, :-1], stem)
    skipped = 0.0
    for depth, (w, out) in enumerate(layers):
        filtered, gate = jnp.split(convolve(x, w, 2**depth), 2, axis=-1)
        y = convolve(jnp.tanh(filtered) * jax.nn.sigmoid(gate), out)
        x, skipped = x + y, skipped + y
    return jnp.mean((convolve(jax.nn.relu(skipped), head) - sound[:, 1:]) ** 2)


def make_experts(key, size):
    draw = Draw(key)
    rows, wide, experts = pick(size, (64, 32, 4), (4096, 512, 8))
    parameters = (
        draw.weights(wide, experts),
        draw.weights(experts, wide, 4 * wide),
        draw.weights(experts, 4 * wide, wide),
    )
    return parameters, (draw.data(rows, wide), draw.data(rows, wide))


@entry(make_experts)
def experts_loss(parameters, x, wanted):
    router, up, down = parameters
    probabilities = jax.nn.softmax(x @ router)
    best, chosen = lax.top_k(probabilities, 2)
    best = best / best.sum(-1, keepdims=True)
    gates = jnp.sum(jax.nn.one_hot(chosen, router.shape[1]) * best[..., None], axis=1)
    hidden = jax.nn.gelu(jnp.einsum("nd,edh->enh", x, up))
    out = jnp.einsum("enh,ehd,ne->nd", hidden, down, gates)
    return jnp.mean((out - wanted) ** 2)


def make_state_space(key, size):
    draw = Draw(key)
    rows, length, wide, states = pick(size, (4, 64, 16, 4), (16, 2048, 256, 8))
    parameters = {
        "a": -jnp.exp(draw.data(wide, states)),
        "b": draw.weights(wide, states),
        "c": draw.weights(wide, states),
        "step": draw.weights(wide, wide),
        "out": draw.weights(wide, wide),
    }
    return parameters, (draw.data(rows, length, wide), draw.data(rows, length, wide))


@entry(make_state_space)
def state_space_loss(parameters, x, wanted):
    step = jax.nn.softplus(x @ parameters["step"])
    decay = jnp.exp(step[..., None] * parameters["a"])
    driven = step[..., None] * (x @ parameters["b"])[..., None, :] * x[..., None]

    def combine(left, right):
        return left[0] * right[0], left[1] * right[0] + right[1]

    _, states = lax.associative_scan(combine, (decay, driven), axis=1)
    y = jnp.einsum("bldn,bln->bld", states, x @ parameters["c"])
    return jnp.mean(((y * jax.nn.silu(x)) @ parameters["out"] - wanted) ** 2)


def make_field(key, size):
    draw = Draw(key)
    rows, wide = pick(size, (256, 32), (65536, 256))
    points = jax.random.uniform(key, (rows, 2))
    return draw.dense(2, wide, wide, wide, 1), (points,)


@entry(make_field)
def field_loss(parameters, points):
    """The residual of Poisson's equation at random points, by second derivatives."""
    value = lambda point: run_dense(parameters, point, jnp.tanh)[0]  # noqa: E731
    laplacian = lambda point: jnp.trace(jax.hessian(value)(point))  # noqa: E731
    source = jnp.sin(jnp.pi * points[:, 0]) * jnp.sin(jnp.pi * points[:, 1])
    return jnp.mean((jax.vmap(laplacian)(points) + source) ** 2)


def make_recommender(key, size):
    draw = Draw(key)
    rows, items, wide, tables = pick(size, (64, 100, 16, 4), (8192, 100000, 64, 26))
    parameters = (
        draw.weights(tables, items, wide),
        draw.dense(13, 4 * wide, wide),
        draw.dense(wide + (tables + 1) * tables // 2, 8 * wide, 1),
    )
    labels = draw.integers(2, rows).astype(jnp.float32)
    return parameters, (draw.data(rows, 13), draw.integers(items, rows, tables), labels)


@entry(make_recommender)
def recommender_loss(parameters, dense, sparse, labels):
    tables, bottom, top = parameters
    x = run_dense(bottom, dense)
    looked_up = jnp.stack([table[sparse[:, i]] for i, table in enumerate(tables)], axis=1)
    features = jnp.concatenate([x[:, None], looked_up], axis=1)
    products = jnp.einsum("bij,bkj->bik", features, features)
    rows, columns = jnp.tril_indices(features.shape[1], -1)
    joined = jnp.concatenate([x, products[:, rows, columns]], -1)
    logits = run_dense(top, joined)[:, 0]
    return jnp.mean(jnp.maximum(logits, 0) - logits * labels + jnp.log1p(jnp.exp(-abs(logits))))


def make_process(key, size):
    draw = Draw(key)
    rows, wide = pick(size, (64, 4), (2048, 16))
    parameters = {"scale": jnp.ones(wide), "height": jnp.zeros(()), "noise": jnp.zeros(())}
    return parameters, (draw.data(rows, wide), draw.data(rows))


@entry(make_process)
def process_loss(parameters, x, y):
    """The negative log-likelihood of a Gaussian process."""
    x = x / parameters["scale"]
    distance = jnp.sum((x[:, None] - x[None]) ** 2, -1)
    kernel = jnp.exp(parameters["height"] - 0.5 * distance)
    kernel = kernel + jnp.exp(parameters["noise"]) * jnp.eye(len(y))
    factor = jnp.linalg.cholesky(kernel)
    weights = jax.scipy.linalg.cho_solve((factor, True), y)
    return 0.5 * y @ weights + jnp.sum(jnp.log(jnp.diag(factor)))


def make_flow(key, size):
    draw = Draw(key)
    rows, wide, steps = pick(size, (64, 16, 8), (4096, 512, 32))
    parameters = draw.dense(wide, wide, wide)
    return parameters, (draw.data(rows, wide), draw.data(rows, wide), jnp.linspace(0, 1, steps))


@entry(make_flow)
def flow_loss(parameters, x, wanted, times):
    """A neural differential equation, solved by Runge and Kutta's method."""
    slope = lambda t, x: run_dense(parameters, x * (1 + t), jnp.tanh)  # noqa: E731
    step = times[1] - times[0]

    def advance(x, t):
        k1 = slope(t, x)
        k2 = slope(t + step / 2, x + step / 2 * k1)
        k3 = slope(t + step / 2, x + step / 2 * k2)
        k4 = slope(t + step, x + step * k3)
        return x + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    return jnp.mean((lax.scan(advance, x, times)[0] - wanted) ** 2)


def make_contrast(key, size):
    draw = Draw(key)
    rows, wide = pick(size, (64, 32), (4096, 1024))
    parameters = draw.dense(wide, wide, wide), draw.dense(wide, wide, wide), jnp.ones(())
    return parameters, (draw.data(rows, wide), draw.data(rows, wide))


@entry(make_contrast)
def contrast_loss(parameters, images, texts):
    """The symmetric contrastive loss of CLIP."""
    left, right, temperature = parameters
    a, b = run_dense(left, images), run_dense(right, texts)
    a = a / jnp.linalg.norm(a, axis=-1, keepdims=True)
    b = b / jnp.linalg.norm(b, axis=-1, keepdims=True)
    logits = a @ b.T * jnp.exp(temperature)
    labels = jnp.arange(len(a))
    return (labelled(logits, labels) + labelled(logits.T, labels)) / 2
