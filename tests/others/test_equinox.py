"""Equinox models: modules whose static leaves are held outside of the compiled function."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import xlathe as xl

from .steps import EPSILON, assert_same_state, assert_trains_as_under_jit, images, rows


def _check(model, loss, batch) -> None:
    params, static = eqx.partition(model, eqx.is_array)
    optimizer = optax.adam(0.01, eps=EPSILON)

    def step(state, i, batch):
        params, opt_state = state

        @eqx.filter_value_and_grad
        def objective(model):
            return loss(model, jax.random.fold_in(jax.random.key(0), i), *batch)

        value, grads = objective(eqx.combine(params, static))
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (eqx.apply_updates(params, updates), opt_state), value

    floats = eqx.filter(params, eqx.is_inexact_array)
    assert_trains_as_under_jit(step, (params, optimizer.init(floats)), batch, tolerance=1e-4)


def test_mlp() -> None:
    model = eqx.nn.MLP(5, 1, 8, 2, key=jax.random.key(0))
    _check(model, lambda m, _, x, y: jnp.mean((jax.vmap(m)(x) - y) ** 2), rows())


def test_convolutions_with_dropout() -> None:
    k1, k2 = jax.random.split(jax.random.key(0))
    model = eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(1, 3, 3, key=k1),
            eqx.nn.Lambda(jax.nn.silu),
            eqx.nn.AvgPool2d(2, 2),
            eqx.nn.Dropout(0.2),
            eqx.nn.Lambda(jnp.ravel),
            eqx.nn.Linear(27, 3, key=k2),
        ]
    )

    def loss(model, key, x, labels):
        keys = jax.random.split(key, x.shape[0])
        logits = jax.vmap(lambda x, key: model(x, key=key))(jnp.moveaxis(x, -1, 1), keys)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    _check(model, loss, images())


class Recurrent(eqx.Module):
    """A GRU in a scan, its last state projected."""

    cell: eqx.nn.GRUCell
    last: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        k1, k2 = jax.random.split(key)
        self.cell = eqx.nn.GRUCell(8, 6, key=k1)
        self.last = eqx.nn.Linear(6, 3, key=k2)

    def __call__(self, xs: jax.Array) -> jax.Array:
        state, _ = jax.lax.scan(lambda h, x: (self.cell(x, h), None), jnp.zeros(6), xs)
        return self.last(state)


def test_recurrent() -> None:
    def loss(model, _, x, labels):
        logits = jax.vmap(model)(x[..., 0])
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    _check(Recurrent(jax.random.key(0)), loss, images())


def test_attention() -> None:
    model = eqx.nn.MultiheadAttention(2, 5, key=jax.random.key(0))

    def loss(model, key, x, y):
        mask = jnp.tril(jnp.ones((8, 8), bool))
        return jnp.mean((model(x, x, x, mask=mask) - y) ** 2)

    _check(model, loss, rows())


def test_filter_jit_around_a_compiled_function() -> None:
    model = eqx.nn.MLP(5, 1, 8, 1, key=jax.random.key(0))
    params, static = eqx.partition(model, eqx.is_array)

    def outputs(wrap):
        forward = wrap(lambda params, x: jax.vmap(eqx.combine(params, static))(x))

        @eqx.filter_jit
        def loss_and_gradient(params, x, y):
            def loss(params):
                return jnp.mean((forward(params, x) - y) ** 2)

            return jax.value_and_grad(loss)(params)

        return loss_and_gradient(params, *rows())

    for wrap in (xl.compile, xl.optimize):
        assert_same_state(outputs(wrap), outputs(jax.jit), 1e-5)
