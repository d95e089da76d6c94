"""Inlining calls: a function that the user or JAX jitted becomes part of its caller."""

from __future__ import annotations

from dataclasses import dataclass

from xlathe.compiler.ir import Graph, Node, Origin, is_effectful
from xlathe.compiler.ir.rewrite import map_subgraphs, splice, with_inputs


@dataclass(frozen=True)
class InlineCalls:
    """Replace every call by the body of what it calls; the function's name stays as a scope."""

    def __call__(self, graph: Graph) -> Graph:
        """Inline all calls in the graph and the graphs nested in it."""
        return _Inliner().graph(graph)


class _Inliner:
    def __init__(self) -> None:
        self.done: dict[Graph, Graph] = {}

    def graph(self, graph: Graph) -> Graph:
        found = self.done.get(graph)
        if found is None:
            found = self.done[graph] = self._inline(graph)
        return found

    def _inline(self, graph: Graph) -> Graph:
        mapped: dict[Node, Node | tuple[Node, ...]] = {}
        origins = dict(graph.origins)
        for item in graph.nodes:
            new = with_inputs(item, mapped)
            if isinstance(new, Node) and new.holds_graphs:
                new = map_subgraphs(new, self.graph)
                if new.operation == "call":
                    new = self._expand(new, graph.origin(item), origins)
            if new is not item:
                mapped[item] = new
                origin = graph.origins.get(item)
                if origin is not None and isinstance(new, Node):
                    known = origins.setdefault(new, origin)
                    if origin.name and not known.name:
                        origins[new] = known._replace(name=origin.name)
        if not mapped:
            return graph
        return graph.rebuilt(mapped, origins)

    def _expand(
        self, call: Node, outer: Origin, origins: dict[Node, Origin]
    ) -> Node | tuple[Node, ...]:
        body: Graph = call["body"]
        token = call.inputs[-1] if is_effectful(call) else None
        inputs = call.inputs if token is None else call.inputs[:-1]
        scope = "/".join(part for part in (outer.scope, call["name"]) if part)

        def origin_of(inner: Origin) -> Origin:
            joined = "/".join(part for part in (scope, inner.scope) if part)
            # What JAX's own helpers do is the user's line; their lines say nothing to the user.
            file, line = (inner.file, inner.line) if call["name"] else (outer.file, outer.line)
            name = inner.name if call["name"] else ""
            return Origin(outer.order + inner.order, name, file, line, joined)

        values, new_origins = splice(body, inputs, token, origin_of)
        for item, origin in new_origins.items():
            origins.setdefault(item, origin)
        return values[0] if len(values) == 1 else values
