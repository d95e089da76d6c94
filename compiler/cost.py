"""What a graph costs: floating point operations, bytes moved, live memory over its schedule.

These are estimates from the graph alone. XLA fuses operations, so that the bytes moved in fact are
fewer; as a measure of one form against another they serve.
"""

from __future__ import annotations

from dataclasses import dataclass

from xlathe.compiler.ir import Graph, Node, nested
from xlathe.compiler.ir.rewrite import Replacement, rewrite, splice
from xlathe.compiler.ops import lookup


@dataclass(frozen=True)
class Cost:
    """The cost of a graph or a node.

    Attributes:
        flops: floating point operations; one an element where nothing else is known.
        bytes: bytes read and written if every node reads its inputs and writes its results.
        peak_bytes: the most bytes alive at once, in the order in which the graph is printed.
        unknown_trips: loops in it whose number of turns is not known, counted as one turn.
    """

    flops: float = 0.0
    bytes: float = 0.0
    peak_bytes: float = 0.0
    unknown_trips: int = 0

    def __str__(self) -> str:
        text = (
            f"{scaled(self.flops, 1000)}FLOP, {scaled(self.bytes, 1024)}B moved, "
            f"{scaled(self.peak_bytes, 1024)}B live"
        )
        return f"{text} (a while loop counted once)" if self.unknown_trips else text


def scaled(value: float, base: int = 1000) -> str:
    """A number with the prefix of its size, for a unit to follow: `6.75 G`."""
    for prefix in ("", "k", "M", "G", "T"):
        if value < base or prefix == "T":
            return f"{value:.3g} {prefix if base == 1000 or not prefix else prefix.upper() + 'i'}"
        value /= base
    raise AssertionError("unreachable")


def graph_cost(graph: Graph, _known: dict[Graph, Cost] | None = None) -> Cost:
    """Estimate the cost of a graph, nested graphs included."""
    known = {} if _known is None else _known
    if graph in known:
        return known[graph]
    found = known[graph] = _cost(_with_composites_opened(graph), known)
    return found


def _cost(graph: Graph, known: dict[Graph, Cost]) -> Cost:
    flops = moved = 0.0
    unknown = 0
    inner_peaks: dict[Node, float] = {}
    for item in graph.nodes:
        cost = _node_cost(item, known)
        flops += cost.flops
        moved += cost.bytes
        unknown += cost.unknown_trips
        inner_peaks[item] = cost.peak_bytes
    return Cost(flops, moved, _peak(graph, inner_peaks), unknown)


def _with_composites_opened(graph: Graph) -> Graph:
    """The graph with what has a name as it is computed: names cost nothing."""
    if "composite" not in graph.operations:
        return graph
    called: dict[Node, tuple[Node, ...]] = {}

    def opened(item: Node) -> Replacement:
        if item.operation == "composite":
            results, _ = splice(item["body"], item.inputs, None)
            called[results[0]] = item.inputs
        elif item.operation == "composite_grad":
            forward, cotangent = item.inputs
            results, _ = splice(item["body"], (*called[forward], cotangent), None)
        else:
            return None
        return results[0] if len(results) == 1 else results

    return rewrite(graph, opened)


def node_flops(item: Node) -> float:
    """Estimate the floating point operations of one node, all turns of a scan included."""
    return _node_cost(item, {}).flops if item.holds_graphs else _own_flops(item)


def _own_flops(item: Node) -> float:
    operation = lookup(item.operation)
    if operation.flops is not None:
        return operation.flops(item)
    return 0.0 if operation.moves_only else float(item.types[0].size)


def _node_cost(item: Node, known: dict[Graph, Cost]) -> Cost:
    if item.operation in ("parameter", "constant", "token", "get"):
        return Cost()
    bodies = [graph_cost(graph, known) for graph in _run_by(item)]
    if bodies:
        trips = item.attributes.get("length", 1)
        peak = max(body.peak_bytes for body in bodies)
        unknown = sum(body.unknown_trips for body in bodies)
        if item.operation == "cond":
            dearest = max(bodies, key=lambda body: body.flops)
            return Cost(dearest.flops, dearest.bytes, peak, unknown)
        return Cost(
            trips * sum(body.flops for body in bodies),
            trips * sum(body.bytes for body in bodies),
            peak,
            unknown + (item.operation == "while"),
        )
    written = sum(type_.nbytes for type_ in item.types)
    read = sum(type_.nbytes for source in item.inputs for type_ in source.types)
    return Cost(_own_flops(item), float(read + written))


def _run_by(item: Node) -> list[Graph]:
    """The nested graphs that run when the node does; derivative rules do not."""
    if item.operation in ("attention_grad", "custom_jvp", "custom_vjp"):
        return [item["body"]]
    if item.operation == "linear_solve":
        return [item["solve"]]
    return list(nested(item))


def _peak(graph: Graph, inner: dict[Node, float]) -> float:
    """The most bytes alive at once; a value dies after its last reader."""
    last: dict[Node, int] = {}
    for place, item in enumerate(graph.nodes):
        for source in item.inputs:
            last[source] = place
    for item in graph.outputs:
        last[item] = len(graph.nodes)
    dying: dict[int, list[Node]] = {}
    for item, place in last.items():
        dying.setdefault(place, []).append(item)
    live = float(sum(type_.nbytes for item in graph.parameters for type_ in item.types))
    peak = live
    for place, item in enumerate(graph.nodes):
        live += 0 if item.operation == "get" else sum(type_.nbytes for type_ in item.types)
        peak = max(peak, live + inner[item])
        for dead in dying.get(place, ()):
            # Arguments belong to the caller, and a pair lives on in its parts.
            if dead.operation != "parameter" and not isinstance(dead.type, tuple):
                live -= dead.type.nbytes
    return peak
