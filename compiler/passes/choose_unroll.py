"""How many turns of a scan are written out in its body.

What a loop costs beside its work is paid once for all turns that are written out together, and
work of neighbouring turns can be fused. On GPU and TPU loops of many short turns are unrolled, as
far as the compiler's time allows. On CPU they are not: XLA makes one function of a small loop,
which the larger body no longer is, and what other loops gain they lose again elsewhere (measured
from 0.4 to 1.4 times the speed, with no sign by which to tell).
"""

from __future__ import annotations

from dataclasses import dataclass

from xlathe.compiler.cost import node_flops
from xlathe.compiler.ir import Graph, Node, node
from xlathe.compiler.loops.parts import Changed, Place, Scan, rewrite_loops
from xlathe.compiler.rules.rule import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.targets import Target, current_target

_NAME = "turns written out"
_LARGE = frozenset(
    ["scan", "while", "cond", "custom_vjp", "linear_solve", "equation", "conv_general_dilated"]
)


@dataclass(frozen=True)
class ChooseUnroll:
    """Set how far scans are unrolled that the user left at one turn.

    Attributes:
        target: the device; None for the one that JAX runs on.
        min_turns: shorter loops are left alone.
        max_factor: the most turns written out,
        max_nodes: with at most this many operations in all.
        max_seconds: the longest turn to unroll, by its work alone.
    """

    target: Target | None = None
    min_turns: int = 16
    max_factor: int = 8
    max_nodes: int = 512
    max_seconds: float = 100e-6

    def __call__(self, graph: Graph) -> Graph:
        """Choose for the scans in the graph and the graphs nested in it."""
        return rewrite_loops(graph, ("scan",), self._scan)

    def _scan(self, item: Node, place: Place) -> Changed | None:
        scan = Scan(item)
        nodes = scan.body.nodes
        if item["unroll"] != 1 or scan.length < self.min_turns or not scan.is_plain:
            return None
        if any(inner.operation in _LARGE for inner in nodes):
            return None
        most = min(self.max_factor, self.max_nodes // max(1, len(nodes)))
        factor = next((f for f in range(most, 1, -1) if scan.length % f == 0), 1)
        reason = self._reason_against(scan, factor)
        if reason:
            log_miss(Miss(_NAME, reason, item))
            return None
        new = Scan(node("scan", item.inputs, item.type, {**item.attributes, "unroll": factor}))
        before, after = f"{scan.length} turns", f"{scan.length // factor} turns of {factor}"
        log_rewrite(Rewrite(_NAME, before, after, 0.0, 0.0, new.item, "exact"))
        return Changed([new.result(index) for index in range(len(item.types))], {})

    def _reason_against(self, scan: Scan, factor: int) -> str:
        target = self.target or current_target()
        if target.platform == "cpu":
            return "not on CPU, where it gains and loses with no sign by which to tell"
        if factor == 1:
            return f"{scan.length} turns of {len(scan.body.nodes)} operations do not divide well"
        flops = sum(node_flops(item) for item in scan.body.nodes)
        moved = sum(port.inner.type.nbytes for port in scan.ports)
        moved += sum(result.type.nbytes for result in scan.body.results)
        if target.seconds(flops, moved, 0) > self.max_seconds:
            return "a turn takes much longer than what a loop costs beside it"
        return ""
