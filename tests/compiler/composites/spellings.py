"""Composites as people write them: by what name each spelling is printed."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax

import xlathe as xl

jnn = jax.nn
ROWS, WIDTH, GROUPS = 6, 8, 2
X, VECTOR, CUBE = (ROWS, WIDTH), (WIDTH,), (2, ROWS, WIDTH)


class Spelling(NamedTuple):
    """A composite.

    Attributes:
        name: what the program calls it.
        function: the composite.
        shapes: those of its arguments.
    """

    name: str
    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...] = (X,)


def by_hand(x):
    e = jnp.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def by_hand_held(x):
    e = jnp.exp(x - lax.stop_gradient(jnp.max(x, -1))[..., None])
    return e / jnp.sum(e, -1)[..., None]


def by_held_operand(x):
    e = jnp.exp(x - jnp.max(lax.stop_gradient(x), axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def over_first(x):
    e = jnp.exp(x - x.max(axis=0))
    return e / e.sum(axis=0)


def over_two(x):
    e = jnp.exp(x - x.max(axis=(1, 2), keepdims=True))
    return e / e.sum(axis=(1, 2), keepdims=True)


def log_softmax(x):
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - jnp.log(jnp.exp(shifted).sum(axis=-1, keepdims=True))


def logsumexp(x):
    m = x.max(axis=-1)
    return m + jnp.log(jnp.exp(x - m[..., None]).sum(axis=-1))


def logsumexp_kept(x):
    m = lax.stop_gradient(x.max(axis=-1, keepdims=True))
    return jnp.log(jnp.exp(x - m).sum(axis=-1, keepdims=True)) + m


def gelu_new(x):
    return 0.5 * x * (1.0 + jnp.tanh(jnp.sqrt(2.0 / jnp.pi) * (x + 0.044715 * jnp.power(x, 3))))


def gelu_products(x):
    return 0.5 * x * (1 + jnp.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))


def gelu_erf(x):
    return x * 0.5 * (1.0 + lax.erf(x / math.sqrt(2.0)))


def glu(x):
    value, gate = jnp.split(x, 2, axis=-1)
    return value * jnn.sigmoid(gate)


def standardize_stably(x):
    options: dict[str, Any] = {"epsilon": 1e-6, "algorithm": "stable"}
    return jnn.standardize(x, **options)


def layer_norm(x, scale, bias):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * scale + bias


def layer_norm_of_root(x, scale, bias):
    variance = jnp.var(x, axis=-1, keepdims=True)
    return scale * ((x - jnp.mean(x, -1, keepdims=True)) / jnp.sqrt(variance + 1e-5)) + bias


def rms_norm(x, scale):
    return x * lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6) * scale


def llama_norm(x, scale):
    wide = x.astype(jnp.float32)
    wide = wide * lax.rsqrt(jnp.mean(jnp.square(wide), -1, keepdims=True) + 1e-6)
    return scale * wide.astype(x.dtype)


def gemma_norm(x, scale):
    return x * lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + 1e-6) * (1 + scale)


def t5_norm(x, scale):
    return scale * (x / jnp.sqrt(jnp.mean(x**2, -1)[..., None] + 1e-6))


def module(made: nn.Module):
    """A Flax module with its scale and bias as arguments."""

    def apply(x, scale, bias=None):
        weights = {"scale": scale} if bias is None else {"scale": scale, "bias": bias}
        return made.apply({"params": weights}, x)

    return apply


def eqx_norm(kind):
    made = kind(WIDTH)

    def apply(x, scale, bias):
        norm = eqx.tree_at(lambda m: (m.weight, m.bias), made, (scale, bias))
        return jax.vmap(norm)(x)

    return apply


def group_norm(x, scale, bias):
    grouped = x.reshape(*x.shape[:-1], GROUPS, -1)
    axes = (*range(1, x.ndim - 1), x.ndim)
    shifted = grouped - grouped.mean(axes, keepdims=True)
    shifted = shifted * lax.rsqrt(grouped.var(axes, keepdims=True) + 1e-5)
    return shifted.reshape(x.shape) * scale + bias


def group_norm_of_rows(x, scale, bias):
    rows = x.reshape(x.shape[0], GROUPS, -1)
    mean, spread = jnp.mean(rows, -1, keepdims=True), jnp.var(rows, -1, keepdims=True)
    rows = (rows - mean) / jnp.sqrt(spread + 1e-5)
    return rows.reshape(x.shape) * scale[None, :, None] + bias[None, :, None]


def group_norm_bare(x):
    grouped = x.reshape(*x.shape[:-1], GROUPS, -1)
    return jnn.standardize(grouped, axis=(1, 3)).reshape(x.shape)


def nnx_group_norm(x, scale, bias):
    made = nnx.GroupNorm(WIDTH, GROUPS, rngs=nnx.Rngs(0))
    graph, parameters, *rest = nnx.split(made, nnx.Param, ...)
    weights = {"scale": nnx.Param(scale), "bias": nnx.Param(bias)}
    return nnx.merge(graph, nnx.State({**parameters, **weights}), *rest)(x)


def eqx_group_norm(x, scale, bias):
    made = eqx.nn.GroupNorm(GROUPS, ROWS)
    norm = eqx.tree_at(lambda m: (m.weight, m.bias), made, (scale, bias))
    return jax.vmap(norm)(x)


def layer_group_norm(x, scale, bias):
    layer = xl.layers.GroupNormalization(groups=GROUPS)
    layer.build(x.shape)
    result, _ = layer.stateless_call([scale, bias], [], x)
    return result


def rotate_half(x, cos, sin):
    first, second = jnp.split(x, 2, axis=-1)
    return x * cos + jnp.concatenate([-second, first], axis=-1) * sin


def rotate_sliced_half(x, cos, sin):
    half = x.shape[-1] // 2
    rotated = jnp.concatenate((-x[..., half:], x[..., :half]), axis=-1)
    return (x * cos) + (rotated * sin)


def rotate_stacked_half(x, cos, sin):
    first, second = jnp.split(x, 2, axis=-1)
    return x * cos + jnp.stack((-second, first), axis=-2).reshape(x.shape) * sin


def rotate_halves(x, cos, sin):
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)


def rotate_sliced_halves(x, cos, sin):
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([cos * first - sin * second, sin * first + cos * second], -1)


def rotate_pairs(x, cos, sin):
    even, odd = x[..., ::2], x[..., 1::2]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape)


def rotate_indexed_pairs(x, cos, sin):
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    even, odd = pairs[..., 0], pairs[..., 1]
    return jnp.stack([even * cos - odd * sin, odd * cos + even * sin], -1).reshape(x.shape)


def rotate_every_two(x, cos, sin):
    rotated = jnp.stack((-x[..., 1::2], x[..., ::2]), axis=-1).reshape(x.shape)
    return x * jnp.repeat(cos, 2, axis=-1) + rotated * jnp.repeat(sin, 2, axis=-1)


def rotate_wide(x, cos, sin):
    return rotate_half(x.astype(jnp.float32), cos, sin).astype(x.dtype)


def cross_entropy(x, labels):
    return -jnp.take_along_axis(jnn.log_softmax(x), labels[..., None], axis=-1)[..., 0]


def cross_entropy_squeezed(x, labels):
    chosen = jnp.take_along_axis(log_softmax(x), jnp.expand_dims(labels, -1), axis=-1)
    return -jnp.squeeze(chosen, -1)


def cross_entropy_indexed(x, labels):
    return -jnn.log_softmax(x)[jnp.arange(x.shape[0]), labels]


def cross_entropy_of_sum(x, labels):
    chosen = jnp.take_along_axis(x, labels[..., None], axis=-1).squeeze(-1)
    return jnn.logsumexp(x, axis=-1) - chosen


def cross_entropy_one_hot(x, labels):
    return -jnp.sum(jnn.one_hot(labels, x.shape[-1]) * jnn.log_softmax(x), axis=-1)


def by_number(function):
    """Labels, some of them out of range, from numbers that may be differentiated by."""
    return lambda x, y: 2.0 * function(x, y.astype(jnp.int32))


def residual(function):
    """The composite inside of something: not all that a function is."""
    return lambda x, *rest: x + 2.0 * function(x, *rest)


NORM, RMS = (X, VECTOR, VECTOR), (X, VECTOR)
CHANNELS, CHANNELS_FIRST = (CUBE, VECTOR, VECTOR), (CUBE, (ROWS,), (ROWS,))
LABELLED = (X, (ROWS,))
HALF = (ROWS, WIDTH // 2)
TURNED, TURNED_BY_PAIR = (CUBE, X, X), (CUBE, HALF, HALF)

SPELLINGS = {
    "softmax jax": Spelling("jax.nn.softmax(x, axis=-1)", jnn.softmax),
    "softmax first axis": Spelling("jax.nn.softmax(x, axis=0)", lambda x: jnn.softmax(x, axis=0)),
    "softmax middle": Spelling("jax.nn.softmax(x, axis=1)", lambda x: jnn.softmax(x, 1), (CUBE,)),
    "softmax flax": Spelling("jax.nn.softmax(x, axis=-1)", nn.softmax),
    "softmax keras": Spelling("jax.nn.softmax(x, axis=-1)", xl.activations.softmax),
    "softmax by hand": Spelling("jax.nn.softmax(x, axis=-1)", by_hand),
    "softmax by hand, held": Spelling("jax.nn.softmax(x, axis=-1)", by_hand_held),
    "softmax of held": Spelling("jax.nn.softmax(x, axis=-1)", by_held_operand),
    "softmax columns": Spelling("jax.nn.softmax(x, axis=0)", over_first),
    "softmax two axes": Spelling("jax.nn.softmax(x, axis=(1, 2))", over_two, (CUBE,)),
    "softmax vmapped": Spelling("jax.nn.softmax(x, axis=-1)", jax.vmap(by_hand)),
    "log_softmax jax": Spelling("jax.nn.log_softmax(x, axis=-1)", jnn.log_softmax),
    "log_softmax by hand": Spelling("jax.nn.log_softmax(x, axis=-1)", log_softmax),
    "logsumexp jax": Spelling("jax.nn.logsumexp(x, axis=-1)", lambda x: jnn.logsumexp(x, -1)),
    "logsumexp scipy": Spelling(
        "jax.nn.logsumexp(x, axis=0)", lambda x: jax.scipy.special.logsumexp(x, axis=0)
    ),
    "logsumexp kept": Spelling(
        "jax.nn.logsumexp(x, axis=-1, keepdims=True)",
        lambda x: jnn.logsumexp(x, axis=-1, keepdims=True),
    ),
    "logsumexp by hand": Spelling("logsumexp(", lambda x: 2.0 * logsumexp(x)),
    "logsumexp by hand, kept": Spelling("logsumexp(", residual(logsumexp_kept)),
    "gelu jax": Spelling("jax.nn.gelu(x)", jnn.gelu),
    "gelu keras": Spelling("jax.nn.gelu(x)", lambda x: xl.activations.gelu(x, approximate=True)),
    "gelu exact": Spelling(
        "jax.nn.gelu(x, approximate=False)", lambda x: jnn.gelu(x, approximate=False)
    ),
    "gelu flax": Spelling("jax.nn.gelu(x)", nn.gelu),
    "gelu GPT-2": Spelling("gelu(x)", residual(gelu_new)),
    "gelu products": Spelling("gelu(x)", residual(gelu_products)),
    "gelu erf": Spelling("gelu(x)", residual(gelu_erf)),
    "quick gelu": Spelling("quick_gelu(x)", residual(lambda x: x * jnn.sigmoid(1.702 * x))),
    "silu jax": Spelling("jax.nn.silu(x)", jnn.silu),
    "swish flax": Spelling("jax.nn.silu(x)", nn.swish),
    "silu by sigmoid": Spelling("jax.nn.silu(x)", lambda x: jnn.sigmoid(x) * x),
    "silu by exp": Spelling("silu(x)", residual(lambda x: x / (1 + jnp.exp(-x)))),
    "sigmoid by hand": Spelling("sigmoid(x)", residual(lambda x: 1 / (1 + jnp.exp(-x)))),
    "SwiGLU": Spelling("jax.nn.silu(x) * ", lambda x, y: jnn.silu(x) * y, (X, X)),
    "GeGLU": Spelling("jax.nn.gelu(x) * ", lambda x, y: jnn.gelu(x) * y, (X, X)),
    "GLU": Spelling("jax.nn.glu(x, axis=-1)", jnn.glu),
    "GLU by hand": Spelling("jax.nn.glu(x, axis=-1)", glu),
    "softplus jax": Spelling("jax.nn.softplus(x)", jnn.softplus),
    "softplus keras": Spelling("jax.nn.softplus(x)", xl.activations.softplus),
    "softplus by logaddexp": Spelling("jax.nn.softplus(x)", lambda x: jnp.logaddexp(x, 0.0)),
    "softplus by log1p": Spelling("softplus(x)", residual(lambda x: jnp.log1p(jnp.exp(x)))),
    "softplus by log": Spelling("softplus(x)", residual(lambda x: jnp.log(1 + jnp.exp(x)))),
    "log_sigmoid jax": Spelling("jax.nn.log_sigmoid(x)", jnn.log_sigmoid),
    "relu jax": Spelling("jax.nn.relu(x)", jnn.relu),
    "relu6 jax": Spelling("jax.nn.relu6(x)", jnn.relu6),
    "leaky_relu jax": Spelling("jax.nn.leaky_relu(x, negative_slope=0.01)", jnn.leaky_relu),
    "leaky_relu slope": Spelling(
        "jax.nn.leaky_relu(x, negative_slope=0.2)", lambda x: jnp.where(x >= 0, x, 0.2 * x)
    ),
    "leaky_relu open": Spelling("leaky_relu(x)", residual(lambda x: jnp.where(x > 0, x, 0.1 * x))),
    "elu jax": Spelling("jax.nn.elu(x)", jnn.elu),
    "elu alpha": Spelling("jax.nn.elu(x, alpha=0.3)", lambda x: jnn.elu(x, alpha=0.3)),
    "elu by expm1": Spelling("elu(x)", residual(lambda x: jnp.where(x > 0, x, jnp.expm1(x)))),
    "elu by exp": Spelling("elu(x)", residual(lambda x: jnp.where(x > 0, x, jnp.exp(x) - 1))),
    "selu jax": Spelling("jax.nn.selu(x)", jnn.selu),
    "mish jax": Spelling("jax.nn.mish(x)", jnn.mish),
    "mish by hand": Spelling("mish(x)", residual(lambda x: x * jnp.tanh(jnp.log1p(jnp.exp(x))))),
    "hard_silu jax": Spelling("jax.nn.hard_silu(x)", jnn.hard_silu),
    "hard_sigmoid jax": Spelling("jax.nn.hard_sigmoid(x)", jnn.hard_sigmoid),
    "standardize jax": Spelling("jax.nn.standardize(x, axis=-1, epsilon=1e-05)", jnn.standardize),
    "standardize stable": Spelling(
        "jax.nn.standardize(x, axis=-1, epsilon=1e-06, algorithm='stable')",
        standardize_stably,
    ),
    "batch norm": Spelling(
        "jax.nn.standardize(x, axis=0, epsilon=1e-05, algorithm='stable')",
        lambda x, s, b: (x - x.mean(0)) * lax.rsqrt(x.var(0) + 1e-5) * s + b,
        NORM,
    ),
    "layer norm": Spelling("layer_norm(x, ", residual(layer_norm), NORM),
    "layer norm by root": Spelling("layer_norm(x, ", residual(layer_norm_of_root), NORM),
    "layer norm flax": Spelling("layer_norm(x, ", residual(module(nn.LayerNorm())), NORM),
    "layer norm equinox": Spelling("layer_norm(x, ", residual(eqx_norm(eqx.nn.LayerNorm)), NORM),
    "rms norm": Spelling("rms_norm(x, ", residual(rms_norm), RMS),
    "rms norm Llama": Spelling("rms_norm(x, ", residual(llama_norm), RMS),
    "rms norm Gemma": Spelling("rms_norm(x, ", residual(gemma_norm), RMS),
    "rms norm T5": Spelling("rms_norm(x, ", residual(t5_norm), RMS),
    "rms norm flax": Spelling("rms_norm(x, ", residual(module(nn.RMSNorm())), RMS),
    "rms norm equinox": Spelling("rms_norm(x, ", residual(eqx_norm(eqx.nn.RMSNorm)), NORM),
    "group norm": Spelling("group_norm(x, ", residual(group_norm), CHANNELS),
    "group norm of rows": Spelling("group_norm(x, ", residual(group_norm), NORM),
    "group norm channels first": Spelling(
        "group_norm(x, ", residual(group_norm_of_rows), CHANNELS_FIRST
    ),
    "group norm bare": Spelling("group_norm(x)", residual(group_norm_bare), (CUBE,)),
    "group norm flax": Spelling("group_norm(x, ", residual(module(nn.GroupNorm(GROUPS))), CHANNELS),
    "group norm flax, stable": Spelling(
        "group_norm(x, ",
        residual(module(nn.GroupNorm(GROUPS, use_fast_variance=False))),
        CHANNELS,
    ),
    "group norm flax, scale only": Spelling(
        "group_norm(x, ", residual(module(nn.GroupNorm(GROUPS, use_bias=False))), CHANNELS[:2]
    ),
    "group norm nnx": Spelling("group_norm(x, ", residual(nnx_group_norm), CHANNELS),
    "group norm equinox": Spelling("group_norm(x, ", residual(eqx_group_norm), CHANNELS_FIRST),
    "group norm keras": Spelling("group_norm(x, ", residual(layer_group_norm), CHANNELS),
    "cross entropy": Spelling("cross_entropy(x, ", by_number(cross_entropy), LABELLED),
    "cross entropy of sequences": Spelling(
        "cross_entropy(x, ", by_number(cross_entropy), (CUBE, CUBE[:2])
    ),
    "cross entropy squeezed": Spelling(
        "cross_entropy(x, ", by_number(cross_entropy_squeezed), LABELLED
    ),
    "cross entropy indexed": Spelling(
        "cross_entropy(x, ", by_number(cross_entropy_indexed), LABELLED
    ),
    "cross entropy of sum": Spelling(
        "cross_entropy(x, ", by_number(cross_entropy_of_sum), LABELLED
    ),
    "cross entropy of one-hot": Spelling(
        "cross_entropy(x, ", by_number(cross_entropy_one_hot), LABELLED
    ),
    "cross entropy optax": Spelling(
        "cross_entropy(x, ",
        by_number(optax.softmax_cross_entropy_with_integer_labels),
        LABELLED,
    ),
    "cross entropy optax, distribution": Spelling(
        "cross_entropy(x, ", lambda x, y: optax.softmax_cross_entropy(x, y).mean(), (X, X)
    ),
    "rotary Llama": Spelling("rotary_embedding(x, ", residual(rotate_half), TURNED),
    "rotary sliced": Spelling("rotary_embedding(x, ", residual(rotate_sliced_half), TURNED),
    "rotary stacked": Spelling("rotary_embedding(x, ", residual(rotate_stacked_half), TURNED),
    "rotary halves": Spelling("rotary_embedding(x, ", residual(rotate_halves), TURNED_BY_PAIR),
    "rotary sliced halves": Spelling(
        "rotary_embedding(x, ", residual(rotate_sliced_halves), TURNED_BY_PAIR
    ),
    "rotary pairs": Spelling("rotary_embedding(x, ", residual(rotate_pairs), TURNED_BY_PAIR),
    "rotary indexed pairs": Spelling(
        "rotary_embedding(x, ", residual(rotate_indexed_pairs), TURNED_BY_PAIR
    ),
    "rotary GPT-J": Spelling("rotary_embedding(x, ", residual(rotate_every_two), TURNED_BY_PAIR),
}


def values(shapes: tuple[tuple[int, ...], ...], dtype: Any = jnp.float32) -> list[jax.Array]:
    """Numbers of both signs, some of them large."""
    random = np.random.default_rng(0)
    return [jnp.asarray(random.normal(size=shape) * 3, dtype) for shape in shapes]
