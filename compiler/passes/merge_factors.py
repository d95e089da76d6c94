"""Known factors that follow one another become one."""

from __future__ import annotations

from dataclasses import dataclass

from xlathe.compiler.ir import Graph
from xlathe.compiler.passes.everywhere import rewrite_everywhere
from xlathe.compiler.rules import FACTORS, RuleSet

_MERGED = RuleSet(FACTORS)


@dataclass(frozen=True)
class MergeFactors:
    """Write `0.5 * (2 * x)` as `x`, so that rules and equal expressions see through it."""

    def __call__(self, graph: Graph) -> Graph:
        """Merge the known factors in the graph and in those nested in it."""
        return rewrite_everywhere(graph, _MERGED, operations=("mul",))
