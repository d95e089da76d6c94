"""What watches the passes: dumps to files and logs, as the environment asks.

`XLATHE_DUMP_TO=dir` writes the graph after each pass to a numbered file. `XLATHE_LOG=passes`
logs each pass; `XLATHE_LOG=recompiles` says why a function was traced again.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xlathe.compiler.pipeline import Observer, PassRecord

_logger = logging.getLogger("xlathe")
_dumps = itertools.count(1)
_LOGS = ("passes", "recompiles")


def active_observers(name: str) -> list[Observer]:
    """The observers that the environment asks for, for a function of this name."""
    observers: list[Observer] = []
    folder = os.environ.get("XLATHE_DUMP_TO")
    if folder:
        observers.append(_dump_to(Path(folder) / f"{next(_dumps):04d}_{name}"))
    if "passes" in _requested_logs():
        _log_to_stderr()
        observers.append(_log_pass)
    return observers


def _requested_logs() -> set[str]:
    requested = {part.strip() for part in os.environ.get("XLATHE_LOG", "").split(",")} - {""}
    unknown = requested - set(_LOGS)
    if unknown:
        raise ValueError(
            f"XLATHE_LOG is {os.environ['XLATHE_LOG']!r}; it takes {' and '.join(_LOGS)}."
        )
    return requested


def _log_to_stderr() -> None:
    """Make the log visible where the application has set up none of its own."""
    if not _logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("xlathe: %(message)s"))
        _logger.addHandler(handler)
    _logger.setLevel(logging.INFO)


def _dump_to(folder: Path) -> Observer:
    def dump(place: int, record: PassRecord) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if place == 0:
            from xlathe.compiler.ir import to_text

            (folder / "00_captured.txt").write_text(to_text(record.before))
        (folder / f"{place + 1:02d}_{record.name}.txt").write_text(record.text)

    return dump


def _log_pass(place: int, record: PassRecord) -> None:
    _logger.info(
        "%s %d %s: %.1f ms, %d -> %d nodes",
        record.after.name,
        place + 1,
        record.name,
        record.seconds * 1000,
        record.nodes_before,
        record.nodes_after,
    )


@dataclass(frozen=True)
class Signature:
    """What a function is traced anew for: what differs in it is why.

    Attributes:
        tree: the structure of the arguments.
        types: the types of their leaves.
        static: the static arguments, by position or name.
        paths: how the user reaches each leaf; known only where recompiles are logged.
    """

    tree: Any
    types: tuple[str, ...]
    static: tuple[tuple[int | str, Any], ...]
    paths: tuple[str, ...] = field(default=(), compare=False)


def is_logging_recompiles() -> bool:
    """Whether `XLATHE_LOG=recompiles` asks why functions are traced again."""
    return "recompiles" in _requested_logs()


def log_recompile(function: Callable[..., Any], known: Sequence[Signature], new: Signature) -> None:
    """Say why a function is traced again, where `XLATHE_LOG=recompiles` asks.

    Args:
        function: the function.
        known: the signatures for which it was traced before.
        new: the one for which it is traced now.
    """
    if not is_logging_recompiles() or not known or new in known:
        return
    _log_to_stderr()
    last = known[-1]
    if new.tree != last.tree:
        change = f"different input pytree: now {new.tree} and before {last.tree}"
    elif new.types != last.types:
        changes = [
            f"at {path}, now {now} and before {before}"
            for path, now, before in zip(new.paths, new.types, last.types, strict=True)
            if now != before
        ]
        change = "different input types: " + "; ".join(changes)
    else:
        now, before = (dict(signature.static) for signature in (new, last))
        changes = [
            f"at {name}, now {now.get(name)!r} and before {before.get(name)!r}"
            for name in now | before
            if now.get(name) != before.get(name)
        ]
        change = "different static arguments: " + "; ".join(changes)
    name = getattr(function, "__name__", repr(function))
    _logger.info("%s is traced again, %s", name, change)
