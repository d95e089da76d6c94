"""Models of Flax Linen and Flax NNX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import nnx

import xlathe as xl

from .steps import EPSILON, assert_same_state, assert_trains_as_under_jit, images, rows


class ConvNet(nn.Module):
    """Convolution, batch normalisation, pooling, dropout."""

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = nn.Conv(4, (3, 3))(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.max_pool(nn.relu(x), (2, 2), (2, 2)).reshape(x.shape[0], -1)
        x = nn.Dropout(0.3, deterministic=not train)(x)
        return nn.Dense(3)(x)


class Block(nn.Module):
    """A transformer block with the layers recomputed in the backward pass."""

    @nn.compact
    def __call__(self, tokens, *, train: bool):
        x = nn.Embed(11, 8)(tokens)
        mask = nn.make_causal_mask(tokens)
        attention = nn.MultiHeadDotProductAttention(2, dropout_rate=0.1, deterministic=not train)
        x = x + attention(nn.LayerNorm()(x), mask=mask)
        x = x + nn.remat(nn.Dense)(8)(nn.gelu(nn.Dense(16)(nn.RMSNorm()(x))))
        return nn.Dense(11)(x)


class Recurrent(nn.Module):
    """An LSTM, lifted over time by `nn.RNN`."""

    @nn.compact
    def __call__(self, x, *, train: bool):
        states: Any = nn.RNN(nn.LSTMCell(6))(x)
        return nn.Dense(3)(states[:, -1])


def _check_linen(model: nn.Module, x: jax.Array, labels: jax.Array) -> None:
    variables = jax.jit(model.init, static_argnames="train")(jax.random.key(0), x, train=False)
    optimizer = optax.adam(0.01, eps=EPSILON)

    def step(state, i, batch):
        variables, opt_state = state
        key = jax.random.fold_in(jax.random.key(1), i)

        def loss(params):
            logits, updated = model.apply(
                {**variables, "params": params},
                batch[0], train=True, rngs={"dropout": key}, mutable=["batch_stats"],
            )  # fmt: skip
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch[1])
            return losses.mean(), updated

        (value, updated), grads = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        updates, opt_state = optimizer.update(grads, opt_state, variables["params"])
        params = optax.apply_updates(variables["params"], updates)
        return ({**variables, **updated, "params": params}, opt_state), value

    state = (variables, optimizer.init(variables["params"]))
    assert_trains_as_under_jit(step, state, (x, labels), tolerance=1e-4)


def test_linen_convolutions() -> None:
    _check_linen(ConvNet(), *images())


def test_linen_transformer_block() -> None:
    tokens = jnp.arange(14).reshape(2, 7) % 11
    _check_linen(Block(), tokens, (tokens + 1) % 11)


def test_linen_recurrent() -> None:
    x, labels = images()
    _check_linen(Recurrent(), x[..., 0], labels)


class Mlp(nnx.Module):
    """Batch normalisation and dropout, with their state."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(5, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.last = nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x):
        return self.last(self.dropout(nnx.relu(self.norm(self.first(x)))))


def _nnx_loss(model, batch):
    x, y = batch
    return jnp.mean((model(x) - y) ** 2)


def test_nnx_split_and_merge() -> None:
    model = Mlp(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adamw(0.01, eps=EPSILON), wrt=nnx.Param)
    graph, state = nnx.split((model, optimizer))

    def step(state, i, batch):
        model, optimizer = nnx.merge(graph, state)
        loss, grads = nnx.value_and_grad(_nnx_loss)(model, batch)
        optimizer.update(model, grads)
        return nnx.split((model, optimizer))[1], loss

    assert_trains_as_under_jit(step, state, rows(), tolerance=1e-4)


def test_nnx_jit_around_a_compiled_loss() -> None:
    def trained(wrap):
        model = Mlp(nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, optax.sgd(0.05), wrt=nnx.Param)

        @nnx.jit
        def step(model, optimizer, batch):
            graph, params, rest = nnx.split(model, nnx.Param, ...)

            @wrap
            def loss(params, rest):
                merged = nnx.merge(graph, params, rest)
                return _nnx_loss(merged, batch), nnx.split(merged, nnx.Param, ...)[2]

            (value, updated), grads = jax.value_and_grad(loss, has_aux=True)(params, rest)
            nnx.update(model, updated)
            optimizer.update(model, grads)
            return value

        losses = [step(model, optimizer, rows()) for _ in range(3)]
        return losses, nnx.to_pure_dict(nnx.state(model, nnx.Param))

    for wrap in (xl.compile, xl.optimize):
        assert_same_state(trained(wrap), trained(jax.jit), 1e-4)
