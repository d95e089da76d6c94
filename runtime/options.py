"""The options of `compile` and `optimize`: which are xlathe's, which are jit's."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

import jax

from xlathe.compiler.pipeline import Numerics, PassRecord, Step, pipeline
from xlathe.compiler.precision.policy import Policy, Precision
from xlathe.compiler.targets import TARGETS
from xlathe.runtime.pullback import pullback
from xlathe.runtime.reference import reference


@dataclass(frozen=True)
class Options:
    """xlathe's own options.

    Attributes:
        numerics: `relaxed` allows rewrites that are equal as real numbers, `strict` only those
            that give the same value for every input; `finite` allows also those that skip a
            multiplication by zero, which hides a NaN or an infinity.
        target: the device whose rates decide between formulas; by default the one that JAX runs
            on.
        precision: what matrix products and convolutions of float32 arrays are computed in, for
            all of them or by patterns of name scopes; None for float32, as they are written.
    """

    numerics: Numerics = "relaxed"
    target: str | None = None
    precision: Precision | Mapping[str, Precision] | None = None

    def __post_init__(self) -> None:
        _check("numerics", self.numerics, get_args(Numerics))
        if self.target is not None:
            _check("target", self.target, TARGETS)
        Policy.read(self.precision)

    def idle(self, passes: Sequence[PassRecord]) -> dict[str, str]:
        """The options that made no difference, each with the reason."""
        found: dict[str, str] = {}
        rewrites = [rewrite for record in passes for rewrite in record.rules.rewrites]
        if self.numerics == "finite" and all(item.numerics != "finite" for item in rewrites):
            found["numerics='finite'"] = "nothing is multiplied by a zero known from the program"
        casts = [record.rules.hits for record in passes if record.name == "Autocast"]
        if casts and not any(casts):
            found[f"precision={self.precision!r}"] = (
                "no product of float32 arrays is computed otherwise on this target"
            )
        return found

    def steps(self) -> Sequence[Step]:
        """The passes that these options ask for."""
        target = TARGETS[self.target] if self.target else None
        precision = Policy.read(self.precision)
        return pipeline(self.numerics, target, pullback, precision, reference)


def _check(name: str, value: object, valid: Collection[str]) -> None:
    if value not in valid:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, valid))}, got {value!r}.")


def split_options(
    options: dict[str, Any], allow_jit: bool = True, others: Iterable[str] = ()
) -> tuple[Options, dict[str, Any]]:
    """Part xlathe's options from those of the installed JAX's `jit`.

    Args:
        options: what was given.
        allow_jit: whether options of `jit` are.
        others: further arguments of the caller, which may have been meant.

    Returns:
        xlathe's options, and jit's.

    Raises:
        TypeError: an option belongs to neither.
    """
    own_names = [item.name for item in fields(Options)]
    jit_names = list(inspect.signature(jax.jit).parameters)[1:] if allow_jit else []
    valid = own_names + jit_names
    for name in options:
        if name not in valid:
            valid = [*others, *valid]
            close = difflib.get_close_matches(name, valid, 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"Unknown option {name!r}.{hint} The options are: {', '.join(valid)}.")
    own = Options(**{name: value for name, value in options.items() if name in own_names})
    return own, {name: value for name, value in options.items() if name not in own_names}
