"""Computing only what is used: slices, elements and gathers move to where values are made.

What is read of each node is collected from the results down. A node of which all readers read
parts is computed in those parts, if below it or in it a product, a reduction or the like becomes
smaller by more than the cuts cost; else its readers cut the whole of it, as they did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from xlathe.compiler.cost import graph_cost, node_flops
from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node, Origin, node, parameter
from xlathe.compiler.ir.rewrite import adopt
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.rules import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.rules.narrowing import is_selecting, plan
from xlathe.compiler.rules.narrowing_splits import opened
from xlathe.compiler.rules.plan import UNREAD, Plan
from xlathe.compiler.rules.views import (
    Picks,
    Range,
    View,
    Window,
    index_nodes,
    is_whole,
    narrowed_shape,
    ranged,
    read,
    view_size,
)
from xlathe.compiler.targets import Target, current_target

_NOUNS = {
    "dot_general": "product",
    "conv_general_dilated": "convolution",
    "triangular_solve": "solution",
    **dict.fromkeys(
        "reduce_sum reduce_prod reduce_max reduce_min reduce_and reduce_or argmax argmin".split(),
        "reduction",
    ),
    **dict.fromkeys("cumsum cumprod cummax cummin cumlogsumexp".split(), "accumulation"),
}
"""The operations that cost more than the elements of their results, which XLA computes whole."""

_COPYING = ("dot_general", "conv_general_dilated", "triangular_solve")
_LEAST_SAVING = 0.1
_PANEL = 16


@dataclass(frozen=True)
class Narrow:
    """Compute only what is used of products, reductions and what stands on them.

    Attributes:
        numerics: `strict` moves nothing through sums of floating point numbers.
        target: the device; by default the one that JAX runs on.
    """

    numerics: str = "relaxed"
    target: Target | None = None

    def __call__(self, graph: Graph) -> Graph:
        """Narrow the graph and the graphs nested in it."""
        target = self.target or current_target()
        return nested_first(graph, lambda inner: _narrowed(opened(inner), self.numerics, target))


def _narrowed(graph: Graph, numerics: str, target: Target) -> Graph:
    if not any(is_selecting(item) for item in graph.nodes):
        return graph
    if not any(item.operation in _NOUNS for item in graph.nodes):
        return graph
    demands = _Demands(graph, numerics, target)
    demands.collect()
    demands.settle()
    if not demands.settled:
        return graph
    return _Builder(graph, demands).graph()


@dataclass
class _Parts:
    """The parts of one node that are read.

    Attributes:
        plans: how each part is computed.
        within: for a part that is cut from a larger one, the larger one and the cut.
        saved: seconds that the node itself takes less.
        flops: operations of all parts together.
    """

    plans: dict[View, Plan] = field(default_factory=dict)
    within: dict[View, tuple[View, View]] = field(default_factory=dict)
    saved: float = 0.0
    flops: float = 0.0


class _Demands:
    """What is read of each node of a graph."""

    def __init__(self, graph: Graph, numerics: str, target: Target) -> None:
        self.graph = graph
        self.numerics = numerics
        self.target = target
        self.asked: dict[Node, dict[View | None, None]] = {}
        self.parts: dict[Node, _Parts] = {}
        self.natural: dict[Node, Plan] = {}
        self.settled: set[Node] = set()

    def ask(self, item: Node, view: View | None) -> None:
        if view is not UNREAD:
            self.asked.setdefault(item, {})[view] = None

    def collect(self) -> None:
        """Go from the results down and plan the parts of each node that its readers ask for."""
        for item in self.graph.outputs:
            self.ask(item, None)
        for item in reversed(self.graph.nodes):
            asked = self.asked.get(item)
            if asked is None:
                continue
            parts = None if None in asked else self.planned(item, [v for v in asked if v])
            if parts is not None:
                self.parts[item] = parts
                for chosen in parts.plans.values():
                    for source, view in zip(item.inputs, chosen.views, strict=True):
                        self.ask(source, view)
            else:
                self.ask_whole(item)

    def ask_whole(self, item: Node) -> None:
        if is_selecting(item):
            chosen = plan(item, (None,) * item.type.rank)
            if isinstance(chosen, Plan) and item.type.size:
                self.natural[item] = chosen
                for source, view in zip(item.inputs, chosen.views, strict=True):
                    self.ask(source, view)
                return
        for source in item.inputs:
            self.ask(source, None)

    def planned(self, item: Node, views: Sequence[View]) -> _Parts | None:
        """Plans for all parts of a node; None where it is to be computed whole."""
        if not any(view_size(view, item.type.shape) > 0 for view in views):
            return None
        parts = _Parts()
        total = sum(view_size(view, item.type.shape) for view in views)
        hull = _hull(views, item.type.shape) if len(views) > 1 else None
        if hull is not None and view_size(hull, item.type.shape) < total:
            parts.within = {view: (hull, _relative(view, hull)) for view in views if view != hull}
            views, total = [hull], view_size(hull, item.type.shape)
        if total > item.type.size or any(is_whole(view) for view in views):
            return self.declined(item, "its parts are more than the whole of it")
        seconds = 0.0
        for view in views:
            chosen = plan(item, view)
            if chosen is None:
                return None
            if isinstance(chosen, str):
                return self.declined(item, chosen)
            if chosen.numerics != "exact" and self.numerics == "strict":
                return self.declined(item, "its sums might be added in another order")
            made = _probe(item, chosen)
            if made.results[0].type is not item.type.with_shape(
                narrowed_shape(view, item.type.shape)
            ):
                return self.declined(item, "the type of the part would differ")
            parts.plans[view] = chosen
            cost = graph_cost(made)
            parts.flops += cost.flops
            seconds += self.seconds(item, chosen, made)
        if item.operation in _NOUNS:
            whole = self.whole_seconds(item)
            parts.saved = whole - seconds
            if parts.saved < least_saving(item) * whole:
                return self.declined(item, "its parts cost as much as the whole of it")
        return parts

    def declined(self, item: Node, reason: str) -> None:
        if item.operation in _NOUNS:
            log_miss(Miss(f"part of a {_NOUNS[item.operation]}", reason, item))

    def whole_seconds(self, item: Node) -> float:
        return node_seconds(item, self.target)

    def seconds(self, item: Node, chosen: Plan, made: Graph) -> float:
        """The time that a part takes, with the cuts of the operands."""
        if item.operation not in _NOUNS:
            return 0.0
        cuts = [
            type_.nbytes
            for type_, view in zip(made.parameter_types, chosen.views, strict=True)
            if view is not None and item.operation in _COPYING
        ]
        return _seconds(made, self.target) + sum(self.target.seconds(0, 2 * size) for size in cuts)

    def settle(self) -> None:
        """Keep the parts that save something, in their node or below it."""
        gains: dict[Node, float] = {}
        for item in self.graph.nodes:
            parts = self.parts.get(item)
            if parts is not None:
                below = {
                    source
                    for chosen in parts.plans.values()
                    for source, view in zip(item.inputs, chosen.views, strict=True)
                    if view is not None
                }
                gains[item] = parts.saved + sum(gains.get(source, 0.0) for source in below)
            elif item not in self.asked:
                gains[item] = sum(gains.get(source, 0.0) for source in set(item.inputs))
                if item.operation in _NOUNS:
                    gains[item] += self.whole_seconds(item)
        whole = set(self.graph.outputs)
        for item in reversed(self.graph.nodes):
            parts = self.parts.get(item)
            if parts is not None and item not in whole and gains[item] > self.target.launch:
                self.settled.add(item)
                continue
            if item in whole or item in self.asked:
                self.read_by(item, whole)

    def read_by(self, item: Node, whole: set[Node]) -> None:
        """Note what computing a node whole reads whole."""
        chosen = self.natural.get(item)
        if chosen is None and item in self.parts and is_selecting(item):
            found = plan(item, (None,) * item.type.rank)
            chosen = found if isinstance(found, Plan) else None
            if chosen is not None:
                self.natural[item] = chosen
        views = (None,) * len(item.inputs) if chosen is None else chosen.views
        for source, view in zip(item.inputs, views, strict=True):
            if view is None:
                whole.add(source)


def node_seconds(item: Node, target: Target) -> float:
    """The time that a node takes on its own."""
    return _seconds(alone(item), target)


def _seconds(graph: Graph, target: Target) -> float:
    """The time that a node takes, or a part of one."""
    cost = graph_cost(graph)
    if target.platform != "cpu":
        return target.seconds(cost.flops, cost.bytes)
    flops, patches = cost.flops, 0.0
    for item in graph.nodes:
        if item.operation == "conv_general_dilated":
            # XLA copies the patches that a kernel meets on CPU, and that takes most of the time;
            # then it multiplies panels of channels.
            channels = _channels(item)
            patches += 2.0 * item.type.nbytes * item.inputs[1].type.size / channels**2
            if channels > 1:
                flops += (-channels % _PANEL) * node_flops(item) / channels
    return (
        target.seconds(flops, cost.bytes)
        if not patches
        else (target.seconds(flops, 0) + target.seconds(0, cost.bytes + patches, 0))
    )


def least_saving(item: Node) -> float:
    """The share of a node's time that a part has to save; convolutions are estimated roughly."""
    return _LEAST_SAVING if item.operation != "conv_general_dilated" else 2.5 * _LEAST_SAVING


