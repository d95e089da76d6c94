"""Optax optimizers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
import pytest

from .steps import assert_trains_as_under_jit, rows

_SCHEDULE = optax.warmup_cosine_decay_schedule(0.01, 0.1, 2, 10)
_OPTIMIZERS = {
    "adam": lambda: optax.adam(0.01),
    "adamw": lambda: optax.adamw(_SCHEDULE, weight_decay=0.1),
    "momentum": lambda: optax.sgd(0.05, momentum=0.9, nesterov=True),
    "lamb": lambda: optax.lamb(0.01),
    "lion": lambda: optax.lion(0.01),
    "adafactor": lambda: optax.adafactor(0.01, min_dim_size_to_factor=4),
    "rmsprop": lambda: optax.rmsprop(0.01, centered=True),
    "adagrad": lambda: optax.adagrad(0.05),
    "nadam": lambda: optax.nadam(0.01),
    "yogi": lambda: optax.yogi(0.01),
    "clipped": lambda: optax.chain(
        optax.clip_by_global_norm(0.1), optax.add_noise(0.01, 0.5, 7), optax.adam(_SCHEDULE)
    ),
    "accumulated": lambda: optax.MultiSteps(optax.adam(0.05), every_k_schedule=2),
    "finite only": lambda: optax.apply_if_finite(
        optax.sgd(optax.exponential_decay(0.1, 2, 0.5)), 3
    ),
    "injected": lambda: optax.inject_hyperparams(optax.adam)(learning_rate=_SCHEDULE),
    "masked": lambda: optax.multi_transform(
        {"train": optax.adam(0.01), "freeze": optax.set_to_zero()},
        {"w1": "train", "b1": "freeze", "w2": "train"},
    ),
}


@pytest.mark.parametrize("name", _OPTIMIZERS)
def test_optimizer(name: str) -> None:
    optimizer = _OPTIMIZERS[name]()
    k1, k2 = jax.random.split(jax.random.key(0))
    params = {
        "w1": jax.random.normal(k1, (5, 6)) / 2,
        "b1": jnp.zeros(6),
        "w2": jax.random.normal(k2, (6, 1)) / 2,
    }

    def loss(params, x, y, scale):
        hidden = jnp.tanh(x @ params["w1"] + params["b1"])
        return jnp.mean((hidden @ params["w2"] - scale * y) ** 2)

    def step(state, i, batch):
        params, opt_state = state
        value, grads = jax.value_and_grad(loss)(params, *batch, 1 + 0.1 * i)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), value

    assert_trains_as_under_jit(step, (params, optimizer.init(params)), rows(), steps=4)
