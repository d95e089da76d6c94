"""Loops taken apart and put together again: what the passes over them share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from xlathe.compiler.ir import Graph, Node, Origin, get, is_effectful, node, parameter
from xlathe.compiler.ir.graph import NO_ORIGIN
from xlathe.compiler.ir.rewrite import instantiate, map_subgraphs, with_inputs


class Changed(NamedTuple):
    """What a pass puts in a loop's place.

    Attributes:
        values: one node for each of the loop's results.
        origins: where the nodes that were part of its body come from.
    """

    values: Sequence[Node]
    origins: Mapping[Node, Origin]


class Place(NamedTuple):
    """Where a loop stands.

    Attributes:
        origin: where it comes from.
        names: the user's names of its inputs; empty where they have none.
    """

    origin: Origin
    names: tuple[str, ...]

    def inside(self, inner: Origin) -> Origin:
        """The origin that a node of the loop's body has outside it."""
        return inner._replace(order=self.origin.order + inner.order)

    def origins(self, body: Graph, first: int = 0) -> dict[Node, Origin]:
        """The origins of a body, its parameters named like the loop's inputs from this one on."""
        named = zip(body.parameters, self.names[first:], strict=False)
        return {**body.origins, **{item: Origin(name=name) for item, name in named if name}}


ChangeLoop = Callable[[Node, Place], Changed | None]


def rewrite_loops(graph: Graph, operations: Collection[str], change: ChangeLoop) -> Graph:
    """Rewrite the loops of a graph and of those nested in it, innermost first.

    Loops with side effects are left alone.

    Args:
        graph: the graph.
        operations: which loops: `scan`, `while`, or both.
        change: is given a loop over its new inputs and its place; returns what stands in its
            place, or None to keep it.
    """
    done: dict[Graph, Graph] = {}

    def visit(inner: Graph, names: Mapping[Node, str]) -> Graph:
        found = done.get(inner)
        if found is None:
            found = done[inner] = _rewrite(inner, names, operations, change, visit)
        return found

    return visit(graph, {})


def _rewrite(
    graph: Graph,
    parameters: Mapping[Node, str],
    operations: Collection[str],
    change: ChangeLoop,
    visit: Callable[[Graph, Mapping[Node, str]], Graph],
) -> Graph:
    if not any(item.holds_graphs for item in graph.nodes):
        return graph
    mapped: dict[Node, Node | tuple[Node, ...]] = {}
    origins = dict(graph.origins)
    for item in graph.nodes:
        new = with_inputs(item, mapped)
        origin = graph.origin(item)
        if isinstance(new, Node) and new.holds_graphs:
            names = tuple(
                graph.origin(source).name or parameters.get(source, "") for source in item.inputs
            )
            new = map_subgraphs(new, _naming(new, names, visit))
            if new.operation in operations and not is_effectful(new):
                changed = change(new, Place(origin, names))
                if changed is not None:
                    for made, known in changed.origins.items():
                        origins.setdefault(made, known)
                    values = tuple(changed.values)
                    _inherit(origins, values, origin)
                    new = values if isinstance(item.type, tuple) else values[0]
        if new is not item:
            mapped[item] = new
            if isinstance(new, Node) and origin is not NO_ORIGIN:
                known = origins.setdefault(new, origin)
                if origin.name and not known.name and new.operation != "parameter":
                    origins[new] = known._replace(name=origin.name)
    if not mapped:
        return graph
    return graph.rebuilt(mapped, origins)


def _naming(
    item: Node, names: Sequence[str], visit: Callable[[Graph, Mapping[Node, str]], Graph]
) -> Callable[[Graph], Graph]:
    """Visit the graphs of a node, the parameters of loops' bodies named as they are outside."""

    def named(body: Graph) -> Graph:
        own: Sequence[str] = ()
        if item.operation == "scan":
            own = names
        elif item.operation == "while" and body is item["body"]:
            own = names[item["condition_consts"] :]
        return visit(body, dict(zip(body.parameters, own, strict=False)))

    return named


def _inherit(origins: dict[Node, Origin], values: Iterable[Node], origin: Origin) -> None:
    """Give the loop's origin to the nodes made in its place that have none."""
    unnamed = origin._replace(name="")
    stack = list(values)
    while stack:
        item = stack.pop()
        if item not in origins and item.operation not in ("parameter", "constant"):
            origins[item] = unnamed
            stack.extend(item.inputs)


def evaluate(
    body: Graph, values: Sequence[Node], given: Mapping[Node, Node], place: Place
) -> tuple[list[Node], dict[Node, Origin]]:
    """Build some of a body's values outside it, over what stands for its parameters there."""
    results, _, origins = instantiate(body.with_outputs(values), given, place.inside)
    return list(results), origins


