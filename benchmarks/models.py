"""Whole models as people write them: a step of gradient descent under xl.compile and jax.jit.

Each model of `zoo` is a loss in plain JAX with its parameters and a batch, small enough for a
laptop (`--size small`) or large enough to keep a GPU busy (`--size large`). Both kinds are timed in
turn, and their new parameters compared. Prints the times, the temporary memory and the seconds of
the first call, and exits with a message if a step is slower than 1.05 times jit's.

    python benchmarks/models.py --size small
    python benchmarks/models.py --size large --precision bfloat16 --only llama vit
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import geometric_mean, median
from typing import Any

import jax
import numpy as np
from common import OURS, PEER, environment, judge, median_ratio, print_table, take_turns
from zoo import MODELS, Model, Size

import xlathe as xl

LIMIT = 1.05
LEAST_SECONDS = 0.03
LEARNING_RATE = 1e-3


def step_of(model: Model) -> Callable[..., Any]:
    """A step of gradient descent on the model's loss."""

    def step(parameters: Any, batch: Any) -> tuple[Any, jax.Array]:
        loss, gradient = jax.value_and_grad(model.loss)(parameters, *batch)
        return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, parameters, gradient), loss

    return step


def seconds_of(program: Callable[..., Any], given: tuple[Any, ...], calls: int) -> float:
    """The seconds of a call, when several are made one after the other."""
    result = None
    begin = time.perf_counter()
    for _ in range(calls):
        result = program(*given)
    jax.block_until_ready(result)
    return (time.perf_counter() - begin) / calls


def difference(got: Any, wanted: Any, before: Any) -> float:
    """How far the parameters' steps are from each other, in parts of the longest step."""
    ours, theirs = (jax.tree.leaves(jax.tree.map(np.subtract, x, before)) for x in (got, wanted))
    longest = max(float(np.abs(x).max()) for x in theirs)
    return max(float(np.abs(x - y).max()) for x, y in zip(ours, theirs, strict=True)) / longest


def measure(
    model: Model, size: Size, precision: str | None, rounds: int
) -> tuple[list[str], float]:
    """The row of a model, and our time in parts of jit's."""
    parameters, batch = model.make(jax.random.key(0), size)
    given = parameters, batch
    first, programs, results = {}, {}, {}
    for name, wrap in ((PEER, jax.jit), (OURS, partial(xl.compile, precision=precision))):
        begin = time.perf_counter()
        programs[name] = wrap(step_of(model)).lower(*given).compile()
        first[name] = time.perf_counter() - begin
        results[name] = jax.block_until_ready(programs[name](*given))
    calls = max(1, int(LEAST_SECONDS / seconds_of(programs[PEER], given, 1)))
    turns = {name: partial(seconds_of, f, given, calls) for name, f in programs.items()}
    seconds = take_turns(turns, rounds)
    ratio = median_ratio(seconds[OURS], seconds[PEER])
    off = difference(results[OURS][0], results[PEER][0], parameters)
    memory = {n: f.memory_analysis().temp_size_in_bytes / 2**20 for n, f in programs.items()}
    row = [
        model.name,
        *(f"{1e3 * median(seconds[name]):.3g} ms" for name in (OURS, PEER)),
        f"{ratio:.3f}",
        *(f"{memory[name]:.4g} MiB" for name in (OURS, PEER)),
        *(f"{first[name]:.1f} s" for name in (OURS, PEER)),
        f"{off:.0e}",
    ]
    return row, ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=("small", "large"), default="small")
    parser.add_argument("--precision", choices=("bfloat16", "tensorfloat32"))
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    print(environment())
    rows, ratios = [], {}
    for model in MODELS:
        if given.only and model.name not in given.only:
            continue
        row, ratios[model.name] = measure(model, given.size, given.precision, given.rounds)
        rows.append(row)
        print(*row, flush=True)
    header = ["step", OURS, PEER, "ours/jit", "memory", "jit's", "compile", "jit's", "differs by"]
    print(f"\n{given.size}, median of {given.rounds} rounds in turn\n")
    print_table(header, rows)
    mean = geometric_mean(ratios.values())
    print(f"\ngeometric mean: {1 / mean:.2f} times as fast as jax.jit")
    judge({f"{name}, ours/jit": (ratio, LIMIT) for name, ratio in ratios.items()})


if __name__ == "__main__":
    main()
