"""What a set of nodes costs to run once XLA has fused it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from xlathe.compiler.cost import node_flops
from xlathe.compiler.ir import Node
from xlathe.compiler.targets import Target

_FUSED = frozenset(
    "add broadcast_in_dim convert_element_type div eq iota mul neg reshape select_n slice sub "
    "transpose".split()
)
_ARRANGED = frozenset(["reshape", "transpose"])


@dataclass(frozen=True)
class Work:
    """The estimated cost of some nodes.

    Attributes:
        flops: floating point operations, each node counted once.
        seconds: the time on the target, by kernels: elementwise operations join the kernel that
            reads them, dot products and reductions are kernels of their own.
    """

    flops: float
    seconds: float


def _sums_nothing(item: Node) -> bool:
    """Whether a sum is over axes of one element only."""
    return item.operation == "reduce_sum" and item.type.size == item.inputs[0].type.size


def work(roots: Iterable[Node], leaves: Collection[Node], target: Target) -> Work:
    """Estimate what it costs to compute some nodes from others, roots among those or not."""
    return _Estimate(leaves, target).of(tuple(roots))


class _Estimate:
    def __init__(self, leaves: Collection[Node], target: Target) -> None:
        self.leaves = leaves
        self.target = target

    def is_leaf(self, item: Node) -> bool:
        return item in self.leaves or not item.inputs

    def of(self, roots: tuple[Node, ...]) -> Work:
        flops = seconds = 0.0
        kernels = dict.fromkeys(roots)
        pending = list(kernels)
        counted: set[Node] = set()
        while pending:
            item = pending.pop()
            if not item.inputs:
                continue
            inside, sources = self.kernel(item)
            own = 0.0
            for member in inside:
                cost = node_flops(member)
                own += cost
                if member not in counted:
                    counted.add(member)
                    flops += cost
            moved = item.type.nbytes + sum(source.type.nbytes for source in sources)
            seconds += self.target.seconds(own, moved)
            for source in sources:
                if source not in kernels and not self.is_leaf(source):
                    kernels[source] = None
                    pending.append(source)
        return Work(flops, seconds)

    def kernel(self, item: Node) -> tuple[list[Node], dict[Node, None]]:
        """The nodes that one kernel computes, and the arrays that it reads."""
        inside = [item]
        sources: dict[Node, None] = {}
        is_product = item.operation == "dot_general"
        fused = _ARRANGED if is_product else _FUSED
        stack = list(item.inputs)
        seen = set(stack)
        while stack:
            source = stack.pop()
            if self.is_leaf(source) or not (source.operation in fused or _sums_nothing(source)):
                sources[source] = None
                continue
            inside.append(source)
            for inner in source.inputs:
                if inner not in seen:
                    seen.add(inner)
                    stack.append(inner)
        return inside, sources
