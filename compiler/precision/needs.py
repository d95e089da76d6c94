"""What becomes of each value: whether a product reads it, and in which precision it is wanted.

One sweep from the results back to the parameters. Moves and selections hand on what is wanted of
them, because rounding before them is rounding after them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.precision.policy import (
    FLOAT32,
    Policy,
    is_candidate,
    objection,
)

REACHES, LOW, HIGH, SOLVED = 1, 2, 4, 8
"""Bits of what is known of a value: it flows into a product that is cast; it is read in low
precision; it is read in float32; it flows into a factorisation before it meets a product."""

FLOWS = REACHES | SOLVED

VIEWS = frozenset("broadcast_in_dim copy expand_dims reshape rev squeeze transpose".split())
"""Moves that keep every element: a cast before them may be shared."""

TRANSPARENT = VIEWS | frozenset(
    "abs concatenate dynamic_slice dynamic_update_slice gather max min neg pad select_n slice "
    "split stop_gradient".split()
)
"""What commutes with rounding."""

_SOLVERS = frozenset(
    "cholesky cholesky_update eig eigh geqrf hessenberg householder_product linear_solve lu qr "
    "schur svd symmetric_product triangular_solve tridiagonal tridiagonal_solve".split()
)
CUSTOM = frozenset(["custom_jvp", "custom_vjp"])


@dataclass(frozen=True)
class Decision:
    """What is done with a product.

    Attributes:
        precision: what it is computed in.
        keeps: why it stays as it is; empty where it does not.
        wide: whether its result is kept in float32, as it was summed: that of one which no
            product reads again, such as a weight's gradient.
    """

    precision: str
    keeps: str = ""
    wide: bool = False


@dataclass
class Needs:
    """What one graph's values are needed for.

    Attributes:
        bits: for each node of one result, and each parameter, what its readers want.
        parts: for each node of several results, the same for each.
        products: what is done with each product of float32 arrays.
        biases: the additions of a parameter to a product that are part of the product.
        bodies: the bits with which the graphs nested in a node were looked at.
    """

    bits: dict[Node, int] = field(default_factory=dict)
    parts: dict[Node, list[int]] = field(default_factory=dict)
    products: dict[Node, Decision] = field(default_factory=dict)
    biases: dict[Node, Node] = field(default_factory=dict)
    bodies: dict[tuple[Node, str, int], tuple[int, ...]] = field(default_factory=dict)

    def of(self, item: Node) -> int:
        """The bits of a node; of one with several results, all of them together."""
        found = self.bits.get(item, 0)
        for part in self.parts.get(item, ()):
            found |= part
        return found


class Analysis:
    """Finds what values are needed for, each graph once for each use of its results.

    Args:
        policy: what is asked for.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.dtype = policy.dtype
        self._done: dict[tuple[Graph, tuple[int, ...]], Needs] = {}

    def graph(self, graph: Graph, results: Sequence[int]) -> Needs:
        """What the values of a graph are needed for, given what its results are."""
        key = (graph, tuple(results))
        found = self._done.get(key)
        if found is None:
            found = self._done[key] = _Sweep(self, graph).run(key[1])
        return found

    def parameters(self, graph: Graph, results: Sequence[int]) -> list[int]:
        """What the parameters of a graph are needed for."""
        needs = self.graph(graph, results)
        return [needs.bits.get(item, 0) for item in graph.parameters]


