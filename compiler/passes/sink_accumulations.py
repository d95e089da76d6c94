"""Work whose result only leaves a scan is done for all turns after it.

The backward pass of a recurrent layer adds `x_t.T @ dz_t` to the weights' gradient in every turn.
Nothing in the loop reads the sum, so the loop stacks `dz_t`, and one product after it sums over
turns, too. So do products that only a stack of outputs takes: `h_t @ V` for all turns at once.

The sum is made in another order. In bfloat16 and float16 it also is made with fewer roundings:
the loop rounds the running sum in every turn, the one product at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xlathe.compiler.cost import node_flops
from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node, Origin
from xlathe.compiler.ir.rewrite import users
from xlathe.compiler.loops.batching import Stacked, can_batch
from xlathe.compiler.loops.parts import (
    Changed,
    Place,
    Scan,
    depending,
    reached,
    rewrite_loops,
)
from xlathe.compiler.loops.summing import Summing, is_linear
from xlathe.compiler.ops.build import cast, make
from xlathe.compiler.ops.elementwise import filled_scalar
from xlathe.compiler.rules.rule import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.targets import Target, current_target

_NAME = "once after the loop"
_PRODUCTS = frozenset(["dot_general", "conv_general_dilated"])


@dataclass(frozen=True)
class SinkAccumulations:
    """Move sums and products that nothing in a scan reads behind it.

    Attributes:
        target: the device; None for the one that JAX runs on.
        relaxed: whether sums may be made in another order.
        max_bytes: the most memory that the operands of one product may take.
        min_gain: how many times faster it must be by estimate.
        min_flops: on CPU, the fewest operations of a turn's products: smaller ones are part of the
            loop's own code, and cost no launch. For a sum a fourth of it, as it is carried, too.
    """

    target: Target | None = None
    relaxed: bool = True
    max_bytes: int = 4 << 30
    min_gain: float = 1.1
    min_flops: int = 1024

    def __call__(self, graph: Graph) -> Graph:
        """Sink work out of the scans in the graph and the graphs nested in it."""
        return rewrite_loops(graph, ("scan",), self._scan) if self.relaxed else graph

    def _scan(self, item: Node, place: Place) -> Changed | None:
        scan = Scan(item)
        if not scan.length or not scan.is_plain:
            return None
        leaving = _Leaving(scan, self)
        if not leaving.choose():
            return None
        return _build(scan, leaving, place)


class _Accumulator(NamedTuple):
    """A carry to which a turn only adds.

    Attributes:
        place: its place among the carries.
        terms: what is added, each with whether it is subtracted.
        chain: the nodes that add.
    """

    place: int
    terms: list[tuple[bool, Node]]
    chain: list[Node]


def _accumulators(scan: Scan) -> list[_Accumulator]:
    readers = users(scan.body)
    found = []
    for place, (port, result) in enumerate(zip(scan.carries, scan.carried, strict=True)):
        terms: list[tuple[bool, Node]] = []
        chain: list[Node] = []
        at = port.inner
        while at is not result:
            own = readers.get(at, [])
            if len(own) != 1 or own[0].operation not in ("add", "sub"):
                break
            step = own[0]
            other = step.inputs[1] if step.inputs[0] is at else step.inputs[0]
            if other is at or step.type.shape != at.type.shape:
                break
            if step.operation == "sub" and step.inputs[0] is not at:
                break
            terms.append((step.operation == "sub", other))
            chain.append(step)
            at = step
        if at is result and chain and len(readers[result]) == 1 and _adds(port.inner):
            found.append(_Accumulator(place, terms, chain))
        elif result.operation == "add" and port.inner in result.inputs:
            others = [source for source in result.inputs if source is not port.inner]
            if any(source.operation == "dot_general" for source in reached(others)):
                log_miss(Miss(_NAME, "the loop reads the running sum", result))
    return found


def _adds(item: Node) -> bool:
    return item.type.dtype.kind in "fciuV"


class _Leaving:
    """What of a scan's body can be done after it: which sums, which stacks, from what."""

    def __init__(self, scan: Scan, options: SinkAccumulations) -> None:
        self.scan = scan
        self.options = options
        self.target = options.target or current_target()
        self.accumulators = _accumulators(scan)
        body = scan.body
        inside = [port.inner for port in (*scan.carries, *scan.xs)]
        self.varying = depending(body, inside)
        self.outside = self._made_from_slices()
        sunk = {accumulator.place for accumulator in self.accumulators}
        self.core = reached(
            result for place, result in enumerate(scan.carried) if place not in sunk
        )
        self.chains = {step for accumulator in self.accumulators for step in accumulator.chain}
        self.held: set[Node] = set()
        self.late: set[Node] = set()
        self.boundary: dict[Node, None] = {}

    def choose(self) -> bool:
        """Settle what is late: done after the loop, from the boundary's values. False if none."""
        if not self.accumulators and not self.scan.ys:
            return False
        while True:
            self._settle()
            self.sums = [a for a in self.accumulators if self._is_available(a)]
            # A sum that stays as a whole for one of its terms keeps the others.
            staying = [t for a in self.accumulators if a not in self.sums for _, t in a.terms]
            held = {term for term in staying if term in self.late}
            held |= {root for root in self.roots() if root not in held and not self._pays(root)}
            if not held:
                break
            self.held |= held
        self.stacks = [y for y in self.scan.ys if y in self.late]
        return bool(self.sums or self.stacks)

    def roots(self) -> list[Node]:
        """The late values that leave the loop."""
        terms = [term for a in self.accumulators for _, term in a.terms]
        return [item for item in dict.fromkeys((*terms, *self.scan.ys)) if item in self.late]

    def _made_from_slices(self) -> set[Node]:
        """What needs no carry and no product, and so is as well made outside the loop."""
        found = {port.inner for port in self.scan.xs}
        for item in self.scan.body.nodes:
            varies = [source in self.varying for source in item.inputs]
            ready = all(s in found for s in item.inputs if s in self.varying)
            if any(varies) and ready and item.operation not in _PRODUCTS:
                if can_batch(item, varies):
                    found.add(item)
        return found

    def _settle(self) -> None:
        """Find the late nodes: on or above a product, read by nothing that stays."""
        stays = set(self.held)
        while True:
            self.late = self._above_products(stays)
            roots = self.roots()
            self.boundary = self.boundary_of(roots)
            kept = [y for y in self.scan.ys if y not in self.late]
            for accumulator in self.accumulators:
                terms = [term for _, term in accumulator.terms]
                if not self._is_available(accumulator):
                    kept += terms
            needed = reached([*kept, *self.boundary]) | self.core
            wrong = self.late & needed
            if not wrong:
                return
            stays |= wrong

    def _above_products(self, stays: set[Node]) -> set[Node]:
        late: set[Node] = set()
        for item in self.scan.body.nodes:
            if item in self.core or item in self.chains or item not in self.varying:
                continue
            if item in stays or not can_batch(item, [s in self.varying for s in item.inputs]):
                continue
            if item.operation in _PRODUCTS or any(source in late for source in item.inputs):
                late.add(item)
        return late

    def boundary_of(self, roots: Sequence[Node]) -> dict[Node, None]:
        """What the late nodes under these roots read that is made in the loop."""
        found: dict[Node, None] = {}
        inside = [item for item in reached(roots, self.varying - self.late) if item in self.late]
        for item in inside:
            for source in item.inputs:
                if source in self.varying and source not in self.late:
                    base = self._base(source)
                    if base not in self.outside:
                        found[base] = None
        return found

    def _base(self, item: Node) -> Node:
        """What an array is arranged from: to arrange it anew outside costs nothing."""
        while item.operation in ("transpose", "reshape") and can_batch(item, [True]):
            item = item.inputs[0]
        return item

    def _reads_known(self, item: Node) -> bool:
        """Whether a value can be made after the loop from what leaves it anyhow."""
        kept = {y for y in self.scan.ys if y not in self.late}
        known = self.outside | set(self.boundary) | kept
        stack, seen = [item], set()
        while stack:
            at = stack.pop()
            if at in seen or at in known or at not in self.varying:
                continue
            seen.add(at)
            if at in self.core or at in self.chains or at.operation == "parameter":
                return False
            if at not in self.late and not can_batch(
                at, [source in self.varying for source in at.inputs]
            ):
                return False
            stack.extend(at.inputs)
        return True

    def _is_available(self, accumulator: _Accumulator) -> bool:
        return all(term in self.late or self._reads_known(term) for _, term in accumulator.terms)

    def products_of(self, root: Node) -> list[Node]:
        """The late products that a late value is made from."""
        inside = reached([root], self.varying - self.late)
        return [item for item in inside if item in self.late and item.operation in _PRODUCTS]

    def _summed(self) -> set[Node]:
        """The nodes of which only the sum over turns is wanted."""
        found: set[Node] = set()
        stack = [term for a in self.accumulators for _, term in a.terms]
        while stack:
            item = stack.pop()
            if item in found or item not in self.late:
                continue
            found.add(item)
            if is_linear(item, self.varying):
                stack.extend(item.inputs)
        return found

    def _pays(self, root: Node) -> bool:
        turns, target = self.scan.length, self.target
        summed = self._summed()
        before = after = 0.0
        largest, flops_of_turn = 0, 0.0
        for item in self.products_of(root):
            flops = node_flops(item)
            flops_of_turn += flops
            shared = sum(s.type.nbytes for s in item.inputs if s not in self.varying)
            varying = sum(s.type.nbytes for s in item.inputs) - shared
            made = item.type.nbytes * (1 if item in summed else turns)
            operands = (turns * s.type.nbytes for s in item.inputs if s in self.varying)
            largest = max(largest, made, *operands)
            before += turns * target.seconds(flops, varying + shared + item.type.nbytes)
            after += target.seconds(turns * flops, turns * varying + shared + made)
        ys = set(self.scan.ys)
        new = [item for item in self.boundary_of([root]) if item not in ys]
        stacked = turns * sum(item.type.nbytes for item in new)
        if root in ys:
            before += target.seconds(0, turns * root.type.nbytes, 0)
        else:
            before += target.seconds(0, 3 * turns * root.type.nbytes, 1)
        after += target.seconds(0, stacked, 0)
        if max(stacked, largest) > self.options.max_bytes:
            size = max(stacked, largest) >> 20
            log_miss(Miss(_NAME, f"what it reads takes {size} MiB for all turns", root))
            return False
        fewest = self.options.min_flops // (1 if root in ys else 4)
        if target.platform == "cpu" and flops_of_turn < fewest:
            reason = f"{flops_of_turn:.0f} FLOP a turn are part of the loop's own code"
            log_miss(Miss(_NAME, reason, root))
            return False
        if before < self.options.min_gain * after:
            log_miss(Miss(_NAME, "one product for all turns gains little", root))
            return False
        return True


