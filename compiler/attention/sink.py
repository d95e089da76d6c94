"""Bringing masks of positions into the bodies that read them.

JAX computes what a loop doesn't change before the loop, and hands it in as an array: the comparison
of positions, and the number that stands for masked scores. Inside the body they can be read.
"""

from __future__ import annotations

from collections.abc import Sequence

from xlathe.compiler.attention.read import below
from xlathe.compiler.attention.toeplitz import Known, toeplitz
from xlathe.compiler.ir import Graph, Node, node
from xlathe.compiler.ir.rewrite import adopt, instantiate, with_parameters

_MAX_NODES = 64


def with_masks_inside(item: Node) -> Node:
    """A scan or checkpoint whose body computes what it was handed of masks of positions.

    Args:
        item: the node.

    Returns:
        The node with a body that does; the same node if there is nothing of the kind.
    """
    if item.operation not in ("scan", "checkpoint") or not item.holds_graphs:
        return item
    body: Graph = item["body"]
    count = item["consts"] if item.operation == "scan" else len(body.parameters)
    memo: dict[Node, Known | None] = {}
    sunk = [
        index
        for index, source in enumerate(item.inputs[:count])
        if _is_mask(source, memo) and index < len(body.parameters)
    ]
    if not sunk:
        return item
    mapping = {body.parameters[index]: item.inputs[index] for index in sunk}
    results, effect, origins = instantiate(body, mapping)
    for old, new in mapping.items():
        if old in body.origins:
            adopt(origins, new, body.origins[old])
    inside = Graph(
        body.parameters,
        results,
        effect,
        name=body.name,
        origins={**body.origins, **origins},
        result_names=body.result_names,
    )
    kept = [index for index in range(len(item.inputs)) if index not in sunk]
    parameters = [body.parameters[index] for index in kept if index < len(body.parameters)]
    attributes = {**item.attributes, "body": with_parameters(inside, parameters)}
    if item.operation == "scan":
        attributes["consts"] = count - len(sunk)
    elif isinstance(item["prevent_cse"], tuple):
        attributes["prevent_cse"] = _without(item["prevent_cse"], sunk)
    inputs = tuple(item.inputs[index] for index in kept)
    return node(item.operation, inputs, item.type, attributes)


def _is_mask(item: Node, memo: dict[Node, Known | None]) -> bool:
    """Whether an array of the size of scores is computed from positions and numbers alone."""
    if isinstance(item.type, tuple) or item.type.rank < 2 or item.is_constant:
        return False
    return toeplitz(item, memo) is not None and len(below(item, ())) <= _MAX_NODES


def _without(values: Sequence[bool], places: Sequence[int]) -> tuple[bool, ...]:
    return tuple(value for place, value in enumerate(values) if place not in places)
