"""Scalars that a scan carries become one vector, where that makes the loop small enough for XLA.

XLA on CPU compiles a loop whose turns touch less than 1 KiB into one function. A larger one runs
operation by operation, at some microseconds a turn: for a loop over scalars twenty times slower.
In XLA's count of bytes a carried value has two pointers beside its own four bytes, and a vector of
many values has two in all. Loops far above the limit gain nothing, and those below it lose a
little: only those just above it are packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xlathe.compiler.ir import Graph, Node, Type, get, node, parameter
from xlathe.compiler.ir.rewrite import instantiate
from xlathe.compiler.loops.parts import Changed, Place, Scan, rewrite_loops
from xlathe.compiler.ops.build import broadcast_in_dim, make, reshape
from xlathe.compiler.rules.rule import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.targets import Target, current_target

_NAME = "a vector of carried scalars"
_POINTERS = 16
_COUNTER = 44


@dataclass(frozen=True)
class PackCarries:
    """Carry scalars of one type as a vector.

    Attributes:
        target: the device; None for the one that JAX runs on.
        min_scalars: how many there must be.
        small_loop: the bytes a turn, as estimated here, below which XLA makes a function of the
            loop as it stands,
        max_bytes: and those above which packing will not bring it there.
    """

    target: Target | None = None
    min_scalars: int = 6
    small_loop: int = 880
    max_bytes: int = 1300

    def __call__(self, graph: Graph) -> Graph:
        """Pack the carries of the scans in the graph and the graphs nested in it."""
        if (self.target or current_target()).platform != "cpu":
            return graph
        return rewrite_loops(graph, ("scan",), self._scan)

    def _scan(self, item: Node, place: Place) -> Changed | None:
        scan = Scan(item)
        if not scan.is_plain or any(
            type_.shape for n in (*scan.body.parameters, *scan.body.nodes) for type_ in n.types
        ):
            return None
        packed = self._alike(scan)
        if len(packed) < self.min_scalars:
            return None
        touched = bytes_a_turn(scan)
        if not self.small_loop <= touched <= self.max_bytes:
            side = "below" if touched < self.small_loop else "far above"
            reason = f"a turn touches {touched} bytes, {side} XLA's limit for small loops"
            log_miss(Miss(_NAME, reason, item))
            return None
        new = _packed(scan, packed)
        count = len(packed)
        before, after = f"{count} scalars carried", f"a vector of {count} carried"
        log_rewrite(Rewrite(_NAME, before, after, 0.0, 0.0, new, "exact"))
        return Changed(_unpacked(scan, packed, new), {})

    def _alike(self, scan: Scan) -> list[int]:
        """The places of the carried scalars of the most frequent type."""
        found: dict[Type, list[int]] = {}
        for place, (port, result) in enumerate(zip(scan.carries, scan.carried, strict=True)):
            type_ = port.outer.type
            same = type_ is port.inner.type is result.type is scan.item.types[place]
            if same and not type_.shape and type_.dtype.itemsize >= 4:
                found.setdefault(type_, []).append(place)
        return max(found.values(), key=len, default=[])


def bytes_a_turn(scan: Scan) -> int:
    """Estimate the bytes that XLA counts for a turn: each reading, and pointers to what is kept.

    XLA counts what is left after fusion, and finds about a seventh more.
    """
    body = scan.body
    parameters = set(body.parameters)
    read = sum(s.type.nbytes for item in body.nodes for s in item.inputs if s in parameters)
    written = sum(result.type.nbytes for result in body.results)
    kept = len(body.results) + len(scan.xs)
    return read + written + _POINTERS * kept + _COUNTER


def _packed(scan: Scan, packed: Sequence[int]) -> Node:
    """The scan with the vector as its first carry."""
    consts, carries = scan.consts, scan.carries
    others = [place for place in range(len(carries)) if place not in packed]
    first = _joined([carries[place].outer for place in packed])
    types = [port.inner.type for port in consts]
    types += [first.type, *(carries[place].inner.type for place in others)]
    types += [port.inner.type for port in scan.xs]
    fresh = [parameter(index, type_) for index, type_ in enumerate(types)]
    vector = fresh[len(consts)]
    mapping = {carries[p].inner: _element(vector, index) for index, p in enumerate(packed)}
    rest = [*consts, *(carries[place] for place in others), *scan.xs]
    entering = [item for item in fresh if item is not vector]
    mapping |= {port.inner: new for port, new in zip(rest, entering, strict=True)}
    results, _, origins = instantiate(scan.body, mapping)
    count = len(scan.carried)
    joined = _joined([results[place] for place in packed])
    kept = (joined, *(results[place] for place in others), *results[count:])
    body = Graph(fresh, kept, name=scan.body.name, origins=origins)
    inputs = [port.outer for port in rest]
    inputs.insert(len(consts), first)
    result_types = (first.type, *(scan.item.types[i] for i in others), *scan.item.types[count:])
    attributes = {**scan.item.attributes, "body": body, "carry": 1 + len(others)}
    type_ = result_types if len(result_types) > 1 else result_types[0]
    return node("scan", tuple(inputs), type_, attributes)


def _unpacked(scan: Scan, packed: Sequence[int], new: Node) -> list[Node]:
    """The old scan's results from the new one's."""
    parts = [get(new, i) for i in range(len(new.types))] if isinstance(new.type, tuple) else [new]
    vector, *others = parts
    left = iter(others)
    return [
        _element(vector, packed.index(place)) if place in packed else next(left)
        for place in range(len(scan.item.types))
    ]


def _joined(scalars: Sequence[Node]) -> Node:
    return make("concatenate", *(broadcast_in_dim(s, (1,), ()) for s in scalars), dimension=0)


def _element(vector: Node, place: int) -> Node:
    part = make("slice", vector, start_indices=(place,), limit_indices=(place + 1,), strides=None)
    return reshape(part, ())
