"""Operations that move, cut, join and make arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from xlathe.compiler.ir.node import Node
from xlathe.compiler.ir.types import Type, make_type
from xlathe.compiler.ops.reductions import keeps_dimensions, write_keeping_dimensions
from xlathe.compiler.ops.table import ATOM, Expression, Operation, Writer, register


def _infer_shaped(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    return make_type(attributes["shape"], types[0].dtype, types[0].weak)


def _infer_reshape(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    if math.prod(attributes["new_sizes"]) != types[0].size:
        raise TypeError(f"{types[0]} has not the elements of {attributes['new_sizes']}")
    return make_type(attributes["new_sizes"], types[0].dtype, types[0].weak)


def _infer_transpose(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    shape = tuple(types[0].shape[axis] for axis in attributes["permutation"])
    return make_type(shape, types[0].dtype, types[0].weak)


def _infer_squeeze(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    dropped = {axis % types[0].rank for axis in attributes["dimensions"]}
    shape = tuple(size for axis, size in enumerate(types[0].shape) if axis not in dropped)
    return make_type(shape, types[0].dtype, types[0].weak)


def _infer_slice(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    starts, limits = attributes["start_indices"], attributes["limit_indices"]
    strides = attributes["strides"] or (1,) * len(starts)
    shape = tuple(
        max(0, -(-(limit - start) // stride))
        for start, limit, stride in zip(starts, limits, strides, strict=True)
    )
    return make_type(shape, types[0].dtype, types[0].weak)


def _infer_concatenate(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    axis = attributes["dimension"]
    shape = list(types[0].shape)
    shape[axis] = sum(type_.shape[axis] for type_ in types)
    return make_type(tuple(shape), types[0].dtype, all(type_.weak for type_ in types))


def _infer_pad(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    shape = tuple(
        low + size + max(0, size - 1) * interior + high
        for size, (low, high, interior) in zip(
            types[0].shape, attributes["padding_config"], strict=True
        )
    )
    return make_type(shape, types[0].dtype, all(type_.weak for type_ in types))


def _infer_iota(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    return make_type(attributes["shape"], attributes["dtype"], False)


def _infer_dynamic_slice(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    return make_type(attributes["slice_sizes"], types[0].dtype, types[0].weak)


def _infer_first(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    return types[0]


def adds_leading_axes(item: Node) -> bool:
    """Whether a broadcast only puts axes of size one in front, as NumPy's own broadcasting does."""
    if item.operation != "broadcast_in_dim" or not item.inputs[0].type.shape:
        return False
    shape, source = item["shape"], item.inputs[0].type.shape
    added = len(shape) - len(source)
    return (
        added > 0
        and item["broadcast_dimensions"] == tuple(range(added, len(shape)))
        and shape == (1,) * added + source
        and item.attributes.get("sharding") is None
    )


def _write_broadcast(item: Node, writer: Writer) -> Expression | None:
    source = item.inputs[0]
    shape, axes = item["shape"], item["broadcast_dimensions"]
    if item.attributes.get("sharding") is not None or not source.type.is_plain:
        return None
    if len(item.inputs) > 1:
        return None
    if keeps_dimensions(item):
        kept = write_keeping_dimensions(item, writer)
        if kept is not None:
            return kept
    added = [axis for axis in range(len(shape)) if axis not in axes]
    if source.type.rank and source.type.shape == tuple(shape[axis] for axis in axes):
        if added and all(shape[axis] == 1 for axis in added):
            axis = f"{added[0]}" if len(added) == 1 else f"({', '.join(map(str, added))})"
            return Expression(f"jnp.expand_dims({writer.operand(source)}, {axis})")
    if source.is_constant and not source.type.weak and not source.type.shape:
        return Expression(f"lax.full({shape}, {writer.operand(source)})")
    return Expression(f"lax.broadcast_in_dim({writer.operand(source)}, {shape}, {axes})")


def _write_reshape(item: Node, writer: Writer) -> Expression | None:
    if item.attributes.get("sharding") is not None or item.attributes.get("dimensions"):
        return None
    source, *dynamic_sizes = item.inputs
    if dynamic_sizes or source.is_constant:
        return None
    sizes = ", ".join(map(str, item["new_sizes"])) or "()"
    return Expression(f"{writer.operand(source, ATOM)}.reshape({sizes})")


