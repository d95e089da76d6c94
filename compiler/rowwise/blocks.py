"""A region of rows computed a block of rows at a time: one scan, forward and backward alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xlathe.compiler.ir import Graph, Node, Origin, Type, array_type, get, node, parameter
from xlathe.compiler.ops.build import cast, filled, make, reshaped, transposed, wide
from xlathe.compiler.rowwise.axes import Place, resized
from xlathe.compiler.rowwise.region import Region


def in_blocks(region: Region, count: int, platform: str) -> dict[Node, Node]:
    """What stands for the values that leave a region, if so many blocks are computed in turn.

    Each block takes every `count`-th row, so that rows that are spread over devices stay there.

    Args:
        region: the region.
        count: the number of blocks, which divides that of the rows.
        platform: what the program is for: `cpu`, `gpu` or `tpu`.
    """
    sums = [item for item in region.leaving if item in region.sums]
    kept = [item for item in region.leaving if item not in region.sums]
    outside = [item for item in region.entering if not _is_number(item)]
    # A gradient of the weights that is taken from outside adds up block by block: in float32,
    # as the product over all rows does.
    consts = {
        item: _widened(item) if region.is_forward else item
        for item in outside
        if item not in region.places
    }
    xs = [item for item in outside if item in region.places]
    types = [
        *(item.type for item in consts.values()),
        *(_summed_type(item) for item in sums),
        *(_block_type(region, item, count) for item in xs),
    ]
    parameters = [parameter(index, type_) for index, type_ in enumerate(types)]
    body = _body(region, count, platform, [*consts, *sums, *xs], sums, kept, parameters)
    if region.is_forward:
        body = _computed_again(body)
    results = (
        *(_summed_type(item) for item in sums),
        *(type_.with_shape((count, *type_.shape)) for type_ in body.result_types[len(sums) :]),
    )
    scan = node(
        "scan",
        (
            *consts.values(),
            *(filled(0, _summed_type(item)) for item in sums),
            *(_parted(item, region.places[item], count) for item in xs),
        ),
        results[0] if len(results) == 1 else results,
        {
            "body": body,
            "consts": len(consts),
            "carry": len(sums),
            "length": count,
            "reverse": False,
            "unroll": 1,
        },
    )
    made = [get(scan, index) for index in range(len(results))] if len(results) > 1 else [scan]
    found = {item: cast(value, item.type.dtype) for item, value in zip(sums, made, strict=False)}
    for item, value in zip(kept, made[len(sums) :], strict=True):
        found[item] = _joined(value, item.type.shape, region.places[item], count)
    return found


def _is_number(item: Node) -> bool:
    return item.is_constant and not item.type.shape


def _widened(item: Node) -> Node:
    """Weights in the type in which their gradient adds up."""
    dtype = wide(item.type.dtype)
    is_narrowed = item.operation == "convert_element_type" and dtype != item.type.dtype
    if is_narrowed and item.inputs[0].type.dtype == dtype:
        return item.inputs[0]
    return cast(item, dtype)


def _summed_type(item: Node) -> Type:
    """The type in which parts of a sum add up."""
    return array_type(item.type.shape, wide(item.type.dtype))


def _block_type(region: Region, item: Node, count: int) -> Type:
    place = region.places.get(item)
    if place is None:
        return item.type
    shape = list(item.type.shape)
    shape[place.axis] //= count
    return item.type.with_shape(tuple(shape))


def _body(
    region: Region,
    count: int,
    platform: str,
    entering: Sequence[Node],
    sums: Sequence[Node],
    kept: Sequence[Node],
    parameters: Sequence[Node],
) -> Graph:
    """One turn: the region over a block of rows."""
    mapped: dict[Node, Node] = {}
    carries: dict[Node, Node] = {}
    origins: dict[Node, Origin] = {}
    for item, inner in zip(entering, parameters, strict=True):
        origins[inner] = Origin(name=region.graph.origin(item).name)
        if item in region.sums:
            carries[item] = inner
        else:
            mapped[item] = cast(inner, item.type.dtype)
    for item in region.nodes:
        sources: list[Node] = [mapped.get(source, source) for source in item.inputs]
        inputs = tuple(sources)
        if item in region.sums:
            mapped[item] = make("add", carries[item], _part(item, inputs, platform))
        else:
            type_ = _block_type(region, item, count)
            attributes = resized(item, type_.shape, inputs)
            mapped[item] = node(item.operation, inputs, type_, attributes)
        origins.setdefault(mapped[item], region.graph.origin(item))
    results = [mapped[item] for item in (*sums, *kept)]
    return Graph(parameters, results, name="block_of_rows", origins=origins)


def _part(item: Node, inputs: tuple[Node, ...], platform: str) -> Node:
    """The sum over one block, in the type in which sums add up."""
    attributes: Mapping[str, Any] = item.attributes
    dtype = _summed_type(item).dtype
    if item.operation == "dot_general":
        if platform == "cpu" and dtype != item.type.dtype:
            # XLA's CPU kernels for small products know no mixed types.
            inputs = tuple([cast(source, dtype) for source in inputs])
        return make("dot_general", *inputs, **{**attributes, "preferred_element_type": dtype})
    return make(item.operation, cast(inputs[0], dtype), **attributes)


def _computed_again(body: Graph) -> Graph:
    """The body under a checkpoint, which keeps nothing for a derivative but what enters it."""
    types = body.result_types
    item = node(
        "checkpoint",
        body.parameters,
        types[0] if len(types) == 1 else types,
        {"body": body, "prevent_cse": False, "differentiated": False, "policy": None},
    )
    results = [item] if len(types) == 1 else [get(item, index) for index in range(len(types))]
    return Graph(body.parameters, results, name=body.name, origins=body.origins)


def _parted(item: Node, place: Place, count: int) -> Node:
    """The blocks of an array's rows, stacked along a new first axis."""
    shape, axis = item.type.shape, place.axis
    front, size, back = shape[:axis], shape[axis], shape[axis + 1 :]
    outer = size // (count * place.inner)
    inner = () if place.inner == 1 else (place.inner,)
    split = reshaped(item, (*front, outer, count, *inner, *back))
    first = len(front) + 1
    order = [first, *(axis for axis in range(split.type.rank) if axis != first)]
    return reshaped(transposed(split, order), (count, *front, size // count, *back))


def _joined(item: Node, shape: tuple[int, ...], place: Place, count: int) -> Node:
    """The array that `_parted` parted."""
    axis = place.axis
    front, size, back = shape[:axis], shape[axis], shape[axis + 1 :]
    outer = size // (count * place.inner)
    inner = () if place.inner == 1 else (place.inner,)
    split = reshaped(item, (count, *front, outer, *inner, *back))
    first = len(front) + 1
    order = [*range(1, first + 1), 0, *range(first + 1, split.type.rank)]
    return reshaped(transposed(split, order), shape)
