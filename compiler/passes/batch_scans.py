"""Work in a scan's body that does not depend on the carry is done for all turns before it.

The input projection of a recurrent layer, `x_t @ W`, becomes one large product `xs @ W`, whose
rows the scan then takes. Only products and convolutions are worth it; elementwise work on them
goes along. On CPU a small product inside the loop runs from cache, and its sum with the recurrent
one is fused: there the large product loses.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from xlathe.compiler.cost import node_flops
from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node, Origin
from xlathe.compiler.loops.batching import Stacked, batch, can_batch
from xlathe.compiler.loops.parts import (
    Changed,
    Place,
    Port,
    Scan,
    depending,
    reached,
    rewrite_loops,
)
from xlathe.compiler.loops.split_joined import split_joined
from xlathe.compiler.ops.elementwise import ELEMENTWISE
from xlathe.compiler.rules.rule import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.targets import Target, current_target

_NAME = "for all turns before the loop"
_PRODUCTS = frozenset(["dot_general", "conv_general_dilated"])
_SPREADING = frozenset(["broadcast_in_dim", "reshape"])


@dataclass(frozen=True)
class BatchScans:
    """Move products that do not depend on a scan's carry out of it, as one for all turns.

    Attributes:
        target: the device; None for the one that JAX runs on.
        relaxed: whether a product may sum in another order, as a larger one may.
        max_bytes: the most memory that the results of one product for all turns may take.
        min_gain: how many times faster it must be by estimate.
    """

    target: Target | None = None
    relaxed: bool = True
    max_bytes: int = 4 << 30
    min_gain: float = 1.1

    def __call__(self, graph: Graph) -> Graph:
        """Batch work out of the scans in the graph and the graphs nested in it."""
        return rewrite_loops(graph, ("scan",), self._scan) if self.relaxed else graph

    def _scan(self, item: Node, place: Place) -> Changed | None:
        scan = Scan(item)
        if not scan.length or not scan.is_plain or not scan.xs:
            return None
        target = self.target or current_target()
        if target.platform == "cpu":
            free = _Free(scan)
            for product in free.products:
                text = "not done on CPU, where a product in the loop runs from cache"
                log_miss(Miss(_NAME, text, product))
            return None
        split = split_joined(scan)
        free = _Free(split)
        found = [value for value in free.values() if self._pays(split, free, value, target)]
        if not found:
            return None
        known = {port.inner: Stacked(port.outer, False) for port in split.consts}
        known |= {port.inner: Stacked(port.outer, True) for port in split.xs}
        stacks = batch(split.body, found, known, split.length)
        origins = {
            stacks[value].node: place.inside(origin)
            for value, origin in split.body.origins.items()
            if value in stacks and value not in known
        }
        new = _without(split, {value: stacks[value].node for value in found})
        self._log(split, place, found, stacks)
        return Changed(new, origins)

    def _pays(self, scan: Scan, free: _Free, value: Node, target: Target) -> bool:
        size = scan.length * value.type.nbytes
        if size > self.max_bytes:
            log_miss(Miss(_NAME, f"its results for all turns take {size >> 20} MiB", value))
            return False
        before = after = 0.0
        for item in free.products_of(value):
            flops = node_flops(item)
            shared = sum(s.type.nbytes for s in item.inputs if s not in free.varying)
            own = item.type.nbytes + sum(s.type.nbytes for s in item.inputs) - shared
            before += scan.length * target.seconds(flops, own + shared)
            after += target.seconds(scan.length * flops, scan.length * own + shared)
        after += target.seconds(0, 2 * size, 0)
        if before < self.min_gain * after:
            log_miss(
                Miss(_NAME, "its turns are so large that one product for all gains little", value)
            )
            return False
        return True

    def _log(
        self, scan: Scan, place: Place, values: list[Node], stacks: Mapping[Node, Stacked]
    ) -> None:
        for value in values:
            before, after = (
                formula(value, {**scan.origins(place, turn), value: Origin()})
                for turn in ("[t]", "")
            )
            flops = sum(
                node_flops(item) for item in reached([value]) if item not in scan.body.parameters
            )
            log_rewrite(
                Rewrite(
                    _NAME,
                    f"{before} in each of {scan.length} turns",
                    f"{after} at once",
                    scan.length * flops,
                    scan.length * flops,
                    stacks[value].node,
                )
            )


class _Free:
    """What of a scan's body depends on its slices, and not on its carries."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        body = scan.body
        self.varying = depending(body, [port.inner for port in scan.xs])
        carried = depending(body, [port.inner for port in scan.carries])
        self.nodes: dict[Node, None] = {}
        self.with_products: dict[Node, int] = {}
        for item in body.nodes:
            if item in carried or item not in self.varying:
                continue
            varies = [source in self.varying for source in item.inputs]
            known = all(
                source in self.nodes
                or source not in self.varying
                or source.operation == "parameter"
                for source in item.inputs
            )
            if known and can_batch(item, varies):
                self.nodes[item] = None
                size = self._product_bytes(item)
                if size:
                    self.with_products[item] = size

    def _product_bytes(self, item: Node) -> int:
        """The bytes of the products that fused work makes a value from; 0 if from none."""
        own = sum(type_.nbytes for type_ in item.types)
        below = [self.with_products[s] for s in item.inputs if s in self.with_products]
        if item.operation in _PRODUCTS or not below:
            return own if item.operation in _PRODUCTS else 0
        is_fused = item.operation in _SPREADING or item.operation in ELEMENTWISE
        return min(own, sum(below)) if is_fused else own

    @property
    def products(self) -> list[Node]:
        """The products that could leave the loop."""
        return [item for item in self.nodes if item.operation in _PRODUCTS]

    def products_of(self, value: Node) -> list[Node]:
        """Those that a value is made from."""
        return [
            item for item in reached([value]) if item in self.nodes and item.operation in _PRODUCTS
        ]

    def values(self) -> list[Node]:
        """The values to take out: the last ones that are no larger than the products in them."""
        body = self.scan.body
        stack = [source for item in body.nodes if item not in self.nodes for source in item.inputs]
        stack += body.results
        found: set[Node] = set()
        seen: set[Node] = set()
        while stack:
            item = stack.pop()
            if item in seen or item not in self.with_products:
                continue
            seen.add(item)
            if self._stays(item):
                stack.extend(item.inputs)
            else:
                found.add(item)
        return self._without_repeats(found)

    def _stays(self, item: Node) -> bool:
        if isinstance(item.type, tuple) or item.operation in _SPREADING:
            return True
        if item.operation == "get":
            # The parts of a split, taken together, are the whole.
            return True
        return item.operation in ELEMENTWISE and item.type.nbytes > self.with_products[item]

    def _without_repeats(self, found: Collection[Node]) -> list[Node]:
        """Leave out what costs next to nothing to make from another value that is taken out."""
        kept: dict[Node, None] = {}
        for item in self.nodes:
            if item not in found:
                continue
            cheap = item.operation in ELEMENTWISE and all(
                source in kept or source not in self.with_products for source in item.inputs
            )
            if not cheap or not any(source in kept for source in item.inputs):
                kept[item] = None
        return list(kept)


def _without(scan: Scan, stacks: Mapping[Node, Node]) -> list[Node]:
    """The scan's results, with stacks given to it in place of work in its body."""
    carries = range(len(scan.carried))
    left = [y for y in scan.ys if y not in stacks]
    new = scan.rebuilt(carries, left, xs=[Port(outer, inner) for inner, outer in stacks.items()])
    results = [] if new is None else [new.result(place) for place in carries]
    places = iter(range(len(scan.carried), len(scan.carried) + len(left)))
    for y in scan.ys:
        if y in stacks:
            results.append(stacks[y])
        elif new is not None:
            results.append(new.result(next(places)))
    return results
