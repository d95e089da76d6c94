"""Checking a graph: every type is inferred again, every nested graph fits where it stands."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from xlathe.compiler.ir.graph import Graph, Origin, is_effectful
from xlathe.compiler.ir.node import Node
from xlathe.compiler.ir.types import TOKEN, Type
from xlathe.compiler.ops.primitives import infer_by_jax
from xlathe.compiler.ops.table import lookup

_LEAVES = frozenset(["parameter", "constant", "token"])


_sound: weakref.WeakSet[Node] = weakref.WeakSet()
"""Nodes whose types were found right: nodes don't change, so each is checked once."""


class VerificationError(Exception):
    """A graph that contradicts itself; the message shows the nodes around the fault."""


def verify(graph: Graph) -> None:
    """Check a graph and the graphs nested in it.

    Args:
        graph: the graph.

    Raises:
        VerificationError: a node's type is not what its operation gives, a parameter is not the
            graph's own, or a nested graph does not fit its node.
    """
    inferred: dict[Any, tuple[Type, ...] | None] = {}
    for inner in graph.walk():
        known = set(inner.parameters)
        for index, item in enumerate(inner.parameters):
            if item.operation != "parameter" or item["index"] != index:
                raise VerificationError(f"{inner.name}: parameter {index} is {item}.")
        for item in inner.outputs:
            if item.operation == "parameter" and item not in known:
                raise VerificationError(
                    f"{inner.name}: it returns {item}, no parameter of {inner.name}."
                )
        for item in inner.nodes:
            strangers = [s for s in item.inputs if s.operation == "parameter" and s not in known]
            if strangers:
                reason = f"it reads {strangers[0]}, no parameter of {inner.name}"
                raise _fault(inner, item, reason, strangers)
            if item in _sound:
                continue
            reason = _check(item, inferred)
            if reason:
                raise _fault(inner, item, reason)
            _sound.add(item)


def _check(item: Node, inferred: dict[Any, tuple[Type, ...] | None]) -> str:
    if item.operation in _LEAVES:
        return ""
    if item.operation == "get":
        source = item.inputs[0].type
        if not isinstance(source, tuple) or not 0 <= item["index"] < len(source):
            return f"there is no result {item['index']} of {item.inputs[0]}"
        return _compare((source[item["index"]],), item.types)
    if item.operation in _CHECKS:
        return _CHECKS[item.operation](item)
    if is_effectful(item) or any(type_.extra is not None for type_ in _all_types(item)):
        return ""
    if any(isinstance(source.type, tuple) for source in item.inputs):
        return "it reads a node with several results as a whole"
    key = (item.operation, tuple(s.type for s in item.inputs), tuple(item.attributes.items()))
    if key not in inferred:
        try:
            inferred[key] = _infer(item)
        except Exception as error:
            return f"its inputs do not fit: {error}"
    expected = inferred[key]
    return _compare(expected, item.types) if expected is not None else ""


def _all_types(item: Node) -> Sequence[Type]:
    return [*item.types, *(type_ for source in item.inputs for type_ in source.types)]


def _infer(item: Node) -> tuple[Type, ...] | None:
    rule = lookup(item.operation).infer
    if rule is None:
        return infer_by_jax(item)
    type_ = rule([source.type for source in item.inputs], item.attributes)
    return type_ if isinstance(type_, tuple) else (type_,)


def _compare(expected: Sequence[Type], found: Sequence[Type]) -> str:
    if _without_weakness(expected) == _without_weakness(found):
        return ""
    return f"its type is {_texts(found)}, but its operation gives {_texts(expected)}"


def _texts(types: Sequence[Type]) -> str:
    return ", ".join(map(str, types))


def _values(item: Node) -> list[Type]:
    """The types of the inputs, without the token."""
    types = [source.type for source in item.inputs]
    return types[:-1] if is_effectful(item) else types


def _results(item: Node) -> tuple[Type, ...]:
    return item.types[:-1] if is_effectful(item) else item.types


def _without_weakness(types: Sequence[Type]) -> list[Any]:
    """What must agree: JAX itself lets weak types differ from what its rules say."""
    return [(type_.shape, type_.dtype, type_.extra) for type_ in types]


def _fits(graph: Graph, arguments: Sequence[Type], results: Sequence[Type] | None = None) -> str:
    if _without_weakness(graph.parameter_types) != _without_weakness(arguments):
        return (
            f"{graph.name} takes {_texts(graph.parameter_types)}, but is given {_texts(arguments)}"
        )
    if results is not None and _without_weakness(graph.result_types) != _without_weakness(results):
        return f"{graph.name} returns {_texts(graph.result_types)}, not {_texts(results)}"
    return ""


def _check_body(item: Node) -> str:
    return _fits(item["body"], _values(item), _results(item))


def _check_composite_grad(item: Node) -> str:
    forward, cotangent = item.inputs
    arguments = [source.type for source in (*forward.inputs, cotangent)]
    return _fits(item["body"], arguments, item.types)


def _check_branches(item: Node) -> str:
    arguments = _values(item)[1:]
    for branch in item["branches"]:
        reason = _fits(branch, arguments)
        if reason or [t.shape for t in branch.result_types] != [t.shape for t in _results(item)]:
            return reason or f"{branch.name} returns {_texts(branch.result_types)}"
    return ""


def _check_scan(item: Node) -> str:
    consts, carry = item["consts"], item["carry"]
    values = _values(item)
    xs = [type_.with_shape(type_.shape[1:]) for type_ in values[consts + carry :]]
    reason = _fits(item["body"], [*values[: consts + carry], *xs])
    if reason:
        return reason
    stacked = [
        type_.with_shape((item["length"], *type_.shape))
        for type_ in item["body"].result_types[carry:]
    ]
    return _compare([*item["body"].result_types[:carry], *stacked], _results(item))


def _check_while(item: Node) -> str:
    first, second = item["condition_consts"], item["body_consts"]
    values = _values(item)
    carry = values[first + second :]
    body_arguments = [*values[first : first + second], *carry]
    return _fits(item["condition"], [*values[:first], *carry]) or _fits(
        item["body"], body_arguments, _results(item)
    )


def _check_nothing(item: Node) -> str:
    return ""


_CHECKS = {
    "attention": _check_body,
    "attention_grad": _check_body,
    "call": _check_body,
    "checkpoint": _check_body,
    "composite": _check_body,
    "composite_grad": _check_composite_grad,
    "custom_jvp": _check_body,
    "custom_vjp": _check_body,
    "cond": _check_branches,
    "scan": _check_scan,
    "while": _check_while,
    "linear_solve": _check_nothing,
    "equation": _check_nothing,
}


def _fault(
    graph: Graph, item: Node, reason: str, strangers: Sequence[Node] = ()
) -> VerificationError:
    from xlathe.compiler.ir.text import to_text

    nodes = graph.nodes
    place = nodes.index(item)
    names = dict.fromkeys(strangers, Origin(name="foreign"))
    around = Graph(
        [*graph.parameters, *strangers],
        nodes[max(0, place - 3) : place + 1],
        name=graph.name,
        origins={**graph.origins, **names},
    )
    shown = [line for line in to_text(around).splitlines() if line.startswith("    ")][:-1]
    near = "\n".join(shown[-6:])
    return VerificationError(f"{graph.name}: in {item.operation}, {reason}:\n{near}")


__all__ = ["TOKEN", "VerificationError", "verify"]
