"""Optimizers and schedules give the numbers that Keras 3 gives, step by step."""

import importlib
import os
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import numpy as np
import pytest

from xlathe.runtime.training.optimizers import catalogue as optimizers
from xlathe.runtime.training.optimizers import schedules
from xlathe.tracer.layers.variable import Variable

keras: Any = importlib.import_module("keras")
random = np.random.default_rng(2)
WEIGHTS = [random.normal(size=shape).astype("float32") for shape in [(4, 3), (3,), (2, 3, 4)]]
GRADIENTS = [[random.normal(size=w.shape).astype("float32") for w in WEIGHTS] for _ in range(7)]

CASES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "epsilon": 1e-3, "learning_rate": 0.1}),
    ("AdamW", {}),
    ("Adamax", {}),
    ("Adagrad", {}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Nadam", {}),
    ("Ftrl", {"l1_regularization_strength": 0.01, "beta": 0.1, "learning_rate": 0.1}),
    ("Ftrl", {"l2_shrinkage_regularization_strength": 0.1, "learning_rate_power": -0.7}),
    ("Lion", {"weight_decay": 0.01}),
    ("Lamb", {"learning_rate": 0.05}),
    ("Adafactor", {"learning_rate": 0.1}),
    ("Adam", {"clipnorm": 0.5}),
    ("SGD", {"clipvalue": 0.3}),
    ("SGD", {"global_clipnorm": 0.7}),
    ("Adam", {"use_ema": True, "ema_momentum": 0.8}),
    ("SGD", {"use_ema": True, "ema_overwrite_frequency": 3}),
    ("Adam", {"gradient_accumulation_steps": 2}),
    ("SGD", {"gradient_accumulation_steps": 3, "clipnorm": 0.5, "weight_decay": 0.1}),
    ("SGD", {"loss_scale_factor": 8.0}),
]
SCHEDULES = [
    ("ExponentialDecay", (0.1, 5, 0.5), {}),
    ("ExponentialDecay", (0.1, 5, 0.5), {"staircase": True}),
    ("PiecewiseConstantDecay", ([3, 8], [0.1, 0.05, 0.01]), {}),
    ("PolynomialDecay", (0.1, 6), {"power": 2.0}),
    ("PolynomialDecay", (0.1, 6), {"cycle": True}),
    ("InverseTimeDecay", (0.1, 5, 0.5), {}),
    ("CosineDecay", (0.1, 10), {"alpha": 0.1}),
    ("CosineDecay", (0.0, 10), {"warmup_target": 0.1, "warmup_steps": 4}),
    ("CosineDecayRestarts", (0.1, 4), {}),
    ("CosineDecayRestarts", (0.1, 4), {"t_mul": 1.0, "m_mul": 0.5}),
]


def run_ours(optimizer, gradients):
    variables = [Variable(weight) for weight in WEIGHTS]
    optimizer.build(variables)
    for grads in gradients:
        optimizer.apply_gradients(zip(grads, variables, strict=True))
    optimizer.finalize_variable_values(variables)
    return [variable.numpy() for variable in variables]


def run_keras(optimizer, gradients):
    variables = [keras.Variable(weight) for weight in WEIGHTS]
    optimizer.build(variables)
    for grads in gradients:
        optimizer.apply_gradients(zip(grads, variables, strict=True))
    optimizer.finalize_variable_values(variables)
    return [np.asarray(variable) for variable in variables]


@pytest.mark.parametrize(
    ("name", "arguments"), CASES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(CASES)]
)
def test_optimizer(name, arguments):
    ours = run_ours(getattr(optimizers, name)(**arguments), GRADIENTS)
    theirs = run_keras(getattr(keras.optimizers, name)(**arguments), GRADIENTS)
    for mine, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=2e-5, atol=2e-6)


def test_loss_scaling():
    gradients = [[grad * 2.0**15 for grad in grads] for grads in GRADIENTS]
    gradients[2][1] = gradients[2][1] * np.inf
    ours = optimizers.LossScaleOptimizer(optimizers.Adam(), dynamic_growth_steps=2)
    theirs = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(), dynamic_growth_steps=2)
    theirs.build([keras.Variable(weight) for weight in WEIGHTS])
    state, values = [np.asarray(variable) for variable in theirs.variables], WEIGHTS
    for grads in gradients:
        values, state = theirs.stateless_apply(state, grads, values)
    for mine, expected in zip(run_ours(ours, gradients), values, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "arguments", "options"),
    SCHEDULES,
    ids=[f"{name}-{i}" for i, (name, *_) in enumerate(SCHEDULES)],
)
def test_schedule(name, arguments, options):
    ours = getattr(schedules, name)(*arguments, **options)
    theirs = getattr(keras.optimizers.schedules, name)(*arguments, **options)
    for step in (0, 1, 3, 4, 6, 9, 15):
        np.testing.assert_allclose(ours(step), theirs(step), rtol=1e-5, atol=1e-8)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam", "AdamW", "Adadelta", "Lion", "Lamb"])
def test_defaults_are_those_of_keras(name):
    ours = getattr(optimizers, name)().get_config()
    theirs = getattr(keras.optimizers, name)().get_config()
    for key in ours.keys() - {"name"}:
        assert theirs[key] == pytest.approx(ours[key]), key
