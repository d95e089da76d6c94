"""One turn's work done for all turns at once: each operation over a new leading axis.

A value of a loop's body is either the same in every turn, and stands for itself, or differs, and
is given as a stack of the values of all turns along axis 0. A rule here gives the operation that
makes the stack of results; an operation that has none is left in the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from xlathe.compiler.ir import Graph, Node, get, node
from xlathe.compiler.ops.build import broadcast_in_dim, make, reshape
from xlathe.compiler.ops.elementwise import BROADCASTING, ELEMENTWISE, broadcast_shape
from xlathe.compiler.ops.reductions import REDUCTIONS


class Stacked(NamedTuple):
    """What stands for a value of the body outside the loop.

    Attributes:
        node: the node.
        varies: whether it is a stack of the turns' values, or the same value for all.
    """

    node: Node
    varies: bool


Rule = Callable[[Node, Sequence[Stacked], int], Node]
Check = Callable[[Node, Sequence[bool]], bool]


@dataclass(frozen=True)
class _Batching:
    """How an operation is done for all turns, and when it can be."""

    rule: Rule
    check: Check = lambda item, varies: True


def can_batch(item: Node, varies: Sequence[bool]) -> bool:
    """Whether an operation can be done for all turns at once.

    Args:
        item: the node in the body.
        varies: which of its inputs differ from turn to turn.
    """
    if item.operation == "get":
        return item.type.is_plain
    batching = _BATCHINGS.get(item.operation)
    types = [type_ for source in (item, *item.inputs) for type_ in source.types]
    if batching is None or not all(type_.is_plain for type_ in types):
        return False
    if any(item.attributes.get(name) is not None for name in ("sharding", "out_sharding")):
        return False
    return batching.check(item, varies)


def batch(
    body: Graph, wanted: Iterable[Node], known: Mapping[Node, Stacked], length: int
) -> dict[Node, Stacked]:
    """Build values of a body for all turns.

    Args:
        body: the body.
        wanted: the values; each operation below them, down to the known ones, `can_batch`.
        known: what stands for the values that are there already.
        length: the number of turns.

    Returns:
        What stands for the wanted values, and for all below them.
    """
    found = dict(known)
    needed: set[Node] = set()
    stack = [item for item in wanted if item not in found]
    while stack:
        item = stack.pop()
        if item not in needed and item not in found:
            needed.add(item)
            stack.extend(item.inputs)
    for item in body.nodes:
        if item in needed:
            found[item] = _batch_node(item, [found[source] for source in item.inputs], length)
    return found


def _batch_node(item: Node, inputs: Sequence[Stacked], length: int) -> Stacked:
    if not any(source.varies for source in inputs):
        sources = tuple(source.node for source in inputs)
        if item.operation == "get":
            return Stacked(get(sources[0], item["index"]), False)
        return Stacked(node(item.operation, sources, item.type, item.attributes), False)
    if item.operation == "get":
        return Stacked(get(inputs[0].node, item["index"]), True)
    return Stacked(_BATCHINGS[item.operation].rule(item, inputs, length), True)


def _remade(item: Node, sources: Sequence[Node], length: int, **changed: Any) -> Node:
    """The operation over stacks: same attributes but these, the type with the new axis."""
    types = tuple(type_.with_shape((length, *type_.shape)) for type_ in item.types)
    return node(
        item.operation,
        tuple(sources),
        types if isinstance(item.type, tuple) else types[0],
        {**item.attributes, **changed},
    )


def _elementwise(item: Node, inputs: Sequence[Stacked], length: int) -> Node:
    shape = broadcast_shape([source.type for source in item.inputs])
    sources = []
    for given, source in zip(inputs, item.inputs, strict=True):
        own = source.type.shape
        if item.operation in BROADCASTING:
            # Scalars go with anything and axes of size one stretch.
            is_scalar = not own and not given.varies
            sources.append(given.node if is_scalar else _filled(given, own or shape, own, length))
        else:
            sources.append(_filled(given, shape, own, length))
    return _remade(item, sources, length)


def _uniform(item: Node, inputs: Sequence[Stacked], length: int) -> Node:
    """Select and clamp, whose operands do not broadcast."""
    sources = [
        _filled(given, item.type.shape, source.type.shape, length)
        for given, source in zip(inputs, item.inputs, strict=True)
    ]
    return _remade(item, sources, length)


def _filled(given: Stacked, shape: tuple[int, ...], own: tuple[int, ...], length: int) -> Node:
    """An operand as a stack of this shape: what is the same in every turn is repeated."""
    full = (length, *shape)
    if given.node.type.shape == full and given.varies:
        return given.node
    axes = tuple(range(1, len(own) + 1))
    return broadcast_in_dim(given.node, full, (0, *axes) if given.varies else axes)


def _shifted(axes: Iterable[int]) -> tuple[int, ...]:
    return tuple(axis + 1 for axis in axes)


def _broadcast(item: Node, inputs: Sequence[Stacked], length: int) -> Node:
    axes = (0, *_shifted(item["broadcast_dimensions"]))
    shape = (length, *item["shape"])
    return _remade(item, [inputs[0].node], length, shape=shape, broadcast_dimensions=axes)


def _reshape(item: Node, inputs: Sequence[Stacked], length: int) -> Node:
    return _remade(item, [inputs[0].node], length, new_sizes=(length, *item["new_sizes"]))


def _transpose(item: Node, inputs: Sequence[Stacked], length: int) -> Node:
    permutation = (0, *_shifted(item["permutation"]))
    return _remade(item, [inputs[0].node], length, permutation=permutation)


def _along_axes(name: str) -> Rule:
    """Operations that name their axes in one attribute."""

    def rule(item: Node, inputs: Sequence[Stacked], length: int) -> Node:
        axes = item[name]
        new = axes + 1 if isinstance(axes, int) else _shifted(axes)
        return _remade(item, [inputs[0].node], length, **{name: new})

    return rule


def _slice(item: Node, inputs: Sequence[Stacked], length: int) -> Node:
    strides = item["strides"]
    return _remade(
        item,
        [inputs[0].node],
        length,
        start_indices=(0, *item["start_indices"]),
        limit_indices=(length, *item["limit_indices"]),
        strides=None if strides is None else (1, *strides),
    )


def _pad(item: Node, inputs: Sequence[Stacked], length: int) -> Node:
    config = ((0, 0, 0), *item["padding_config"])
    return _remade(item, [source.node for source in inputs], length, padding_config=config)


def _concatenate(item: Node, inputs: Sequence[Stacked], length: int) -> Node:
    sources = [
        _filled(given, source.type.shape, source.type.shape, length)
        for given, source in zip(inputs, item.inputs, strict=True)
    ]
    return _remade(item, sources, length, dimension=item["dimension"] + 1)


def _gather(item: Node, inputs: Sequence[Stacked], length: int) -> Node:
    numbers = item["dimension_numbers"]
    numbers = numbers._replace(
        offset_dims=_shifted(numbers.offset_dims),
        start_indices_batching_dims=_shifted(numbers.start_indices_batching_dims),
    )
    sources = [source.node for source in inputs]
    return _remade(
        item,
        sources,
        length,
        dimension_numbers=numbers,
        indices_are_sorted=False,
        unique_indices=False,
    )


def _dot(item: Node, inputs: Sequence[Stacked], length: int) -> Node:
    """One product for all turns: the turns are rows of it, or a batch where both sides vary."""
    left, right = inputs
    if left.varies and right.varies:
        (left_axes, right_axes), (left_batch, right_batch) = item["dimension_numbers"]
        numbers = (
            (_shifted(left_axes), _shifted(right_axes)),
            ((0, *_shifted(left_batch)), (0, *_shifted(right_batch))),
        )
        return _remade(item, [left.node, right.node], length, dimension_numbers=numbers)
    return _one_sided(item, left, right)


def _one_sided(item: Node, left: Stacked, right: Stacked) -> Node:
    (left_axes, right_axes), (left_batch, right_batch) = item["dimension_numbers"]
    lefts = item.inputs[0].type.rank - len(left_axes) - len(left_batch)
    rights = item.inputs[1].type.rank - len(right_axes) - len(right_batch)
    attributes = dict(item.attributes)
    if left.varies:
        left_axes, left_batch = _shifted(left_axes), _shifted(left_batch)
        turns = len(left_batch)
    else:
        right_axes, right_batch = _shifted(right_axes), _shifted(right_batch)
        turns = len(left_batch) + lefts
    if right.varies and not rights and not left_batch:
        # W @ x for every x is X @ W.T, whose turns come first as they should.
        if isinstance(item["precision"], tuple):
            attributes["precision"] = item["precision"][::-1]
        attributes["dimension_numbers"] = ((right_axes, left_axes), ((), ()))
        return make("dot_general", right.node, left.node, **attributes)
    attributes["dimension_numbers"] = ((left_axes, right_axes), (left_batch, right_batch))
    product = make("dot_general", left.node, right.node, **attributes)
    if not turns:
        return product
    rest = [axis for axis in range(product.type.rank) if axis != turns]
    return make("transpose", product, permutation=(turns, *rest))


def _convolution(item: Node, inputs: Sequence[Stacked], length: int) -> Node:
    """The turns' images are one batch."""
    images, kernel = inputs[0].node, inputs[1].node
    flat = reshape(images, (length * images.type.shape[1], *images.type.shape[2:]))
    shape = (length * item.type.shape[0], *item.type.shape[1:])
    made = node(item.operation, (flat, kernel), item.type.with_shape(shape), item.attributes)
    return reshape(made, (length, *item.type.shape))


