"""Work that is the same in every turn of a loop leaves it, and is done once.

XLA does so itself on CPU, and not on GPU. What is cheaper made anew than kept stays: broadcasts,
and elementwise work on them that blows a small array up to a large one. A while loop may turn no
time at all: work in its body that would take long then is put behind its condition.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from xlathe.compiler.cost import node_flops
from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node, Origin, constant, get, node
from xlathe.compiler.loops.parts import (
    Changed,
    Place,
    Port,
    Scan,
    cut,
    depending,
    evaluate,
    reached,
    rewrite_loops,
)
from xlathe.compiler.ops.build import broadcast_in_dim, cast
from xlathe.compiler.ops.elementwise import ELEMENTWISE
from xlathe.compiler.rules.rule import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.targets import Target, current_target

_NAME = "the same in every turn"
_FREE = frozenset(
    # A transposed copy beside the array would have to be read as well; products read either way.
    "parameter constant broadcast_in_dim reshape squeeze iota transpose".split()
)


@dataclass(frozen=True)
class HoistInvariants:
    """Move what depends on a loop's constants only out of it.

    Attributes:
        target: the device; None for the one that JAX runs on.
        min_elements: elementwise work on fewer elements stays: fused, it costs nothing.
        max_inflation: elementwise work may be this many times as large as what it is made from,
        max_blown: or take this many bytes.
        max_idle: seconds that may be lost if a while loop turns no time.
    """

    target: Target | None = None
    min_elements: int = 1024
    max_inflation: float = 2.0
    max_blown: int = 1 << 20
    max_idle: float = 20e-6

    def __call__(self, graph: Graph) -> Graph:
        """Hoist out of the loops in the graph and the graphs nested in it."""
        return rewrite_loops(graph, ("scan", "while"), self._loop)

    def _loop(self, item: Node, place: Place) -> Changed | None:
        return self._scan(item, place) if item.operation == "scan" else self._while(item, place)

    def _scan(self, item: Node, place: Place) -> Changed | None:
        scan = Scan(item)
        if not scan.length:
            return None
        given = {port.inner: port.outer for port in scan.consts}
        invariant = _invariant(scan.body, given)
        stacks = {
            index: y
            for index, y in enumerate(scan.ys, len(scan.carried))
            if y in invariant and y.type.is_plain and y.type.weak == item.types[index].weak
        }
        kept = [y for index, y in enumerate(scan.ys, len(scan.carried)) if index not in stacks]
        found = self._worth(scan.body, invariant, [*scan.carried, *kept])
        if not found and not stacks:
            return None
        values = [*found, *stacks.values()]
        built, origins = evaluate(scan.body, values, given, place)
        outer = dict(zip(values, built, strict=True))
        new = scan.rebuilt(
            range(len(scan.carried)), kept, consts=[Port(outer[v], v) for v in found]
        )
        _log(scan.origins(place), found, scan.length, item if new is None else new.item)
        results: list[Node] = []
        left = iter(range(len(item.types)))
        for index, type_ in enumerate(item.types):
            if index in stacks:
                axes = tuple(range(1, type_.rank))
                results.append(broadcast_in_dim(outer[stacks[index]], type_.shape, axes))
            elif new is not None:
                results.append(new.result(next(left)))
        return Changed(results, origins)

    def _while(self, item: Node, place: Place) -> Changed | None:
        condition, body = item["condition"], item["body"]
        first, second = item["condition_consts"], item["body_consts"]
        carry = item.inputs[first + second :]
        parts = []
        origins: dict[Node, Origin] = {}
        changed = False
        for graph, start, count in ((condition, 0, first), (body, first, second)):
            outer = item.inputs[start : start + count]
            given = dict(zip(graph.parameters[:count], outer, strict=True))
            found = self._worth(graph, _invariant(graph, given), graph.results)
            changed = changed or bool(found)
            if graph is body and found and not self._may_idle(found):
                built, new_origins = _behind_condition(item, found, place)
            else:
                built, new_origins = evaluate(graph, found, given, place)
            origins |= new_origins
            read = reached(graph.results, frozenset(found))
            ports = [Port(o, i) for i, o in given.items() if i in read]
            ports += [Port(o, i) for i, o in zip(found, built, strict=True)]
            inputs = [*(port.inner for port in ports), *graph.parameters[count:]]
            parts.append((ports, cut(graph, inputs, graph.results), found))
        if not changed:
            return None
        (condition_ports, new_condition, first_found), (body_ports, new_body, second_found) = parts
        inputs = (*(port.outer for port in (*condition_ports, *body_ports)), *carry)
        new = node(
            "while",
            inputs,
            item.type,
            {
                **item.attributes,
                "condition": new_condition,
                "body": new_body,
                "condition_consts": len(condition_ports),
                "body_consts": len(body_ports),
            },
        )
        _log(place.origins(condition), first_found, 0, new)
        _log(place.origins(body, first), second_found, 0, new)
        if not isinstance(item.type, tuple):
            return Changed([new], origins)
        return Changed([get(new, index) for index in range(len(item.types))], origins)

    def _may_idle(self, values: Sequence[Node]) -> bool:
        """Whether computing these costs so little that a loop that never turns may do so."""
        target = self.target or current_target()
        work = [n for n in reached(values) if n.operation not in _FREE]
        flops = sum(node_flops(item) for item in work)
        moved = sum(type_.nbytes for item in work for type_ in item.types)
        return target.seconds(flops, moved, 0) <= self.max_idle

    def _worth(
        self, body: Graph, invariant: dict[Node, _Making], results: Sequence[Node]
    ) -> list[Node]:
        """The values to hoist: the largest pieces of invariant work that are worth keeping."""
        if all(item.operation in _FREE for item in invariant):
            return []
        stack = [
            source
            for item in body.with_outputs(results).nodes
            if item not in invariant
            for source in item.inputs
        ]
        stack += results
        seen: set[Node] = set()
        found: set[Node] = set()
        while stack:
            item = stack.pop()
            if item in seen or item not in invariant:
                continue
            seen.add(item)
            if self._stays(item, invariant[item]):
                stack.extend(item.inputs)
            else:
                found.add(item)
        return [item for item in invariant if item in found]

    def _stays(self, item: Node, making: _Making) -> bool:
        if isinstance(item.type, tuple) or not item.type.is_plain or item.operation in _FREE:
            return True
        if item.operation not in ELEMENTWISE:
            return False
        if item.type.size < self.min_elements:
            return not making.is_heavy
        size = item.type.nbytes
        if size <= self.max_inflation * making.nbytes or size <= self.max_blown:
            return False
        log_miss(Miss(_NAME, "made anew it costs less than keeping so large an array", item))
        return True


class _Making(NamedTuple):
    """What an invariant is made from: how many bytes, if all that can be fused is, and how."""

    nbytes: int
    is_heavy: bool


def _invariant(body: Graph, given: Collection[Node]) -> dict[Node, _Making]:
    """The nodes that depend on nothing but the given parameters, in order."""
    varying = depending(body, [item for item in body.parameters if item not in given])
    found: dict[Node, _Making] = {}
    for item in (*given, *body.nodes):
        if item in varying:
            continue
        own = sum(type_.nbytes for type_ in item.types)
        is_fused = item.operation in _FREE or item.operation in ELEMENTWISE
        made_from = [found[source] for source in item.inputs]
        if is_fused and made_from:
            own = min(own, sum(making.nbytes for making in made_from))
        elif item.operation == "iota":
            own = 0
        is_heavy = not is_fused or any(making.is_heavy for making in made_from)
        found[item] = _Making(own, is_heavy)
    return found


def _behind_condition(
    item: Node, values: Sequence[Node], place: Place
) -> tuple[list[Node], dict[Node, Origin]]:
    """Compute values of a while loop's body only if the loop turns at all; else they are zero."""
    condition, body = item["condition"], item["body"]
    first, second = item["condition_consts"], item["body_consts"]
    carry = item.inputs[first + second :]
    given = dict(zip(condition.parameters, (*item.inputs[:first], *carry), strict=True))
    (turns,), origins = evaluate(condition, condition.results, given, place)
    read = reached(values)
    places = [place for place in range(second) if body.parameters[place] in read]
    work = cut(body, [body.parameters[place] for place in places], values)
    idle = work.with_outputs([_zeros(value) for value in work.results])
    index = cast(turns, np.dtype(np.int32))
    types = tuple(value.type for value in values)
    chosen = node(
        "cond",
        (index, *(item.inputs[first + place] for place in places)),
        types[0] if len(types) == 1 else types,
        {"branches": (idle, work)},
    )
    if len(types) == 1:
        return [chosen], origins
    return [get(chosen, place) for place in range(len(types))], origins


def _zeros(like: Node) -> Node:
    zero = constant(np.zeros((), like.type.dtype), like.type.weak)
    return broadcast_in_dim(zero, like.type.shape, ()) if like.type.shape else zero


def _log(origins: Mapping[Node, Origin], values: Sequence[Node], turns: int, loop: Node) -> None:
    """Note each hoisted value; of a while loop, whose turns are not known, one turn counts."""
    counted: set[Node] = set()
    for value in values:
        own = reached([value], counted) - counted
        counted |= own
        flops = sum(node_flops(item) for item in own)
        text = formula(value, {**origins, value: Origin()})
        log_rewrite(
            Rewrite(
                _NAME,
                f"{text} in each of {turns} turns" if turns else f"{text} in each turn",
                f"{text} once",
                max(1, turns) * flops,
                flops,
                loop,
                "exact",
            )
        )
