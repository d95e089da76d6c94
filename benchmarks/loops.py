"""Loops: xl.compile against jax.jit and against what an expert would write by hand.

Recurrent cells as people spell them, forward and gradient; work that is the same in every turn;
sums that only leave a loop; many carried scalars. Prints how many times faster than jit each runs,
and exits with a message if one is slower than 0.95 of jit, or, on a GPU, a gradient of a cell less
than 1.9 times as fast.

    python benchmarks/loops.py                  on this machine's device
    python benchmarks/loops.py --target gpu     only which rewrites fire there; needs no GPU
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from common import OURS, PEER, environment, judge, median_ratio, print_table, take_turns
from jax import lax

import xlathe as xl
from xlathe.compiler.pipeline import pipeline, run_passes
from xlathe.compiler.targets import CPU, GPU, TPU
from xlathe.tracer.capture import capture

HAND = "by hand"
NEVER_SLOWER = 1 / 0.95
CELL_GRADIENT_ON_GPU = 1 / 1.9
SECONDS_PER_ROUND = 0.1
TARGETS = {"cpu": CPU, "gpu": GPU, "tpu": TPU}


class Case(NamedTuple):
    """A program, what it is called with, and the form of it that an expert would write.

    Attributes:
        name: what the table calls it.
        function: the program as people write it.
        arguments: its arguments.
        by_hand: the same, written for speed.
        is_cell_gradient: whether it is the gradient of a recurrent cell.
    """

    name: str
    function: Callable[..., Any]
    arguments: Callable[[], tuple[Any, ...]]
    by_hand: Callable[..., Any]
    is_cell_gradient: bool = False


def _gates(z: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array]:
    i, f, g, o = jnp.split(z, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def lstm(weights: Any, xs: jax.Array, h: jax.Array) -> jax.Array:
    w, u, b = weights

    def step(carry, x):
        h, c = _gates(x @ w + carry[0] @ u + b, carry[1])
        return (h, c), h

    return lax.scan(step, (h, h), xs)[1]


def lstm_joined(weights: Any, xs: jax.Array, h: jax.Array) -> jax.Array:
    w, u, b = weights
    kernel = jnp.concatenate([w, u])

    def step(carry, x):
        h, c = _gates(jnp.concatenate([x, carry[0]], axis=-1) @ kernel + b, carry[1])
        return (h, c), h

    return lax.scan(step, (h, h), xs)[1]


def lstm_of_parts(weights: Any, xs: jax.Array, h: jax.Array) -> jax.Array:
    w, u, b = weights
    of_inputs, of_states = jnp.split(w, 4, axis=1), jnp.split(u, 4, axis=1)

    def step(carry, x):
        z = x @ jnp.concatenate(of_inputs, axis=1) + carry[0] @ jnp.concatenate(of_states, axis=1)
        h, c = _gates(z + b, carry[1])
        return (h, c), h

    return lax.scan(step, (h, h), xs)[1]


def lstm_by_hand(weights: Any, xs: jax.Array, h: jax.Array) -> jax.Array:
    w, u, b = weights
    if jax.default_backend() == "cpu":
        return lstm(weights, xs, h)

    def step(carry, z):
        h, c = _gates(z + carry[0] @ u, carry[1])
        return (h, c), h

    return lax.scan(step, (h, h), xs @ w + b, unroll=8)[1]


def gru(weights: Any, xs: jax.Array, h: jax.Array) -> jax.Array:
    w, u, b = weights
    size = h.shape[-1]

    def step(h, x):
        gates = jax.nn.sigmoid(x @ w[:, : 2 * size] + h @ u[:, : 2 * size] + b[: 2 * size])
        r, z = jnp.split(gates, 2, axis=-1)
        n = jnp.tanh(x @ w[:, 2 * size :] + r * (h @ u[:, 2 * size :] + b[2 * size :]))
        h = (1 - z) * n + z * h
        return h, h

    return lax.scan(step, h, xs)[1]


def gru_by_hand(weights: Any, xs: jax.Array, h: jax.Array) -> jax.Array:
    w, u, b = weights
    size = h.shape[-1]
    if jax.default_backend() == "cpu":
        return gru(weights, xs, h)

    def step(h, x):
        y = h @ u + b
        r, z = jnp.split(jax.nn.sigmoid(x[:, : 2 * size] + y[:, : 2 * size]), 2, axis=-1)
        h = (1 - z) * jnp.tanh(x[:, 2 * size :] + r * y[:, 2 * size :]) + z * h
        return h, h

    return lax.scan(step, h, xs @ w, unroll=8)[1]


def gradient(cell: Callable[..., jax.Array]) -> Callable[..., Any]:
    return jax.grad(lambda weights, xs, h: jnp.sum(jnp.square(cell(weights, xs, h))))


def transport(cost: jax.Array, a: jax.Array, turns: Any) -> jax.Array:
    """Sinkhorn's iteration, its kernel written where it is used."""

    def step(_, v):
        kernel = jnp.exp(-cost / 0.1)
        return a / (kernel.T @ (a / (kernel @ v)))

    return lax.fori_loop(0, turns, step, a)


