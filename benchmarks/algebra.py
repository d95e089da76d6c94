"""What rewritten formulas are worth: as typed under xl.compile and jax.jit, and written by hand.

Each expression is measured at each size, all kinds in turn, and checked to agree. Prints the times
and exits with a message if we are slower than 1.1 times the program by hand, less than 8 times as
fast as jit in the geometric mean, or slower than jit anywhere. What breaks a limit narrowly is
measured once more, for longer. Programs by hand that skip the zeros of the structure, and gradients
by hand of slices, which skip the zeros around them, hold for finite numbers: what we are allowed
there is `numerics="finite"`, and so it says. Enzyme-JAX is measured too where it is installed.

    python benchmarks/algebra.py --n 1500 3000          the values
    python benchmarks/algebra.py --grad                 the gradients of half the sum of squares
    python benchmarks/algebra.py --only "sums" "(A@B)"  what has this in its name or family
    python benchmarks/algebra.py --search               how long the passes take on large programs
"""

import argparse
import importlib
import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import geometric_mean, median
from typing import Any

import jax
import numpy as np
from common import OURS, PEER, environment, judge, median_ratio, print_table, take_turns
from expressions import EXPRESSIONS, Expression, half_square
from search import measure_search

import xlathe as xl

HAND, ENZYME = "by hand", "Enzyme-JAX"
HAND_LIMIT = 1.1
MEAN_SPEED_UP = 8.0
JIT_LIMIT = 1 / 0.95
NOISE = 1.5
TOLERANCE = 1e-3
LEAST_ROUNDS = 3
SECONDS_PER_ROUND = 0.02
MOST_CALLS = 200


@dataclass(frozen=True)
class Measured:
    """The seconds of a call of each kind of value or gradient at one size, round by round.

    The rounds of ours and of the program by hand belong together, and so do as many of the others'
    as there are.
    """

    expression: Expression
    of_gradient: bool
    n: int
    seconds: dict[str, list[float]]

    @property
    def name(self) -> str:
        """The expression and its size."""
        return f"{self.expression.name}, n={self.n}"

    @property
    def of_hand(self) -> float:
        """Our time divided by that of the program by hand."""
        return median_ratio(self.seconds[OURS], self.seconds[HAND])

    @property
    def of_jit(self) -> float:
        """Our time divided by jit's."""
        rounds = self.seconds[PEER]
        return median_ratio(self.seconds[OURS][: len(rounds)], rounds)

    @property
    def suspect(self) -> bool:
        """Whether it seems to break a limit, by so little that it may be noise."""
        ratios = (self.of_hand / HAND_LIMIT, self.of_jit / JIT_LIMIT)
        return 1 < max(ratios) < NOISE


