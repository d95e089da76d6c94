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
        numerics: `exact`, the same value for every input, or `relaxed`, equal as real numbers.
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


@dataclass
class RuleLog:
    """What rules did during a pass."""

    hits: Counter[str] = field(default_factory=Counter)
    misses: list[Miss] = field(default_factory=list)


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
