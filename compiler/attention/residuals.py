"""Scores that a differentiated loop keeps for its backward: computed again there.

JAX differentiates a scan by a second one, and hands it what the first one's turns computed: the
exponentials, their sums, the weights. A kernel keeps none of them. So the backward is handed
queries, keys and values in their place, from which it computes the rest; with a kernel it then need
not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xlathe.compiler.attention.read import Attention, below
from xlathe.compiler.attention.sink import with_masks_inside
from xlathe.compiler.ir import Graph, Node, get, make_type, node, parameter
from xlathe.compiler.ir.node import with_other_inputs
from xlathe.compiler.ir.rewrite import instantiate, with_parameters


@dataclass(frozen=True)
class Loop:
    """A scan with masks of positions inside, and its parts."""

    scan: Node

    @property
    def body(self) -> Graph:
        return self.scan["body"]

    @property
    def consts(self) -> int:
        return self.scan["consts"]

    @property
    def first_slice(self) -> int:
        """The place of the first input of which each turn is given a slice."""
        return self.scan["consts"] + self.scan["carry"]


def loop_with_masks_inside(scan: Node) -> Loop | None:
    """A scan's parts; None where there are effects, or one result only."""
    if scan.operation != "scan" or scan["body"].has_effects or not isinstance(scan.type, tuple):
        return None
    return Loop(with_masks_inside(scan))


def computed_again(
    scan: Node,
    loop: Loop,
    found: Iterable[Attention],
    readers: Mapping[Node, Sequence[Node]],
) -> dict[Node, Node]:
    """What stands for the results of a scan, and of its backward, so that no scores are kept.

    Args:
        scan: the scan as it stands in the program.
        loop: it with masks of positions inside.
        found: the attentions in the loop's body.
        readers: who reads each node of the program.

    Returns:
        The replacements; none where no scores are kept, or where others read them.
    """
    leaves = tuple(dict.fromkeys(leaf for attention in found for leaf in attention.leaves))
    inner = frozenset(item for attention in found for item in attention.inner)
    results = loop.body.results
    kept = {
        index: results[index]
        for index in range(loop.scan["carry"], len(results))
        if _is_made_of(results[index], leaves, inner)
    }
    gets = {reader["index"]: reader for reader in readers.get(scan, ()) if reader is not scan}
    kept = {index: item for index, item in kept.items() if index in gets}
    backwards = {reader for index in kept for reader in readers.get(gets[index], ())}
    if not kept or len(backwards) != 1:
        return {}
    (backward,) = backwards
    after = loop_with_masks_inside(backward)
    if after is None or backward["length"] != scan["length"]:
        return {}
    stacked = [index for index in range(len(results)) if index not in kept]
    added = [leaf for leaf in leaves if _needs_stack(leaf, loop)]
    forward = _forward(loop, stacked, added)
    sources = {leaf: _source(leaf, loop, forward, gets, stacked, added) for leaf in leaves}
    instead = _backward(after, {gets[index]: item for index, item in kept.items()}, sources)
    if instead is None:
        return {}
    replaced = {gets[i]: get(forward, place) for place, i in enumerate(stacked) if i in gets}
    for reader in readers.get(backward, ()):
        if reader is not backward:
            replaced[reader] = get(instead, reader["index"])
    return replaced


def _is_made_of(item: Node, leaves: Sequence[Node], inner: frozenset[Node]) -> bool:
    """Whether a node is computed from scores, and from nothing but an attention's leaves."""
    if item in leaves:
        return False
    nodes = below(item, leaves)
    reads_scores = any(source in inner for source in nodes)
    return reads_scores and all(source.operation != "parameter" for source in nodes)


def _needs_stack(leaf: Node, loop: Loop) -> bool:
    """Whether a leaf has to be handed on: no array of the program and no result holds it yet."""
    if leaf in loop.body.results[loop.scan["carry"] :]:
        return False
    if leaf.operation != "parameter":
        return True
    return loop.consts <= leaf["index"] < loop.first_slice


def _forward(loop: Loop, stacked: Sequence[int], added: Sequence[Node]) -> Node:
    body, scan = loop.body, loop.scan
    results = [*(body.results[index] for index in stacked), *added]
    length = scan["length"]
    types = [
        *(scan.types[index] for index in stacked),
        *(make_type((length, *leaf.type.shape), leaf.type.dtype) for leaf in added),
    ]
    new = Graph(body.parameters, results, name=body.name, origins=body.origins)
    return node("scan", scan.inputs, tuple(types), {**scan.attributes, "body": new})


def _source(
    leaf: Node,
    loop: Loop,
    forward: Node,
    gets: Mapping[int, Node],
    stacked: Sequence[int],
    added: Sequence[Node],
) -> tuple[Node, bool]:
    """The array of the program that holds a leaf, and whether each turn is given a slice of it."""
    if leaf in added:
        return get(forward, len(stacked) + added.index(leaf)), True
    results = loop.body.results
    for place, index in enumerate(stacked):
        if index >= loop.scan["carry"] and results[index] is leaf:
            # The node of the program as it is, by which the backward knows it.
            return gets.get(index, get(forward, place)), True
    index = leaf["index"]
    return loop.scan.inputs[index], index >= loop.consts


def _backward(
    loop: Loop, kept: Mapping[Node, Node], sources: Mapping[Node, tuple[Node, bool]]
) -> Node | None:
    body, scan = loop.body, loop.scan
    inputs = list(scan.inputs)
    parameters = list(body.parameters)
    places: dict[Node, Node] = {}
    consts, slices = [], []
    for leaf, (source, is_sliced) in sources.items():
        group = range(loop.first_slice, len(scan.inputs)) if is_sliced else range(loop.consts)
        known = [index for index in group if scan.inputs[index] is source]
        if known:
            places[leaf] = body.parameters[known[0]]
            continue
        (slices if is_sliced else consts).append(len(inputs))
        places[leaf] = parameter(len(inputs), leaf.type)
        inputs.append(source)
        parameters.append(places[leaf])
    mapping: dict[Node, Node] = {}
    for index, source in enumerate(scan.inputs):
        if source in kept:
            if index < loop.first_slice:
                return None
            mapping[body.parameters[index]] = _built(kept[source], places)
    results, _, origins = instantiate(body, mapping)
    inside = Graph(parameters, results, name=body.name, origins={**body.origins, **origins})
    own = [i for i in range(len(scan.inputs)) if body.parameters[i] not in mapping]
    before = [index for index in own if index < loop.consts]
    rest = [index for index in own if index >= loop.consts]
    order = [*before, *consts, *rest, *slices]
    attributes = {
        **scan.attributes,
        "body": with_parameters(inside, [parameters[index] for index in order]),
        "consts": loop.consts + len(consts),
    }
    return node("scan", tuple(inputs[index] for index in order), scan.type, attributes)


def _built(item: Node, places: Mapping[Node, Node]) -> Node:
    """A node of the forward's body over the parameters of the backward's."""
    mapped = dict(places)
    for step in below(item, tuple(places)):
        inputs = tuple(mapped[source] for source in step.inputs)
        mapped[step] = with_other_inputs(step, inputs) if inputs else step
    return mapped[item]
