"""Keras 3 models on the JAX backend, trained by their stateless calls."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"

import keras
import pytest
from keras import layers

from .steps import EPSILON, assert_trains_as_under_jit, images


def _convolutional() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(4, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.3, seed=1),
            layers.Dense(3),
        ]
    )


def _functional() -> keras.Model:
    inputs = layers.Input((8, 8, 1))
    x = layers.Reshape((8, 8))(inputs)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, x))
    x = layers.Add()([x, layers.Dense(8, activation="gelu")(x)])
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))


def _recurrent() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Reshape((8, 8)),
            layers.Bidirectional(layers.GRU(4, return_sequences=True)),
            layers.LSTM(5),
            layers.Dense(3),
        ]
    )


@pytest.mark.parametrize("build", [_convolutional, _functional, _recurrent])
def test_stateless_train_step(build) -> None:
    import jax

    keras.utils.set_random_seed(0)
    model, optimizer = build(), keras.optimizers.Adam(0.01, epsilon=EPSILON)
    optimizer.build(model.trainable_variables)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def loss(trainable, rest, x, y):
        logits, rest = model.stateless_call(trainable, rest, x, training=True)
        return cross_entropy(y, logits), rest

    def step(state, i, batch):
        trainable, rest, opt_state = state
        (value, rest), grads = jax.value_and_grad(loss, has_aux=True)(trainable, rest, *batch)
        trainable, opt_state = optimizer.stateless_apply(opt_state, grads, trainable)
        return (trainable, rest, opt_state), value

    state = tuple(
        [variable.value for variable in variables]
        for variables in (
            model.trainable_variables, model.non_trainable_variables, optimizer.variables
        )
    )  # fmt: skip
    assert_trains_as_under_jit(step, state, images(), tolerance=1e-4)