def _write_transpose(item: Node, writer: Writer) -> Expression | None:
    if item.inputs[0].is_constant:
        return None
    operand = writer.operand(item.inputs[0], ATOM)
    permutation = item["permutation"]
    if permutation == (1, 0):
        return Expression(f"{operand}.T")
    return Expression(f"{operand}.transpose({', '.join(map(str, permutation))})")


def _write_squeeze(item: Node, writer: Writer) -> Expression | None:
    return Expression(f"lax.squeeze({writer.operand(item.inputs[0])}, {item['dimensions']})")


def _write_slice(item: Node, writer: Writer) -> Expression | None:
    strides = item["strides"]
    end = f", {strides}" if strides is not None else ""
    return Expression(
        f"lax.slice({writer.operand(item.inputs[0])}, {item['start_indices']}, "
        f"{item['limit_indices']}{end})"
    )


def _write_concatenate(item: Node, writer: Writer) -> Expression | None:
    operands = ", ".join(writer.operand(source) for source in item.inputs)
    return Expression(f"lax.concatenate([{operands}], {item['dimension']})")


def _write_pad(item: Node, writer: Writer) -> Expression | None:
    array, filling = (writer.operand(source) for source in item.inputs)
    return Expression(f"lax.pad({array}, {filling}, {item['padding_config']})")


def _write_iota(item: Node, writer: Writer) -> Expression | None:
    if item.attributes.get("sharding") is not None or item.inputs:
        return None
    dtype = writer.dtype(item["dtype"])
    if item.type.rank == 1:
        return Expression(f"lax.iota({dtype}, {item['shape'][0]})")
    return Expression(f"lax.broadcasted_iota({dtype}, {item['shape']}, {item['dimension']})")


def _starts(items: Sequence[Node], writer: Writer) -> str | None:
    """The positions of a slice; None where lax refuses a known one, which the primitive clamps."""
    if any(item.is_constant and int(item.value) < 0 for item in items):
        return None
    return f"({''.join(f'{writer.operand(item)}, ' for item in items)})"


def _write_dynamic_slice(item: Node, writer: Writer) -> Expression | None:
    operand, *starts = item.inputs
    positions = _starts(starts, writer)
    if positions is None:
        return None
    return Expression(
        f"lax.dynamic_slice({writer.operand(operand)}, {positions}, "
        f"{item['slice_sizes']}, allow_negative_indices=False)"
    )


def _write_dynamic_update(item: Node, writer: Writer) -> Expression | None:
    operand, update, *starts = item.inputs
    positions = _starts(starts, writer)
    if positions is None:
        return None
    return Expression(
        f"lax.dynamic_update_slice({writer.operand(operand)}, {writer.operand(update)}, "
        f"{positions}, allow_negative_indices=False)"
    )


def _write_reverse(item: Node, writer: Writer) -> Expression | None:
    return Expression(f"lax.rev({writer.operand(item.inputs[0])}, {item['dimensions']})")


def _write_barrier(item: Node, writer: Writer) -> Expression | None:
    if isinstance(item.type, tuple):
        return None
    return Expression(f"lax.optimization_barrier({writer.operand(item.inputs[0])})")


register(
    Operation("parameter", moves_only=True),
    Operation("constant", moves_only=True),
    Operation("token", moves_only=True),
    Operation("get", moves_only=True),
    Operation("broadcast_in_dim", _infer_shaped, write=_write_broadcast, moves_only=True),
    Operation("reshape", _infer_reshape, write=_write_reshape, moves_only=True),
    Operation("transpose", _infer_transpose, write=_write_transpose, moves_only=True),
    Operation("squeeze", _infer_squeeze, write=_write_squeeze, moves_only=True),
    Operation("slice", _infer_slice, write=_write_slice, moves_only=True),
    Operation("concatenate", _infer_concatenate, write=_write_concatenate, moves_only=True),
    Operation("pad", _infer_pad, write=_write_pad, moves_only=True),
    Operation("iota", _infer_iota, write=_write_iota, moves_only=True),
    Operation("rev", _infer_first, write=_write_reverse, moves_only=True),
    Operation("dynamic_slice", _infer_dynamic_slice, write=_write_dynamic_slice, moves_only=True),
    Operation("dynamic_update_slice", _infer_first, write=_write_dynamic_update, moves_only=True),
    Operation("optimization_barrier", write=_write_barrier, moves_only=True),
)
