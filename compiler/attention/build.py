"""Building the node of an attention's kernel: operands in the layout of kernels, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from xlathe.compiler.attention.kernels import Kernel, Sizes, sizes_of
from xlathe.compiler.attention.read import Attention, Layout
from xlathe.compiler.attention.scores import Operand
from xlathe.compiler.ir import Node, constant, get, node
from xlathe.compiler.ops.build import (
    broadcast_in_dim,
    cast,
    iota,
    make,
    multiply,
    reshaped,
    transposed,
)


def kernel_node(attention: Attention, kernel: Kernel) -> Node:
    """The kernel's node: its result has the axes batch, position, head, depth."""
    sizes, layout = sizes_of(attention), attention.layout
    query = _ordered(attention.query, _query_axes(layout))
    key = _ordered(attention.key, _key_axes(layout, of_values=False))
    value = _ordered(attention.value, _key_axes(layout, of_values=True))
    inputs = [
        reshaped(query, (sizes.batch, sizes.rows, sizes.heads, sizes.depth)),
        reshaped(key, (sizes.batch, sizes.columns, sizes.key_heads, sizes.depth)),
        reshaped(value, (sizes.batch, sizes.columns, sizes.key_heads, sizes.value_depth)),
    ]
    band = kernel.band
    masks = [_mask(operand, attention, sizes) for operand in attention.scores.masks]
    if kernel.name == "cudnn" and band is not None and not _is_own(band, sizes):
        masks.append(_band_mask(band, sizes))
        band = None
    biases = [_bias(operand, attention, sizes) for operand in attention.scores.biases]
    bias, mask = _joined("add", biases), _joined("and", masks)
    dropout = attention.dropout
    keep, factor = (
        _joined("and", [_mask(operand, attention, sizes) for operand in operands])
        for operands in (dropout.kept, dropout.factors)
    )
    if kernel.name == "cudnn":
        full = (None, None, sizes.rows, sizes.columns)
        bias, mask = (item and _widened(item, full) for item in (bias, mask))
    inputs += [item for item in (bias, mask, keep, factor) if item is not None]
    attributes = {
        "kernel": kernel.name,
        "scale": attention.scores.scale,
        "cap": attention.scores.cap,
        "band": band,
        "fill": attention.scores.fill,
        "has_bias": bias is not None,
        "has_mask": mask is not None,
        "has_keep": keep is not None,
        "has_factor": factor is not None,
        "weights_scale": dropout.scale,
        "rows": kernel.rows,
    }
    return make("attention_kernel", *inputs, **attributes)


def result_of(kernel: Node, attention: Attention) -> Node:
    """A kernel's result in the layout and type of the attention's."""
    layout, weights = attention.layout, attention.weights.type.shape
    order = [*(axis for axis in _result_axes(layout)), None]
    sizes = [attention.result.type.shape[-1] if a is None else weights[a] for a in order]
    sizes[-1] = kernel.type.shape[-1]
    parted = reshaped(kernel, tuple(sizes))
    dtype = attention.result.type.dtype
    return cast(transposed(parted, [order.index(axis) for axis in layout.result]), dtype)


def gradients_by(kernel: Node, cotangent: Node, attention: Attention) -> tuple[Node, Node, Node]:
    """The gradients by queries, keys and values, in the layout of each."""
    layout = attention.layout
    order = [*_result_axes(layout), None]
    turned = transposed(cotangent, [layout.result.index(axis) for axis in order])
    given = cast(reshaped(turned, kernel.type.shape), kernel.type.dtype)
    types = tuple(source.type for source in kernel.inputs[:3])
    made = node("attention_kernel_grad", (kernel, given), types, {"types": types})
    found = []
    for index, (leaf, axes) in enumerate(
        (
            (attention.query, _query_axes(layout)),
            (attention.key, _key_axes(layout, of_values=False)),
            (attention.value, _key_axes(layout, of_values=True)),
        )
    ):
        parted = reshaped(get(made, index), tuple(leaf.type.shape[axis] for axis in axes))
        found.append(transposed(parted, [axes.index(axis) for axis in range(len(axes))]))
    return found[0], found[1], found[2]


def _query_axes(layout: Layout) -> list[int]:
    """The queries' axes in the order batch, position, heads, groups, depth."""
    batch, heads = _parted(layout)
    own = [axis for _, axis in layout.groups]
    shared = [item.query for item in layout.shared]
    return [*shared[:batch], layout.rows[1], *shared[batch:heads], *own, layout.depth[0]]