def _build(scan: Scan, leaving: _Leaving, place: Place) -> Changed:
    sunk = {accumulator.place for accumulator in leaving.sums}
    carries = [index for index in range(len(scan.carried)) if index not in sunk]
    kept = [y for y in scan.ys if y not in leaving.late]
    roots = [term for a in leaving.sums for _, term in a.terms]
    roots += leaving.stacks
    extra = [item for item in leaving.boundary_of(roots) if item not in kept]
    new = scan.rebuilt(carries, [*kept, *extra])
    known = {port.inner: Stacked(port.outer, False) for port in scan.consts}
    known |= {port.inner: Stacked(port.outer, True) for port in scan.xs}
    if new is not None:
        for index, item in enumerate((*kept, *extra), len(carries)):
            known.setdefault(item, Stacked(new.result(index), True))
    known = {
        item: value for item, value in known.items() if item in leaving.varying or not value.varies
    }
    summing = Summing(scan.body, known, leaving.varying, scan.length)
    values: list[Node] = []
    for index in range(len(scan.carried)):
        if index in sunk:
            accumulator = next(a for a in leaving.sums if a.place == index)
            values.append(_final(scan, accumulator, summing))
        elif new is not None:
            values.append(new.result(carries.index(index)))
    left = iter(range(len(carries), len(carries) + len(kept)))
    for y in scan.ys:
        if y in leaving.late:
            values.append(summing.stack(y).node)
        elif new is not None:
            values.append(new.result(next(left)))
    origins = {
        summing.known[item].node: place.inside(origin)
        for item, origin in scan.body.origins.items()
        if item in summing.known and item not in known
    }
    _log(scan, leaving, place, values)
    return Changed(values, origins)


