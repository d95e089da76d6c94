"""Products and sums of products, each region in the form that costs least.

A region is a root and the linear operations below it, down to what is not linear or has other
readers as well. A value that several regions read is computed once at first; then each is tried as
a part of its readers, and stays one where that is cheaper.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from xlathe.compiler.algebra.kernels import Work, work
from xlathe.compiler.algebra.read import DIAGONAL, is_linear, is_transparent
from xlathe.compiler.algebra.search import Form, best_form
from xlathe.compiler.algebra.twins import share_sums, share_twins
from xlathe.compiler.cost import graph_cost
from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node, parameter
from xlathe.compiler.ir.node import with_other_inputs
from xlathe.compiler.ir.rewrite import substitute, users
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.rules import Rewrite, log_rewrite
from xlathe.compiler.targets import CPU, Target

_MARGIN = 0.9
_MAX_ROOTS = 6
_MAX_REGION = 60
_MAX_SWEEPS = 4
_STATIC = frozenset(
    "add broadcast_in_dim concatenate constant convert_element_type eq iota reshape".split()
)


@dataclass(frozen=True)
class ReorderProducts:
    """Compute products and sums of products in the order, and by the formula, that cost least.

    Matrix chains (Hu and Shing 1982; the search is opt_einsum's, Smith and Gray 2018), common
    factors, sums multiplied out, and sums, traces and diagonals of products.

    Attributes:
        target: the device whose rates decide.
        finite: whether products with the zeros of a diagonal matrix may be left out.
    """

    target: Target = CPU
    finite: bool = False

    def __call__(self, graph: Graph) -> Graph:
        """Reorder the products in the graph and the graphs nested in it."""
        return nested_first(
            graph, lambda inner: share_twins(_Reordering(self, inner).graph(), self.target)
        )


@dataclass(frozen=True, eq=False)
class _Group:
    """Roots whose forms were chosen together.

    Attributes:
        roots: the roots.
        leaves: what they are computed from.
        nodes: what stands for each root.
        cost: what that costs.
        before: what the roots as they were cost.
        is_product: whether something in it is larger than what it is made of, or a contraction.
        contracts: whether anything in it is summed over.
        used_zeros: whether products with known zeros are left out.
    """

    roots: tuple[Node, ...]
    leaves: tuple[Node, ...]
    nodes: tuple[Node, ...]
    cost: Work
    before: Work
    is_product: bool
    contracts: bool
    used_zeros: bool = False


class _Reordering:
    """Chooses the forms of the products of one graph."""

    def __init__(self, options: ReorderProducts, source: Graph) -> None:
        self.options = options
        self.source = source
        self.linear = {item for item in source.nodes if is_linear(item)}
        self.transparent = {item for item in self.linear if is_transparent(item)}
        self.static = _static(source)
        self.direct = users(source)
        self.readers = self._readers()
        self.dissolved: set[Node] = set()
        self.group_of: dict[Node, _Group] = {}
        self.groups_at: dict[Node, list[_Group]] = {}

    def _readers(self) -> dict[Node, list[Node | None]]:
        """The nodes that read each linear node, through mere layout; None for any other reader."""
        direct = self.direct
        found: dict[Node, list[Node | None]] = {}
        outputs = set(self.source.outputs)
        for item in reversed(self.source.nodes):
            if item not in self.linear:
                continue
            readers: list[Node | None] = [None] if item in outputs else []
            for reader in direct.get(item, ()):
                if reader is item:
                    continue
                if reader not in self.linear:
                    readers.append(None)
                elif reader in self.transparent:
                    readers.extend(found[reader])
                else:
                    readers.append(reader)
            found[item] = readers
        return found

    def is_root(self, item: Node) -> bool:
        """Whether a linear node is computed for others than one reader in its own region."""
        readers = self.readers[item]
        return len(readers) != 1 or readers[0] is None

    def graph(self) -> Graph:
        roots = [
            self.top(item)
            for item in self.source.nodes
            if item in self.linear and item not in self.transparent and self.is_root(item)
        ]
        for root in roots:
            group = self.solved((root,))
            if group is not None:
                self.enter(group)
        shared = [root for root in reversed(roots) if len(self.readers[root]) > 1]
        for _ in range(_MAX_SWEEPS):
            # What one shared value is made of may make the next one worth dissolving.
            before = len(self.dissolved)
            for root in shared:
                if root in self.group_of and root not in self.dissolved:
                    self.dissolve(root)
            if len(self.dissolved) == before:
                break
        every = {id(group): group for group in self.group_of.values()}.values()
        groups = [group for group in every if group.nodes != group.roots]
        if not groups:
            return self.source
        replaced: dict[Node, Node] = {}
        for group in groups:
            replaced.update(zip(group.roots, group.nodes, strict=True))
        # Groups are written one by one, each in the order of its own terms.
        new = share_sums(substitute(self.source, replaced))
        if self.costs_more(new):
            return self.source
        for group in groups:
            self.log(group)
        return new

    def costs_more(self, new: Graph) -> bool:
        """Whether forms that cost less each cost more together: of what they shared, less is."""
        before, after = graph_cost(self.source), graph_cost(new)
        if after.flops <= before.flops:
            return False
        seconds = self.options.target.seconds
        kernels = len(self.source.nodes), len(new.nodes)
        old = seconds(before.flops, before.bytes, kernels[0])
        return seconds(after.flops, after.bytes, kernels[1]) >= old

    def top(self, item: Node) -> Node:
        """A root with the transposes and the like that only it goes through on its way out."""
        while self.readers[item] == [None] and len(self.direct[item]) == 1:
            (reader,) = self.direct[item]
            if reader is item or reader not in self.transparent:
                break
            self.dissolved.add(item)
            item = reader
        return item

    def region(self, roots: Iterable[Node]) -> tuple[list[Node], tuple[Node, ...]]:
        """The linear nodes that roots are made of, and the leaves that those are computed from."""
        inside: dict[Node, None] = dict.fromkeys(roots)
        leaves: dict[Node, None] = {}
        stack = list(inside)
        while stack:
            for source in stack.pop().inputs:
                if source in inside or source in leaves:
                    continue
                if self.is_inside(source):
                    inside[source] = None
                    stack.append(source)
                elif source not in self.static:
                    leaves[source] = None
        return list(inside), tuple(leaves)

    def is_inside(self, item: Node) -> bool:
        if item not in self.linear:
            return False
        return item in self.transparent or item in self.dissolved or not self.is_root(item)

    def solved(self, roots: tuple[Node, ...]) -> _Group | None:
        """The best form of some roots; None where there is nothing to search."""
        inside, leaves = self.region(roots)
        if len(inside) > _MAX_REGION or any(0 in item.type.shape for item in inside):
            return None
        is_product = any(map(_is_product, inside))
        contracts = any(item.operation in ("dot_general", "reduce_sum") for item in inside)
        has_choice = self.has_choice(inside)
        if not has_choice and not ((is_product or contracts) and len(roots) == 1):
            return None
        # A root that is not dissolved is computed once, and the other roots read it.
        once = tuple(root for root in roots if root not in self.dissolved)
        abstract = _abstract(roots, leaves, once)
        before = _cost_of(*abstract, self.options.target)
        group = _Group(roots, leaves, roots, before, before, is_product, contracts)
        if not has_choice:
            return group
        form = _search(*abstract, self.options.target, self.options.finite)
        if form is None or not _pays(form.cost, before):
            return group
        return replace(
            group,
            nodes=_concrete(form.nodes, leaves),
            cost=form.cost,
            used_zeros=form.used_zeros,
        )

    def has_choice(self, inside: Collection[Node]) -> bool:
        """Whether there is more than one way to compute a region."""
        counts: dict[str, int] = {}
        for item in inside:
            operation = item.operation
            if operation == "dot_general" and any(map(self.repeats, item.inputs)):
                return True
            if operation in ("mul", "div", *DIAGONAL) or item not in self.transparent:
                counts[operation] = counts.get(operation, 0) + 1
        products = "dot_general" in counts or ("mul" in counts and "reduce_sum" in counts)
        return products and sum(counts.values()) > 1

    def repeats(self, item: Node) -> bool:
        """Whether an array holds the same numbers several times over."""
        while item in self.transparent:
            if item.operation == "broadcast_in_dim" and item.inputs[0].type.size < item.type.size:
                return True
            item = item.inputs[0]
        return False

    def enter(self, group: _Group) -> None:
        for root in group.roots:
            self.group_of[root] = group
        for leaf in group.leaves:
            self.groups_at.setdefault(leaf, []).append(group)

    def readers_of(self, item: Node) -> list[_Group]:
        """The groups that read a root now."""
        found = {id(group): group for group in self.groups_at.get(item, ())}
        return [group for group in found.values() if self.group_of.get(group.roots[0]) is group]

    def dissolve(self, item: Node) -> None:
        """Try a shared value as a part of each of its readers."""
        own = self.group_of[item]
        if not own.is_product:
            return
        groups = [own, *(group for group in self.readers_of(item) if group is not own)]
        if not any(group.contracts for group in groups if len(group.roots) > 1 or group is not own):
            return
        roots = tuple(root for group in groups for root in group.roots if root is not item)
        if not roots or len(roots) >= _MAX_ROOTS:
            return
        self.dissolved.add(item)
        if None in self.readers[item] or not self.reads_all(item, roots):
            roots = (item, *roots)
        merged = self.solved(roots)
        before = [
            Work(sum(cost.flops for cost in costs), sum(cost.seconds for cost in costs))
            for costs in ([g.cost for g in groups], [g.before for g in groups])
        ]
        if merged is None or not _pays(merged.cost, before[0]):
            self.dissolved.discard(item)
            return
        if item not in roots:
            del self.group_of[item]
        self.enter(replace(merged, before=before[1]))

    def reads_all(self, item: Node, roots: Sequence[Node]) -> bool:
        """Whether the regions of these roots hold every reader of a node."""
        inside, _ = self.region(roots)
        return set(self.readers[item]) <= set(inside)

    def log(self, group: _Group) -> None:
        before, after = (
            "; ".join(formula(item, self.source.origins, group.leaves) for item in nodes)
            for nodes in (group.roots, group.nodes)
        )
        numerics = "finite" if group.used_zeros else "relaxed"
        flops = group.before.flops, group.cost.flops
        log_rewrite(Rewrite("reorder products", before, after, *flops, group.nodes[0], numerics))


def _static(graph: Graph) -> set[Node]:
    """The nodes that depend on no argument, such as the mask of a diagonal."""
    found: set[Node] = set()
    for item in graph.nodes:
        if item.operation in _STATIC and all(source in found for source in item.inputs):
            found.add(item)
    return found


def _is_product(item: Node) -> bool:
    """Whether a node contracts arrays, or multiplies two that are both smaller than the result."""
    if item.operation == "mul":
        return all(_source_size(source) < item.type.size for source in item.inputs)
    return item.operation == "dot_general"


def _source_size(item: Node) -> int:
    while item.operation == "broadcast_in_dim":
        item = item.inputs[0]
    return item.type.size


def _pays(new: Work, old: Work) -> bool:
    return new.seconds < _MARGIN * old.seconds and new.flops <= old.flops


def _abstract(
    roots: tuple[Node, ...], leaves: tuple[Node, ...], once: tuple[Node, ...]
) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """The same roots over parameters, so that regions of one form are equal, and their leaves."""
    stand_ins = tuple(parameter(number, leaf.type) for number, leaf in enumerate(leaves))
    over = _over((*roots, *once), dict(zip(leaves, stand_ins, strict=True)))
    return over[: len(roots)], (*stand_ins, *over[len(roots) :])


def _concrete(nodes: tuple[Node, ...], leaves: tuple[Node, ...]) -> tuple[Node, ...]:
    return _over(nodes, {parameter(n, leaf.type): leaf for n, leaf in enumerate(leaves)})


def _over(roots: tuple[Node, ...], mapping: Mapping[Node, Node]) -> tuple[Node, ...]:
    """Some nodes built again over others."""
    known = dict(mapping)
    stack = [root for root in roots if root not in known]
    while stack:
        item = stack[-1]
        if item in known:
            stack.pop()
            continue
        missing = [source for source in item.inputs if source not in known]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        inputs = tuple(known[source] for source in item.inputs)
        known[item] = with_other_inputs(item, inputs)
    return tuple(known[root] for root in roots)


@functools.lru_cache(maxsize=2048)
def _cost_of(roots: tuple[Node, ...], leaves: tuple[Node, ...], target: Target) -> Work:
    return work(roots, frozenset(leaves), target)


@functools.lru_cache(maxsize=2048)
def _search(
    roots: tuple[Node, ...], leaves: tuple[Node, ...], target: Target, finite: bool
) -> Form | None:
    return best_form(roots, leaves, target, finite)
