"""Graphs: parameters, results, and whatever those reach.

A graph is immutable and closed: it reads nothing but its own parameters, so a nested graph (a loop
body, a branch) means the same wherever it stands. What a reader wants to know of a node and the
compiler does not, its name, its source line and its place in the program, is kept beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from xlathe.compiler.ir.node import Node, Opaque, mark_graph_class
from xlathe.compiler.ir.types import TOKEN, Type


class Origin(NamedTuple):
    """Where a node comes from in the user's program.

    Attributes:
        order: its place among the program's operations, inside the place of the call it came
            from; printing keeps to it.
        name: the user's variable that holds its value, if one does.
        file: the user's source file.
        line: the line in it, 0 if it is not known.
        scope: the name scopes around it, joined by `/`.
    """

    order: tuple[int, ...] = ()
    name: str = ""
    file: str = ""
    line: int = 0
    scope: str = ""


NO_ORIGIN = Origin()


@mark_graph_class
class Graph:
    """A program: parameters, results, and the nodes that lead from the ones to the others.

    Args:
        parameters: the parameter nodes, in order.
        results: the nodes whose values are returned.
        effect: the token that the last side effect returns; None where there is none.
        name: what the program is called.
        origins: where its nodes come from; it takes no part in equality.
        result_names: how the user reaches each result, such as `result['loss']`.
    """

    def __init__(
        self,
        parameters: Iterable[Node],
        results: Iterable[Node],
        effect: Node | None = None,
        *,
        name: str = "graph",
        origins: Mapping[Node, Origin] | None = None,
        result_names: tuple[str, ...] = (),
    ) -> None:
        self.parameters = tuple(parameters)
        self.results = tuple(results)
        self.effect = effect
        self.name = name
        self.origins: Mapping[Node, Origin] = {} if origins is None else origins
        self.result_names = result_names
        self._key = (self.parameters, self.results, effect)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        return self is other or self._key == other._key

    @cached_property
    def _hash(self) -> int:
        return hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"<Graph {self.name}: {len(self.nodes)} nodes>"

    @property
    def parameter_types(self) -> tuple[Type, ...]:
        """The types of the parameters."""
        return tuple(parameter.type for parameter in self.parameters)

    @property
    def result_types(self) -> tuple[Type, ...]:
        """The types of the results."""
        return tuple(result.type for result in self.results)

    @property
    def has_effects(self) -> bool:
        """Whether running it does anything beside computing its results."""
        return self.effect is not None

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that the results need, each after its inputs, in the user's order.

        Parameters are not among them.
        """
        scheduled = schedule(self.outputs, self.origins)
        return tuple([node for node in scheduled if node.operation != "parameter"])

    @property
    def outputs(self) -> tuple[Node, ...]:
        """The results, and the final token if there is one."""
        return self.results if self.effect is None else (*self.results, self.effect)

    def origin(self, node: Node) -> Origin:
        """Where a node comes from."""
        return self.origins.get(node, NO_ORIGIN)

    @cached_property
    def operations(self) -> frozenset[str]:
        """The operations of its nodes."""
        return frozenset([node.operation for node in self.nodes])

    @cached_property
    def holders(self) -> tuple[Node, ...]:
        """The nodes that hold nested graphs."""
        return tuple([node for node in self.nodes if node.holds_graphs])

    def subgraphs(self) -> Iterator[Graph]:
        """The graphs nested in its nodes' attributes, one level down, each once."""
        seen: set[Graph] = set()
        for node in self.holders:
            for inner in nested(node):
                if inner not in seen:
                    seen.add(inner)
                    yield inner

    def walk(self) -> Iterator[Graph]:
        """All nested graphs, innermost first, and this one last, each once."""
        seen: set[Graph] = set()

        def visit(graph: Graph) -> Iterator[Graph]:
            if graph in seen:
                return
            seen.add(graph)
            for inner in graph.subgraphs():
                yield from visit(inner)
            yield graph

        yield from visit(self)

    def objects(self) -> dict[str, Any]:
        """The objects in it that have no text form, by the names that its text gives them."""
        from xlathe.compiler.ir.text import collect_objects

        return collect_objects(self)  # pyright: ignore[reportArgumentType]

    def with_outputs(
        self,
        results: Iterable[Node],
        effect: Node | None = None,
        origins: Mapping[Node, Origin] | None = None,
    ) -> Graph:
        """The same parameters and names with other results; and with other origins, if given."""
        return Graph(
            self.parameters,
            results,
            effect,
            name=self.name,
            origins=self.origins if origins is None else origins,
            result_names=self.result_names,
        )

    def rebuilt(self, mapped: Mapping[Node, Any], origins: Mapping[Node, Origin]) -> Graph:
        """The same parameters and names with other nodes in the place of its outputs."""
        results = [mapped.get(item, item) for item in self.results]
        effect = None if self.effect is None else mapped.get(self.effect, self.effect)
        return self.with_outputs(results, effect, origins)


def nested(node: Node) -> Iterator[Graph]:
    """The graphs among a node's attributes."""
    if not node.holds_graphs:
        return
    for value in node.attributes.values():
        if isinstance(value, Graph):
            yield value
        elif isinstance(value, tuple):
            for item in value:
                if isinstance(item, Graph):
                    yield item


def is_effectful(node: Node) -> bool:
    """Whether a node takes and returns an effect token."""
    return bool(node.inputs) and node.inputs[-1].type is TOKEN and node.operation != "get"


def schedule(outputs: Iterable[Node], origins: Mapping[Node, Origin]) -> list[Node]:
    """Sort what the outputs need so that inputs come first, and else in the user's order."""
    outputs = tuple(outputs)
    found = dict.fromkeys(outputs)
    stack = list(found)
    while stack:
        for source in stack.pop().inputs:
            if source not in found:
                found[source] = None
                stack.append(source)
    # Without an origin the sort is stable, and depth-first order decides.
    ranked = sorted(found, key=lambda node: origins.get(node, NO_ORIGIN)[0])
    result: list[Node] = []
    done: set[Node] = set()
    for root in ranked:
        if root in done:
            continue
        if done.issuperset(root.inputs):
            done.add(root)
            result.append(root)
            continue
        work = [root]
        while work:
            node = work[-1]
            if node in done:
                work.pop()
                continue
            missing = [source for source in node.inputs if source not in done]
            if missing:
                work.extend(reversed(missing))
            else:
                done.add(node)
                result.append(node)
                work.pop()
    return result


def unwrap(value: Any) -> Any:
    """The value behind an `Opaque`, or the value itself."""
    return value.value if isinstance(value, Opaque) else value