def seconds_per_call(function: Callable[..., Any], arguments: Sequence[Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        jax.block_until_ready(function(*arguments))
    return (time.perf_counter() - start) / calls


def enzyme(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function under Enzyme-JAX's own optimisation of what it lowers to."""
    return jax.jit(importlib.import_module("enzyme_ad.jax").enzyme_jax_ir()(function))


def make_kinds(
    expression: Expression, arguments: tuple[jax.Array, ...], of_gradient: bool
) -> dict[str, Callable[..., Any]]:
    """Each kind of compiled function of an expression, or of its gradient."""
    typed, by_hand = expression.typed, expression.by_hand
    if of_gradient:
        argnums = expression.argnums(arguments)
        typed = jax.grad(half_square(typed), argnums)
        by_hand = expression.gradient or jax.grad(half_square(by_hand), argnums)
    kinds = {
        OURS: xl.compile(typed, numerics=expression.numerics_of(of_gradient)),
        HAND: jax.jit(by_hand),
        PEER: jax.jit(typed),
    }
    if importlib.util.find_spec("enzyme_ad"):
        kinds[ENZYME] = enzyme(typed)
    return kinds


def deviation(result: Any, reference: Any) -> float:
    """The largest relative deviation of the arrays of a result, in the Euclidean norm."""
    pairs = zip(jax.tree.leaves(result), jax.tree.leaves(reference), strict=True)
    arrays = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs]
    return max(
        float(np.linalg.norm(a - b) / max(np.linalg.norm(b), np.finfo(np.float32).tiny))
        for a, b in arrays
    )


def warm_up(
    kinds: dict[str, Callable[..., Any]], arguments: tuple[jax.Array, ...]
) -> tuple[dict[str, float], dict[str, str]]:
    """Compile and compare the kinds; return the time of a call, and what is wrong by kind."""
    estimates: dict[str, float] = {}
    wrong: dict[str, str] = {}
    reference = kinds[PEER](*arguments)
    for name, function in kinds.items():
        try:
            found = deviation(function(*arguments), reference)
        except Exception as error:
            if name != ENZYME:
                raise
            wrong[name] = f"{type(error).__name__}"
            continue
        if not found <= TOLERANCE:
            wrong[name] = f"differs from {PEER} by {found:.1e}"
        estimates[name] = seconds_per_call(function, arguments, 1)
    return estimates, wrong


def measure(
    expression: Expression, n: int, options: argparse.Namespace
) -> tuple[Measured, dict[str, str]]:
    """Measure an expression at a size; also return what is wrong, by kind."""
    arguments = expression.arguments(n)
    kinds = make_kinds(expression, arguments, options.grad)
    estimates, wrong = warm_up(kinds, arguments)
    calls = {
        name: max(1, min(MOST_CALLS, round(SECONDS_PER_ROUND / seconds)))
        for name, seconds in estimates.items()
    }
    turns = {
        name: partial(seconds_per_call, kinds[name], arguments, calls[name]) for name in estimates
    }

    def take(names: Sequence[str], budget: float, most: int) -> dict[str, list[float]]:
        round_seconds = sum(estimates[name] * calls[name] for name in names)
        rounds = max(LEAST_ROUNDS, min(most, int(budget / round_seconds)))
        return take_turns({name: turns[name] for name in names}, rounds)

    def take_all(budget: float, most: int) -> Measured:
        seconds = take(list(turns), budget, most)
        left = most - len(seconds[OURS])
        if left >= LEAST_ROUNDS:
            for name, more in take([OURS, HAND], budget / 2, left).items():
                seconds[name] += more
        return Measured(expression, options.grad, n, seconds)

    measured = take_all(options.budget, options.rounds)
    if measured.suspect:
        measured = take_all(3 * options.budget, 3 * options.rounds)
    return measured, wrong


def row_of(measured: Measured, wrong: dict[str, str], kinds: Sequence[str]) -> list[str]:
    times = [
        f"{median(measured.seconds[kind]) * 1e3:.3g} ms" if kind in measured.seconds else "fails"
        for kind in kinds
    ]
    marks = ", ".join(f"{kind} {what}" for kind, what in wrong.items() if kind in measured.seconds)
    ratios = [f"{measured.of_hand:.2f}", f"{1 / measured.of_jit:.3g}"]
    expression = measured.expression
    return [
        expression.name,
        expression.family,
        expression.numerics_of(measured.of_gradient),
        *times,
        *ratios,
        marks,
    ]


def measure_size(expressions: Sequence[Expression], n: int, options: argparse.Namespace) -> None:
    """Measure the expressions at a size, print them, and add to the limits to judge by."""
    kinds = [OURS, HAND, PEER]
    if importlib.util.find_spec("enzyme_ad"):
        kinds.append(ENZYME)
    rows = []
    for place, expression in enumerate(expressions):
        print(f"[{place + 1}/{len(expressions)}] {expression.name}", file=sys.stderr)
        measured, wrong = measure(expression, n, options)
        options.measured.append(measured)
        options.wrong += [
            f"{kind}, {measured.name}: {what}" for kind, what in wrong.items() if kind != ENZYME
        ]
        rows.append(row_of(measured, wrong, kinds))
    what = "gradient" if options.grad else "value"
    print(f"\nn = {n}, {what}, median of up to {options.rounds} rounds in turn\n")
    header = [what, "family", "numerics", *kinds, "ours/hand", "jit/ours", ""]
    print_table(header, rows)


def limits(measured: Sequence[Measured]) -> dict[str, tuple[float, float]]:
    """What is judged: each expression against both peers, and the geometric mean."""
    mean = geometric_mean(item.of_jit for item in measured)
    print(f"\ngeometric mean: {1 / mean:.2f} times as fast as {PEER}")
    of_hand = {f"{item.name}: ours/hand": (item.of_hand, HAND_LIMIT) for item in measured}
    of_jit = {f"{item.name}: ours/jit": (item.of_jit, JIT_LIMIT) for item in measured}
    return {**of_hand, **of_jit, "geometric mean of ours/jit": (mean, 1 / MEAN_SPEED_UP)}


def chosen(words: Sequence[str]) -> list[Expression]:
    """The expressions with one of the words in their name or family; all if there are none."""
    found = [
        item
        for item in EXPRESSIONS
        if not words or any(word in f"{item.name} | {item.family}" for word in words)
    ]
    return found or sys.exit(f"No expression has {' or '.join(words)} in its name or family.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, nargs="+", default=[1500, 3000])
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD")
    parser.add_argument("--grad", action="store_true", help="measure the gradients")
    parser.add_argument("--rounds", type=int, default=15, help="the most rounds")
    parser.add_argument(
        "--budget", type=float, default=3.0, help="seconds an expression and size, about"
    )
    parser.add_argument("--search", action="store_true", help="measure the passes instead")
    options = parser.parse_args()

    print(environment())
    if options.search:
        judge(measure_search())
        return
    options.measured, options.wrong = [], []
    for n in options.n:
        measure_size(chosen(options.only), n, options)
    judged = limits(options.measured)
    if options.wrong:
        sys.exit("\n".join(["", "results that differ", *options.wrong]))
    judge(judged)


if __name__ == "__main__":
    main()
