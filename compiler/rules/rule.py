"""What a rewrite rule is, and the log of what fired and what nearly did.

A rule looks at one node. It returns the node's replacement, `Declined` with a reason where its
pattern is there but may not be used, or None where it is not there. The replacement has the very
type of the node.
"""

from __future__ import annotations

import contextvars
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from xlathe.compiler.ir import Node


@dataclass(frozen=True)
class Declined:
    """A pattern was found and left alone."""

    reason: str


Outcome = Node | Declined | None


@dataclass(frozen=True)
class Rule:
    """A rewrite of one node.

    Attributes:
        name: what the log calls it.
        form: what it does, as `left -> right`.
        operations: the operations of the nodes that it looks at.
        apply: the rewrite.
        numerics: `exact`, the same value for every input; `relaxed`, equal as real numbers;
            `finite`, equal where nothing is infinite or NaN.
    """

    name: str
    form: str
    operations: tuple[str, ...]
    apply: Callable[[Node], Outcome]
    numerics: str = "exact"


class Miss(NamedTuple):
    """A rule that nearly fired."""

    rule: str
    reason: str
    node: Node


class Rewrite(NamedTuple):
    """A change of formula that pays.

    Attributes:
        rule: what was done.
        before: the formula that the user wrote, in the user's names.
        after: the formula in its place.
        flops_before: floating point operations of the one,
        flops_after: and of the other.
        node: the node that computes it now.
        numerics: what the change assumes: `exact`, `relaxed` or `finite`.
    """

    rule: str
    before: str
    after: str
    flops_before: float
    flops_after: float
    node: Node
    numerics: str = "relaxed"


@dataclass
class RuleLog:
    """What rules and passes did during a pass.

    Attributes:
        hits: how often each rule fired.
        misses: where one nearly did.
        rewrites: the changes of formula, with what they save.
    """

    hits: Counter[str] = field(default_factory=Counter)
    misses: list[Miss] = field(default_factory=list)
    rewrites: list[Rewrite] = field(default_factory=list)


_current: contextvars.ContextVar[RuleLog | None] = contextvars.ContextVar("rules", default=None)


@contextmanager
def logging_rules() -> Iterator[RuleLog]:
    """Collect what rules do inside the `with` block."""
    log = RuleLog()
    reset = _current.set(log)
    try:
        yield log
    finally:
        _current.reset(reset)


def log_rewrite(rewrite: Rewrite) -> None:
    """Note a change of formula made by a pass."""
    log = _current.get()
    if log is not None:
        log.hits[rewrite.rule] += 1
        log.rewrites.append(rewrite)


def log_hit(rule: str) -> None:
    """Note that a pass applied a rule whose change no formula shows."""
    log = _current.get()
    if log is not None:
        log.hits[rule] += 1


def log_miss(miss: Miss) -> None:
    """Note what a pass nearly did, and why it did not."""
    log = _current.get()
    if log is not None:
        log.misses.append(miss)


class RuleSet:
    """Rules by the operation they look at, applied until none fires.

    Args:
        rules: the rules; of those that fire on a node, the first one wins.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._by_operation: dict[str, list[Rule]] = {}
        for rule in self.rules:
            for operation in rule.operations:
                self._by_operation.setdefault(operation, []).append(rule)

    def __call__(self, item: Node) -> Node | None:
        """Return the simplest form of a node that the rules reach, or None if it stays."""
        if item.operation not in self._by_operation:
            return None
        log = _current.get()
        start = item
        missed: list[Miss] = []
        changed = True
        while changed:
            changed = False
            for rule in self._by_operation.get(item.operation, ()):
                outcome = rule.apply(item)
                if isinstance(outcome, Node):
                    if log is not None:
                        log.hits[rule.name] += 1
                    changed = outcome is not item
                    item = outcome
                    break
                if outcome is not None:
                    missed.append(Miss(rule.name, outcome.reason, item))
        if log is not None:
            log.misses.extend(missed)
        return None if item is start else item
