"""Attention over a sequence, with one head."""

from typing import Any

import jax
import jax.numpy as jnp

from xlathe.tracer.layers import options
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.random import SeedGenerator


class Attention(Layer):
    """Dot-product attention: `softmax(query @ key.T) @ value`.

    A call takes a list of query, value and, if it isn't the value, key.

    Arguments:
        use_scale: whether the scores are multiplied by a learned number.
        score_mode: "dot", or "concat" for a sum of tanh(query + key).
        dropout: the fraction of weights that is dropped in training.
        seed: an integer, to draw the same again.
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if score_mode not in ("dot", "concat"):
            raise ValueError(
                "Invalid value for argument score_mode. Expected one of {'dot', 'concat'}. "
                f"Received: score_mode={score_mode}"
            )
        self.use_scale, self.score_mode, self.dropout = use_scale, score_mode, dropout
        self.seed = seed
        if dropout > 0:
            self.seed_generator = SeedGenerator(seed, self.name)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self._check(input_shape)
        self.scale = self.add_weight((), "ones", name="scale") if self.use_scale else None
        self.concat_score_weight = None
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight")

    def _check(self, inputs: Any) -> None:
        if not isinstance(inputs, list | tuple) or not 2 <= len(inputs) <= 3:
            raise ValueError(
                f"{type(self).__name__} layer must be called on a list of inputs, namely [query, "
                f"value] or [query, value, key]. Received: inputs={inputs}."
            )

    def _scores(self, query: Any, key: Any) -> Any:
        scale = 1 if self.scale is None else self.scale.value
        if self.concat_score_weight is None:
            return jnp.matmul(query, jnp.swapaxes(key, -2, -1)) * scale
        both = jnp.tanh(scale * (query[..., :, None, :] + key[..., None, :, :]))
        return self.concat_score_weight.value * jnp.sum(both, axis=-1)

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: Any = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        self._check(inputs)
        query, value, *rest = inputs
        key = rest[0] if rest else value
        masks = [None] * len(inputs) if mask is None else list(mask)
        scores = self._scores(query, key)
        allowed = None if masks[1] is None else masks[1][..., None, :]
        if use_causal_mask:
            causal = causal_mask(query.shape[-2], key.shape[-2])
            allowed = causal if allowed is None else allowed & causal
        if allowed is not None:
            lowest = jnp.asarray(65504.0 if scores.dtype == jnp.float16 else 1e9, scores.dtype)
            scores = jnp.where(allowed, scores, scores - lowest)
        weights = jax.nn.softmax(scores, axis=-1)
        if training and self.dropout > 0:
            weights = drop(weights, self.dropout, self.seed_generator)
        result = jnp.matmul(weights, value)
        if masks[0] is not None:
            result = jnp.where(masks[0][..., None], result, jnp.zeros_like(result))
        return (result, weights) if return_attention_scores else result

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return previous_mask[0] if previous_mask else None


class AdditiveAttention(Attention):
    """Attention whose scores are sums of `scale * tanh(query + key)`.

    Arguments:
        use_scale: whether a vector `scale` is learned.
        dropout: the fraction of weights that is dropped in training.
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any):
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: Any) -> None:
        self._check(input_shape)
        self.scale = None
        if self.use_scale:
            size = options.known(self, input_shape[0], -1)
            self.scale = self.add_weight((size,), "glorot_uniform", name="scale")

    def _scores(self, query: Any, key: Any) -> Any:
        both = jnp.tanh(query[..., :, None, :] + key[..., None, :, :])
        return jnp.sum(both if self.scale is None else self.scale.value * both, axis=-1)


def causal_mask(queries: int, keys: int) -> jax.Array:
    """Return which keys each query may attend to: those not after it."""
    return jnp.tril(jnp.ones((queries, keys), bool))


def drop(x: Any, rate: float, seeds: SeedGenerator) -> Any:
    """Set a fraction `rate` of the values to zero, and scale the others up."""
    kept = jax.random.bernoulli(seeds.next_key(), 1.0 - rate, x.shape)
    return jnp.where(kept, x / jnp.asarray(1.0 - rate, x.dtype), jnp.zeros_like(x))


__all__ = ["AdditiveAttention", "Attention"]