def _final(scan: Scan, accumulator: _Accumulator, summing: Summing) -> Node:
    """What an accumulated carry ends as."""
    type_ = scan.item.types[accumulator.place]
    first = scan.carries[accumulator.place].outer
    total = None if _is_zero(first) else first
    for is_negative, term in accumulator.terms:
        value = summing.total(term)
        if total is None:
            total = make("neg", value) if is_negative else value
        else:
            total = make("sub" if is_negative else "add", total, value)
    assert total is not None
    if total.type.shape != type_.shape:
        total = make("add", first, total)
    return cast(total, type_.dtype, type_.weak)


def _is_zero(item: Node) -> bool:
    scalar = item if item.is_constant else filled_scalar(item)
    return scalar is not None and scalar.is_constant and not scalar.value.any()


def _log(scan: Scan, leaving: _Leaving, place: Place, values: Sequence[Node]) -> None:
    origins = scan.origins(place)
    chosen = [(a.place, term, True) for a in leaving.sums for _, term in a.terms]
    places = enumerate(scan.ys, len(scan.carried))
    chosen += [(index, y, False) for index, y in places if y in leaving.late]
    for index, value, is_sum in chosen:
        text = formula(value, {**origins, value: Origin()}, leaving.boundary)
        flops = scan.length * sum(node_flops(item) for item in leaving.products_of(value))
        log_rewrite(
            Rewrite(
                _NAME,
                f"{text} in each of {scan.length} turns",
                f"the sum over turns of {text} at once" if is_sum else f"{text} at once",
                flops,
                flops,
                values[index],
            )
        )
