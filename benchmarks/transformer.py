"""A transformer with separate parameters for each block, and its train step with Adam.

RMS norms without biases, as in current language models, and for a second reason: XLA's CPU fusion
copies the chain of residual gradients of mean-centred norms into every kernel that reads from it,
so that plain `jax.jit`'s own compile time grows with the square of the depth.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax


@dataclass(frozen=True)
class Size:
    """How large the model and its batch are."""

    blocks: int
    width: int = 256
    heads: int = 4
    length: int = 64
    batch: int = 1
    vocabulary: int = 256

    def __str__(self) -> str:
        """Return the sizes in the order one reads them."""
        return (
            f"width {self.width}, {self.heads} heads, length {self.length}, batch {self.batch}, "
            f"vocabulary {self.vocabulary}, float32"
        )


def dense(key: jax.Array, inputs: int, outputs: int) -> jax.Array:
    return jax.random.normal(key, (inputs, outputs)) * inputs**-0.5


def init(size: Size) -> dict[str, Any]:
    """Make the parameters, a dictionary for each block."""
    width = size.width
    shapes = {
        "query": (width, width),
        "key": (width, width),
        "value": (width, width),
        "out": (width, width),
        "gate": (width, 3 * width),
        "up": (width, 3 * width),
        "down": (3 * width, width),
    }
    keys = jax.random.split(jax.random.key(0), (size.blocks + 1, len(shapes)))
    blocks = [
        {name: dense(key, *shape) for key, (name, shape) in zip(row, shapes.items(), strict=True)}
        | {"norm1": jnp.ones(width), "norm2": jnp.ones(width)}
        for row in keys[1:]
    ]
    return {
        "embedding": dense(keys[0, 0], size.vocabulary, width),
        "positions": dense(keys[0, 1], size.length, width),
        "blocks": blocks,
        "norm": jnp.ones(width),
        "head": dense(keys[0, 2], width, size.vocabulary),
    }


def rms_norm(scale: jax.Array, x: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5) * scale


def attention(p: dict[str, jax.Array], x: jax.Array, heads: int) -> jax.Array:
    batch, length, width = x.shape
    q, k, v = (
        (x @ p[name]).reshape(batch, length, heads, width // heads)
        for name in ("query", "key", "value")
    )
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * (width // heads) ** -0.5
    scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -jnp.inf)
    mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v)
    return mixed.reshape(batch, length, width) @ p["out"]


def feed_forward(p: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return (jax.nn.silu(x @ p["gate"]) * (x @ p["up"])) @ p["down"]


def logits(params: dict[str, Any], tokens: jax.Array, heads: int) -> jax.Array:
    x = params["embedding"][tokens] + params["positions"]
    for p in params["blocks"]:
        x = x + attention(p, rms_norm(p["norm1"], x), heads)
        x = x + feed_forward(p, rms_norm(p["norm2"], x))
    return rms_norm(params["norm"], x) @ params["head"]


def make_train_step(size: Size) -> Callable[..., Any]:
    """Return a new function object each time, so that nothing is cached from an earlier one."""
    optimizer = optax.adam(1e-3)

    def loss_fn(params, tokens, targets):
        outputs = logits(params, tokens, size.heads)
        return optax.softmax_cross_entropy_with_integer_labels(outputs, targets).mean()

    def train_step(params, opt_state, tokens, targets):
        loss, grads = jax.value_and_grad(loss_fn)(params, tokens, targets)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    return train_step


def make_arguments(size: Size) -> tuple[Any, ...]:
    """Return parameters, optimizer state, tokens and targets."""
    params = init(size)
    shape = (size.batch, size.length)
    tokens = jax.random.randint(jax.random.key(1), shape, 0, size.vocabulary)
    return params, optax.adam(1e-3).init(params), tokens, jnp.roll(tokens, -1, axis=1)
