"""Sums and products that differ in order, scale or a transpose alone: computed once."""

from __future__ import annotations

from collections.abc import Hashable

import jax.numpy as jnp
import numpy as np

from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node, constant
from xlathe.compiler.ir.node import with_other_inputs
from xlathe.compiler.ir.rewrite import rewrite, substitute
from xlathe.compiler.ops.build import make, multiply, transposed
from xlathe.compiler.ops.contractions import dot_flops
from xlathe.compiler.rules import Rewrite, log_rewrite
from xlathe.compiler.rules.factors import known_factor
from xlathe.compiler.targets import Target

_MOST_DEPTH = 8


def share_sums(graph: Graph) -> Graph:
    """Compute y + x as x + y where the program adds y to x, too."""
    seen: set[Node] = set()

    def change(item: Node) -> Node | None:
        if item.operation != "add":
            return None
        mirrored = with_other_inputs(item, item.inputs[::-1])
        if mirrored in seen:
            return mirrored
        seen.add(item)
        return None

    return rewrite(graph, change) if "add" in graph.operations else graph


def share_twins(graph: Graph, target: Target) -> Graph:
    """Compute (c * x) @ y and y.T @ x.T from x @ y where the program multiplies x by y, too."""
    if "dot_general" not in graph.operations:
        return graph
    known: dict[Hashable, tuple[Node, float]] = {}
    replaced: dict[Node, Node] = {}
    for item in graph.nodes:
        if item.operation != "dot_general" or not item.type.is_plain:
            continue
        if item.type.dtype.kind not in "fV" or not _is_dear(item, target):
            continue
        factors = [_unscaled(source) for source in item.inputs]
        (left, right), scale = [node for node, _ in factors], factors[0][1] * factors[1][1]
        (one, other), (batch, other_batch) = item["dimension_numbers"]
        rest = (item["precision"], item["preferred_element_type"], item["out_sharding"])
        twin = known.get((left, right, one, other, batch, other_batch, rest))
        mirrored = known.get((right, left, other, one, other_batch, batch, rest))
        if twin is None and mirrored is None:
            known[left, right, one, other, batch, other_batch, rest] = (item, scale)
            continue
        source, had = twin or mirrored or (item, scale)
        new = _turned(source, item) if twin is None else source
        new = _times(new, scale / had)
        if new is not None and new.type is item.type:
            replaced[item] = new
            before, after = formula(item, graph.origins), formula(new, graph.origins)
            log_rewrite(Rewrite("one product for two", before, after, dot_flops(item), 0.0, new))
    return substitute(graph, replaced) if replaced else graph


def _is_dear(item: Node, target: Target) -> bool:
    """Whether a product takes longer than its result takes to be scaled and transposed."""
    moved = item.type.nbytes + sum(source.type.nbytes for source in item.inputs)
    product = target.seconds(dot_flops(item), moved)
    return product > 2 * target.seconds(0, 2.0 * item.type.nbytes)


def _unscaled(item: Node) -> tuple[Node, float]:
    """What a node is a known multiple of, and by which factor."""
    scale = 1.0
    for _ in range(_MOST_DEPTH):
        if item.operation == "neg":
            item, scale = item.inputs[0], -scale
            continue
        factor, rest = known_factor(item) or (0, item)
        if not factor:
            break
        item, scale = rest, scale * float(factor)
    return item, scale


def _turned(source: Node, like: Node) -> Node:
    """The product of two factors from that of the factors exchanged."""
    batch = len(like["dimension_numbers"][1][0])
    first = source.inputs[0].type.rank - batch - len(source["dimension_numbers"][0][0])
    rank = source.type.rank
    order = (*range(batch), *range(batch + first, rank), *range(batch, batch + first))
    return transposed(source, order)


def _times(item: Node, scale: float) -> Node | None:
    if scale == 1:
        return item
    if scale == -1:
        return make("neg", item)
    limits = jnp.finfo(item.type.dtype)
    if not limits.tiny <= abs(scale) <= limits.max:
        return None
    return multiply(item, constant(np.asarray(scale).astype(item.type.dtype)))
