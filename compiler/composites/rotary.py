"""Rotary embedding: pairs of features turned by an angle that grows with the position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from xlathe.compiler.composites.form import Form, Readers, Reading, through
from xlathe.compiler.ir import Node

_CAST = frozenset(["convert_element_type"])


class _Pairs(NamedTuple):
    """How the two features of each pair are taken from an array.

    Attributes:
        x: the array.
        taken: as halves, by "split" or "slice", or as neighbours, by "stride" or "index".
    """

    x: Node
    taken: str


def _pairs(item: Node) -> _Pairs | None:
    """Read how the first or second features are taken."""
    item = through(item, _CAST)
    if item.operation == "get" and item.inputs[0].operation == "split":
        return _Pairs(item.inputs[0].inputs[0], "split")
    if item.operation == "slice":
        return _Pairs(item.inputs[0], "stride" if item["strides"] else "slice")
    if item.operation == "reshape" and item.inputs[0].operation == "slice":
        source = item.inputs[0].inputs[0]
        if source.operation == "reshape" and source.type.shape[-1] == 2:
            return _Pairs(source.inputs[0], "index")
    return None


def _both(item: Node) -> Iterator[tuple[Node, Node]]:
    yield item.inputs[0], item.inputs[1]
    yield item.inputs[1], item.inputs[0]


def _other(item: Node, known: Node) -> Node:
    """The operand that a node, or its cast, is multiplied by."""
    left, right = item.inputs
    is_left = left is known or (left.operation in _CAST and left.inputs[0] is known)
    return right if is_left else left


def _turned(pairs: _Pairs, cos: Node, sin: Node, root: Node, joined: str) -> Iterator[Reading]:
    # One angle for all is some other rotation.
    if all(angle.type.rank == pairs.x.type.rank for angle in (cos, sin)):
        leaves = (pairs.x, cos, sin)
        keywords = (("taken", pairs.taken), ("joined", joined))
        yield Reading(root, leaves, tuple(leaf.type for leaf in leaves), keywords)


def _by_parts(item: Node, readers: Readers) -> Iterator[Reading]:
    """Read `a * cos - b * sin` joined with `b * cos + a * sin`."""
    first = item.inputs[0]
    if len(item.inputs) != 2 or first.operation != "sub":
        return
    left, right = first.inputs
    if left.operation != "mul" or right.operation != "mul":
        return
    for one, cos in _both(left):
        pairs = _pairs(one)
        if pairs is None:
            continue
        for other, sin in _both(right):
            for root, joined in _roots(item, readers) if _pairs(other) == pairs else ():
                yield from _turned(pairs, cos, sin, root, joined)


def _by_rotated(item: Node, readers: Readers) -> Iterator[Reading]:
    """Read `x * cos + rotated * sin`, where `-b` and `a` are joined."""
    if len(item.inputs) != 2 or item.inputs[0].operation != "neg":
        return
    pairs = _pairs(item.inputs[1])
    if pairs is None:
        return
    for rotated, joined in _roots(item, readers):
        for product in _reading(rotated, "mul", readers):
            for root in _reading(product, "add", readers):
                for straight, known in _both(root):
                    if known is product and straight.operation == "mul":
                        cos, sin = _other(straight, pairs.x), _other(product, rotated)
                        yield from _turned(pairs, cos, sin, root, joined)


def _roots(item: Node, readers: Readers) -> Iterator[tuple[Node, str]]:
    """What two parts are joined to, and how."""
    if item.operation == "concatenate":
        yield item, "concatenate"
    for reader in dict.fromkeys(readers.get(item, ())) if item.operation == "stack" else ():
        if reader.operation == "reshape":
            yield reader, "pairs" if item["axis"] == item.type.rank - 1 else "halves"


def _reading(item: Node, operation: str, readers: Readers) -> Iterator[Node]:
    """What reads a node by an operation, past casts."""
    for reader in dict.fromkeys(readers.get(item, ())):
        if reader is not item and reader.operation in _CAST:
            yield from _reading(reader, operation, readers)
        elif reader is not item and reader.operation == operation:
            yield reader


def _take(x: jax.Array, taken: str) -> tuple[jax.Array, jax.Array]:
    if taken == "split":
        first, second = jnp.split(x, 2, axis=-1)
        return first, second
    if taken == "slice":
        half = x.shape[-1] // 2
        return x[..., :half], x[..., half:]
    if taken == "stride":
        return x[..., ::2], x[..., 1::2]
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    return pairs[..., 0], pairs[..., 1]


def _join(first: jax.Array, second: jax.Array, taken: str, joined: str) -> jax.Array:
    if (joined == "pairs") != (taken in ("stride", "index")):
        raise ValueError(f"what is taken by {taken} is not put back by {joined}")
    if joined == "concatenate":
        return jnp.concatenate([first, second], axis=-1)
    stacked = jnp.stack([first, second], axis=-1 if joined == "pairs" else -2)
    return stacked.reshape(*first.shape[:-1], -1)


def _parts(x: jax.Array, cos: jax.Array, sin: jax.Array, *, taken: str, joined: str) -> jax.Array:
    first, second = _take(x, taken)
    turned = first * cos - second * sin, second * cos + first * sin
    return _join(*turned, taken, joined)


def _rotated(x: jax.Array, cos: jax.Array, sin: jax.Array, *, taken: str, joined: str) -> jax.Array:
    first, second = _take(x, taken)
    return x * cos + _join(-second, first, taken, joined) * sin


FORMS = tuple(
    Form("rotary_embedding", function, anchor, read, operands=("x", "cos", "sin"))
    for function, read in ((_parts, _by_parts), (_rotated, _by_rotated))
    for anchor in ("concatenate", "stack")
)
