"""Choosing the kernel of each attention that was recognised; where none pays, it is written out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xlathe.compiler.attention.build import gradients_by, kernel_node, result_of
from xlathe.compiler.attention.kernels import Kernel, choose_kernel
from xlathe.compiler.attention.read import Attention, products_of, read_attention
from xlathe.compiler.attention.softmax import softmax_of
from xlathe.compiler.cost import graph_cost
from xlathe.compiler.ir import Graph, Node, parameter
from xlathe.compiler.ir.rewrite import Replacement, rewrite, splice, users
from xlathe.compiler.ops.build import cast, make
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.rules import Declined, Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.targets import Target

RULE = "attention"
_ATTENTION = frozenset(["attention", "attention_grad"])
_WRITTEN = {
    "cudnn": "jax.nn.dot_product_attention by cuDNN",
    "splash": "Pallas's splash attention",
    "blocked": "softmax(q @ k.T) @ v for {rows} queries at a time",
}


@dataclass(frozen=True)
class ChooseKernels:
    """Put the target's kernel in the place of each attention, or what the user wrote.

    Attributes:
        target: the device.
    """

    target: Target

    def __call__(self, graph: Graph) -> Graph:
        """Choose kernels in the graph and the graphs nested in it."""
        return nested_first(graph, self.chosen)

    def chosen(self, graph: Graph) -> Graph:
        """The graph with kernels in the place of its own attentions."""
        if graph.operations.isdisjoint(_ATTENTION):
            return graph
        # All attentions of one form are computed alike; what one of them trains, all may.
        trained: dict[Graph, set[int]] = {}
        for item in graph.nodes:
            if item.operation == "attention_grad":
                trained.setdefault(item["forward"], set()).update(item["wanted"])
        choices: dict[Graph, _Choice] = {}

        def choice(body: Graph) -> _Choice:
            if body not in choices:
                choices[body] = _choose(body, trained.get(body, set()), self.target)
            return choices[body]

        def change(item: Node) -> Replacement:
            if item.operation == "attention":
                return _forward(item, choice(item["body"]))
            if item.operation == "attention_grad":
                return _backward(item, choice(item["forward"]))
            return None

        return rewrite(graph, change)


@dataclass(frozen=True)
class _Choice:
    """What was read in the body of an attention, and which kernel computes it, or why none."""

    attention: Attention | None
    kernel: Kernel | Declined


def _choose(body: Graph, trained: set[int], target: Target) -> _Choice:
    attention = _read_body(body)
    if attention is None:
        return _Choice(None, Declined("a pass has changed its form"))
    leaves = (attention.query, attention.key, attention.value)
    if any(_parameter(leaf) is None for leaf in leaves):
        return _Choice(None, Declined("a pass has changed its operands"))
    own = {_parameter(leaf) for leaf in leaves}
    beside = tuple(body.parameters[index] for index in sorted(trained) if index not in own)
    return _Choice(attention, choose_kernel(attention, target, beside))


def _read_body(body: Graph) -> Attention | None:
    result = _uncast(body.results[0])
    readers = users(body)
    for item in body.nodes:
        softmax = softmax_of(item)
        if softmax is None:
            continue
        for product, path in products_of(item, readers):
            if product is result:
                found = read_attention(product, path, softmax)
                return found if isinstance(found, Attention) else None
    return None


def _uncast(item: Node) -> Node:
    while item.operation == "convert_element_type":
        item = item.inputs[0]
    return item


def _parameter(leaf: Node) -> int | None:
    leaf = _uncast(leaf)
    return leaf["index"] if leaf.operation == "parameter" else None


def _forward(item: Node, choice: _Choice) -> Node:
    body: Graph = item["body"]
    if choice.attention is None or isinstance(choice.kernel, Declined):
        if isinstance(choice.kernel, Declined):
            log_miss(Miss(RULE, choice.kernel.reason, item))
        return splice(body, item.inputs, None)[0][0]
    made = result_of(kernel_node(choice.attention, choice.kernel), choice.attention)
    instead = Graph(body.parameters, [cast(made, body.results[0].type.dtype)])
    new = splice(instead, item.inputs, None)[0][0]
    flops = graph_cost(body).flops
    written = _WRITTEN[choice.kernel.name].format(rows=choice.kernel.rows)
    before = f"softmax(q @ k.T) @ v, {choice.attention.weights.type} of weights"
    log_rewrite(Rewrite(RULE, before, written, flops, flops, new))
    return new


def _backward(item: Node, choice: _Choice) -> Replacement:
    body: Graph = item["body"]
    attention, kernel = choice.attention, choice.kernel
    if attention is None or isinstance(kernel, Declined):
        return _several(splice(body, item.inputs, None)[0])
    forward: Graph = item["forward"]
    made = result_of(kernel_node(attention, kernel), attention)
    given = cast(parameter(len(forward.parameters), item.inputs[-1].type), made.type.dtype)
    gradients = gradients_by(kernel_node(attention, kernel), given, attention)
    leaves = (attention.query, attention.key, attention.value)
    results = []
    for index in item["wanted"]:
        parts = [
            cast(gradient, forward.parameters[index].type.dtype)
            for gradient, leaf in zip(gradients, leaves, strict=True)
            if _parameter(leaf) == index
        ]
        total = parts[0]
        for part in parts[1:]:
            total = make("add", total, part)
        results.append(total)
    instead = Graph(body.parameters, results)
    return _several(splice(instead, item.inputs, None)[0])


def _several(values: Sequence[Node]) -> Replacement:
    return values[0] if len(values) == 1 else tuple(values)
