"""JAX primitives by name: where the public API has them, and their types by JAX's own rules."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import jax
import jax.extend.core.primitives as public_primitives
from jax import lax

from xlathe.compiler.ir.graph import unwrap
from xlathe.compiler.ir.node import Node
from xlathe.compiler.ir.types import TOKEN, Type, make_type
from xlathe.compiler.ops.assume import ASSUME

OWN_OPERATIONS = frozenset(
    "parameter constant token get equation custom_jvp custom_vjp linear_solve".split()
)
"""Operations of the graph whose names are not left to JAX's primitives."""


@cache
def operation_name(primitive: Any) -> str:
    """A primitive's name as the graph spells it, an identifier: `scatter-add` is `scatter_add`.

    A primitive that only shares its name with one of JAX's, or with an operation of the graph's
    own, is another operation: `other_neg`.
    """
    name = _spelled(primitive)
    return name if public_primitive(name) in (None, primitive) else f"other_{name}"


def _spelled(primitive: Any) -> str:
    name = re.sub(r"\W", "_", primitive.name)
    return f"other_{name}" if name in OWN_OPERATIONS else name


@cache
def _public() -> dict[str, tuple[str, Any]]:
    found: dict[str, tuple[str, Any]] = {ASSUME.name: ("", ASSUME)}
    for prefix, module in (("primitives", public_primitives), ("lax", lax)):
        for attribute in dir(module):
            if attribute.endswith("_p"):
                primitive = getattr(module, attribute)
                found[_spelled(primitive)] = (f"{prefix}.{attribute}", primitive)
    return found


def public_name(operation: str) -> str | None:
    """How the public API spells a primitive, such as `lax.exp_p`; None if it has no name there."""
    entry = _public().get(operation)
    return (entry[0] or None) if entry else None


def public_primitive(operation: str) -> Any:
    """The primitive of this name in the public API, or of our own; None if there is none."""
    entry = _public().get(operation)
    return entry[1] if entry else None


def primitive_of(item: Node) -> Any:
    """The JAX primitive that a node applies; None for an operation that is no primitive."""
    carried = item.attributes.get("primitive")
    return unwrap(carried) if carried is not None else public_primitive(item.operation)


def bind_parameters(item: Node) -> dict[str, Any]:
    """The parameters with which JAX binds this node's primitive."""
    return {
        name: unwrap(value)
        for name, value in item.attributes.items()
        if name not in ("primitive", "draw")
    }


def infer_by_jax(item: Node) -> tuple[Type, ...] | None:
    """The result types of a node by JAX's abstract evaluation; None where that cannot be asked.

    It cannot for a node with effects, with nested graphs, or with types that only JAX can build.
    """
    primitive = primitive_of(item)
    if primitive is None or any(not _is_struct(source.type) for source in item.inputs):
        return None
    parameters = bind_parameters(item)
    arguments = [
        jax.ShapeDtypeStruct(source.type.shape, source.type.dtype, weak_type=source.type.weak)
        for source in item.inputs
    ]
    structs = jax.eval_shape(lambda *values: primitive.bind(*values, **parameters), *arguments)
    structs = structs if isinstance(structs, list | tuple) else (structs,)
    return tuple(make_type(s.shape, s.dtype, bool(s.weak_type)) for s in structs)


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, Type) and type_ is not TOKEN and type_.extra is None