def _first_varies(item: Node, varies: Sequence[bool]) -> bool:
    return varies[0] and not any(varies[1:])


def _indices_vary(item: Node, varies: Sequence[bool]) -> bool:
    return not varies[0]


def _is_simple_convolution(item: Node, varies: Sequence[bool]) -> bool:
    numbers = item["dimension_numbers"]
    batch_first = numbers.lhs_spec[0] == numbers.out_spec[0] == 0
    return varies[0] and not varies[1] and batch_first and item["batch_group_count"] == 1


def _keeps_order(item: Node, varies: Sequence[bool]) -> bool:
    return len(item.inputs) == 1 and item.attributes.get("dimensions") is None


def _all_batchings() -> dict[str, _Batching]:
    found = {name: _Batching(_elementwise) for name in ELEMENTWISE}
    found |= {name: _Batching(_uniform) for name in ("select_n", "clamp")}
    found |= {name: _Batching(_along_axes("axes")) for name in (*REDUCTIONS, "argmax", "argmin")}
    for name in ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "split"):
        found[name] = _Batching(_along_axes("axis"))
    found |= {
        "rev": _Batching(_along_axes("dimensions")),
        "broadcast_in_dim": _Batching(_broadcast, _keeps_order),
        "reshape": _Batching(_reshape, _keeps_order),
        "transpose": _Batching(_transpose),
        "slice": _Batching(_slice),
        "pad": _Batching(_pad, _first_varies),
        "concatenate": _Batching(_concatenate),
        "gather": _Batching(_gather, _indices_vary),
        "dot_general": _Batching(_dot),
        "conv_general_dilated": _Batching(_convolution, _is_simple_convolution),
    }
    return found


_BATCHINGS = _all_batchings()