class _Sweep:
    """One pass over one graph, from its results back."""

    def __init__(self, analysis: Analysis, graph: Graph) -> None:
        self.analysis = analysis
        self.graph = graph
        self.needs = Needs()
        self.readers: dict[Node, int] = {}
        for item in (*graph.nodes, graph):
            for source in item.outputs if isinstance(item, Graph) else item.inputs:
                self.readers[source] = self.readers.get(source, 0) + 1

    def run(self, results: Sequence[int]) -> Needs:
        for item, bits in zip(self.graph.results, results, strict=True):
            self._add(item, bits)
        for item in reversed(self.graph.nodes):
            if item.operation == "get":
                source = item.inputs[0]
                parts = self.needs.parts.setdefault(source, [0] * len(source.types))
                parts[item["index"]] |= self.needs.bits.get(item, 0)
            elif is_candidate(item):
                self._product(item)
            else:
                _RULES.get(item.operation, _Sweep._other)(self, item)
        return self.needs

    def _add(self, item: Node, bits: int) -> None:
        known = self.needs.bits
        known[item] = known.get(item, 0) | bits

    def _add_all(self, items: Sequence[Node], bits: int) -> None:
        for item in items:
            self._add(item, bits)

    def _other(self, item: Node) -> None:
        bits = self.needs.of(item)
        if item.operation in TRANSPARENT:
            self._add_all(item.inputs, bits)
            return
        if item.operation == "add" and self._is_bias(item, bits):
            return
        if item.operation in _SOLVERS:
            bits |= SOLVED
        self._add_all(item.inputs, HIGH | bits & FLOWS)

    def _cast(self, item: Node) -> None:
        bits = self.needs.of(item)
        to_low = item.type.dtype == self.analysis.dtype and item.inputs[0].type.dtype == FLOAT32
        self._add(item.inputs[0], (LOW if to_low else HIGH) | bits & FLOWS)

    def _product(self, item: Node) -> None:
        bits = self.needs.of(item)
        decision = self._decide(item, bits)
        self.needs.products[item] = decision
        if decision.keeps or decision.precision == "tensorfloat32":
            self._add_all(item.inputs, HIGH | bits & REACHES)
        else:
            self._add_all(item.inputs[:2], LOW | REACHES)
            self._add_all(item.inputs[2:], HIGH)

    def _decide(self, item: Node, bits: int) -> Decision:
        reason = objection(item)
        precision, pattern = self.analysis.policy.asked(item, self.graph.origin(item))
        if precision == "float32":
            reason = f"precision[{pattern!r}] keeps it" if pattern else "no pattern names it"
        elif not reason and bits & SOLVED:
            reason = "it flows into a factorisation or a solution of equations"
        # Convolutions have no kernels for mixed types on every device.
        wide = not bits & REACHES and item.operation == "dot_general"
        return Decision(precision, reason, wide)

    def _is_bias(self, item: Node, bits: int) -> bool:
        """Whether this adds a parameter to a product; if so, the sum is the product's result."""
        for product, other in (item.inputs, item.inputs[::-1]):
            if not is_candidate(product) or self.readers[product] > 1:
                continue
            decision = self._decide(product, bits)
            if (
                decision.keeps
                or decision.wide
                or decision.precision == "tensorfloat32"
                or not _is_spread_parameter(other, item)
            ):
                continue
            self.needs.biases[item] = product
            self._add(product, LOW | bits & FLOWS)
            self._add(other, LOW)
            return True
        return False

    def _scan(self, item: Node) -> None:
        consts, carry, body = item["consts"], item["carry"], item["body"]
        outer = self._results(item)
        bits = [HIGH | part for part in outer[:carry]] + outer[carry : len(body.results)]
        inner = self._settle(item, "body", bits, range(consts, consts + carry))
        for index, source in enumerate(item.inputs[: len(inner)]):
            if consts <= index < consts + carry:
                self._add(source, HIGH | inner[index] & FLOWS | bits[index - consts] & FLOWS)
            else:
                self._add(source, wanted(inner[index]))

    def _while(self, item: Node) -> None:
        first, second = item["condition_consts"], item["body_consts"]
        body = item["body"]
        bits = [HIGH | part for part in self._results(item)[: len(body.results)]]
        inner = self._settle(item, "body", bits, range(second, len(body.parameters)))
        turns = self._nested(item, "condition", item["condition"], [HIGH])
        for index, source in enumerate(item.inputs):
            flows = 0
            if index < first:
                flows = turns[index]
            elif index - first < len(inner):
                flows = inner[index - first]
                if index >= first + second:
                    flows |= turns[index - second] | bits[index - first - second]
            self._add(source, HIGH | flows & FLOWS)

    def _cond(self, item: Node) -> None:
        bits = [HIGH | part for part in self._results(item)]
        self._add(item.inputs[0], HIGH)
        for number, branch in enumerate(item["branches"]):
            count = len(branch.results)
            inner = self._nested(item, "branches", branch, bits[:count], number)
            for source, found in zip(item.inputs[1:], inner, strict=False):
                self._add(source, wanted(found))

    def _checkpoint(self, item: Node) -> None:
        body = item["body"]
        inner = self._nested(item, "body", body, self._results(item)[: len(body.results)])
        for source, found in zip(item.inputs, inner, strict=False):
            self._add(source, wanted(found))

    def _custom(self, item: Node) -> None:
        """A function with a rule of its own: all that is seen of it keeps its types."""
        bits = self.needs.of(item)
        if item.attributes.get("library") == RELU:
            self._add_all(item.inputs, bits)
            return
        inside = 0
        for name, value in item.attributes.items():
            if isinstance(value, Graph):
                found = self._nested(item, name, value, [HIGH | REACHES] * len(value.results))
                for part in found:
                    inside |= part
        self._add_all(item.inputs, HIGH | (bits | inside) & FLOWS)

    def _linear_solve(self, item: Node) -> None:
        self._add_all(item.inputs, HIGH | SOLVED)

    def _results(self, item: Node) -> list[int]:
        """What each result of a node is needed for; of one that nobody reads, nothing."""
        if isinstance(item.type, tuple):
            return list(self.needs.parts.get(item, [0] * len(item.types)))
        return [self.needs.bits.get(item, 0)]

    def _nested(
        self, item: Node, name: str, body: Graph, bits: Sequence[int], number: int = 0
    ) -> list[int]:
        self.needs.bodies[item, name, number] = tuple(bits)
        return self.analysis.parameters(body, bits)

    def _settle(self, item: Node, name: str, bits: list[int], carried: range) -> list[int]:
        """Look at a body until what flows out of a turn and into the next no longer changes."""
        while True:
            inner = self._nested(item, name, item[name], bits)
            changed = False
            for index, place in enumerate(carried):
                flows = bits[index] | inner[place] & FLOWS
                changed = changed or flows != bits[index]
                bits[index] = flows
            if not changed:
                return inner


RELU = "jax.nn.relu"
"""The one library function with a rule of its own that commutes with rounding."""

_RULES: Mapping[str, Callable[[_Sweep, Node], None]] = {
    "convert_element_type": _Sweep._cast,
    "scan": _Sweep._scan,
    "while": _Sweep._while,
    "cond": _Sweep._cond,
    "checkpoint": _Sweep._checkpoint,
    "custom_jvp": _Sweep._custom,
    "custom_vjp": _Sweep._custom,
    "linear_solve": _Sweep._linear_solve,
}


def wanted(bits: int) -> int:
    """What is wanted of a value that a nested graph is given: low precision if nothing else."""
    return bits if not bits & HIGH else HIGH | bits & FLOWS


def _is_spread_parameter(item: Node, like: Node) -> bool:
    """Whether a value is a parameter, spread over axes that it does not have."""
    while item.operation in VIEWS:
        item = item.inputs[0]
    return item.operation == "parameter" and item.type.size * 8 <= like.type.size
