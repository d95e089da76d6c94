"""Attention in low precision: its operands are cast, its softmax stays in float32.

The graph that an attention stands for is cast as any program is, so that what no kernel computes is
what autocast would have made of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlathe.compiler.ir import Graph, Node, get, node
from xlathe.compiler.ir.rewrite import Replacement, rewrite
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.precision.casts import Casting, cast, is_float32
from xlathe.compiler.precision.needs import LOW, REACHES, Analysis
from xlathe.compiler.precision.policy import Policy
from xlathe.compiler.rules.rule import Miss, log_hit, log_miss, logging_rules
from xlathe.compiler.targets import Target

_ATTENTION = frozenset(["attention", "attention_grad"])


@dataclass(frozen=True)
class CastAttention:
    """Compute each attention, and its backward, on operands in low precision.

    Attributes:
        policy: what each product is computed in. A pattern that keeps one attention of a graph in
            float32 keeps all of the same form in it.
        target: the device.
    """

    policy: Policy
    target: Target

    def __call__(self, graph: Graph) -> Graph:
        """Cast the attentions of the graph and of those nested in it."""
        low = Policy("float16" if self.policy.dtype == np.float16 else "bfloat16")
        casting = Casting(Analysis(low), self.target.platform)

        def visit(inner: Graph) -> Graph:
            if inner.operations.isdisjoint(_ATTENTION):
                return inner
            kept = {
                item["body"]
                for item in inner.nodes
                if item.operation == "attention" and not self._is_cast(item, inner)
            }

            def change(item: Node) -> Replacement:
                if item.operation not in _ATTENTION:
                    return None
                is_forward = item.operation == "attention"
                if item["body" if is_forward else "forward"] in kept:
                    return None
                return _forward(item, casting) if is_forward else _backward(item, casting)

            return rewrite(inner, change)

        return nested_first(graph, visit)

    def _is_cast(self, item: Node, graph: Graph) -> bool:
        precision, pattern = self.policy.asked(item, graph.origin(item))
        if precision in ("bfloat16", "float16"):
            return True
        named = f"precision[{pattern!r}] keeps it" if pattern else "no pattern names it"
        log_miss(Miss("autocast", f"attention stays in float32: {named}", item))
        return False


def _forward(item: Node, casting: Casting) -> Replacement:
    body = _cast_body(item["body"], casting)
    if body.result_types[0].dtype == item.type.dtype:
        return None
    log_hit(f"attention in {body.result_types[0].dtype}, its softmax in float32")
    inputs = _operands(item, body)
    new = node(item.operation, inputs, body.result_types[0], {**item.attributes, "body": body})
    return cast(new, item.type.dtype)


def _backward(item: Node, casting: Casting) -> Replacement:
    body = _cast_body(item["body"], casting)
    attributes = {
        **item.attributes,
        "body": body,
        "forward": _cast_body(item["forward"], casting),
    }
    types = body.result_types
    type_ = types if isinstance(item.type, tuple) else types[0]
    new = node(item.operation, _operands(item, body), type_, attributes)
    if not isinstance(item.type, tuple):
        return cast(new, item.type.dtype)
    return tuple(cast(get(new, i), old.dtype) for i, old in enumerate(item.type))


def _cast_body(body: Graph, casting: Casting) -> Graph:
    """The graph that takes and returns low precision where it took and returned float32."""
    low = [is_float32(item) for item in body.parameters]
    bits = [LOW | REACHES] * len(body.results)
    with logging_rules():
        return casting.graph(body, bits, low, [True] * len(body.results))


def _operands(item: Node, body: Graph) -> tuple[Node, ...]:
    pairs = zip(item.inputs, body.parameter_types, strict=True)
    return tuple(
        cast(source, type_.dtype) if type_.dtype != source.type.dtype else source
        for source, type_ in pairs
    )
