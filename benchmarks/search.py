"""How long the passes take on programs of many formulas, and on a single very long one."""

import gc
import itertools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from common import print_table

from xlathe.compiler.pipeline import count_nodes, pipeline, run_passes
from xlathe.tracer.capture import capture

NODES = 10_000
LIMIT_SECONDS = 2.0
GROWTH_LIMIT = 1.5
ROUNDS = 3
WIDTH = 32
SIZES = (8, 16, 32, 64, 128)

Shape = tuple[int, ...]
Region = tuple[list[Shape], Callable[..., jax.Array]]


def random_region(rng: np.random.Generator) -> Region:
    """The shapes of a formula's operands, and the formula, from one vector to another."""
    a, b, c = (int(size) for size in rng.choice(SIZES, 3))
    w = WIDTH
    regions: list[Region] = [
        (
            [(w, a), (a, b), (b, c), (c, w)],
            lambda x, A, B, C, D: A @ B @ C @ D @ x,
        ),
        ([(w, a), (a, w), (a, w)], lambda x, A, B, C: (A @ B + A @ C) @ x),
        ([(w, w), (w, a), (a, w)], lambda x, W, U, V: (W + U @ V) @ x),
        ([(w, w), (a, w)], lambda x, A, H: (A - H.T @ H) @ x),
        ([(w, a), (a, b)], lambda x, A, B: x * jnp.sum(A @ B) + (A @ B)[:, 0]),
        ([(w, a), (a, w)], lambda x, A, B: x * jnp.trace(A @ B) + jnp.diag(B.T @ A.T)),
        ([(w,), (w, w)], lambda x, d, A: jnp.diag(d) @ A @ x),
        ([(b, w, a), (b, a, w)], lambda x, A, B: jnp.einsum("bij,bjk,k->i", A, B, x)),
        ([(w, w), (w, w)], lambda x, A, B: (A @ B.T + B @ A.T) @ x),
        ([(w,), (w,)], lambda x, u, v: jnp.concatenate([jnp.outer(u, v) @ x, x])[:WIDTH]),
    ]
    return regions[rng.integers(len(regions))]


def many_regions(count: int) -> tuple[Callable[..., Any], list[Any]]:
    """A program of so many formulas, each of the one before, and its arguments."""
    regions = [random_region(np.random.default_rng(seed)) for seed in range(count)]

    def program(x: jax.Array, operands: list[list[jax.Array]]) -> jax.Array:
        for (_, formula), values in zip(regions, operands, strict=True):
            x = jnp.tanh(formula(x, *values))
        return x

    operands = [[as_argument(shape) for shape in shapes] for shapes, _ in regions]
    return program, [as_argument((WIDTH,)), operands]


def long_chain(count: int) -> tuple[Callable[..., Any], list[Any]]:
    """One product of so many matrices of different sizes."""
    sizes = np.random.default_rng(0).choice(SIZES, count + 1)

    def program(operands: list[jax.Array]) -> jax.Array:
        product = operands[0]
        for operand in operands[1:]:
            product = product @ operand
        return product

    pairs = itertools.pairwise(sizes)
    return program, [[as_argument((int(a), int(b))) for a, b in pairs]]


def long_sum(count: int) -> tuple[Callable[..., Any], list[Any]]:
    """One sum of so many products, each of which shares a factor with the next."""

    def program(operands: list[jax.Array], x: jax.Array) -> jax.Array:
        pairs = itertools.pairwise(operands)
        return sum((a @ b for a, b in pairs), start=jnp.zeros_like(operands[0])) @ x

    square = as_argument((WIDTH, WIDTH))
    return program, [[square] * (count + 1), as_argument((WIDTH,))]


def as_argument(shape: Shape) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, np.float32)


def seconds_of_passes(program: Callable[..., Any], arguments: list[Any]) -> tuple[int, float]:
    """The number of nodes of a program, and the least time that the passes take on it."""
    least = float("inf")
    nodes = 0
    for _ in range(ROUNDS):
        graph = capture(program, *arguments).graph
        nodes = count_nodes(graph)
        gc.collect()
        gc.disable()
        start = time.perf_counter()
        run_passes(graph, pipeline())
        least = min(least, time.perf_counter() - start)
        gc.enable()
    return nodes, least


def measure_search() -> dict[str, tuple[float, float]]:
    """Print how long the passes take; return what is judged."""
    per_region = count_nodes(capture(*unpacked(many_regions(100))).graph) / 100
    most = int(1.15 * NODES / per_region)
    counts = [most // 8, most // 4, most // 2, most]
    rows, seconds = [], {}
    for count in counts:
        nodes, seconds[count] = seconds_of_passes(*many_regions(count))
        rows.append(
            [
                f"{count} formulas",
                f"{nodes}",
                f"{seconds[count]:.3f} s",
                f"{seconds[count] / count * 1e3:.3f} ms",
            ]
        )
    longest = {}
    for name, (program, arguments) in {
        "a product of 60 matrices": long_chain(60),
        "a sum of 200 products": long_sum(200),
    }.items():
        nodes, longest[name] = seconds_of_passes(program, arguments)
        rows.append([name, f"{nodes}", f"{longest[name]:.3f} s", ""])
    print(f"\nall passes, least of {ROUNDS} rounds\n")
    print_table(["program", "nodes", "passes", "a formula"], rows)
    growth = (seconds[counts[-1]] / counts[-1]) / (seconds[counts[0]] / counts[0])
    print(
        f"\na formula among {counts[-1]} takes {growth:.2f} times what it takes among {counts[0]}"
    )
    return {
        f"seconds of {most} formulas": (seconds[most], LIMIT_SECONDS),
        "growth of the time a formula": (growth, GROWTH_LIMIT),
        **{f"seconds of {name}": (value, LIMIT_SECONDS) for name, value in longest.items()},
    }


def unpacked(made: tuple[Callable[..., Any], list[Any]]) -> list[Any]:
    program, arguments = made
    return [program, *arguments]
