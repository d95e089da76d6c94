"""Bringing each construct to its normal form."""

from __future__ import annotations

from dataclasses import dataclass

from xlathe.compiler.ir import Graph
from xlathe.compiler.passes.everywhere import rewrite_everywhere
from xlathe.compiler.rules import FORMS, INTERVALS, RuleSet

_RULES = RuleSet((*FORMS, *INTERVALS))


@dataclass(frozen=True)
class Normalise:
    """Rewrite each construct to the one form that later rules look for, and settle comparisons."""

    def __call__(self, graph: Graph) -> Graph:
        """Normalise the graph and the graphs nested in it."""
        return rewrite_everywhere(graph, _RULES)
