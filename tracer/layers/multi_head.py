"""Attention with several heads."""

import math
import string
from typing import Any

import jax
import jax.numpy as jnp

from xlathe.tracer.layers import initializers, options
from xlathe.tracer.layers.attention import causal_mask, drop
from xlathe.tracer.layers.einsum import EinsumDense
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.random import SeedGenerator


class _HeadsBase(Layer):
    """What multi-head and grouped-query attention share: masks, softmax, dropout, projections."""

    def _set_up(
        self, dropout: float, sliding_window: int | None, seed: int | None, **of_weights: Any
    ) -> None:
        self.supports_masking = True
        self.dropout, self.sliding_window, self.seed = dropout, sliding_window, seed
        if sliding_window is not None:
            options.positive("sliding_window", sliding_window)
        if dropout > 0:
            self.seed_generator = SeedGenerator(seed, self.name)
        options.keep(self, **of_weights)

    def _projection(self, equation: str, shape: Any, bias_axes: str | None, name: str, **kwargs):
        """Return an `EinsumDense` with this layer's options, its own initializers."""
        return EinsumDense(
            equation,
            shape,
            bias_axes=bias_axes,
            name=name,
            dtype=self.dtype_policy.name,
            kernel_initializer=_fresh(getattr(self, "kernel_initializer", None)),
            bias_initializer=_fresh(getattr(self, "bias_initializer", None)),
            kernel_regularizer=getattr(self, "kernel_regularizer", None),
            bias_regularizer=getattr(self, "bias_regularizer", None),
            kernel_constraint=getattr(self, "kernel_constraint", None),
            bias_constraint=getattr(self, "bias_constraint", None),
            **kwargs,
        )

    def _allowed(self, query: Any, key: Any, masks: Any, attention_mask: Any, causal: bool) -> Any:
        """Return which keys each query may attend to, from all masks there are; None for all."""
        query_mask, value_mask, key_mask = masks
        parts = [] if attention_mask is None else [jnp.asarray(attention_mask, bool)]
        if query_mask is not None:
            parts.append(jnp.asarray(query_mask, bool)[..., :, None])
        for mask in (value_mask, key_mask):
            if mask is not None:
                parts.append(jnp.asarray(mask, bool)[..., None, :])
        length, size = query.shape[1], key.shape[1]
        if causal:
            parts.append(causal_mask(length, size)[None])
        if self.sliding_window is not None:
            distance = jnp.abs(jnp.arange(length)[:, None] - jnp.arange(size)[None])
            parts.append((distance < self.sliding_window)[None])
        total = None
        for part in parts:
            total = part if total is None else total & part
        return total

    def _weights(self, scores: Any, allowed: Any, axes: Any, clean: bool) -> Any:
        """Return the softmax of the scores; `clean` sets rows without any key to zero."""
        if allowed is None:
            return jax.nn.softmax(scores, axis=axes)
        lowest = jnp.asarray(jnp.finfo(scores.dtype).min / 2, scores.dtype)
        weights = jax.nn.softmax(jnp.where(allowed, scores, lowest), axis=axes)
        return jnp.where(allowed, weights, jnp.zeros_like(weights)) if clean else weights

    def compute_mask(self, query: Any, query_mask: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return query_mask


class MultiHeadAttention(_HeadsBase):
    """Attention of several heads, each with its own projections.

    A call takes query, value and, if it isn't the value, key, and masks by their names.

    Arguments:
        num_heads: how many heads.
        key_dim: the size of queries and keys in a head.
        value_dim: the size of values in a head; `key_dim` unless given.
        dropout: the fraction of weights that is dropped in training.
        use_bias: whether projections have a bias.
        output_shape: the shape of the output's features; those of the query unless given.
        attention_axes: the axes attended over; all but the first and last unless given.
        sliding_window: how far apart query and key may be.
        flash_attention: accepted; the compiler chooses how attention is computed.
        use_gate: whether the result is multiplied by a gate made from the query.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.num_heads = options.positive("num_heads", num_heads)
        self.key_dim = options.positive("key_dim", key_dim)
        self.value_dim = key_dim if value_dim is None else options.positive("value_dim", value_dim)
        self.use_bias, self.use_gate = use_bias, use_gate
        self._features = (output_shape,) if isinstance(output_shape, int) else output_shape
        axes = (attention_axes,) if isinstance(attention_axes, int) else attention_axes
        self._axes = axes
        self._set_up(
            *(dropout, sliding_window, seed),
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        key_shape = key_shape or value_shape
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ValueError(
                "All dimensions of `value` and `key`, except the last one, must be equal. "
                f"Received: value_shape={tuple(value_shape)} and key_shape={tuple(key_shape)}"
            )
        self._query_dense = self._to_heads(query_shape, self.key_dim, "query")
        self._key_dense = self._to_heads(key_shape, self.key_dim, "key")
        if self.use_gate:
            self._gate_dense = self._to_heads(query_shape, self.value_dim, "gate", "sigmoid")
        self._value_dense = self._to_heads(value_shape, self.value_dim, "value")
        self._equations = _equations(len(query_shape), self._axes)
        features = tuple(self._features or (query_shape[-1],))
        free = string.ascii_lowercase[: len(query_shape) - 1]
        out = string.ascii_uppercase[: len(features)]
        self._output_dense = self._projection(
            f"{free}yz,yz{out}->{free}{out}",
            (*[None] * (len(query_shape) - 2), *features),
            out if self.use_bias else None,
            "attention_output",
        )
        self._output_dense.build((*query_shape[:-1], self.num_heads, self.value_dim))

    def _to_heads(self, shape: Any, size: int, name: str, activation: Any = None) -> EinsumDense:
        free = string.ascii_lowercase[: len(shape) - 1]
        layer = self._projection(
            f"{free}x,xyz->{free}yz",
            (*[None] * (len(shape) - 2), self.num_heads, size),
            "yz" if self.use_bias else None,
            name,
            activation=activation,
        )
        layer.build(shape)
        return layer

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: Any = None,
        use_causal_mask: bool = False,
    ) -> Any:
        key = value if key is None else key
        masks = (query_mask, value_mask, key_mask)
        allowed = self._allowed(query, key, masks, attention_mask, use_causal_mask)
        gate = self._gate_dense(query) if self.use_gate else None
        query, key, value = (
            self._query_dense(query),
            self._key_dense(key),
            self._value_dense(value),
        )
        dot, combine, axes = self._equations
        scores = jnp.einsum(dot, query * (1.0 / math.sqrt(self.key_dim)), key)
        if allowed is not None:
            split, missing = allowed.ndim - 2 * len(axes), scores.ndim - allowed.ndim
            shape = allowed.shape
            allowed = allowed.reshape(shape[:split] + (1,) * missing + shape[split:])
        clean = return_attention_scores or self.dropout > 0
        weights = self._weights(scores, allowed, axes, clean)
        dropped = weights
        if training and self.dropout > 0:
            dropped = drop(weights, self.dropout, self.seed_generator)
        result = jnp.einsum(combine, dropped, value)
        result = self._output_dense(result if gate is None else result * gate)
        return (result, weights) if return_attention_scores else result


class GroupedQueryAttention(_HeadsBase):
    """Attention in which several query heads share one head of keys and values.

    Arguments:
        head_dim: the size of a head.
        num_query_heads: how many heads of queries.
        num_key_value_heads: how many heads of keys and values; a divisor of the former.
        dropout: the fraction of weights that is dropped in training.
        use_bias: whether projections have a bias.
        sliding_window: how far apart query and key may be.
        flash_attention: accepted; the compiler chooses how attention is computed.
        use_gate: whether the result is multiplied by a gate made from the query.
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.head_dim = options.positive("head_dim", head_dim)
        self.num_query_heads = options.positive("num_query_heads", num_query_heads)
        self.num_key_value_heads = options.positive("num_key_value_heads", num_key_value_heads)
        if num_query_heads % num_key_value_heads:
            raise ValueError(
                "`num_query_heads` must be divisible by `num_key_value_heads`. Received: "
                f"{num_query_heads} and {num_key_value_heads}"
            )
        self.use_bias, self.use_gate = use_bias, use_gate
        self._set_up(
            *(dropout, sliding_window, seed),
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        key_shape = key_shape or value_shape
        heads, shared = self.num_query_heads, self.num_key_value_heads
        self._query_dense = self._to_heads(query_shape, heads, "query")
        self._key_dense = self._to_heads(key_shape, shared, "key")
        if self.use_gate:
            self._gate_dense = self._to_heads(query_shape, heads, "gate", "sigmoid")
        self._value_dense = self._to_heads(value_shape, shared, "value")
        bias = "m" if self.use_bias else None
        self._output_dense = self._projection(
            "bquh,uhm->bqm", (None, query_shape[-1]), bias, "attention_output"
        )
        self._output_dense.build((None, None, heads, self.head_dim))

    def _to_heads(self, shape: Any, heads: int, name: str, activation: Any = None) -> EinsumDense:
        bias = "uh" if self.use_bias else None
        layer = self._projection(
            "bqm,muh->bquh", (None, heads, self.head_dim), bias, name, activation=activation
        )
        layer.build(shape)
        return layer

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: Any = None,
        use_causal_mask: bool = False,
    ) -> Any:
        key = value if key is None else key
        masks = (query_mask, value_mask, key_mask)
        allowed = self._allowed(query, key, masks, attention_mask, use_causal_mask)
        gate = self._gate_dense(query) if self.use_gate else None
        repeats = self.num_query_heads // self.num_key_value_heads
        query = self._query_dense(query)
        key = jnp.repeat(self._key_dense(key), repeats, axis=2)
        value = jnp.repeat(self._value_dense(value), repeats, axis=2)
        scores = jnp.einsum("bquh,bkuh->buqk", query * (1.0 / math.sqrt(self.head_dim)), key)
        if allowed is not None:
            allowed = allowed[:, None]
        clean = return_attention_scores or self.dropout > 0
        weights = self._weights(scores, allowed, -1, clean)
        dropped = weights
        if training and self.dropout > 0:
            dropped = drop(weights, self.dropout, self.seed_generator)
        result = jnp.einsum("buqk,bkuh->bquh", dropped, value)
        result = self._output_dense(result if gate is None else result * gate)
        return (result, weights) if return_attention_scores else result


GroupQueryAttention = GroupedQueryAttention


def _fresh(initializer: Any) -> Any:
    """Return an initializer like this one with a seed of its own, if it has none given."""
    return initializer.clone() if isinstance(initializer, initializers.Initializer) else initializer


def _equations(rank: int, axes: Any) -> tuple[str, str, tuple[int, ...]]:
    """Return the einsums of scores and of results, and the axes of the softmax.

    Arguments:
        rank: of the query before it is projected.
        axes: the axes attended over; None for all but the first and last.
    """
    chosen = tuple(range(1, rank - 1)) if axes is None else tuple(a % rank for a in axes)
    query = string.ascii_lowercase[: rank - 1]
    key = "".join(c.upper() if i in chosen else c for i, c in enumerate(query))
    batch = "".join(c for i, c in enumerate(query) if i not in chosen)
    scores = f"{batch}y{''.join(query[i] for i in chosen)}{''.join(key[i] for i in chosen)}"
    axes = tuple(range(-len(chosen), 0))
    return f"{query}yz,{key}yz->{scores}", f"{scores},{key}yz->{query}yz", axes


__all__ = ["GroupQueryAttention", "GroupedQueryAttention", "MultiHeadAttention"]
