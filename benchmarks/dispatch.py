"""What a call costs beyond the computation: xl.compile against jax.jit, with few and many arrays.

The functions do next to nothing, so that a call is all overhead. Prints the ratio of the times and
exits with a message if one is above its limit.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
from common import OURS, PEER, environment, judge, median_ratio, print_table, take_turns

import xlathe as xl

LIMIT = 1.05
ROUNDS = 60
SECONDS_PER_ROUND = 0.02


def first_plus_last(arrays: list[jax.Array]) -> jax.Array:
    return arrays[0] + arrays[-1]


def add_one_to_each(arrays: list[jax.Array]) -> list[jax.Array]:
    return [array + 1 for array in arrays]


def seconds_per_call(function: Callable[[Any], Any], argument: Any, calls: int) -> float:
    start = time.perf_counter()
    result = None
    for _ in range(calls):
        result = function(argument)
    jax.block_until_ready(result)
    return (time.perf_counter() - start) / calls


def compare(function: Callable[..., Any], arrays: int) -> dict[str, list[float]]:
    """Return the seconds a call takes, round by round, of both kinds of compiled function."""
    argument = [jnp.full((8,), float(i)) for i in range(arrays)]
    # Kept, because a function's unused arguments would be dropped before they cost anything.
    compiled = {
        OURS: xl.compile(function, keep_unused=True),
        PEER: jax.jit(function, keep_unused=True),
    }
    for step in compiled.values():
        seconds_per_call(step, argument, 50)
    calls = max(1, round(SECONDS_PER_ROUND / seconds_per_call(compiled[PEER], argument, 50)))
    measure = {
        name: partial(seconds_per_call, step, argument, calls) for name, step in compiled.items()
    }
    return take_turns(measure, ROUNDS)


def main() -> None:
    print(f"{environment()}\nfloat32[8] arrays in a list, median of {ROUNDS} rounds in turn\n")
    rows, ratios = [], {}
    for function in (first_plus_last, add_one_to_each):
        for arrays in (1, 500):
            seconds = compare(function, arrays)
            name = f"{function.__name__}, {arrays} array{'s' if arrays > 1 else ''}"
            ratio = median_ratio(seconds[OURS], seconds[PEER])
            ratios[name] = ratio, LIMIT
            times = [f"{median(seconds[kind]) * 1e6:.1f} us" for kind in (OURS, PEER)]
            rows.append([name, *times, f"{ratio:.3f}", f"{LIMIT:.2f}"])
    print_table(["a call of", OURS, PEER, "ratio", "limit"], rows)
    judge(ratios)


if __name__ == "__main__":
    main()
