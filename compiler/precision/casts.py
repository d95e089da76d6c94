"""Placing the casts: each value is written in the precision that its readers want, once.

One sweep from the parameters to the results. A value that is made in low precision stays so
through moves and selections, and is widened where float32 arithmetic reads it; a weight is cast
where it enters, so that all its readers share the cast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from xlathe.compiler.ir import Graph, Node, Origin, Type, constant, get, make_type, node, parameter
from xlathe.compiler.ir.rewrite import adopt, with_inputs
from xlathe.compiler.ops import build
from xlathe.compiler.ops.build import make
from xlathe.compiler.precision.needs import (
    CUSTOM,
    HIGH,
    LOW,
    RELU,
    TRANSPARENT,
    VIEWS,
    Analysis,
    Needs,
)
from xlathe.compiler.precision.policy import FLOAT32
from xlathe.compiler.rules.rule import Miss, log_hit, log_miss

RULE = "autocast"

_FIXED, _EITHER, _NATIVE = 0, 1, 2


class Casting:
    """Writes graphs anew with their products in low precision.

    Args:
        analysis: knows what values are needed for.
        platform: what the program is for: `cpu`, `gpu` or `tpu`.
    """

    def __init__(self, analysis: Analysis, platform: str) -> None:
        self.analysis = analysis
        self.dtype = analysis.dtype
        self.platform = platform
        self.tensorfloat32 = _tensorfloat32(platform)
        self._done: dict[Any, Graph] = {}

    def graph(
        self,
        graph: Graph,
        bits: Sequence[int],
        low: Sequence[bool] = (),
        may_narrow: Sequence[bool] = (),
    ) -> Graph:
        """The graph with its products cast.

        Args:
            graph: the graph.
            bits: what its results are needed for.
            low: which of its parameters are given in low precision; none by default.
            may_narrow: which of its results may be returned in low precision; none by default.
        """
        key = (graph, tuple(bits), tuple(low), tuple(may_narrow))
        found = self._done.get(key)
        if found is None:
            found = self._done[key] = _Sweep(self, *key).run()
        return found

    def lower(self, type_: Type) -> Type:
        """The type in low precision."""
        return make_type(type_.shape, self.dtype)


class _Sweep:
    """One pass over one graph, from its parameters on."""

    def __init__(
        self,
        casting: Casting,
        graph: Graph,
        bits: tuple[int, ...],
        low: tuple[bool, ...],
        may_narrow: tuple[bool, ...],
    ) -> None:
        self.casting = casting
        self.source = graph
        self.bits = bits
        self.may_narrow = may_narrow or (False,) * len(graph.results)
        self.needs: Needs = casting.analysis.graph(graph, bits)
        self.high: dict[Node, Node] = {}
        self.low: dict[Node, Node] = {}
        self.kind: dict[Node, int] = {}
        self.origins = dict(graph.origins)
        self.parameters = list(graph.parameters)
        for index, is_low in enumerate(low):
            if is_low:
                old = graph.parameters[index]
                self.parameters[index] = parameter(index, casting.lower(old.type))
                self.set_low(old, self.parameters[index])
                if old in graph.origins:
                    self.origins[self.parameters[index]] = graph.origins[old]

    def run(self) -> Graph:
        graph = self.source
        for item in graph.nodes:
            new = self._node(item)
            origin = graph.origins.get(item)
            if origin is not None and new is not item:
                adopt(self.origins, new, origin)
        results = [
            self.get_low(item) if may and self._is_narrow(item, bits) else self.get_high(item)
            for item, bits, may in zip(graph.results, self.bits, self.may_narrow, strict=True)
        ]
        for new, item in zip(results, graph.results, strict=True):
            adopt(self.origins, new, graph.origins.get(item, Origin())._replace(name=""))
        effect = None if graph.effect is None else self.get_high(graph.effect)
        return Graph(
            self.parameters,
            results,
            effect,
            name=graph.name,
            origins=self.origins,
            result_names=graph.result_names,
        )

    def set_low(self, item: Node, new: Node) -> Node:
        """Note that a value is made in low precision."""
        self.low[item] = new
        self.kind[item] = _NATIVE
        return new

    def is_native(self, item: Node) -> bool:
        """Whether a value is made in low precision, so that nothing is lost by keeping it so."""
        return self.kind.get(item) == _NATIVE

    def get_high(self, item: Node) -> Node:
        """The value as it was typed."""
        found = self.high.get(item, item)
        if found is item and self.is_native(item):
            found = self.high[item] = cast(self.low[item], FLOAT32)
        return found

    def get_low(self, item: Node) -> Node:
        """The value in low precision."""
        found = self.low.get(item)
        if found is None:
            assert self.casting.dtype is not None
            if item.is_constant and self.kind.get(item) == _EITHER:
                found = constant(item.value.astype(self.casting.dtype))
            elif item.operation in VIEWS and is_float32(item):
                found = self._with(item, [self.get_low(source) for source in item.inputs])
            else:
                found = cast(self.get_high(item), self.casting.dtype)
            self.low[item] = found
        return found

    def _is_narrow(self, item: Node, bits: int) -> bool:
        if not is_float32(item):
            return False
        return self.is_native(item) or bits & (LOW | HIGH) == LOW

    def _with(self, item: Node, inputs: Sequence[Node], **attributes: Any) -> Node:
        """The node over other inputs, its float32 results in low precision."""
        lower = self.casting.lower
        types = tuple(lower(t) if t.dtype == FLOAT32 else t for t in item.types)
        return node(
            item.operation,
            tuple(inputs),
            types if isinstance(item.type, tuple) else types[0],
            {**item.attributes, **attributes} if attributes else item.attributes,
        )

    def _same(self, item: Node) -> Node:
        """The node over its new inputs as they were typed."""
        mapped = {
            source: self.get_high(source)
            for source in item.inputs
            if source in self.high or source in self.low
        }
        if not mapped:
            return item
        new = with_inputs(item, mapped)
        assert isinstance(new, Node)
        if new is not item:
            self.high[item] = new
        return new

    def _node(self, item: Node) -> Node:
        if item.operation == "parameter":
            return item
        if item in self.needs.products:
            return self._product(item)
        if self.casting.dtype is not None:
            if item in self.needs.biases:
                inputs = [self.get_low(source) for source in item.inputs]
                return self.set_low(item, self._with(item, inputs))
            if item.operation == "convert_element_type":
                return self._convert(item)
            if item.is_constant:
                return self._constant(item)
            if item.operation == "get":
                return self._get(item)
            if (
                item.operation in TRANSPARENT
                or item.attributes.get("library") == RELU
                or (item.operation == "mul" and self._is_shift(item))
            ):
                return self._transparent(item)
        if item.operation in _BODIES:
            return _BODIES[item.operation](self, item)
        return self._same(item)

    def _product(self, item: Node) -> Node:
        decision = self.needs.products[item]
        if decision.precision == "tensorfloat32" and not decision.keeps:
            attribute = self.casting.tensorfloat32.get(item.operation)
            if attribute is None:
                return self._same(item)
            log_hit("product in tensorfloat32")
            inputs = tuple(self.get_high(source) for source in item.inputs)
            attributes = {**item.attributes, "precision": attribute}
            new = self.high[item] = node(item.operation, inputs, item.type, attributes)
            return new
        if decision.keeps:
            new = self._same(item)
            log_miss(Miss(RULE, f"the product stays in float32: {decision.keeps}", new))
            return new
        left, right, *others = item.inputs
        inputs = [self.get_low(left), self.get_low(right), *map(self.get_high, others)]
        name = self.casting.dtype.name if self.casting.dtype is not None else ""
        if decision.wide:
            log_hit(f"product of {name}, summed and kept in float32")
            if self.casting.platform == "cpu":
                # XLA's CPU kernels for small products know no mixed types.
                inputs = [cast(source, FLOAT32, keep=True) for source in inputs]
            attributes = {**item.attributes, "preferred_element_type": FLOAT32}
            new = self.high[item] = node(item.operation, tuple(inputs), item.type, attributes)
            return new
        log_hit(f"product of {name}, summed in float32 and rounded")
        preferred = self.casting.dtype
        return self.set_low(item, self._with(item, inputs, preferred_element_type=preferred))

    def _convert(self, item: Node) -> Node:
        source, dtype = item.inputs[0], self.casting.dtype
        widened = is_float32(item) and source.type.is_plain and source.type.dtype == dtype
        if widened and not source.type.weak:
            # The user's own cast from low precision: it loses nothing, nor does its inverse.
            self.set_low(item, self.get_high(source))
            return self._same(item)
        narrowed = is_float32(source) and item.type is self.casting.lower(item.type)
        if narrowed and (self.is_native(source) or source.operation in VIEWS):
            new = self.high[item] = self.get_low(source)
            return new
        return self._same(item)

    def _constant(self, item: Node) -> Node:
        if is_float32(item) and item.type.size <= 1:
            rounded = item.value.astype(self.casting.dtype).astype(np.float32)
            if rounded.tobytes() == item.value.tobytes():
                self.kind[item] = _EITHER
        return item

    def _get(self, item: Node) -> Node:
        source = item.inputs[0]
        new = get(self.get_high(source), item["index"])
        if new.type is not item.type and is_float32(item):
            return self.set_low(item, new)
        self.high[item] = new
        return new

    def _transparent(self, item: Node) -> Node:
        """Move or select in low precision what was made in it."""
        floats = [source for source in item.inputs if is_float32(source)]
        kinds = {self.kind.get(source, _FIXED) for source in floats}
        lowers = (t for t in item.types if t.dtype == FLOAT32)
        if not floats or _FIXED in kinds or not all(t.is_plain and not t.weak for t in lowers):
            return self._same(item)
        if _NATIVE not in kinds:
            self.kind[item] = _EITHER if item.operation in VIEWS else _FIXED
            return self._same(item)
        attributes: dict[str, Any] = {}
        if item.operation in CUSTOM:
            attributes["body"] = self._relu(item)
        inputs = [self.get_low(s) if s in floats else self.get_high(s) for s in item.inputs]
        new = self._with(item, inputs, **attributes)
        if isinstance(item.type, tuple):
            self.high[item] = new
            return new
        return self.set_low(item, new)

    def _is_shift(self, item: Node) -> bool:
        """Whether a bfloat16, whose exponents are float32's, is multiplied by a power of two."""
        if self.casting.dtype != jnp.bfloat16:
            return False
        for factor in item.inputs:
            if factor.is_constant and is_float32(factor) and factor.type.size == 1:
                return bool(np.all(np.abs(np.frexp(factor.value)[0]) == 0.5))
        return False

    def _relu(self, item: Node) -> Graph:
        body: Graph = item["body"]
        value = parameter(0, self.casting.lower(item.type))
        zero = constant(np.zeros((), self.casting.dtype))
        return Graph([value], [make("max", value, zero)], name=body.name)

    def _scan(self, item: Node) -> Node:
        consts, carry, body = item["consts"], item["carry"], item["body"]
        bits = self.needs.bodies[item, "body", 0]
        inner = self.casting.analysis.parameters(body, bits)
        low = [
            not consts <= index < consts + carry and self._enters_low(source, inner[index])
            for index, source in enumerate(item.inputs[: len(inner)])
        ]
        may_narrow = [index >= carry for index in range(len(body.results))]
        return self._loop(item, body, bits, low, may_narrow)

    def _checkpoint(self, item: Node) -> Node:
        body = item["body"]
        bits = self.needs.bodies[item, "body", 0]
        inner = self.casting.analysis.parameters(body, bits)
        pairs = zip(item.inputs, inner, strict=False)
        low = [self._enters_low(source, found) for source, found in pairs]
        return self._loop(item, body, bits, low, [True] * len(body.results))

    def _loop(
        self,
        item: Node,
        body: Graph,
        bits: Sequence[int],
        low: Sequence[bool],
        may_narrow: Sequence[bool],
    ) -> Node:
        """A node whose body may take and return some values in low precision."""
        may_narrow = [may and self.casting.dtype is not None for may in may_narrow]
        new_body = self.casting.graph(body, bits, low, may_narrow)
        lowered = [*low, *[False] * (len(item.inputs) - len(low))]
        inputs = tuple(
            self.get_low(source) if is_low else self.get_high(source)
            for source, is_low in zip(item.inputs, lowered, strict=True)
        )
        types = list(item.types)
        for index, result in enumerate(new_body.results):
            if result.type.dtype != body.results[index].type.dtype:
                types[index] = self.casting.lower(types[index])
        type_ = tuple(types) if isinstance(item.type, tuple) else types[0]
        new = node(item.operation, inputs, type_, {**item.attributes, "body": new_body})
        if not isinstance(item.type, tuple) and type_ is not item.type:
            return self.set_low(item, new)
        self.high[item] = new
        return new

    def _cond(self, item: Node) -> Node:
        branches: tuple[Graph, ...] = item["branches"]
        needs = [self.needs.bodies[item, "branches", n] for n in range(len(branches))]
        inner = [
            self.casting.analysis.parameters(branch, bits)
            for branch, bits in zip(branches, needs, strict=True)
        ]
        wanted = [0] * len(branches[0].parameters)
        for found in inner:
            wanted = [a | b for a, b in zip(wanted, found, strict=True)]
        pairs = zip(item.inputs[1:], wanted, strict=False)
        low = [self._enters_low(source, bits) for source, bits in pairs]
        new_branches = tuple(
            self.casting.graph(branch, bits, low)
            for branch, bits in zip(branches, needs, strict=True)
        )
        flags = [False, *low, *[False] * (len(item.inputs) - 1 - len(low))]
        inputs = tuple(
            self.get_low(source) if is_low else self.get_high(source)
            for source, is_low in zip(item.inputs, flags, strict=True)
        )
        attributes = {**item.attributes, "branches": new_branches}
        new = self.high[item] = node(item.operation, inputs, item.type, attributes)
        return new

    def _fixed(self, item: Node) -> Node:
        """A node whose graphs keep the types of all that they take and return."""
        attributes = dict(item.attributes)
        for name, value in item.attributes.items():
            bits = self.needs.bodies.get((item, name, 0))
            if isinstance(value, Graph) and bits is not None:
                attributes[name] = self.casting.graph(value, bits)
        inputs = tuple(self.get_high(source) for source in item.inputs)
        new = self.high[item] = node(item.operation, inputs, item.type, attributes)
        return new

    def _enters_low(self, source: Node, bits: int) -> bool:
        """Whether a nested graph is given a value in low precision."""
        if self.casting.dtype is None or not is_float32(source):
            return False
        return self.is_native(source) or bits & (LOW | HIGH) == LOW