def transport_by_hand(cost: jax.Array, a: jax.Array, turns: Any) -> jax.Array:
    kernel = jnp.exp(-cost / 0.1)
    return lax.fori_loop(0, turns, lambda _, v: a / (kernel.T @ (a / (kernel @ v))), a)


def normalised(w: jax.Array, xs: jax.Array, h: jax.Array) -> jax.Array:
    """A recurrent layer whose weights are normalised in the cell."""

    def step(h, x):
        h = jnp.tanh(x + h @ (w / jnp.linalg.norm(w, axis=0)))
        return h, h

    return lax.scan(step, h, xs)[1]


def normalised_by_hand(w: jax.Array, xs: jax.Array, h: jax.Array) -> jax.Array:
    scaled = w / jnp.linalg.norm(w, axis=0)

    def step(h, x):
        h = jnp.tanh(x + h @ scaled)
        return h, h

    return lax.scan(step, h, xs)[1]


def covariance(xs: jax.Array) -> jax.Array:
    start = jnp.zeros((xs.shape[-1],) * 2)
    return lax.scan(lambda total, x: (total + x.T @ x, None), start, xs)[0]


def covariance_by_hand(xs: jax.Array) -> jax.Array:
    return jnp.einsum("tbi,tbj->ij", xs, xs)


def decoder(weights: Any, xs: jax.Array, h: jax.Array) -> jax.Array:
    """A recurrent layer that projects its state in each turn."""
    u, out = weights

    def step(h, x):
        h = jnp.tanh(x + h @ u)
        return h, h @ out

    return lax.scan(step, h, xs)[1]


def decoder_by_hand(weights: Any, xs: jax.Array, h: jax.Array) -> jax.Array:
    u, out = weights

    def step(h, x):
        h = jnp.tanh(x + h @ u)
        return h, h

    return lax.scan(step, h, xs)[1] @ out


def ring(scales: Any, start: Any, xs: jax.Array) -> jax.Array:
    """Scalars that each follow their neighbour."""

    def step(carry, x):
        following = carry[1:] + carry[:1]
        pairs = zip(scales, carry, following, strict=True)
        return tuple(jnp.tanh(s * one + other * x) for s, one, other in pairs), None

    return jnp.sum(jnp.stack(lax.scan(step, start, xs)[0]))


def ring_by_hand(scales: Any, start: Any, xs: jax.Array) -> jax.Array:
    scale = jnp.stack(scales)

    def step(carry, x):
        return jnp.tanh(scale * carry + jnp.roll(carry, -1) * x), None

    return jnp.sum(lax.scan(step, jnp.stack(start), xs)[0])


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape) * scale


def cell_arguments(turns: int, batch: int, hidden: int, gates: int) -> tuple[Any, ...]:
    scale = hidden**-0.5
    w, u = (random(hidden, gates * hidden, seed=i, scale=scale) for i in (1, 2))
    weights = w, u, random(gates * hidden, seed=3)
    return weights, random(turns, batch, hidden, seed=4), jnp.zeros((batch, hidden))


