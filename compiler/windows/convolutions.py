"""Convolutions that are products, and those of each channel by itself; their gradients, too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from xlathe.compiler.ir import Node, node
from xlathe.compiler.ops.build import (
    broadcast_in_dim,
    cast,
    concatenated,
    make,
    multiply,
    padded,
    reshaped,
    transposed,
    wide,
)
from xlathe.compiler.rules.rule import Declined, Outcome
from xlathe.compiler.windows.slices import is_floating, offsets, strided

_MANY = 49
_MANY_SUMS = 9
_MANY_A_GROUP = 4


def product(item: Node) -> Outcome:
    """A convolution whose window is one element, or the whole of the data, as a matrix product."""
    if not _is_plain(item) or _groups(item) != (1, 1):
        return None
    numbers = item["dimension_numbers"]
    kernel, result = item.inputs[1].type.shape, item.type.shape
    if all(kernel[axis] == 1 for axis in numbers.rhs_spec[2:]):
        return _pointwise(item)
    if all(result[axis] == 1 for axis in numbers.out_spec[2:]):
        return _whole(item)
    return None


def _pointwise(item: Node) -> Outcome:
    numbers, (data, kernel) = item["dimension_numbers"], item.inputs
    batch, feature, *space = numbers.lhs_spec
    padding, strides, dilation = item["padding"], item["window_strides"], item["lhs_dilation"]
    spread = set(dilation) != {1} or any(any(pair) for pair in padding)
    moves = set(strides) != {1}
    if spread and moves:
        return Declined("it skips elements and adds others")
    if moves:
        sizes, steps = list(data.type.shape), [1] * data.type.rank
        for place, axis in enumerate(space):
            sizes[axis] = item.type.shape[numbers.out_spec[2 + place]]
            steps[axis] = strides[place]
        data = strided(data, [0] * data.type.rank, sizes, steps)
    matrix = reshaped(
        transposed(kernel, (*numbers.rhs_spec[2:], *numbers.rhs_spec[1::-1])),
        tuple(kernel.type.shape[axis] for axis in numbers.rhs_spec[1::-1]),
    )
    made = _dot(item, data, matrix, (feature,), (0,))
    # The axes of the data but the features, in their order, and the features last.
    left = [axis for axis in range(data.type.rank) if axis != feature]
    order = [left.index(axis) for axis in (batch, *space)]
    made = transposed(made, (order[0], *order[1:], len(left)))
    if spread:
        made = _around(made, padding, dilation)
    return _placed(made, numbers.out_spec)


def _whole(item: Node) -> Outcome:
    numbers, (data, kernel) = item["dimension_numbers"], item.inputs
    if set(item["lhs_dilation"]) != {1} or any(
        low > 0 or high > 0 for low, high in item["padding"]
    ):
        return Declined("its data are padded, or dilated")
    starts, steps, sizes = [0] * data.type.rank, [1] * data.type.rank, list(data.type.shape)
    for place, axis in enumerate(numbers.lhs_spec[2:]):
        starts[axis] = -item["padding"][place][0]
        steps[axis] = item["rhs_dilation"][place]
        sizes[axis] = kernel.type.shape[numbers.rhs_spec[2 + place]]
    data = strided(data, starts, sizes, steps)
    made = _dot(
        item,
        data,
        kernel,
        (*numbers.lhs_spec[2:], numbers.lhs_spec[1]),
        (*numbers.rhs_spec[2:], numbers.rhs_spec[1]),
    )
    batch, outputs = made.type.shape
    made = reshaped(made, (batch, *(1 for _ in numbers.lhs_spec[2:]), outputs))
    return _placed(made, numbers.out_spec)


def by_channel(item: Node) -> Outcome:
    """A depthwise convolution as a sum of products of shifted arrays."""
    groups, of_batch = _groups(item)
    if groups == 1 or of_batch != 1 or not _is_plain(item):
        return None
    numbers, (data, kernel) = item["dimension_numbers"], item.inputs
    low = _dtype_of_sums(item)
    if low is None:
        return None
    outputs, inputs, *window = (kernel.type.shape[axis] for axis in numbers.rhs_spec)
    each = outputs // groups
    if inputs * each > _MANY_A_GROUP:
        return Declined(f"a group has {inputs} channels and makes {each} of them")
    if prod(window) * inputs > _MANY:
        return Declined(f"its window has {prod(window)} places, more than are worth a slice each")
    data = cast(
        transposed(data, (numbers.lhs_spec[0], *numbers.lhs_spec[2:], numbers.lhs_spec[1])), low
    )
    data = _around(data, item["padding"], item["lhs_dilation"])
    kernel = cast(transposed(kernel, (*numbers.rhs_spec[2:], *numbers.rhs_spec[1::-1])), low)
    batch, *_, channels = data.type.shape
    space = tuple(item.type.shape[axis] for axis in numbers.out_spec[2:])
    shape = (batch, *space, groups, each)
    terms = []
    for place in offsets(window):
        starts = [at * step for at, step in zip(place, item["rhs_dilation"], strict=True)]
        for channel in range(inputs):
            part = strided(
                data,
                (0, *starts, channel),
                (batch, *space, groups),
                (1, *item["window_strides"], channels // groups),
            )
            weights = strided(
                kernel,
                (*place, channel, 0),
                (1,) * (len(place) + 1) + (outputs,),
                (1,) * kernel.type.rank,
            )
            terms.append(
                multiply(
                    _spread(part, shape, tuple(range(len(shape) - 1))),
                    _spread(
                        reshaped(weights, (groups, each)), shape, (len(shape) - 2, len(shape) - 1)
                    ),
                )
            )
    made = cast(reduce(lambda one, other: make("add", one, other), terms), item.type.dtype)
    return _placed(reshaped(made, (batch, *space, outputs)), numbers.out_spec)


def by_channel_gradient(item: Node) -> Outcome:
    """The gradient of a depthwise convolution by its kernel, one sum for each place of it."""
    groups, of_batch = _groups(item)
    if of_batch == 1 or groups != 1 or not _is_plain(item):
        return None
    numbers, (data, kernel) = item["dimension_numbers"], item.inputs
    low = _dtype_of_sums(item)
    if low is None:
        return None
    channels, inner = (data.type.shape[axis] for axis in numbers.lhs_spec[:2])
    outputs = kernel.type.shape[numbers.rhs_spec[0]]
    each = outputs // channels
    if channels != of_batch or each > _MANY_A_GROUP:
        return Declined("a group has several channels")
    window = tuple(item.type.shape[axis] for axis in numbers.out_spec[2:])
    if prod(window) > _MANY_SUMS:
        return Declined(f"its window has {prod(window)} places, more than are worth a sum each")
    # Channels last in both, what is summed first.
    data = cast(transposed(data, (*numbers.lhs_spec[1:], numbers.lhs_spec[0])), low)
    data = _around(data, item["padding"], item["lhs_dilation"])
    kernel = cast(transposed(kernel, (*numbers.rhs_spec[1:], numbers.rhs_spec[0])), low)
    space = kernel.type.shape[1:-1]
    shape = (inner, *space, channels, each)
    cotangent = reshaped(kernel, shape)
    sums = []
    for place in offsets(window):
        starts = [at * step for at, step in zip(place, item["window_strides"], strict=True)]
        part = strided(
            data, (0, *starts, 0), (inner, *space, channels), (1, *item["rhs_dilation"], 1)
        )
        term = multiply(_spread(part, shape, tuple(range(len(shape) - 1))), cotangent)
        # The first sum is one of whole arrays; both at once would run one number at a time.
        rows = make("reduce_sum", term, axes=(0,), out_sharding=None)
        axes = tuple(range(len(space)))
        sums.append(reshaped(make("reduce_sum", rows, axes=axes, out_sharding=None), (1, outputs)))
    made = reshaped(cast(concatenated(sums, 0), item.type.dtype), (1, *window, outputs))
    return _placed(made, numbers.out_spec)


def in_order(item: Node) -> Outcome:
    """A convolution with its axes in the order in which XLA's CPU backend has a fast one.

    XLA brings them in this order itself, but not inside of loops, where gradients run up to
    a hundred times as long.
    """
    numbers, (data, kernel) = item["dimension_numbers"], item.inputs
    if not _is_plain(item) or item["batch_group_count"] != 1:
        return None
    rank = item.type.rank
    if not 3 <= rank <= 5 or item.type.dtype not in (np.float32, np.float16):
        return None
    last = (0, rank - 1, *range(1, rank - 1))
    window_first = (rank - 1, rank - 2, *range(rank - 2))
    specs = (tuple(numbers.lhs_spec), tuple(numbers.rhs_spec), tuple(numbers.out_spec))
    if specs == (last, window_first, last):
        return None
    data = transposed(data, (specs[0][0], *specs[0][2:], specs[0][1]))
    kernel = transposed(kernel, (*specs[1][2:], *specs[1][1::-1]))
    shape = tuple(item.type.shape[axis] for axis in (specs[2][0], *specs[2][2:], specs[2][1]))
    ordered = type(numbers)(last, window_first, last)
    made = node(
        item.operation,
        (data, kernel),
        item.type.with_shape(shape),
        {**item.attributes, "dimension_numbers": ordered},
    )
    return _placed(made, specs[2])


def _is_plain(item: Node) -> bool:
    plain = all(source.type.is_plain and not source.type.weak for source in (item, *item.inputs))
    sizes = (item.type.size, *(source.type.size for source in item.inputs))
    return plain and all(sizes) and item.type.rank > 2 and not item.attributes.get("out_sharding")


def _dtype_of_sums(item: Node) -> np.dtype | None:
    dtypes = [source.type.dtype for source in (item, *item.inputs)]
    if not all(map(is_floating, dtypes)):
        return None
    return wide(reduce(np.promote_types, dtypes))


def _groups(item: Node) -> tuple[int, int]:
    return item["feature_group_count"], item["batch_group_count"]


def _dot(
    item: Node, left: Node, right: Node, left_axes: Sequence[int], right_axes: Sequence[int]
) -> Node:
    numbers: Any = ((tuple(left_axes), tuple(right_axes)), ((), ()))
    return make(
        "dot_general",
        left,
        right,
        dimension_numbers=numbers,
        precision=item["precision"],
        preferred_element_type=item["preferred_element_type"],
        out_sharding=None,
    )


def _around(data: Node, padding: Sequence[tuple[int, int]], dilation: Sequence[int]) -> Node:
    """Zeros around and between the elements of data that have batch first, features last."""
    config = [(*pair, step - 1) for pair, step in zip(padding, dilation, strict=True)]
    return padded(data, [(0, 0, 0), *config, (0, 0, 0)])


def _spread(source: Node, shape: tuple[int, ...], axes: tuple[int, ...]) -> Node:
    return source if source.type.shape == shape else broadcast_in_dim(source, shape, axes)


def _placed(made: Node, spec: Sequence[int]) -> Node:
    """Axes that are batch, space, features in the order that a convolution's result has them."""
    batch, feature, *space = spec
    order = (batch, *space, feature)
    return transposed(made, [order.index(axis) for axis in range(len(order))])
