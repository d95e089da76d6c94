"""The progress bar: step, time and metrics on one line, as Keras's reads."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import Any

_WIDTH = 20
_INTERVAL = 0.05


class Progbar:
    """A progress bar for an epoch.

    Args:
        target: how many steps there will be; `None` if that is not known.
        verbose: 1 for a bar, 2 for a line at the end, 0 for nothing.
        unit_name: what a step is called.
    """

    def __init__(
        self, target: int | None, verbose: int = 1, unit_name: str = "step", **kwargs: Any
    ) -> None:
        self.target = target
        self.verbose = verbose
        self.unit_name = unit_name
        self._start = time.perf_counter()
        self._after_first: tuple[int, float] | None = None
        self._last_update = 0.0
        self._width = 0

    def update(
        self, current: int, values: Mapping[str, float] | Any = (), finalize: bool | None = None
    ) -> None:
        """Show that `current` steps are done, with metrics by name.

        Args:
            current: how many steps are done.
            values: the metrics.
            finalize: whether this is the last update; by default if `current` is the target.
        """
        now = time.perf_counter()
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        per_step = self._seconds_a_step(current, now)
        wants_line = self.verbose == 2 and finalize
        if not wants_line and (
            self.verbose != 1 or (now - self._last_update < _INTERVAL and not finalize)
        ):
            return
        self._last_update = now
        metrics = "".join(f" - {name}: {_number(value)}" for name, value in dict(values).items())
        elapsed = now - self._start
        if wants_line:
            counted = self._count(current)
            _write(f"{counted} - {elapsed:.0f}s -{self._speed(per_step)}{metrics}\n")
            return
        bold = "\x1b[1m{}\x1b[0m".format
        remaining = self.target is not None and not finalize
        shown = _clock(per_step * (self.target - current)) if remaining else f"{elapsed:.0f}s"  # pyright: ignore[reportOptionalOperand]
        info = f"{self._speed(per_step)}{metrics}"
        width = len(self._count(current)) + len(shown) + len(info) + _WIDTH + 2
        padding = " " * (self._width - width)
        self._width = width
        # Back to the line's start: terminals and notebooks alike then write over it.
        line = f"\r{bold(self._count(current))} {self._bar(current)} {bold(shown)}{info}{padding}"
        _write(line + ("\n" if finalize else ""))

    def _count(self, current: int) -> str:
        if not self.target:
            return f"{current:7d}/Unknown"
        digits = int(math.log10(self.target)) + 1
        return f"{current:{digits}d}/{self.target}"

    def _bar(self, current: int) -> str:
        if not self.target:
            return ""
        done = min(_WIDTH, int(_WIDTH * current / self.target))
        filled = f"\x1b[32m{'━' * done}\x1b[0m" if done else ""
        return f"{filled}\x1b[37m{'━' * (_WIDTH - done)}\x1b[0m"

    def _seconds_a_step(self, current: int, now: float) -> float:
        """The first update holds compilation: steps after it show the speed."""
        if not current:
            return 0.0
        if self._after_first is None:
            self._after_first = current, now
        first, since = self._after_first
        if current > first:
            return (now - since) / (current - first)
        return (now - self._start) / current

    def _speed(self, seconds: float) -> str:
        if seconds >= 1 or seconds == 0:
            return f" {seconds:.0f}s/{self.unit_name}"
        if seconds >= 1e-3:
            return f" {seconds * 1e3:.0f}ms/{self.unit_name}"
        return f" {seconds * 1e6:.0f}us/{self.unit_name}"


def _clock(seconds: float) -> str:
    if seconds > 3600:
        return f"{seconds // 3600:.0f}:{seconds % 3600 // 60:02.0f}:{seconds % 60:02.0f}"
    if seconds > 60:
        return f"{seconds // 60:.0f}:{seconds % 60:02.0f}"
    return f"{seconds:.0f}s"


def _number(value: Any) -> str:
    value = float(sum(value) / len(value)) if hasattr(value, "__len__") else float(value)
    return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:
        sys.stdout.write(text.replace("━", "="))
    sys.stdout.flush()
