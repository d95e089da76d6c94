"""What the first call of a deep train step costs, stage by stage: xl.compile against jax.jit.

Each round makes two new function objects, forgets what JAX has cached, and calls each once; the
stages are those JAX reports of itself. A stage counts with the least of its rounds, since all that
disturbs it makes it longer. Prints the ratios, how each stage grows with depth, and what the
compiled steps cost to run; exits with a message if a ratio is above its limit.
"""

import argparse
import gc
import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import jax
from common import OURS, PEER, environment, judge, median_ratio, print_table, take_turns
from transformer import Size, make_arguments, make_train_step

import xlathe as xl

FIRST_CALL_LIMIT = 1.25
COMPILED_LIMIT = 1.05
GROWTH_LIMIT = 1.25
RUN_ROUNDS = 25
NOTICEABLE_SECONDS = 0.1

EVENTS = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "XLA compile",
}
TOTAL = "first call, less one run"
STAGES = [*EVENTS.values(), TOTAL]

longest: dict[str, float] = defaultdict(float)


def record_event(event: str, duration_secs: float, **_: Any) -> None:
    """Keep the longest event of a stage: the step's own, which holds those of inner functions."""
    if stage := EVENTS.get(event):
        longest[stage] = max(longest[stage], duration_secs)


@dataclass
class Measured:
    """The rounds of one kind of compiled step at one depth, and its latest function."""

    stages: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    passes: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    step: Any = None

    def seconds(self, stage: str) -> float:
        """Return the least over the rounds."""
        return min(self.stages[stage])


def seconds_of_call(step: Callable[..., Any], arguments: tuple[Any, ...]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(step(*arguments))
    return time.perf_counter() - start


def first_call(
    transform: Callable[..., Any], size: Size, arguments: tuple[Any, ...], measured: Measured
) -> float:
    """Compile a new train step by calling it, and record the stages and the passes."""
    step = measured.step = transform(make_train_step(size))
    jax.clear_caches()
    gc.collect()
    longest.clear()
    seconds = seconds_of_call(step, arguments)
    stages = dict(longest)
    stages[TOTAL] = seconds - seconds_of_call(step, arguments)
    for stage, duration in stages.items():
        measured.stages[stage].append(duration)
    if transform is xl.compile:
        in_passes: dict[str, float] = defaultdict(float)
        for record in step.trace(*arguments).passes:
            in_passes[record.name] += record.seconds
        for name, duration in in_passes.items():
            measured.passes[name].append(duration)
    return seconds


def measure_depth(size: Size, rounds: int) -> dict[str, Measured]:
    arguments = make_arguments(size)
    kinds = {OURS: (xl.compile, Measured()), PEER: (jax.jit, Measured())}
    take_turns(
        {
            name: partial(first_call, transform, size, arguments, measured)
            for name, (transform, measured) in kinds.items()
        },
        rounds,
    )
    return {name: measured for name, (_, measured) in kinds.items()}


def stage_ratio(measured: dict[str, Measured], stage: str) -> float:
    return measured[OURS].seconds(stage) / measured[PEER].seconds(stage)


def print_stages(size: Size, measured: dict[str, Measured]) -> None:
    """Print the time of each stage beside the peer's, and of each pass within the trace."""
    ours, peer = measured[OURS], measured[PEER]
    rows = []
    for stage in STAGES:
        times = [f"{kind.seconds(stage):.3f} s" for kind in (ours, peer)]
        rows.append([stage, *times, f"{stage_ratio(measured, stage):.3f}"])
        if stage == "trace":
            rows += [
                [f"  {name}", f"{min(seconds):.3f} s", "", ""]
                for name, seconds in ours.passes.items()
            ]
    equations = sum(1 for _ in all_equations(peer.step.trace(*make_arguments(size)).jaxpr))
    print(f"\n{size.blocks} blocks, {equations} equations\n")
    print_table(["stage", OURS, PEER, "ratio"], rows)


def all_equations(jaxpr: Any):
    """Yield the equations of a jaxpr and of those within it."""
    for equation in jaxpr.eqns:
        yield equation
        for value in jax.tree.leaves(equation.params, is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            if hasattr(value, "eqns"):
                yield from all_equations(value)


def print_growth(depths: dict[int, dict[str, Measured]]) -> dict[str, tuple[float, float]]:
    """Print our time a block at each depth and return how much the last step down added to it."""
    *_, first, last = sorted(depths) if len(depths) > 1 else (*depths, *depths)
    ours = {blocks: measured[OURS] for blocks, measured in depths.items()}
    stages = {stage: {b: m.seconds(stage) for b, m in ours.items()} for stage in STAGES}
    for name in ours[last].passes:
        stages[f"pass {name}"] = {b: min(m.passes.get(name, [0.0])) for b, m in ours.items()}
    rows, growths = [], {}
    for stage, seconds in stages.items():
        growth = (seconds[last] / last) / (seconds[first] / first) if seconds[first] else math.nan
        times = [f"{seconds[blocks] / blocks * 1e3:.2f} ms" for blocks in depths]
        rows.append([stage, *times, f"{growth:.2f}"])
        if stage != TOTAL and stage != "XLA compile" and seconds[last] > NOTICEABLE_SECONDS:
            growths[f"time of {stage} a block, {last} to {first} blocks"] = growth, GROWTH_LIMIT
    print(f"\ntime a block, and its growth from {first} to {last} blocks\n")
    print_table([OURS, *(f"{blocks} blocks" for blocks in depths), "growth"], rows)
    return growths


def print_compiled(size: Size, measured: dict[str, Measured]) -> float:
    """Print what the compiled steps cost to run and return the ratio of their times."""
    arguments = make_arguments(size)
    runs = take_turns(
        {name: partial(seconds_of_call, kind.step, arguments) for name, kind in measured.items()},
        RUN_ROUNDS,
    )
    ratio = median_ratio(runs[OURS], runs[PEER])
    rows = [["time a step", *(f"{median(runs[kind]):.3f} s" for kind in runs), f"{ratio:.3f}"]]
    memory = [kind.step.lower(*arguments).compile().memory_analysis() for kind in measured.values()]
    for part in ("argument", "output", "temp"):
        ours, peer = (getattr(analysis, f"{part}_size_in_bytes") for analysis in memory)
        sizes = [f"{amount / 2**20:.2f} MiB" for amount in (ours, peer)]
        rows.append([f"{part} memory", *sizes, f"{ours / peer:.3f}"])
    print(f"\nthe compiled step of {size.blocks} blocks, median of {RUN_ROUNDS} runs in turn\n")
    print_table(["", OURS, PEER, "ratio"], rows)
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, nargs="+", default=[12, 24, 48])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    jax.monitoring.register_event_duration_secs_listener(record_event)
    print(f"{environment()}\n{Size(1)}, least of {options.rounds} rounds in turn")
    measure_depth(Size(1), rounds=1)  # what only the first compilation of a process pays
    depths = {}
    for blocks in sorted(options.blocks):
        depths[blocks] = measure_depth(Size(blocks), options.rounds)
        print_stages(Size(blocks), depths[blocks])
    deepest = max(depths)
    growths = print_growth(depths)
    run_ratio = print_compiled(Size(deepest), depths[deepest])
    judge(
        {
            "first call": (stage_ratio(depths[deepest], TOTAL), FIRST_CALL_LIMIT),
            "XLA compile": (stage_ratio(depths[deepest], "XLA compile"), COMPILED_LIMIT),
            "run": (run_ratio, COMPILED_LIMIT),
            **growths,
        }
    )


if __name__ == "__main__":
    main()