def cases(turns: int, batch: int, hidden: int) -> list[Case]:
    of_lstm = partial(cell_arguments, turns, batch, hidden, 4)
    of_gru = partial(cell_arguments, turns, batch, hidden, 3)
    scale = hidden**-0.5

    def sequence() -> tuple[jax.Array, jax.Array]:
        return random(turns, batch, hidden), jnp.zeros((batch, hidden))

    def scalars(count: int) -> tuple[Any, ...]:
        numbers = tuple(jnp.float32(0.1 * i) for i in range(count))
        return numbers, numbers[::-1], jnp.linspace(0.0, 1.0, 500)

    def of_decoder() -> tuple[Any, ...]:
        weights = random(hidden, hidden, scale=scale), random(hidden, 4 * hidden, scale=scale)
        return (weights, *sequence())

    found = [
        Case("LSTM", lstm, of_lstm, lstm_by_hand),
        Case("LSTM, gradient", gradient(lstm), of_lstm, gradient(lstm_by_hand), True),
        Case("LSTM of [x, h]", lstm_joined, of_lstm, lstm_by_hand),
        Case("LSTM of [x, h], gradient", gradient(lstm_joined), of_lstm, gradient(lstm_by_hand)),
        Case("LSTM of eight kernels", lstm_of_parts, of_lstm, lstm_by_hand),
        Case(
            "LSTM of eight kernels, gradient",
            gradient(lstm_of_parts),
            of_lstm,
            gradient(lstm_by_hand),
        ),
        Case("GRU", gru, of_gru, gru_by_hand),
        Case("GRU, gradient", gradient(gru), of_gru, gradient(gru_by_hand), True),
        Case(
            "kernel made in each turn",
            transport,
            lambda: (jnp.abs(random(hidden, hidden)), jnp.ones(hidden) / hidden, 50),
            transport_by_hand,
        ),
        Case(
            "weights normalised in each turn",
            normalised,
            lambda: (random(hidden, hidden), *sequence()),
            normalised_by_hand,
        ),
        Case("covariance", covariance, lambda: sequence()[:1], covariance_by_hand),
        Case("output projection", decoder, of_decoder, decoder_by_hand),
    ]
    for count in (8, 24):
        arguments = partial(scalars, count)
        gradients = jax.grad(ring), jax.grad(ring_by_hand)
        found.append(Case(f"{count} scalars", ring, arguments, ring_by_hand))
        found.append(Case(f"{count} scalars, gradient", gradients[0], arguments, gradients[1]))
    return found


def seconds_per_call(function: Callable[..., Any], arguments: Any, calls: int) -> float:
    start = time.perf_counter()
    result = None
    for _ in range(calls):
        result = function(*arguments)
    jax.block_until_ready(result)
    return (time.perf_counter() - start) / calls


def measure(case: Case, rounds: int) -> dict[str, list[float]]:
    """Return the seconds a call takes, round by round, of each form."""
    arguments = case.arguments()
    forms = {
        OURS: xl.compile(case.function),
        PEER: jax.jit(case.function),
        HAND: jax.jit(case.by_hand),
    }
    for form in forms.values():
        seconds_per_call(form, arguments, 1)
    calls = max(1, round(SECONDS_PER_ROUND / seconds_per_call(forms[PEER], arguments, 2)))
    return take_turns(
        {name: partial(seconds_per_call, form, arguments, calls) for name, form in forms.items()},
        rounds,
    )


def compare(chosen: list[Case], rounds: int) -> None:
    """Print a table of times and judge the ratios."""
    on_gpu = jax.default_backend() == "gpu"
    rows, ratios = [], {}
    for case in chosen:
        seconds = measure(case, rounds)
        ratio = median_ratio(seconds[OURS], seconds[PEER])
        limit = CELL_GRADIENT_ON_GPU if on_gpu and case.is_cell_gradient else NEVER_SLOWER
        ratios[case.name] = ratio, limit
        times = [f"{median(seconds[kind]) * 1e3:.2f} ms" for kind in (OURS, PEER, HAND)]
        to_hand = 1 / median_ratio(seconds[OURS], seconds[HAND])
        rows.append([case.name, *times, f"{1 / ratio:.2f}", f"{1 / limit:.2f}", f"{to_hand:.2f}"])
        print(f"{case.name}: {1 / ratio:.2f} times jit", flush=True)
    print()
    header = ["", OURS, PEER, HAND, "times jit", "at least", "times by hand"]
    print_table(header, rows)
    judge(ratios)


def show(chosen: list[Case], name: str) -> None:
    """Print which rewrites fire on a target, and which nearly do."""
    steps = pipeline("relaxed", TARGETS[name])
    for case in chosen:
        arguments = jax.eval_shape(case.arguments)
        records = run_passes(capture(case.function, *arguments).graph, steps)[1]
        print(case.name)
        for record in records:
            for rewrite in record.rules.rewrites:
                print(f"  {rewrite.rule}: {rewrite.before}  ->  {rewrite.after}")
            for reason in dict.fromkeys(
                f"{miss.rule}: {miss.reason}" for miss in record.rules.misses
            ):
                print(f"  not {reason}")


def main() -> None:
    on_cpu = jax.default_backend() == "cpu"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=TARGETS, help="show what fires there; run nothing")
    parser.add_argument("--turns", type=int, default=64 if on_cpu else 512)
    parser.add_argument("--batch", type=int, default=8 if on_cpu else 32)
    parser.add_argument("--hidden", type=int, default=128 if on_cpu else 1024)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    chosen = [
        case
        for case in cases(options.turns, options.batch, options.hidden)
        if options.only in case.name
    ]
    sizes = f"{options.turns} turns, batch {options.batch}, {options.hidden} wide"
    print(f"{environment()}\n{sizes}\n")
    if options.target:
        show(chosen, options.target)
    else:
        compare(chosen, options.rounds)


if __name__ == "__main__":
    main()
