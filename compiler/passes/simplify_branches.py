"""Branches whose predicate is known, or which all do the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlathe.compiler.ir import Graph, Node, is_effectful
from xlathe.compiler.ir.rewrite import Replacement, splice
from xlathe.compiler.passes.everywhere import rewrite_everywhere


@dataclass(frozen=True)
class SimplifyBranches:
    """Replace a `cond` by the one branch that it can take."""

    def __call__(self, graph: Graph) -> Graph:
        """Simplify the branches in the graph and the graphs nested in it."""
        return rewrite_everywhere(graph, _simplify, operations=("cond",))


def _simplify(item: Node) -> Replacement:
    if item.operation != "cond":
        return None
    branches: tuple[Graph, ...] = item["branches"]
    index = item.inputs[0]
    if index.is_constant:
        taken = branches[int(np.clip(int(index.value), 0, len(branches) - 1))]
    elif all(branch == branches[0] for branch in branches):
        taken = branches[0]
    else:
        return None
    token = item.inputs[-1] if is_effectful(item) else None
    operands = item.inputs[1:] if token is None else item.inputs[1:-1]
    values, _ = splice(taken, operands, token)
    if [value.type for value in values] != list(item.types):
        return None
    return values[0] if len(values) == 1 else values
