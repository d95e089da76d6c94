"""`fit` and `predict` against Keras 3 on JAX, the same models and data in turn in one process.

Prints the ratio of the times of an epoch, of a prediction of one row, and of the first step, and
exits with a message if one is above its limit. First steps are those of models that neither library
has seen, of another size in each round, after a round that is not counted; and of a model that is
built again. Beside a prediction of one row stands a call of `jax.jit`, which hands it to a thread.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, pairwise
from statistics import median
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import jax
import jax.numpy as jnp
import keras
import numpy as np
from common import environment, judge, median_ratio, print_table, take_turns

import xlathe as xl

Compared = tuple[list[list[str]], dict[str, float]]

OURS, KERAS, SCAN, JIT = "xlathe", "keras", "scan by hand", "jax.jit by hand"
random = np.random.default_rng(0)


def mlp(library: Any, size: int = 64) -> Any:
    layers = library.layers
    return library.Sequential(
        [
            layers.Input((32,)),
            layers.Dense(size, activation="relu"),
            layers.Dense(size, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def cnn(library: Any, size: int = 64) -> Any:
    layers = library.layers
    return library.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(size, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def lstm(library: Any, size: int = 32) -> Any:
    layers = library.layers
    return library.Sequential(
        [layers.Input((20, 16)), layers.LSTM(size), layers.Dense(10, activation="softmax")]
    )


def transformer(library: Any, size: int = 64) -> Any:
    layers = library.layers
    inputs = layers.Input((16, 32))
    attended = layers.MultiHeadAttention(2, 16)(inputs, inputs)
    x = layers.LayerNormalization()(layers.Add()([inputs, attended]))
    hidden = layers.Dense(32)(layers.Dense(size, activation="gelu")(x))
    x = layers.LayerNormalization()(layers.Add()([x, hidden]))
    x = layers.GlobalAveragePooling1D()(x)
    return library.Model(inputs, layers.Dense(10, activation="softmax")(x))


CASES = {
    "mlp": (mlp, (20_000, 32)),
    "cnn": (cnn, (2_000, 28, 28, 1)),
    "lstm": (lstm, (2_000, 20, 16)),
    "transformer": (transformer, (2_000, 16, 32)),
}


def compiled(build: Callable[..., Any], library: Any, *size: int) -> Any:
    model = build(library, *size)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def seconds(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(action())
    return time.perf_counter() - start


def epoch_of(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    return seconds(lambda: model.fit(x, y, batch_size=32, verbose=0).history["loss"])


def scan_by_hand(x: np.ndarray, y: np.ndarray) -> Callable[[], float]:
    """An epoch of the MLP as one would write it for speed: one scan over shuffled batches."""
    import optax

    sizes = [32, 64, 64, 10]
    params = [
        {
            "w": jnp.asarray(random.normal(size=(inputs, outputs), scale=0.1), jnp.float32),
            "b": jnp.zeros(outputs),
        }
        for inputs, outputs in pairwise(sizes)
    ]
    optimizer = optax.adam(1e-3)
    state = [(params, optimizer.init(params))]

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        for layer in params[:-1]:
            x = jax.nn.relu(x @ layer["w"] + layer["b"])
        logits = x @ params[-1]["w"] + params[-1]["b"]
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
        return loss, (logits.argmax(-1) == y).sum()

    def step(carry: Any, rows: Any) -> Any:
        params, inner = carry
        grad = jax.value_and_grad(loss_of, has_aux=True)
        (loss, right), grads = grad(params, data[0][rows], data[1][rows])
        updates, inner = optimizer.update(grads, inner)
        return (optax.apply_updates(params, updates), inner), (loss, right)

    data = jax.device_put(x), jax.device_put(y.astype(np.int32))
    run = jax.jit(lambda carry, order: jax.lax.scan(step, carry, order), donate_argnums=0)

    def epoch() -> float:
        def go() -> Any:
            order = random.permutation(len(x)).astype(np.int32).reshape(-1, 32)
            state[0], logs = run(state[0], order)
            return jax.tree.map(lambda leaf: float(leaf.mean()), logs)

        return seconds(go)

    return epoch


def compare_first_steps(
    name: str, build: Callable[..., Any], x: np.ndarray, y: np.ndarray, rounds: int
) -> Compared:
    """Return rows and ratios of making a model and its first step, warmed up by another one."""

    def first_step(library: Any, sizes: Iterator[int]) -> float:
        size = next(sizes)
        return seconds(lambda: compiled(build, library, size).train_on_batch(x[:32], y[:32]))

    rows, ratios = [], {}
    for what, step in (("first step", 4), ("first step of a model built again", 0)):
        measure = {
            label: partial(first_step, library, count(44, step))
            for library, label in ((keras, KERAS), (xl, OURS))
        }
        take_turns(measure, 1)
        times = take_turns(measure, rounds)
        ratio = median_ratio(times[OURS], times[KERAS])
        ratios[f"{name}: {what}, {OURS}/{KERAS}"] = ratio
        for label, shown in ((KERAS, f"{ratio:.3f}"), (OURS, "")):
            rows.append([f"{name}: {what}, {label}", f"{median(times[label]):.2f} s", shown])
    return rows, ratios


def compare_epochs(
    name: str, build: Callable[..., Any], x: np.ndarray, y: np.ndarray, rounds: int
) -> Compared:
    """Return a table's rows, and the ratios of our times to the peers'."""
    measure: dict[str, Callable[[], float]] = {}
    for library, label in ((keras, KERAS), (xl, OURS)):
        model = compiled(build, library)
        epoch_of(model, x, y)
        measure[label] = partial(epoch_of, model, x, y)
    if name == "mlp":
        measure[SCAN] = scan_by_hand(x, y)
        measure[SCAN]()
    for action in measure.values():
        action()
    times = take_turns(measure, rounds)
    rows, ratios = [], {}
    for label, found in times.items():
        shown = "" if label == OURS else f"{median_ratio(times[OURS], found):.3f}"
        rows.append([f"{name}: epoch, {label}", f"{median(found) * 1e3:.1f} ms", shown])
        if label != OURS:
            ratios[f"{name}: epoch, {OURS}/{label}"] = median_ratio(times[OURS], found)
    return rows, ratios


def predict_by_hand(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """The same prediction as a jitted function of weights, called once a row."""

    @jax.jit
    def run(weights: list[Any], x: Any) -> Any:
        for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            x = jax.nn.relu(x @ kernel + bias)
        return jax.nn.softmax(x @ weights[-2] + weights[-1])

    weights = [jnp.asarray(weight) for weight in model.get_weights()]
    return lambda x: np.array(run(weights, x))


def compare_predictions(rounds: int) -> Compared:
    """Return rows and ratios for the prediction of one row."""
    x = random.normal(size=(1, 32)).astype(np.float32)
    calls: dict[str, Callable[[np.ndarray], Any]] = {}
    for library, label in ((keras, KERAS), (xl, OURS)):
        model = compiled(mlp, library)
        calls[label] = partial(model.predict, verbose=0)
        calls[JIT] = predict_by_hand(model)

    def some(call: Callable[[np.ndarray], Any]) -> float:
        return seconds(lambda: [call(x) for _ in range(100)])

    measure = {label: partial(some, call) for label, call in calls.items()}
    take_turns(measure, 1)
    times = take_turns(measure, rounds)
    rows = []
    for label, found in times.items():
        shown = "" if label == OURS else f"{median_ratio(times[OURS], found):.4f}"
        rows.append([f"predict one row, {label}", f"{median(found) * 1e4:.0f} us", shown])
    ratio = median_ratio(times[OURS], times[KERAS])
    return rows, {f"predict one row, {OURS}/{KERAS}": ratio}


LIMITS = {
    f"mlp: epoch, {OURS}/{KERAS}": 1 / 8,
    f"mlp: epoch, {OURS}/{SCAN}": 1.3,
    f"cnn: epoch, {OURS}/{KERAS}": 1 / 1.4,
    f"lstm: epoch, {OURS}/{KERAS}": 1 / 1.2,
    f"transformer: epoch, {OURS}/{KERAS}": 1 / 1.2,
    f"predict one row, {OURS}/{KERAS}": 1 / 30,
    f"mlp: first step, {OURS}/{KERAS}": 1.0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[*CASES, "predict"])
    options = parser.parse_args()
    print(f"{environment()}\nKeras {keras.__version__}, batches of 32, {options.rounds} rounds\n")
    rows, ratios = [], {}
    for name, (build, shape) in CASES.items():
        if name in options.only:
            x = random.normal(size=shape).astype(np.float32)
            y = random.integers(0, 10, shape[0])
            for compare in (compare_first_steps, compare_epochs):
                more, found = compare(name, build, x, y, options.rounds)
                rows += more
                ratios |= found
    if "predict" in options.only:
        more, found = compare_predictions(options.rounds)
        rows += more
        ratios |= found
    print_table(["what", "time", "xlathe's time to this"], rows)
    judge({name: (ratio, LIMITS.get(name, float("inf"))) for name, ratio in ratios.items()})


if __name__ == "__main__":
    main()