def _channels(item: Node) -> int:
    return max(1, item.inputs[1].type.shape[item["dimension_numbers"].rhs_spec[0]])


def alone(item: Node) -> Graph:
    """A graph of one node, to ask for its cost."""
    inputs = [parameter(index, source.type) for index, source in enumerate(item.inputs)]
    return Graph(inputs, [node(item.operation, tuple(inputs), item.type, item.attributes)])


def _probe(item: Node, chosen: Plan) -> Graph:
    """A graph of one part, over the parts of the inputs that it reads."""
    inputs = [
        parameter(
            index,
            source.type
            if view is None or view is UNREAD
            else source.type.with_shape(narrowed_shape(view, source.type.shape)),
        )
        for index, (source, view) in enumerate(zip(item.inputs, chosen.views, strict=True))
    ]
    return Graph(inputs, [chosen.build(inputs)])


def _hull(views: Sequence[View], shape: Sequence[int]) -> View | None:
    """The smallest box around views whose ends are all known."""
    hull = []
    for parts, size in zip(zip(*views, strict=True), shape, strict=True):
        if len(set(parts)) == 1:
            hull.append(parts[0])
            continue
        ranges = [Range(0, size) if part is None else part for part in parts]
        if not all(isinstance(part, Range) for part in ranges):
            return None
        known = [part for part in ranges if isinstance(part, Range)]
        start = min(part.start for part in known)
        hull.append(ranged(start, max(part.limit for part in known) - start, 1, size))
    return tuple(hull)


