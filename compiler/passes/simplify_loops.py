"""Loops that carry what nobody reads, carry what never changes, or turn a few times only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlathe.compiler.ir import Graph, Node, Type, constant, get, is_effectful, node
from xlathe.compiler.ir.rewrite import (
    Replacement,
    instantiate,
    map_subgraphs,
    rewrite,
    splice,
    with_parameters,
)
from xlathe.compiler.ops.build import broadcast_in_dim, cast, make, reshape
from xlathe.compiler.passes.fold_constants import fold_node
from xlathe.compiler.passes.simplify import SIMPLIFICATIONS


@dataclass(frozen=True)
class SimplifyLoops:
    """Drop unread carries and outputs, make constants of unchanged carries, unroll short loops.

    Attributes:
        max_trips: a loop of at most this many turns may be unrolled,
        max_nodes: if that makes at most this many nodes.
    """

    max_trips: int = 4
    max_nodes: int = 64

    def __call__(self, graph: Graph) -> Graph:
        """Simplify the loops in the graph and the graphs nested in it."""
        return _LoopSimplifier(self).graph(graph)


class _LoopSimplifier:
    def __init__(self, options: SimplifyLoops) -> None:
        self.options = options
        self.done: dict[Graph, Graph] = {}

    def graph(self, graph: Graph) -> Graph:
        found = self.done.get(graph)
        if found is None:
            read = _results_read(graph)
            originals = iter([item for item in graph.nodes if item.operation != "get"])

            def change(item: Node) -> Replacement:
                original = next(originals)
                if not item.holds_graphs:
                    return None
                return self.loop(map_subgraphs(item, self.graph), read.get(original, set()))

            found = self.done[graph] = rewrite(graph, change)
        return found

    def loop(self, item: Node, read: set[int]) -> Replacement:
        if item.operation == "scan":
            return self.scan(item, read)
        if item.operation == "while":
            return self.while_loop(item, read)
        return item

    def scan(self, item: Node, read: set[int]) -> Replacement:
        body: Graph = item["body"]
        length = item["length"]
        size = length * max(1, len(body.nodes))
        if (
            length == 0
            or length == 1
            or (length <= self.options.max_trips and size <= self.options.max_nodes)
        ):
            unrolled = _unroll_scan(item)
            if unrolled is not None:
                return unrolled
        if is_effectful(item):
            return item
        return _trim_scan(item, read)

    def while_loop(self, item: Node, read: set[int]) -> Replacement:
        if is_effectful(item):
            return item
        unrolled = _unroll_while(item, self.options)
        return unrolled if unrolled is not None else _trim_while(item, read)


def _results_read(graph: Graph) -> dict[Node, set[int]]:
    """Which results of each node with several are read."""
    found: dict[Node, set[int]] = {}
    for item in graph.nodes:
        if item.operation == "get":
            found.setdefault(item.inputs[0], set()).add(item["index"])
    return found


def _as_values(values: Sequence[Node]) -> Replacement:
    return values[0] if len(values) == 1 else tuple(values)


def _unroll_scan(item: Node) -> Replacement:
    """Write the turns of a scan out one after the other."""
    body: Graph = item["body"]
    consts, carry, length = item["consts"], item["carry"], item["length"]
    token = item.inputs[-1] if is_effectful(item) else None
    inputs = item.inputs if token is None else item.inputs[:-1]
    if any(not type_.is_plain for source in inputs for type_ in source.types):
        return None
    carried = list(inputs[consts : consts + carry])
    xs = inputs[consts + carry :]
    stacks: list[list[Node]] = [[] for _ in body.results[carry:]]
    turns = range(length - 1, -1, -1) if item["reverse"] else range(length)
    for turn in turns:
        slices = [_element(x, turn) for x in xs]
        carried = _as_types(carried, body.parameter_types[consts : consts + carry])
        values, _ = splice(body, [*inputs[:consts], *carried, *slices], token)
        if token is not None:
            token = values[-1]
        carried = list(values[:carry])
        for stack, value in zip(stacks, values[carry : len(body.results)], strict=True):
            stack.append(value)
    ys = []
    for stack, result in zip(stacks, body.results[carry:], strict=True):
        if not result.type.is_plain:
            return None
        ys.append(_stack(stack[::-1] if item["reverse"] else stack, result))
    carried = _as_types(carried, body.result_types[:carry])
    values = [*carried, *ys] if token is None else [*carried, *ys, token]
    if [value.type for value in values] != list(item.types):
        return None
    return _as_values(values)


def _as_types(values: Sequence[Node], types: Sequence[Type]) -> list[Node]:
    """The values with these types: a loop may take a weaker type than it gives."""
    return [
        cast(value, type_.dtype, type_.weak) if value.type.is_plain else value
        for value, type_ in zip(values, types, strict=True)
    ]


def _element(source: Node, place: int) -> Node:
    shape = source.type.shape
    part = source
    if shape[0] > 1:
        part = make(
            "slice",
            source,
            start_indices=(place, *(0,) * (len(shape) - 1)),
            limit_indices=(place + 1, *shape[1:]),
            strides=None,
        )
    return reshape(part, shape[1:])


def _stack(items: Sequence[Node], like: Node) -> Node:
    shape = like.type.shape
    axes = tuple(range(1, len(shape) + 1))
    if not items:
        zero = constant(np.zeros((), like.type.dtype), like.type.weak)
        return broadcast_in_dim(zero, (0, *shape), ())
    rows = [broadcast_in_dim(item, (1, *shape), axes) for item in items]
    return rows[0] if len(rows) == 1 else make("concatenate", *rows, dimension=0)


def _reached(graph: Graph, results: Sequence[Node]) -> set[Node]:
    found = set(results)
    stack = list(results)
    while stack:
        for source in stack.pop().inputs:
            if source not in found:
                found.add(source)
                stack.append(source)
    return found


def _live_carries(
    body: Graph, first: int, count: int, wanted: set[int], others: Sequence[Node]
) -> set[int]:
    """The carries that are read outside, or that something read outside depends on."""
    parameters = body.parameters[first : first + count]
    live = set(wanted)
    while True:
        reached = _reached(body, [*(body.results[index] for index in live), *others])
        more = {index for index, item in enumerate(parameters) if item in reached}
        if more <= live:
            return live
        live |= more


def _trim_scan(item: Node, read: set[int]) -> Replacement:
    body: Graph = item["body"]
    consts, carry = item["consts"], item["carry"]
    outputs = len(body.results)
    wanted = set(range(outputs)) if len(item.types) == 1 else read
    ys = [index for index in range(carry, outputs) if index in wanted]
    live = _live_carries(
        body,
        consts,
        carry,
        {index for index in range(carry) if index in wanted},
        [body.results[index] for index in ys],
    )
    unchanged = {i for i in live if body.results[i] is body.parameters[consts + i]}
    kept = sorted(live - unchanged)
    if len(kept) == carry and len(ys) == outputs - carry:
        return _drop_unread_parameters(item)
    order = [
        *range(consts),
        *(consts + index for index in sorted(unchanged)),
        *(consts + index for index in kept),
        *range(consts + carry, len(body.parameters)),
    ]
    results = [body.results[index] for index in (*kept, *ys)]
    if not results:
        return _as_values([item.inputs[consts + i] if i < carry else item for i in range(outputs)])
    new_body = with_parameters(body.with_outputs(results), [body.parameters[i] for i in order])
    types = tuple(item.types[index] for index in (*kept, *ys))
    attributes = {
        **item.attributes,
        "body": new_body,
        "consts": consts + len(unchanged),
        "carry": len(kept),
    }
    new = node(
        "scan",
        tuple(item.inputs[index] for index in order),
        types[0] if len(types) == 1 else types,
        attributes,
    )
    new = _drop_unread_parameters(new)
    place = {old: index for index, old in enumerate((*kept, *ys))}
    values = []
    for index in range(outputs):
        if index in place:
            values.append(new if len(types) == 1 else get(new, place[index]))
        else:
            values.append(item.inputs[consts + index] if index < carry else new)
    return _as_values(values)


def _drop_unread_parameters(item: Node) -> Node:
    """Drop the constants and slices of a scan that its body does not read."""
    body: Graph = item["body"]
    consts, carry = item["consts"], item["carry"]
    reached = _reached(body, body.outputs)
    kept = [
        index
        for index, parameter in enumerate(body.parameters)
        if parameter in reached or consts <= index < consts + carry
    ]
    if len(kept) == len(body.parameters) or is_effectful(item):
        return item
    attributes = {
        **item.attributes,
        "body": with_parameters(body, [body.parameters[index] for index in kept]),
        "consts": sum(index < consts for index in kept),
    }
    return node("scan", tuple(item.inputs[index] for index in kept), item.type, attributes)


def _unroll_while(item: Node, options: SimplifyLoops) -> Replacement:
    """Write a while loop out, if its condition folds to a known value at each of a few turns."""
    condition, body = item["condition"], item["body"]
    first, second = item["condition_consts"], item["body_consts"]
    carry = list(item.inputs[first + second :])
    known = [source for source in carry if source.is_constant]
    if not known and condition.results[0].operation != "constant":
        return None

    def change(new: Node) -> Node | None:
        return fold_node(new) or SIMPLIFICATIONS(new)

    for turn in range(options.max_trips + 1):
        carry = _as_types(carry, body.parameter_types[second:])
        mapping = dict(zip(condition.parameters, [*item.inputs[:first], *carry], strict=True))
        results, _, _ = instantiate(condition, mapping, change=change)
        if not results[0].is_constant:
            return None
        if not bool(results[0].value):
            return _as_values(_as_types(carry, item.types))
        if (turn + 1) * len(body.nodes) > options.max_nodes:
            return None
        inputs = [*item.inputs[first : first + second], *carry]
        mapping = dict(zip(body.parameters, inputs, strict=True))
        results, _, _ = instantiate(body, mapping, change=change)
        carry = list(results)
    return None


def _trim_while(item: Node, read: set[int]) -> Replacement:
    condition, body = item["condition"], item["body"]
    first, second = item["condition_consts"], item["body_consts"]
    count = len(body.results)
    wanted = set(range(count)) if len(item.types) == 1 else set(read)
    reached = _reached(condition, condition.results)
    wanted |= {i for i in range(count) if condition.parameters[first + i] in reached}
    live = _live_carries(body, second, count, wanted, [])
    unchanged = {i for i in live if body.results[i] is body.parameters[second + i]}
    kept = sorted(live - unchanged)
    # A loop that carries nothing would be one that never ends; leave it as it is.
    if not kept:
        return item
    fixed = sorted(unchanged)
    carry = item.inputs[first + second :]

    def trimmed(graph: Graph, consts: int, results: Sequence[Node]) -> tuple[Graph, list[int]]:
        """The graph over what it reads, and which of its constants, old and new, those are."""
        smaller = graph.with_outputs(results)
        reached = _reached(smaller, results)
        order = [*range(consts), *(consts + i for i in fixed)]
        order = [index for index in order if graph.parameters[index] in reached]
        carried = [consts + i for i in kept]
        return with_parameters(smaller, [graph.parameters[i] for i in (*order, *carried)]), order

    new_condition, condition_order = trimmed(condition, first, condition.results)
    new_body, body_order = trimmed(body, second, [body.results[i] for i in kept])
    if len(kept) == count and len(condition_order) == first and len(body_order) == second:
        return item

    def consts(order: Sequence[int], start: int, own: int) -> list[Node]:
        return [item.inputs[start + i] if i < own else carry[i - own] for i in order]

    new = node(
        "while",
        (
            *consts(condition_order, 0, first),
            *consts(body_order, first, second),
            *(carry[i] for i in kept),
        ),
        item.types[kept[0]] if len(kept) == 1 else tuple(item.types[i] for i in kept),
        {
            "condition": new_condition,
            "body": new_body,
            "condition_consts": len(condition_order),
            "body_consts": len(body_order),
        },
    )
    place = {old: index for index, old in enumerate(kept)}
    return _as_values(
        [
            carry[i] if i not in place else (new if len(kept) == 1 else get(new, place[i]))
            for i in range(count)
        ]
    )
