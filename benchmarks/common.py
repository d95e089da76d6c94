"""What the benchmarks share: taking turns, ratios within a round, and tables."""

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import jax

import xlathe as xl

OURS, PEER = "xl.compile", "jax.jit"

# A program that fell back to jit's would be measured against itself.
os.environ["XLATHE_STRICT"] = "1"


def environment() -> str:
    """Return the versions and the machine that a measurement belongs to."""
    device = jax.devices()[0]
    return (
        f"xlathe {xl.__version__}, JAX {jax.__version__}, Python {platform.python_version()}, "
        f"{device.platform} ({device.device_kind}), {os.cpu_count()} cores"
    )


def take_turns(measure: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run each measurement once a round, in an order that reverses from round to round.

    What the machine does meanwhile then falls on all of them alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in measure}
    names = list(measure)
    for _ in range(rounds):
        for name in names:
            seconds[name].append(measure[name]())
        names.reverse()
    return seconds


def median_ratio(ours: Sequence[float], peer: Sequence[float]) -> float:
    """Return the median over rounds of our time divided by the peer's in the same round."""
    return median(a / b for a, b in zip(ours, peer, strict=True))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a header, the first column left-aligned and the others right-aligned."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    rule = ["-" * width for width in widths]
    for first, *others in [header, rule, *rows]:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *cells]).rstrip())


def judge(ratios: Mapping[str, tuple[float, float]]) -> None:
    """Exit with a message if a ratio is above its limit; each name has its (ratio, limit)."""
    broken = [
        f"{name}: {ratio:.3f} is above {limit:.2f}"
        for name, (ratio, limit) in ratios.items()
        if ratio > limit
    ]
    if broken:
        sys.exit("\n".join(["", *broken]))
    print("\nall within their limits")
