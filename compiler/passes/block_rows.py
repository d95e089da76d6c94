"""Losses over many classes, a block of rows at a time.

A linear layer over a large vocabulary and a cross-entropy make arrays of tokens by words: logits,
their exponentials, their gradient. They are by far the largest of a language model, and each token
is treated by itself. Computed a block of tokens at a time, logits, loss and both gradients in the
same turn, no such array is ever held whole (Hsu et al. 2024, Liger Kernel; Wijmans et al. 2024, Cut
Your Losses).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from xlathe.compiler.cost import node_flops
from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.ir.rewrite import rewrite, substitute, users
from xlathe.compiler.loops.parts import depending
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.rowwise.blocks import in_blocks
from xlathe.compiler.rowwise.indices import aligned
from xlathe.compiler.rowwise.region import Mixed, Region
from xlathe.compiler.rules import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.targets import Target

RULE = "linear cross-entropy"
_OPERATIONS = frozenset(["dot_general", "exp", "log", "reduce_sum"])


@dataclass(frozen=True)
class BlockRows:
    """Compute a linear layer and its cross-entropy by blocks, where the logits are large.

    Attributes:
        target: the device.
    """

    target: Target

    def __call__(self, graph: Graph) -> Graph:
        """Rewrite the losses of the graph and of those nested in it."""
        return nested_first(graph, self._blocked)

    def _blocked(self, graph: Graph) -> Graph:
        if not graph.operations >= _OPERATIONS or not any(map(self._is_large, graph.nodes)):
            return graph
        changed = rewrite(graph, _aligned)
        seeds = [item for item in changed.nodes if self._is_large(item)]
        found = False
        for seed in seeds:
            if seed in frozenset(changed.nodes):
                replaced = self._replaced(changed, seed)
                changed = substitute(changed, replaced) if replaced else changed
                found = found or bool(replaced)
        return changed if found else graph

    def _is_large(self, item: Node) -> bool:
        """Whether an array is a product that makes much of little: logits, or scores."""
        if item.operation != "dot_general" or not item.type.is_plain or item.type.weak:
            return False
        is_float = item.type.dtype.kind in "fV"
        most = max(source.type.size for source in item.inputs)
        return is_float and _bytes(item) >= self.target.large_logits and item.type.size > most

    def _replaced(self, graph: Graph, seed: Node) -> Mapping[Node, Node]:
        """What stands for what a loss gives; empty where there is none, or it can't be parted."""
        if not _is_loss(graph, seed):
            return {}
        readers = users(graph)
        reasons: list[str] = []
        for axis, size in enumerate(seed.type.shape):
            if size == 1:
                continue
            try:
                region = Region.around(graph, readers, seed, axis)
                region.leaving
            except Mixed as mixed:
                reasons.append(str(mixed))
                continue
            count = _count(seed, axis, self.target.block_logits)
            if count is None:
                reasons.append(f"{size} rows do not part into blocks")
                continue
            replaced = in_blocks(region, count)
            _log(region, count, graph, next(iter(replaced.values())))
            return replaced
        if reasons:
            log_miss(Miss(RULE, reasons[0], seed))
        return {}


def _aligned(item: Node) -> Node | None:
    new = aligned(item)
    return None if new is item else new


def _bytes(item: Node) -> int:
    """The bytes of a product in float32, in which losses are computed."""
    return 4 * item.type.size


def _count(seed: Node, axis: int, block_bytes: int) -> int | None:
    """The number of blocks; None where the rows do not part into such of about this size."""
    rows = seed.type.shape[axis]
    least = max(2, math.ceil(_bytes(seed) / block_bytes))
    count = next((n for n in range(least, rows + 1) if rows % n == 0), None)
    return None if count is None or count > 2 * least else count


def _is_loss(graph: Graph, seed: Node) -> bool:
    """Whether a logarithm is taken of a sum of exponentials of a product."""
    exponentials = [item for item in depending(graph, [seed]) if item.operation == "exp"]
    same = [item for item in exponentials if item.type.size == seed.type.size]
    return any(item.operation == "log" for item in depending(graph, same))


def _log(region: Region, count: int, graph: Graph, made: Node) -> None:
    flops = sum(node_flops(item) for item in region.nodes)
    before = f"cross-entropy of {region.seed.type} of logits"
    rows = region.seed.type.shape[region.places[region.seed].axis] // count
    after = f"{count} blocks, {rows} rows each, forward and backward"
    log_rewrite(Rewrite(RULE, before, after, flops, flops, made))
