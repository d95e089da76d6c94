"""Losses over many classes, a block of rows at a time.

A linear layer over a large vocabulary and a cross-entropy make arrays of tokens by words: logits,
their exponentials, their gradient. They are by far the largest of a language model, and each token
is treated by itself. Computed a block of tokens at a time, logits, loss and both gradients in the
same turn, no such array is ever held whole (Hsu et al. 2024, Liger Kernel; Wijmans et al. 2024, Cut
Your Losses).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xlathe.compiler.cost import node_flops, scaled
from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.ir.rewrite import rewrite, substitute, users
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.rowwise.axes import axes_of
from xlathe.compiler.rowwise.blocks import in_blocks
from xlathe.compiler.rowwise.indices import aligned
from xlathe.compiler.rowwise.region import Mixed, Region, is_as_large
from xlathe.compiler.rules import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.targets import Target

RULE = "linear cross-entropy"
_OPERATIONS = frozenset(["dot_general", "exp", "log", "reduce_sum"])
_NOTED = 1 << 20

Readers = Mapping[Node, Sequence[Node]]


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
        if not graph.operations >= _OPERATIONS or not any(map(self._may_matter, graph.nodes)):
            return graph
        changed = rewrite(graph, _aligned)
        readers = users(changed)
        found = False
        for seed in [item for item in changed.nodes if self._may_matter(item)]:
            if seed not in readers or not _is_loss(seed, readers):
                continue
            replaced = self._replaced(changed, readers, seed)
            if replaced:
                found = True
                changed = substitute(changed, replaced)
                readers = users(changed)
        return changed if found else graph

    def _may_matter(self, item: Node) -> bool:
        """Whether an array is a large product that makes much of little: logits, or scores."""
        if item.operation != "dot_general" or item.type.weak or axes_of(item) is None:
            return False
        is_large = _bytes(item) >= min(_NOTED, self.target.large_logits)
        most = max(source.type.size for source in item.inputs)
        return is_large and item.type.dtype.kind in "fV" and item.type.size >= 2 * most

    def _replaced(self, graph: Graph, readers: Readers, seed: Node) -> Mapping[Node, Node]:
        """What stands for what a loss gives; empty where it stays whole."""
        if _bytes(seed) < self.target.large_logits:
            log_miss(Miss(RULE, f"its logits take {_size(seed)}, too little to pay", seed))
            return {}
        reasons: dict[int, str] = {}
        least = self.target.block_tokens
        counts = {axis: _count(seed, axis, least) for axis in range(seed.type.rank)}
        shape = seed.type.shape
        # The more rows a block has of its axis, the more devices these can be spread over.
        for axis in sorted(counts, key=lambda axis: (-counts[axis], -shape[axis] // counts[axis])):
            try:
                region = Region.around(graph, readers, seed, axis)
                self._check(region)
                if counts[axis] > 1:
                    replaced = in_blocks(region, counts[axis], self.target.platform)
                    _log(region, counts[axis])
                    return replaced
                tokens, _ = _tokens_and_depth(seed, axis)
                reasons[axis] = f"its {tokens} tokens make no two blocks that pay"
            except Mixed as mixed:
                reasons[axis] = str(mixed)
        log_miss(Miss(RULE, reasons[min(reasons)], seed))
        return {}

    def _check(self, region: Region) -> None:
        """Refuse to compute logits twice for a gradient from outside, where that doesn't pay."""
        least = max(self.target.large_logits, self.target.large_scores)
        if region.is_forward and _bytes(region.seed) < least:
            raise Mixed(
                f"its logits take {_size(region.seed)}, too little to compute them again where "
                "its gradient is taken from outside"
            )


def _aligned(item: Node) -> Node | None:
    new = aligned(item)
    return None if new is item else new


def _bytes(item: Node) -> int:
    """The bytes of a product in float32, in which losses are computed."""
    return 4 * item.type.size


def _size(seed: Node) -> str:
    return f"{scaled(_bytes(seed), 1024)}B"


def _count(seed: Node, axis: int, least: int) -> int:
    """Into how many blocks an axis of a product parts, as many as leave each enough tokens.

    A block's product with the weights must outweigh adding to their gradient, which takes about as
    many tokens as each of its numbers sums.
    """
    tokens, depth = _tokens_and_depth(seed, axis)
    most = tokens // max(least, depth)
    return max((n for n in range(1, most + 1) if seed.type.shape[axis] % n == 0), default=1)


def _tokens_and_depth(seed: Node, axis: int) -> tuple[int, int]:
    """How many rows a product has, those of all axes, and how much each of its numbers sums."""
    axes = axes_of(seed)
    assert axes is not None
    label = axes.result[axis]
    sizes = [
        {label: size for label, size in zip(labels, source.type.shape, strict=True)}
        for labels, source in zip(axes.inputs, seed.inputs, strict=True)
    ]
    depth = math.prod(sizes[0][summed] for summed in axes.summed)
    own = sizes[0] if label in sizes[0] else sizes[1]
    return math.prod(own.values()) // depth, depth


def _is_loss(seed: Node, readers: Readers) -> bool:
    """Whether a product's numbers are exponentiated, and a logarithm is taken of what follows."""
    sizes: set[int] = set()
    met, operations = {seed}, set()
    stack = [seed]
    while stack:
        for reader in readers[stack.pop()]:
            if reader in met or isinstance(reader.type, tuple) or reader.operation == "dot_general":
                continue
            if reader.operation == "reduce_sum" and "exp" in operations:
                sizes.add(reader.type.size)
            if reader.type.size in sizes or is_as_large(reader, seed):
                met.add(reader)
                operations.add(reader.operation)
                stack.append(reader)
    return operations >= {"exp", "log"}


def _log(region: Region, count: int) -> None:
    tokens, _ = _tokens_and_depth(region.seed, region.places[region.seed].axis)
    flops = sum(node_flops(item) for item in region.nodes)
    before = f"cross-entropy of {_size(region.seed)} of logits"
    after = f"the same for {tokens // count} of {tokens} tokens at a time"
    log_rewrite(Rewrite(RULE, before, after, flops, flops, region.seed))
