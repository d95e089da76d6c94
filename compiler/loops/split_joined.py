"""A product over a joined axis becomes the sum of products over its parts.

Many write a recurrent cell as `concatenate([x, h]) @ W`. The product depends on the carry as a
whole; as `x @ W[:n] + h @ W[n:]` only its second part does.
"""

from __future__ import annotations

from collections.abc import Sequence

from xlathe.compiler.ir import Node
from xlathe.compiler.ir.rewrite import Replacement, rewrite
from xlathe.compiler.loops.parts import Scan, depending
from xlathe.compiler.ops.build import make


def split_joined(scan: Scan) -> Scan:
    """Split products over what is joined of parts that depend on the carry and parts that do not.

    Args:
        scan: the scan. Only products with what is the same in every turn are split.

    Returns:
        The scan; the same object if there is no such product.
    """
    body = scan.body
    carried = depending(body, [port.inner for port in scan.carries])
    varying = carried | depending(body, [port.inner for port in scan.xs])
    joined = [item for item in body.nodes if _splits(item, carried, varying) is not None]
    if not joined:
        return scan
    originals = iter([item for item in body.nodes if item.operation != "get"])

    def change(item: Node) -> Replacement:
        original = next(originals)
        side = _splits(original, carried, varying)
        if side is None:
            return None
        return _split(item, side, [part in carried for part in original.inputs[side].inputs])

    return scan.with_body(rewrite(body, change))


def _splits(item: Node, carried: set[Node], varying: set[Node]) -> int | None:
    """Which side of a product is joined along the one axis that it sums over."""
    if item.operation != "dot_general" or item.attributes.get("out_sharding") is not None:
        return None
    axes, _ = item["dimension_numbers"]
    for side, source in enumerate(item.inputs):
        parts = [part in carried for part in source.inputs]
        if (
            source.operation == "concatenate"
            and axes[side] == (source["dimension"],)
            and any(parts)
            and not all(parts)
            and any(part in varying and part not in carried for part in source.inputs)
            and item.inputs[1 - side] not in varying
            and item.inputs[1 - side].type.is_plain
        ):
            return side
    return None


def _split(item: Node, side: int, carried: Sequence[bool]) -> Node:
    joined, other = item.inputs[side], item.inputs[1 - side]
    axes, _ = item["dimension_numbers"]
    starts = [0]
    for part in joined.inputs:
        starts.append(starts[-1] + part.type.shape[joined["dimension"]])
    products = []
    for kind in (False, True):
        places = [place for place, is_carried in enumerate(carried) if is_carried is kind]
        left = _join([joined.inputs[place] for place in places], joined["dimension"])
        right = _join(
            [_rows(other, axes[1 - side][0], starts[p], starts[p + 1]) for p in places],
            axes[1 - side][0],
        )
        inputs = (left, right) if side == 0 else (right, left)
        products.append(make("dot_general", *inputs, **item.attributes))
    return make("add", *products)


def _join(parts: Sequence[Node], axis: int) -> Node:
    return parts[0] if len(parts) == 1 else make("concatenate", *parts, dimension=axis)


def _rows(source: Node, axis: int, start: int, stop: int) -> Node:
    shape = source.type.shape
    return make(
        "slice",
        source,
        start_indices=tuple(start if a == axis else 0 for a in range(len(shape))),
        limit_indices=tuple(stop if a == axis else size for a, size in enumerate(shape)),
        strides=None,
    )