def _relative(view: View, hull: View) -> View:
    """The cut that makes a view out of the box around it."""
    result = []
    for part, box in zip(view, hull, strict=True):
        if part == box:
            result.append(None)
        elif isinstance(part, Range):
            offset = box.start if isinstance(box, Range) else 0
            result.append(Range(part.start - offset, part.size, part.stride))
        else:
            result.append(part)
    return tuple(result)


_Task = tuple[Node, View | None]


class _Builder:
    """Builds the graph in which settled nodes are computed in parts.

    What is computed where is asked for from the results down, because a position may be computed
    from other parts of the value that it selects from.
    """

    def __init__(self, graph: Graph, demands: _Demands) -> None:
        self.source = graph
        self.demands = demands
        self.members = {*graph.nodes, *graph.parameters}
        self.done: dict[_Task, Node] = {(item, None): item for item in graph.parameters}
        self.origins: dict[Node, Origin] = dict(graph.origins)

    def graph(self) -> Graph:
        outputs = {item: self.value((item, None)) for item in self.source.outputs}
        for item in self.source.nodes:
            self.log(item)
        return self.source.rebuilt(outputs, self.origins)

    def value(self, wanted: _Task) -> Node:
        stack = [wanted]
        while stack:
            task = stack[-1]
            if task in self.done:
                stack.pop()
                continue
            missing = [need for need in self.needs(task) if need not in self.done]
            if missing:
                stack.extend(reversed(missing))
                continue
            self.done[task] = self.built(task)
            stack.pop()
        return self.done[wanted]

    def chosen(self, task: _Task) -> Plan | None:
        """The plan by which a task is done; None where all inputs are read whole."""
        item, view = task
        if view is not None:
            return self.demands.parts[item].plans[view]
        found = self.demands.natural.get(item)
        return found if found is not None and item.inputs[0] in self.demands.settled else None

    def needs(self, task: _Task) -> Iterator[_Task]:
        item, view = task
        if view is not None and item not in self.demands.settled:
            yield item, None
            yield from self.positions(view)
            return
        if view is not None and view in self.demands.parts[item].within:
            yield item, self.demands.parts[item].within[view][0]
            yield from self.positions(self.demands.parts[item].within[view][1])
            return
        chosen = self.chosen(task)
        views = (None,) * len(item.inputs) if chosen is None else chosen.views
        for source, part in zip(item.inputs, views, strict=True):
            if part is not UNREAD:
                yield source, part
                yield from () if part is None else self.positions(part)

    def positions(self, view: View) -> Iterator[_Task]:
        """The nodes of the graph from which the positions in a view are computed."""
        stack = list(index_nodes(view))
        while stack:
            item = stack.pop()
            if item in self.members:
                yield item, None
            else:
                stack.extend(item.inputs)

    def built(self, task: _Task) -> Node:
        item, view = task
        if view is not None and item not in self.demands.settled:
            return read(self.done[item, None], self.renewed(view))
        if view is not None and view in self.demands.parts[item].within:
            hull, cut = self.demands.parts[item].within[view]
            return read(self.done[item, hull], self.renewed(cut))
        chosen = self.chosen(task)
        if chosen is None:
            inputs = tuple(self.done[source, None] for source in item.inputs)
            made = node(item.operation, inputs, item.type, item.attributes)
        else:
            # What is not read stands in for itself; no plan builds on it.
            inputs = tuple(
                source if part is UNREAD else self.done[source, part]
                for source, part in zip(item.inputs, chosen.views, strict=True)
            )
            made = chosen.build(inputs)
        origin = self.source.origins.get(item)
        if origin is not None and made is not item:
            adopt(self.origins, made, origin if view is None else origin._replace(name=""))
        return made

    def renewed(self, view: View) -> View:
        """The view with its positions as they are computed now."""

        def renew(item: Node) -> Node:
            if item in self.members:
                return self.done[item, None]
            inputs = tuple(renew(source) for source in item.inputs)
            return node(item.operation, inputs, item.type, item.attributes)

        result = []
        for part in view:
            if isinstance(part, Window):
                result.append(Window(renew(part.start), part.size))
            elif isinstance(part, Picks):
                result.append(Picks(renew(part.index), part.promised))
            else:
                result.append(part)
        return tuple(result)

    def log(self, item: Node) -> None:
        """Note a slice that has gone down, with what that saves."""
        if (item, None) not in self.done or self.chosen((item, None)) is None:
            return
        before = after = 0.0
        dearest, noun = 0.0, "value"
        seen = {item}
        stack = [source for source in item.inputs if source in self.demands.settled]
        relaxed = False
        while stack:
            below = stack.pop()
            if below in seen:
                continue
            seen.add(below)
            parts = self.demands.parts[below]
            flops = node_flops(below)
            before += flops
            after += parts.flops
            if below.operation in _NOUNS and flops >= dearest:
                dearest, noun = flops, _NOUNS[below.operation]
            for chosen in parts.plans.values():
                relaxed = relaxed or chosen.numerics != "exact"
                for source, view in zip(below.inputs, chosen.views, strict=True):
                    if view is not None and source in self.demands.settled:
                        stack.append(source)
        new = self.done[item, None]
        log_rewrite(
            Rewrite(
                f"part of a {noun}",
                formula(item, self.source.origins),
                formula(new, self.origins),
                before,
                after,
                new,
                "relaxed" if relaxed else "exact",
            )
        )