_BODIES = {
    "scan": _Sweep._scan,
    "checkpoint": _Sweep._checkpoint,
    "cond": _Sweep._cond,
    "while": _Sweep._fixed,
    "custom_jvp": _Sweep._fixed,
    "custom_vjp": _Sweep._fixed,
}


def cast(item: Node, dtype: np.dtype, keep: bool = False) -> Node:
    """The value in another dtype; of a widening cast back to it, what was widened."""
    if not keep and item.operation == "convert_element_type" and item.inputs[0].type.dtype == dtype:
        source = item.inputs[0]
        if jnp.promote_types(dtype, item.type.dtype) == item.type.dtype and not source.type.weak:
            return source
    return build.cast(item, dtype, weak=False)


def is_float32(item: Node) -> bool:
    """Whether a node is one ordinary float32 array."""
    type_ = item.type
    return (
        not isinstance(type_, tuple)
        and type_.is_plain
        and type_.dtype == FLOAT32
        and not type_.weak
    )


def _tensorfloat32(platform: str) -> dict[str, Any]:
    """The attribute `precision` that asks for tensorfloat32, or the nearest, by operation."""
    if platform == "gpu":
        # Convolutions take no algorithm; those of float32 use tensorfloat32 unless told not to.
        return {"dot_general": lax.DotAlgorithmPreset.TF32_TF32_F32}
    if platform == "tpu":
        high = (lax.Precision.HIGH, lax.Precision.HIGH)
        return {"dot_general": high, "conv_general_dilated": high}
    return {}
