"""Operations that layers use: xl.compile against jax.jit, forward, gradient, and steps in a loop.

Pooling, depthwise and pointwise convolutions, convolutions in loops, dense layers over sequences
and small batches, and cumulative operations, over sizes that layers have. Gradients are taken
inside of what is compiled, and from outside of it. Prints how many times faster than jit each runs,
and exits with a message if one is slower than 0.95 of jit.

    python benchmarks/operations.py --only pool
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from common import OURS, PEER, environment, judge, median_ratio, print_table, take_turns
from jax import lax

import xlathe as xl

NEVER_SLOWER = 1 / 0.95
SECONDS_PER_ROUND = 0.05
TURNS = 5


class Case(NamedTuple):
    """An operation and the shapes of its arguments.

    Attributes:
        name: what the table calls it.
        function: the operation.
        shapes: the shapes of its arguments; the second one is that of weights.
        in_loop: whether its gradient is also measured in a loop,
        turns: of so many steps.
    """

    name: str
    function: Callable[..., jax.Array]
    shapes: tuple[tuple[int, ...], ...]
    in_loop: bool = False
    turns: int = TURNS


def pool(x: jax.Array, kind: str, size: int, stride: int, padding: str = "VALID") -> jax.Array:
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    start, operation = (-jnp.inf, lax.max) if kind == "max" else (0.0, lax.add)
    return lax.reduce_window(x, start, operation, window, strides, padding)


def convolve(x: jax.Array, kernel: jax.Array, stride: int = 1, groups: int = 1) -> jax.Array:
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=layout, feature_group_count=groups
    )


def hidden(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.nn.relu(x) @ kernel


def gradient(function: Callable[..., jax.Array], *arguments: jax.Array) -> Any:
    """The operation and its gradient by all its arguments."""
    result, pullback = jax.vjp(function, *arguments)
    return pullback(0.5 * result)


def descent(function: Callable[..., jax.Array], turns: int, *arguments: jax.Array) -> Any:
    """Steps of gradient descent on all arguments, in a loop."""

    def step(_: Any, values: Any) -> Any:
        changes = gradient(function, *values)
        return jax.tree.map(lambda value, change: value - 1e-6 * change, values, changes)

    return lax.fori_loop(0, turns, step, arguments)


def cases() -> list[Case]:
    found = []
    for size, stride, shape in (
        (2, 2, (32, 28, 28, 16)),
        (2, 2, (64, 24, 24, 32)),
        (2, 2, (1, 56, 56, 64)),
        (3, 2, (8, 56, 56, 64)),
        (3, 1, (8, 28, 28, 64)),
        (5, 5, (16, 20, 20, 32)),
    ):
        for kind in ("max", "sum"):
            name = f"{kind}-pool {size}x{size}/{stride} {shape}"
            found.append(Case(name, partial(pool, kind=kind, size=size, stride=stride), (shape,)))
    for size, stride, shape in (
        (3, 1, (32, 28, 28, 32)),
        (3, 2, (8, 56, 56, 64)),
        (3, 1, (1, 112, 112, 32)),
        (3, 1, (16, 14, 14, 256)),
        (5, 1, (8, 28, 28, 64)),
        (7, 1, (8, 14, 14, 96)),
    ):
        function = partial(convolve, stride=stride, groups=shape[-1])
        kernel = (size, size, 1, shape[-1])
        name = f"depthwise {size}x{size}/{stride} {shape}"
        found.append(Case(name, function, (shape, kernel), size == 3 and shape[0] > 1))
    for shape, outputs, stride in (
        ((32, 28, 28, 32), 64, 1),
        ((8, 56, 56, 64), 128, 2),
        ((32, 14, 14, 128), 256, 1),
        ((1, 56, 56, 64), 64, 1),
        ((1, 7, 7, 512), 512, 1),
    ):
        name = f"1x1/{stride} {shape} to {outputs}"
        kernel = (1, 1, shape[-1], outputs)
        found.append(Case(name, partial(convolve, stride=stride), (shape, kernel), True))
    for shape, size, outputs in (
        ((32, 28, 28, 1), 3, 32),
        ((16, 14, 14, 32), 3, 64),
        ((4, 28, 28, 3), 5, 16),
    ):
        name = f"{size}x{size} {shape} to {outputs}"
        kernel = (size, size, shape[-1], outputs)
        found.append(Case(name, convolve, (shape, kernel), True))
    for shape, outputs in (((32, 16, 32), 64), ((20, 32, 32), 128), ((8, 128, 256), 256)):
        name = f"dense {shape} to {outputs}"
        found.append(Case(name, jnp.matmul, (shape, (shape[-1], outputs)), True))
    for shape, outputs in (((32, 64), 10), ((32, 64), 64), ((8, 128), 128), ((32, 128), 32)):
        name = f"hidden {shape} to {outputs}"
        found.append(Case(name, hidden, (shape, (shape[-1], outputs)), True, 500))
    for shape in ((64, 16), (256, 28), (64, 100), (32, 512), (64, 1000), (8, 4096)):
        found.append(Case(f"cumsum {shape}", partial(jnp.cumsum, axis=-1), (shape,)))
        found.append(Case(f"cummax {shape}", partial(lax.cummax, axis=1), (shape,)))
    for shape in ((100, 64), (64, 100, 8)):
        found.append(Case(f"cumsum {shape}", partial(jnp.cumsum, axis=-2), (shape,)))
        found.append(Case(f"cumprod {shape}", partial(jnp.cumprod, axis=-2), (shape,)))
    return found


def seconds_per_call(function: Callable[..., Any], arguments: Any, calls: int) -> float:
    start = perf_counter()
    result = None
    for _ in range(calls):
        result = function(*arguments)
    jax.block_until_ready(result)
    return (perf_counter() - start) / calls


Form = Callable[..., Any]


def measure(ours: Form, peer: Form, arguments: Any, rounds: int) -> dict[str, list[float]]:
    """Return the seconds a call takes, round by round, of each form."""
    forms = {OURS: ours, PEER: peer}
    for form in forms.values():
        seconds_per_call(form, arguments, 1)
    once = seconds_per_call(forms[PEER], arguments, 1)
    calls = max(1, round(SECONDS_PER_ROUND / once))
    return take_turns(
        {name: partial(seconds_per_call, form, arguments, calls) for name, form in forms.items()},
        rounds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--skip-loops", action="store_true", help="leave out steps in loops")
    options = parser.parse_args()
    print(f"{environment()}\n{options.rounds} rounds\n")
    rows, ratios = [], {}
    for case in cases():
        if options.only not in case.name:
            continue
        keys = jax.random.split(jax.random.key(0), len(case.shapes))
        arguments = [
            jax.random.normal(key, shape) for key, shape in zip(keys, case.shapes, strict=True)
        ]
        inside = partial(gradient, case.function)
        forms = {
            "": (xl.compile(case.function), jax.jit(case.function)),
            ", gradient": (xl.compile(inside), jax.jit(inside)),
            ", gradient from outside": (
                jax.jit(partial(gradient, xl.compile(case.function))),
                jax.jit(inside),
            ),
        }
        if case.in_loop and not options.skip_loops:
            steps = partial(descent, case.function, case.turns)
            forms[", steps in a loop"] = xl.compile(steps), jax.jit(steps)
        for suffix, (ours, peer) in forms.items():
            name = f"{case.name}{suffix}"
            seconds = measure(ours, peer, arguments, options.rounds)
            ratio = median_ratio(seconds[OURS], seconds[PEER])
            ratios[name] = ratio, NEVER_SLOWER
            times = [f"{median(seconds[kind]) * 1e3:.3f} ms" for kind in (OURS, PEER)]
            rows.append([name, *times, f"{1 / ratio:.2f}"])
            print(f"{name}: {1 / ratio:.2f} times jit", flush=True)
    print()
    print_table(["", OURS, PEER, "times jit"], rows)
    judge(ratios)


if __name__ == "__main__":
    main()
