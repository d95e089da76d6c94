"""Recognising attention: one node for what people write as two products and a softmax."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from xlathe.compiler.attention.backward import Derive, Gradient, forgotten_product, gradients_of
from xlathe.compiler.attention.dropout import Path, axes_along
from xlathe.compiler.attention.kernels import may_pay
from xlathe.compiler.attention.read import Attention, below, products_of, read_attention
from xlathe.compiler.attention.residuals import computed_again, loop_with_masks_inside
from xlathe.compiler.attention.scores import Scores, Unreadable, read_scores
from xlathe.compiler.attention.sink import with_masks_inside
from xlathe.compiler.attention.softmax import Softmax, softmax_of
from xlathe.compiler.ir import Graph, Node, get, node
from xlathe.compiler.ir.rewrite import map_subgraphs, rewrite, substitute, users
from xlathe.compiler.ir.text import origin_comment
from xlathe.compiler.ops.build import transposed
from xlathe.compiler.rules import Miss, log_hit, log_miss, logging_rules
from xlathe.compiler.targets import Target

RULE = "attention"
_OPERATIONS = frozenset(["dot_general", "exp"])
_DROPPING = frozenset(["mul", "select_n", "div"])


@dataclass(frozen=True)
class RecogniseAttention:
    """Replace each attention by one node that holds it as a graph, and its backward by another.

    Attributes:
        derive: gives the pullback of a graph; without it, no backward is recognised.
        target: the device; attention for which it has no use is left alone. None: all is
            recognised.
        any_type: whether a later pass may change the element types, and with them the kernel.
    """

    derive: Derive | None = field(default=None, compare=False)
    target: Target | None = None
    any_type: bool = False

    def __call__(self, graph: Graph) -> Graph:
        """Recognise attention in the graph and the graphs nested in it."""
        if not any(inner.operations >= _OPERATIONS for inner in graph.walk()):
            return graph
        done: dict[Graph, Graph] = {}
        derived: dict[Graph, Graph | None] = {}

        def derive(body: Graph) -> Graph | None:
            if self.derive is None:
                return None
            if body not in derived:
                derived[body] = self.derive(body)
            return derived[body]

        def visit(inner: Graph) -> Graph:
            if inner not in done:
                changed = rewrite(self._without_kept_scores(inner, derive), deep)
                done[inner] = _Program(changed, derive, self.pays).recognised()
            return done[inner]

        def deep(item: Node) -> Node | None:
            if not item.holds_graphs:
                return None
            sunk = with_masks_inside(item)
            new = map_subgraphs(sunk, visit)
            if new is sunk and sunk is not item:
                new = map_subgraphs(item, visit)
            return None if new is item else new

        return visit(graph)

    def _without_kept_scores(self, graph: Graph, derive: Derive) -> Graph:
        """The graph with no scores kept from a scan for its backward, where both get a kernel."""
        for scan in graph.nodes:
            loop = loop_with_masks_inside(scan) if scan.operation == "scan" else None
            found = [] if loop is None else _Program(loop.body, derive, self.pays).found()
            if loop is None or not found or scan not in frozenset(graph.nodes):
                continue
            replaced = computed_again(scan, loop, found, users(graph))
            bodies = {item.inputs[0]["body"] for item in replaced.values()}
            with logging_rules():
                after = [_Program(body, derive, self.pays).recognised() for body in bodies]
            operations = [item.operation for body in after for item in body.nodes]
            if operations.count("attention_grad") == len(found):
                graph = substitute(graph, replaced)
        return graph

    def pays(self, found: Attention) -> bool:
        """Whether the target may have a use for an attention."""
        return self.target is None or may_pay(found, self.target, self.any_type)


class _Program:
    """One graph in which attention is looked for."""

    def __init__(self, graph: Graph, derive: Derive, pays: Callable[[Attention], bool]) -> None:
        self.graph = graph
        self.derive = derive
        self.pays = pays
        self.readers: Mapping[Node, Sequence[Node]] = {}
        self.present: AbstractSet[Node] = frozenset()

    def found(self) -> list[Attention]:
        """The attentions for which the target may have a use, whoever else reads their scores."""
        self.readers = users(self.graph)
        self.present = frozenset(self.graph.nodes)
        found = []
        for item in self.graph.nodes:
            softmax = softmax_of(item)
            read = None if softmax is None else self._read(item, softmax)
            if isinstance(read, Attention) and self.pays(read):
                found.append(read)
        return found

    def recognised(self) -> Graph:
        if not self.graph.operations >= _OPERATIONS:
            return self.graph
        self.readers = users(self.graph)
        self.present = frozenset(self.graph.nodes)
        replaced: dict[Node, Node] = {}
        for item in self.graph.nodes:
            softmax = softmax_of(item)
            if softmax is not None:
                replaced |= self._replacements(item, softmax)
        return substitute(self.graph, replaced) if replaced else self.graph

    def _replacements(self, weights: Node, softmax: Softmax) -> dict[Node, Node]:
        found = self._read(weights, softmax)
        if found is None:
            return {}
        if isinstance(found, Unreadable):
            log_miss(Miss(RULE, found.reason, weights))
            return {}
        if not self.pays(found):
            if any(reader is item for item in found.inner for reader in self._readers_of(item)):
                log_miss(Miss(RULE, self._escape(found, (), frozenset()), weights))
            return {}
        gradients, derived = gradients_of(found, self.readers, self.present, self.derive)
        if not gradients and found.result not in self.present:
            return {}
        reason = self._escape(found, gradients, derived)
        if reason:
            log_miss(Miss(RULE, reason, weights))
            return {}
        log_hit("attention forward and backward" if gradients else "attention forward")
        return _replaced(found, gradients)

    def _read(self, weights: Node, softmax: Softmax) -> Attention | Unreadable | None:
        """The attention that a softmax is part of; None where it is part of none."""
        forward = [
            (product, path)
            for product, path in products_of(weights, self.readers)
            if _sums_over(product, path, softmax.axis)
        ]
        if not forward:
            put_together = forgotten_product(weights, self.readers)
            if put_together is None:
                return self._without_product(weights, softmax)
            forward = [put_together]
        if len(forward) > 1:
            return Unreadable("its weights meet several values")
        ((result, path),) = forward
        return read_attention(result, path, softmax)

    def _without_product(self, weights: Node, softmax: Softmax) -> Unreadable | None:
        """A near miss, where weights pass through something else before they meet values."""
        if not isinstance(read_scores(softmax.scores), Scores):
            return None
        for reader in self.readers.get(weights, ()):
            if reader.operation in _DROPPING and weights.type.shape == reader.type.shape:
                products = [product for product, _ in products_of(reader, self.readers)]
                for further in self.readers.get(reader, ()):
                    products += [product for product, _ in products_of(further, self.readers)]
                if any(product.type.rank >= 2 for product in products):
                    return Unreadable(
                        f"its weights pass through {reader.operation} before they meet the values"
                    )
        return None

    def _readers_of(self, item: Node) -> Sequence[Node]:
        return self.readers.get(item, ())

    def _escape(
        self, found: Attention, gradients: Sequence[Gradient], derived: AbstractSet[Node]
    ) -> str:
        """Who else reads what a kernel doesn't keep; empty if nobody does."""
        inside = found.nodes.union(*(gradient.nodes for gradient in gradients))
        escapes = [
            (item, reader)
            for item in self.graph.nodes
            if item in found.inner
            for reader in self._readers_of(item)
            if reader not in inside or reader is item
        ]
        if not escapes:
            return ""
        # Of the rest the user wrote some, and JAX's derivatives are the others.
        written = [
            (item, reader)
            for item, reader in escapes
            if reader not in derived and "transpose(" not in self.graph.origin(reader).scope
        ]
        item, reader = next(
            (pair for pair in escapes if pair[0] is pair[1]), (written or escapes)[0]
        )
        after = item in (found.weights, *below(found.result, [found.weights]))
        what = "weights" if after else "scores"
        if reader is item:
            return f"its {what} are also returned"
        origin = self.graph.origin(reader)
        place = f", {origin_comment(origin)}" if origin.file else ""
        if not written:
            return f"its {what} have a further gradient{place}"
        return f"its {what} are also read by {reader.operation}{place}"


def _sums_over(product: Node, path: Path, axis: int) -> bool:
    """Whether a product sums over one axis of a softmax."""
    axes, contracted = axes_along(path), product["dimension_numbers"][0]
    sides = [side for side in (0, 1) if product.inputs[side] is path[-1]]
    return any(axis in [axes[place] for place in contracted[side]] for side in sides)


def _replaced(found: Attention, gradients: Sequence[Gradient]) -> dict[Node, Node]:
    """What stands for the nodes of an attention that others read."""
    attributes = {"body": found.body}
    replaced = {found.result: node("attention", found.leaves, found.result.type, attributes)}
    for gradient in gradients:
        types = gradient.body.result_types
        is_one = len(types) == 1
        made = node(
            "attention_grad",
            (*found.leaves, gradient.cotangent),
            types[0] if is_one else types,
            {"body": gradient.body, "forward": found.body, "wanted": gradient.wanted},
        )
        for index, (item, order) in enumerate(
            zip(gradient.found, gradient.permutations, strict=True)
        ):
            value = made if is_one else get(made, index)
            replaced[item] = transposed(value, order)
    return replaced