def _key_axes(layout: Layout, of_values: bool) -> list[int]:
    batch, heads = _parted(layout)
    shared = [item.value if of_values else item.key for item in layout.shared]
    place, depth = (
        (layout.columns[2], layout.value_depth)
        if of_values
        else (layout.columns[1], layout.depth[1])
    )
    return [*shared[:batch], place, *shared[batch:heads], depth]


def _result_axes(layout: Layout) -> list[int | None]:
    """The weights' axes in the order batch, position, heads, groups."""
    batch, heads = _parted(layout)
    shared = [item.weights for item in layout.shared]
    groups = [axis for axis, _ in layout.groups]
    return [*shared[:batch], layout.rows[0], *shared[batch:heads], *groups]


def _score_axes(layout: Layout) -> list[list[int]]:
    """The weights' axes that make up batch, head, query and key."""
    batch, heads = _parted(layout)
    shared = [item.weights for item in layout.shared]
    groups = [axis for axis, _ in layout.groups]
    return [shared[:batch], shared[batch:heads] + groups, [layout.rows[0]], [layout.columns[0]]]


def _parted(layout: Layout) -> tuple[int, int]:
    """How many of the axes in common are the batch's, and how many there are."""
    count = len(layout.shared)
    return (count - 1 if count > 1 else count), count


def _ordered(item: Node, axes: Sequence[int]) -> Node:
    return transposed(item, axes)


def _placed(operand: Operand, attention: Attention, sizes: Sizes) -> Node:
    """A bias or mask with the axes batch, head, query, key, of size one where it doesn't vary."""
    shape = operand.node.type.shape
    wide = {axis: size for axis, size in zip(operand.axes, shape, strict=True) if axis is not None}
    item = reshaped(operand.node, tuple(wide.values()))
    weights = attention.weights.type.shape
    axes = list(wide)
    merged: list[int] = []
    order: list[int] = []
    for group in _score_axes(attention.layout):
        if any(axis in wide for axis in group):
            order += group
            merged.append(math.prod(weights[axis] for axis in group))
        else:
            merged.append(1)
    known = [axis for axis in order if axis in wide]
    item = transposed(item, [axes.index(axis) for axis in known])
    if known != order:
        places = tuple(order.index(axis) for axis in known)
        item = broadcast_in_dim(item, tuple(weights[axis] for axis in order), places)
    return reshaped(item, tuple(merged))


def _mask(operand: Operand, attention: Attention, sizes: Sizes) -> Node:
    placed = _placed(operand, attention, sizes)
    return placed if operand.factor > 0 else make("not", placed)


def _bias(operand: Operand, attention: Attention, sizes: Sizes) -> Node:
    placed = _placed(operand, attention, sizes)
    if operand.factor == 1.0:
        return placed
    dtype = placed.type.dtype
    return multiply(placed, constant(np.asarray(operand.factor).astype(dtype)))


def _joined(operation: str, items: Sequence[Node]) -> Node | None:
    if not items:
        return None
    shapes = zip(*(item.type.shape for item in items), strict=True)
    shape = tuple(max(sizes) for sizes in shapes)
    joined, *rest = (_widened(item, shape) for item in items)
    for item in rest:
        joined = make(operation, joined, item)
    return joined


def _widened(item: Node, shape: Sequence[int | None]) -> Node:
    own = item.type.shape
    wanted = tuple(o if size is None else size for o, size in zip(own, shape, strict=True))
    if own == wanted:
        return item
    return broadcast_in_dim(item, wanted, tuple(range(len(own))))


def _is_own(band: tuple[int | None, int | None], sizes: Sizes) -> bool:
    """Whether cuDNN's kernel knows the band: causal, or causal with a window to the left."""
    return band[1] == 0 and sizes.rows == sizes.columns


def _band_mask(band: tuple[int | None, int | None], sizes: Sizes) -> Node:
    shape = (sizes.rows, sizes.columns)
    distance = make("sub", iota(shape, 1), iota(shape, 0))
    parts = [
        make(operation, distance, constant(np.int32(bound)))
        for operation, bound in zip(("ge", "le"), band, strict=True)
        if bound is not None
    ]
    mask = parts[0] if len(parts) == 1 else make("and", *parts)
    return reshaped(mask, (1, 1, *shape))
