"""Exact simplification: what is removed changes no value for any input."""

from __future__ import annotations

from dataclasses import dataclass

from xlathe.compiler.ir import Graph
from xlathe.compiler.passes.everywhere import rewrite_everywhere
from xlathe.compiler.rules import ARITHMETIC, FORMS, INTERVALS, MOVEMENT, RuleSet

SIMPLIFICATIONS = RuleSet((*FORMS, *ARITHMETIC, *INTERVALS, *MOVEMENT))


@dataclass(frozen=True)
class Simplify:
    """Apply the exact identities, and bring what they leave to its normal form."""

    def __call__(self, graph: Graph) -> Graph:
        """Simplify the graph and the graphs nested in it."""
        return rewrite_everywhere(graph, SIMPLIFICATIONS)
