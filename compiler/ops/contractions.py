"""Products: dot products of every layout, and convolutions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from xlathe.compiler.ir.node import Node
from xlathe.compiler.ir.types import Type, make_type
from xlathe.compiler.ops.table import MULTIPLY, Expression, Operation, Writer, register


def _infer_dot(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    left, right = types
    (left_axes, right_axes), (left_batch, right_batch) = attributes["dimension_numbers"]
    batch = tuple(left.shape[axis] for axis in left_batch)
    left_free = tuple(
        size for axis, size in enumerate(left.shape) if axis not in (*left_axes, *left_batch)
    )
    right_free = tuple(
        size for axis, size in enumerate(right.shape) if axis not in (*right_axes, *right_batch)
    )
    preferred = attributes.get("preferred_element_type")
    dtype = left.dtype if preferred is None else preferred
    return make_type((*batch, *left_free, *right_free), dtype, left.weak and right.weak)


def dot_flops(item: Node) -> float:
    """Two operations for each multiplication that a dot product makes."""
    (left_axes, _), _ = item["dimension_numbers"]
    contracted = math.prod(item.inputs[0].type.shape[axis] for axis in left_axes)
    return 2.0 * item.type.size * contracted


def convolution_flops(result: int, kernel: tuple[int, ...], outputs_axis: int) -> float:
    """The work of a convolution, from the size of its result and the shape of its kernel."""
    return 2.0 * result * math.prod(kernel) / max(1, kernel[outputs_axis])


def _flops_of_convolution(item: Node) -> float:
    kernel = item.inputs[1].type.shape
    return convolution_flops(item.type.size, kernel, item["dimension_numbers"].rhs_spec[0])


def _write_dot(item: Node, writer: Writer) -> Expression | None:
    left, right = item.inputs
    if item.attributes.get("out_sharding") is not None:
        return None
    numbers = item["dimension_numbers"]
    (left_axes, right_axes), (left_batch, _) = numbers
    if (
        item["precision"] is None
        and item["preferred_element_type"] in (None, item.type.dtype)
        and left.type.dtype == right.type.dtype == item.type.dtype
        and left.type.is_plain
        and right.type.is_plain
        and not left.type.weak
        and not right.type.weak
        and not left_batch
        and left_axes == (left.type.rank - 1,)
        and right_axes == (0,)
        and right.type.rank in (1, 2)
    ):
        return Expression(
            f"{writer.operand(left, MULTIPLY)} @ {writer.operand(right, MULTIPLY + 1)}", MULTIPLY
        )
    arguments = [writer.operand(left), writer.operand(right), repr(numbers)]
    if item["precision"] is not None:
        arguments.append(f"precision={writer.literal(item['precision'])}")
    if item["preferred_element_type"] is not None:
        arguments.append(f"preferred_element_type={writer.dtype(item['preferred_element_type'])}")
    return Expression(f"lax.dot_general({', '.join(arguments)})")


def _layouts(numbers: Any) -> str:
    """A convolution's dimension numbers as the letters that people know: `("NHWC", …)`."""
    spatial = "DHW"[3 - (len(numbers.lhs_spec) - 2) :] if len(numbers.lhs_spec) <= 5 else ""

    def letters(spec: tuple[int, ...], first_two: str) -> str:
        placed = dict(zip(spec, first_two + spatial, strict=True))
        return "".join(placed[axis] for axis in range(len(spec)))

    if not spatial and len(numbers.lhs_spec) != 2:
        return f"lax.{numbers!r}"
    specs = ((numbers.lhs_spec, "NC"), (numbers.rhs_spec, "OI"), (numbers.out_spec, "NC"))
    return repr(tuple(letters(tuple(spec), names) for spec, names in specs))


def _write_convolution(item: Node, writer: Writer) -> Expression | None:
    arguments = [
        writer.operand(item.inputs[0]),
        writer.operand(item.inputs[1]),
        f"window_strides={item['window_strides']}",
        f"padding={item['padding']}",
    ]
    rank = item.type.rank - 2
    defaults = {
        "lhs_dilation": (1,) * rank,
        "rhs_dilation": (1,) * rank,
        "feature_group_count": 1,
        "batch_group_count": 1,
        "precision": None,
        "preferred_element_type": None,
        "out_sharding": None,
    }
    arguments.append(f"dimension_numbers={_layouts(item['dimension_numbers'])}")
    if set(item.attributes) - {*defaults, "window_strides", "padding", "dimension_numbers"}:
        return None
    for name, default in defaults.items():
        value = item.attributes.get(name, default)
        # To NumPy, None is equal to float64.
        if value is not None if default is None else value != default:
            text = writer.dtype(value) if name == "preferred_element_type" else ""
            arguments.append(f"{name}={text or writer.literal(value)}")
    return Expression(f"lax.conv_general_dilated({', '.join(arguments)})")


register(
    Operation("dot_general", _infer_dot, dot_flops, _write_dot),
    Operation("conv_general_dilated", flops=_flops_of_convolution, write=_write_convolution),
)
