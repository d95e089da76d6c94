"""Random keys and bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xlathe.compiler.ir.node import Node
from xlathe.compiler.ir.types import Type, make_type
from xlathe.compiler.ops.table import Expression, Operation, Writer, register


def _infer_bits(types: Sequence[Type], attributes: Mapping[str, Any]) -> Type:
    dtype = np.dtype(f"uint{attributes['bit_width']}")
    return make_type((*types[0].shape, *attributes["shape"]), dtype)


def _implementation(item: Node) -> str | None:
    """The name of a key implementation that JAX itself registers; None for another."""
    name = getattr(item["impl"], "name", None)
    return name if name in ("threefry2x32", "rbg", "unsafe_rbg") else None


def _write_seed(item: Node, writer: Writer) -> Expression | None:
    name = _implementation(item)
    seed = item.inputs[0]
    if name is None or seed.type.shape or seed.type.weak:
        return None
    return Expression(f"jax.random.key({writer.operand(seed)}, impl={name!r})")


def _write_wrap(item: Node, writer: Writer) -> Expression | None:
    name = _implementation(item)
    if name is None:
        return None
    return Expression(f"jax.random.wrap_key_data({writer.operand(item.inputs[0])}, impl={name!r})")


def _write_unwrap(item: Node, writer: Writer) -> Expression | None:
    return Expression(f"jax.random.key_data({writer.operand(item.inputs[0])})")


register(
    Operation("random_bits", _infer_bits),
    Operation("random_seed", write=_write_seed),
    Operation("random_wrap", write=_write_wrap),
    Operation("random_unwrap", write=_write_unwrap),
)