def cut(body: Graph, inputs: Sequence[Node], results: Sequence[Node]) -> Graph:
    """The part of a body from these of its values, which become its parameters, to those."""
    fresh = [parameter(index, item.type) for index, item in enumerate(inputs)]
    part = body.with_outputs(results)
    found, _, origins = instantiate(part, dict(zip(inputs, fresh, strict=True)))
    for old, new in zip(inputs, fresh, strict=True):
        name = body.origin(old).name
        if name:
            origins[new] = Origin(name=name)
    return Graph(fresh, found, name=body.name, origins=origins)


def reached(results: Iterable[Node], stop: Collection[Node] = frozenset()) -> set[Node]:
    """The nodes that lead to the results, down to those at which to stop, these included."""
    found = set(results)
    stack = list(found)
    while stack:
        item = stack.pop()
        if item in stop:
            continue
        for source in item.inputs:
            if source not in found:
                found.add(source)
                stack.append(source)
    return found


def depending(body: Graph, sources: Iterable[Node]) -> set[Node]:
    """The nodes of a body that depend on any of the sources, these included."""
    found = set(sources)
    for item in body.nodes:
        if any(source in found for source in item.inputs):
            found.add(item)
    return found


class Port(NamedTuple):
    """A value that enters a loop's body.

    Attributes:
        outer: the value outside,
        inner: and the value of the body for which it stands.
    """

    outer: Node
    inner: Node


@dataclass(frozen=True)
class Scan:
    """A scan node by its parts."""

    item: Node

    @cached_property
    def body(self) -> Graph:
        """The graph of one turn."""
        return self.item["body"]

    @property
    def length(self) -> int:
        """The number of turns."""
        return self.item["length"]

    @cached_property
    def ports(self) -> tuple[Port, ...]:
        """All that enters the body."""
        return tuple(
            Port(outer, inner)
            for outer, inner in zip(self.item.inputs, self.body.parameters, strict=True)
        )

    @property
    def consts(self) -> tuple[Port, ...]:
        """What is the same in every turn."""
        return self.ports[: self.item["consts"]]

    @property
    def carries(self) -> tuple[Port, ...]:
        """What is carried from turn to turn, with its first value."""
        return self.ports[self.item["consts"] : self.item["consts"] + self.item["carry"]]

    @property
    def xs(self) -> tuple[Port, ...]:
        """What is taken a slice a turn."""
        return self.ports[self.item["consts"] + self.item["carry"] :]

    @property
    def carried(self) -> tuple[Node, ...]:
        """The values that a turn hands to the next."""
        return self.body.results[: self.item["carry"]]

    @property
    def ys(self) -> tuple[Node, ...]:
        """The values that a turn puts on the stacks."""
        return self.body.results[self.item["carry"] :]

    @property
    def is_plain(self) -> bool:
        """Whether ordinary arrays enter and leave it, and no others."""
        types = [type_ for source in self.item.inputs for type_ in source.types]
        return all(type_.is_plain for type_ in (*types, *self.item.types))

    def result(self, index: int) -> Node:
        """Its result at this place, final carries first."""
        return get(self.item, index) if isinstance(self.item.type, tuple) else self.item

    def origins(self, place: Place, turn: str = "[t]") -> dict[Node, Origin]:
        """The origins of its body, the parameters named as outside, slices as `xs[t]`."""
        found = place.origins(self.body)
        first = len(self.ports) - len(self.xs)
        for port, name in zip(self.xs, place.names[first:], strict=True):
            if name:
                found[port.inner] = Origin(name=f"{name}{turn}")
        return found

    def with_body(self, body: Graph) -> Scan:
        """The scan with another body of the same types."""
        item = self.item
        return Scan(node("scan", item.inputs, item.type, {**item.attributes, "body": body}))

    def rebuilt(
        self,
        carries: Sequence[int],
        ys: Sequence[Node],
        consts: Sequence[Port] = (),
        xs: Sequence[Port] = (),
    ) -> Scan | None:
        """The scan with some of its carries and other stacks, over more or other values.

        Constants and slices that its body then does not read are dropped.

        Args:
            carries: the places of the carries that it keeps.
            ys: the values that a turn puts on the stacks.
            consts: more values that enter once,
            xs: and more that enter a slice a turn.

        Returns:
            The scan; None if nothing is left of it.
        """
        results = [*(self.carried[place] for place in carries), *ys]
        if not results:
            return None
        first = [self.carries[place] for place in carries]
        new = {port.inner for port in (*consts, *xs)}
        read = reached(results, new)
        known = dict(zip(self.ys, self.item.types[len(self.carried) :], strict=True))
        all_consts = [port for port in (*self.consts, *consts) if port.inner in read]
        all_xs = [port for port in (*self.xs, *xs) if port.inner in read]
        ports = [*all_consts, *first, *all_xs]
        types = (
            *(self.item.types[place] for place in carries),
            *(known.get(y) or y.type.with_shape((self.length, *y.type.shape)) for y in ys),
        )
        attributes = {
            **self.item.attributes,
            "body": cut(self.body, [port.inner for port in ports], results),
            "consts": len(all_consts),
            "carry": len(first),
        }
        inputs = tuple(port.outer for port in ports)
        return Scan(node("scan", inputs, types[0] if len(types) == 1 else types, attributes))
