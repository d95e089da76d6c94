"""Attention by a kernel: queries, keys, values as batch, position, head, depth.

`attention` and `attention_grad` hold what they stand for as a graph; `attention_kernel` and its
gradient are what a target runs in their place. A gradient reads the kernel's result, so that the
two share one `jax.vjp` in the program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xlathe.compiler.ir.node import Node
from xlathe.compiler.ir.types import Type, make_type
from xlathe.compiler.ops.table import Operation, register


def _infer_kernel(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    query, value = types[0], types[2]
    return make_type((*query.shape[:3], value.shape[3]), query.dtype)


def _kernel_flops(item: Node) -> float:
    query, key, value = (source.type.shape for source in item.inputs[:3])
    return 2.0 * query[0] * query[1] * query[2] * key[1] * (query[3] + value[3])


def _infer_gradient(types: Sequence[Type], attributes: Mapping[str, Any]) -> Any:
    return attributes["types"]


def _gradient_flops(item: Node) -> float:
    # The scores once more, and four further products of their size.
    return 2.5 * _kernel_flops(item.inputs[0])


register(
    Operation("attention_kernel", _infer_kernel, _kernel_flops),
    Operation("attention_kernel_grad", _infer_gradient, _gradient_flops),
)
