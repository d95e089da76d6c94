"""Operations that reduce axes, and those that accumulate along one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xlathe.compiler.ir.node import Node
from xlathe.compiler.ir.types import Type, make_type
from xlathe.compiler.ops.table import ATOM, Expression, Operation, Write, Writer, register


def _reduced(type_: Type, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for axis, size in enumerate(type_.shape) if axis not in axes)


def _infer_reduction(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    return make_type(_reduced(types[0], attributes["axes"]), types[0].dtype, types[0].weak)


def _infer_index(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    return make_type(_reduced(types[0], attributes["axes"]), attributes["index_dtype"], False)


def _input_size(item: Node) -> float:
    return item.inputs[0].type.size


def axis_arguments(axes: tuple[int, ...], rank: int) -> str:
    """The `axis=` of a reduction as a person writes it: empty for all axes, -1 for the last."""
    if len(axes) == rank:
        return ""
    if axes == (rank - 1,):
        return "axis=-1"
    return f"axis={axes[0] if len(axes) == 1 else axes}"


def write_reduction(
    item: Node, writer: Writer, name: str, kinds: str, keepdims: bool = False
) -> Expression | None:
    """Write `x.sum(axis=-1)`, for the dtype kinds in which jnp adds no cast of its own."""
    source = item.inputs[0]
    if item.attributes.get("out_sharding") is not None or not source.type.is_plain:
        return None
    if source.type.dtype.kind not in kinds or source.type.dtype == np.float16:
        return None
    if not item["axes"] or source.type.weak or source.is_constant or source.type.size == 0:
        return None
    arguments = axis_arguments(item["axes"], source.type.rank)
    if keepdims:
        arguments = f"{arguments}, keepdims=True" if arguments else "keepdims=True"
    return Expression(f"{writer.operand(source, ATOM)}.{name}({arguments})")


def _method(name: str, kinds: str) -> Write:
    return lambda item, writer: write_reduction(item, writer, name, kinds)


def keeps_dimensions(item: Node) -> bool:
    """Whether a broadcast gives a reduction back the axes it removed, with size one."""
    if item.operation != "broadcast_in_dim":
        return False
    source = item.inputs[0]
    return (
        source.operation in REDUCTIONS
        and item.attributes.get("sharding") is None
        and item["broadcast_dimensions"]
        == tuple(a for a in range(item.type.rank) if a not in source["axes"])
        and item.type.rank == source.inputs[0].type.rank
        and all(item["shape"][axis] == 1 for axis in source["axes"])
    )


def write_keeping_dimensions(item: Node, writer: Writer) -> Expression | None:
    """Write `x.sum(axis=-1, keepdims=True)` for a broadcast that `keeps_dimensions`."""
    source = item.inputs[0]
    make, name, kinds = REDUCTIONS[source.operation]
    if make is None or not writer.is_inlined(source):
        return None
    return write_reduction(source, writer, name, kinds, keepdims=True)


def write_mean(item: Node, writer: Writer) -> Expression | None:
    """Write a sum divided by its count as `x.mean(axis=-1)`."""
    total, count = item.inputs
    keepdims = keeps_dimensions(total)
    inner = total.inputs[0] if keepdims else total
    if inner.operation != "reduce_sum" or not count.is_constant or count.type.shape:
        return None
    if not writer.is_inlined(total) or (keepdims and not writer.is_inlined(inner)):
        return None
    source = inner.inputs[0].type
    if not source.is_plain or source.dtype not in (np.float32, np.float64) or count.type.weak:
        return None
    if float(count.value) != source.size / max(1, inner.type.size):
        return None
    return write_reduction(inner, writer, "mean", "f", keepdims)


def _write_argument(name: str) -> Write:
    def write(item: Node, writer: Writer) -> Expression | None:
        dtype = writer.dtype(item["index_dtype"])
        operand = writer.operand(item.inputs[0])
        return Expression(f"lax.{name}({operand}, {item['axes'][0]}, {dtype})")

    return write


def _write_cumulative(name: str) -> Write:
    def write(item: Node, writer: Writer) -> Expression | None:
        end = ", reverse=True" if item["reverse"] else ""
        return Expression(f"lax.{name}({writer.operand(item.inputs[0])}, {item['axis']}{end})")

    return write


def _same(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    return types[0]


def _window_flops(item: Node) -> float:
    window: Sequence[int] = item.attributes.get("window_dimensions", (1,))
    return float(item.types[0].size * np.prod(window))


def _sort_flops(item: Node) -> float:
    size = max(2, item.inputs[0].type.size)
    return size * float(np.log2(size))


REDUCTIONS: dict[str, tuple[Callable[[str, str], Write] | None, str, str]] = {
    "reduce_sum": (_method, "sum", "fc"),
    "reduce_prod": (_method, "prod", "fc"),
    "reduce_max": (_method, "max", "fiu"),
    "reduce_min": (_method, "min", "fiu"),
    "reduce_and": (_method, "all", "b"),
    "reduce_or": (_method, "any", "b"),
    "reduce_xor": (None, "", ""),
}

for _name, (_make, _spelling, _kinds) in REDUCTIONS.items():
    _written = _make(_spelling, _kinds) if _make else None
    register(Operation(_name, _infer_reduction, _input_size, _written))
for _name in ("argmax", "argmin"):
    register(Operation(_name, _infer_index, _input_size, _write_argument(_name)))
for _name in ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"):
    register(Operation(_name, _same, write=_write_cumulative(_name)))
for _name in ("reduce_window_sum", "reduce_window_max", "reduce_window_min", "reduce_window"):
    register(Operation(_name, flops=_window_flops))
register(Operation("sort", flops=_sort_flops))
