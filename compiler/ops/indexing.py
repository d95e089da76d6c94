"""Operations that read and write at computed positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xlathe.compiler.ir.node import Node
from xlathe.compiler.ir.types import Type
from xlathe.compiler.ops.table import Expression, Operation, Write, Writer, register


def _write_gather(item: Node, writer: Writer) -> Expression | None:
    operand, indices = (writer.operand(source) for source in item.inputs)
    arguments = [operand, indices]
    arguments.append(f"dimension_numbers={writer.literal(item['dimension_numbers'])}")
    arguments.append(f"slice_sizes={item['slice_sizes']}")
    for name in ("unique_indices", "indices_are_sorted"):
        if item[name]:
            arguments.append(f"{name}=True")
    arguments.append(f"mode={writer.literal(item['mode'])}")
    if item["fill_value"] is not None:
        arguments.append(f"fill_value={writer.literal(item['fill_value'])}")
    return Expression(f"lax.gather({', '.join(arguments)})")


def _scatter(name: str) -> Write:
    def write(item: Node, writer: Writer) -> Expression | None:
        # A scatter with a combiner of the user's own keeps it as an attribute.
        if "update_jaxpr" in item.attributes or len(item.inputs) != 3:
            return None
        arguments = [writer.operand(source) for source in item.inputs]
        arguments.append(writer.literal(item["dimension_numbers"]))
        for option in ("indices_are_sorted", "unique_indices"):
            if item[option]:
                arguments.append(f"{option}=True")
        arguments.append(f"mode={writer.literal(item['mode'])}")
        return Expression(f"lax.{name}({', '.join(arguments)})")

    return write


def _infer_first(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    return types[0]


def _update_size(item: Node) -> float:
    return item.inputs[2].type.size


SCATTERS = ("scatter", "scatter_add", "scatter_mul", "scatter_min", "scatter_max")
"""The scatters whose combiner follows from their name."""

register(Operation("gather", write=_write_gather, moves_only=True))
for _name in SCATTERS:
    register(Operation(_name, _infer_first, _update_size, _scatter(_name)))
