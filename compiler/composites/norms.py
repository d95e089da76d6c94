"""Normalisations: layer, RMS and group norm, with or without a scale and a bias."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from xlathe.compiler.composites.form import (
    MOVES,
    Extension,
    Form,
    Keywords,
    Readers,
    Reading,
    axis_of,
    number,
    through,
)
from xlathe.compiler.ir import Node

Axis = int | tuple[int, ...]

_CAST = frozenset(["convert_element_type"])


class _Spread(NamedTuple):
    """What a root is taken of.

    Attributes:
        x: the array that is normalised.
        axes: the axes that the mean is taken along.
        epsilon: what is added to it.
        is_centred: whether it is the variance, no mean of squares.
        is_fast: whether it is the mean of squares less the square of the mean.
        is_clipped: whether it is kept from being negative.
    """

    x: Node
    axes: Axis
    epsilon: float
    is_centred: bool
    is_fast: bool
    is_clipped: bool


def _spread(item: Node) -> Iterator[_Spread]:
    """Read what a square root is taken of."""
    added = through(item.inputs[0], MOVES)
    if added.operation != "add":
        return
    for mean, least in (added.inputs, added.inputs[::-1]):
        epsilon = number(least)
        if epsilon is None:
            continue
        mean = through(mean, MOVES)
        is_clipped = mean.operation == "max"
        if is_clipped:
            mean = through(mean.inputs[mean.inputs[0].is_constant], MOVES)
        is_fast = mean.operation == "sub"
        if is_fast:
            mean = through(mean.inputs[0], MOVES)
        total = through(mean.inputs[0], MOVES) if mean.operation == "div" else mean
        if total.operation != "reduce_sum":
            continue
        squares = through(total.inputs[0], MOVES)
        if squares.operation not in ("mul", "square"):
            continue
        x = squares.inputs[0]
        axes = axis_of(total["axes"], x.type.rank)
        if x.operation == "sub" and not is_fast:
            yield _Spread(x.inputs[0], axes, epsilon, True, False, is_clipped)
        yield _Spread(x, axes, epsilon, is_fast, is_fast, is_clipped)


def _normalised(
    x: jax.Array,
    scale: jax.Array | None = None,
    *,
    axis: Axis,
    epsilon: float,
    centred: bool,
    fast: bool,
    clipped: bool,
    divided: bool,
) -> jax.Array:
    """The reference of all normalisations that are no function of `jax.nn`."""
    mean = x.mean(axis, keepdims=True)
    shifted = x - mean if centred else x
    if fast:
        spread = jnp.square(x).mean(axis, keepdims=True) - jnp.square(mean)
    else:
        spread = jnp.square(shifted).mean(axis, keepdims=True)
    if clipped:
        spread = jnp.maximum(spread, 0)
    if divided:
        return shifted / jnp.sqrt(spread + epsilon)
    factor = lax.rsqrt(spread + epsilon)
    return shifted * (factor if scale is None else factor * scale)


def _keywords(spread: _Spread, is_divided: bool) -> tuple[tuple[str, object], ...]:
    return (
        ("axis", spread.axes),
        ("epsilon", spread.epsilon),
        ("centred", spread.is_centred),
        ("fast", spread.is_fast),
        ("clipped", spread.is_clipped),
        ("divided", is_divided),
    )


def _quotients(item: Node, readers: Readers, is_divided: bool) -> Iterator[tuple[Node, Node]]:
    """The products with a reciprocal root, or quotients by a root, and what is multiplied."""
    for reader in dict.fromkeys(readers.get(item, ())):
        if reader is item:
            continue
        if reader.operation in MOVES:
            yield from _quotients(reader, readers, is_divided)
        elif reader.operation == ("div" if is_divided else "mul"):
            left, right = reader.inputs
            if right is item:
                yield reader, left
            elif not is_divided:
                yield reader, right


def _by_library(item: Node, readers: Readers) -> Iterator[Reading]:
    for spread in _spread(item):
        if spread.is_centred and spread.is_fast == spread.is_clipped:
            keywords = [("axis", spread.axes), ("epsilon", spread.epsilon)]
            if not spread.is_fast:
                keywords.append(("algorithm", "stable"))
            for root, other in _quotients(item, readers, is_divided=False):
                if other.operation == "sub" and other.inputs[0] is spread.x:
                    yield Reading(root, (spread.x,), (spread.x.type,), tuple(keywords))


def _by_root(is_centred: bool, is_divided: bool):
    """Read `x * rsqrt(...)` or `x / sqrt(...)`."""

    def read(item: Node, readers: Readers) -> Iterator[Reading]:
        for spread in _spread(item):
            if spread.is_centred != is_centred:
                continue
            for root, other in _quotients(item, readers, is_divided):
                if (other.inputs[:1] == (spread.x,)) if is_centred else (other is spread.x):
                    keywords = _keywords(spread, is_divided)
                    yield Reading(root, (spread.x,), (spread.x.type,), keywords)

    return read


def _by_scaled_root(is_centred: bool):
    """Read `x * (rsqrt(...) * scale)`."""

    def read(item: Node, readers: Readers) -> Iterator[Reading]:
        for spread in _spread(item):
            if spread.is_centred != is_centred:
                continue
            keywords = _keywords(spread, is_divided=False)
            for scaled, scale in _quotients(item, readers, is_divided=False):
                for root, _ in _quotients(scaled, readers, is_divided=False):
                    types = (spread.x.type, scale.type)
                    yield Reading(root, (spread.x, scale), types, keywords)

    return read


def _with_scale(reading: Reading, leaves: tuple[Node, ...], readers: Readers) -> Extension | None:
    """The scale and the bias that follow a normalisation along the last axes."""
    axes = dict(reading.keywords)["axis"]
    x, *scales = leaves
    rank = x.type.rank
    axes = sorted(axis % rank for axis in (axes if isinstance(axes, tuple) else (axes,)))
    if axes[-1] != rank - 1 or axes != list(range(axes[0], rank)):
        return _of_groups(reading, x, axes, readers)
    found = _scaled(reading.root, x, scales, axes, readers)
    if found is None:
        return None
    root, known = found
    if not known:
        return _of_groups(reading, x, axes, readers)
    name = "layer_norm" if dict(reading.keywords).get("centred", True) else "rms_norm"
    return Extension(name, root, (x, *known), ("x", "scale", "bias")[: 1 + len(known)])


def _scaled(
    root: Node, x: Node, scales: Sequence[Node], axes: Sequence[int], readers: Readers
) -> tuple[Node, list[Node]] | None:
    """The last node after a scale and a bias, and these; None where a scale varies otherwise."""
    rank = x.type.rank
    parameters = [_parameter(scale, axes, rank) for scale in scales]
    for operation in ("mul", "add")[len(scales) :]:
        found = next(
            (
                (reader, parameter)
                for reader, other in _next(root, readers, operation)
                if (parameter := _parameter(other, axes, rank)) is not None
            ),
            None,
        )
        if found is None:
            break
        root = found[0]
        parameters.append(found[1])
    known = [parameter for parameter in parameters if parameter is not None]
    return (root, known) if len(known) == len(parameters) else None


def _next(item: Node, readers: Readers, operation: str) -> Iterator[tuple[Node, Node]]:
    """The readers of a node by an operation, past a cast, each with its other operand."""
    for reader in dict.fromkeys(readers.get(item, ())):
        if reader is item:
            continue
        if reader.operation == "convert_element_type":
            yield from _next(reader, readers, operation)
        elif reader.operation == operation:
            left, right = reader.inputs
            yield reader, right if left is item else left


def _parameter(item: Node, axes: Sequence[int], rank: int) -> Node | None:
    """The array that holds a number for each place along the axes, and varies along no other."""
    if item.type.rank != rank or not set(axes).issuperset(_varying(item)):
        return None
    source = through(item, frozenset(["broadcast_in_dim", "reshape"]))
    return None if source.is_constant or not source.type.shape else source


def _varying(item: Node) -> list[int]:
    """The axes along which an array may vary."""
    if item.operation != "broadcast_in_dim":
        return [axis for axis, size in enumerate(item.type.shape) if size != 1]
    sizes = zip(item["broadcast_dimensions"], item.inputs[0].type.shape, strict=True)
    return [axis for axis, size in sizes if size != 1]


def _of_groups(
    reading: Reading, grouped: Node, axes: Sequence[int], readers: Readers
) -> Extension | None:
    """The group norm that normalises what an array is reshaped to, and reshapes it back."""
    channels = _channels(grouped, axes)
    root = _reshaped(reading.root, readers)
    is_centred = dict(reading.keywords).get("centred", True)
    if channels is None or root is None or not is_centred or len(reading.leaves) > 1:
        return None
    x = through(grouped, _CAST).inputs[0]
    return _group_norm(root, x, (), channels, readers) if root.type.shape == x.type.shape else None


def _group_norm(
    root: Node, x: Node, scales: Sequence[Node], channels: int, readers: Readers
) -> Extension | None:
    found = _scaled(root, x, scales, [channels], readers)
    if found is None:
        return None
    root, known = found
    return Extension("group_norm", root, (x, *known), ("x", "scale", "bias")[: 1 + len(known)])


def _channels(grouped: Node, axes: Sequence[int]) -> int | None:
    """The axis of the channels whose groups have one mean each, for each example, if they have."""
    grouped = through(grouped, _CAST)
    if grouped.operation != "reshape":
        return None
    shape, split = grouped.inputs[0].type.shape, grouped.type.shape
    kept = [axis for axis in range(len(split)) if axis not in axes]
    at = kept[-1] if kept else 0
    if kept != sorted({0, at}) or at >= len(shape) or split[:at] != shape[:at]:
        return None
    return at if shape[at] > split[at] and shape[at] % split[at] == 0 else None


def _reshaped(item: Node, readers: Readers) -> Node | None:
    """The reshape that reads a node, past casts."""
    for reader in dict.fromkeys(readers.get(item, ())):
        if reader is not item and reader.operation == "reshape":
            return reader
        if reader is not item and reader.operation == "convert_element_type":
            return _reshaped(reader, readers)
    return None


def _spread_back(
    x: jax.Array,
    scale: jax.Array | None = None,
    *,
    groups: int,
    epsilon: float,
    fast: bool,
    reshaped: bool,
) -> jax.Array:
    """As Flax writes group norm: the means of groups are repeated for each channel."""
    size = x.shape[-1] // groups
    grouped = x.reshape(*x.shape[:-1], groups, size)
    grouped = grouped.astype(jnp.promote_types(x.dtype, jnp.float32))
    between = tuple(range(1, x.ndim - 1))
    axes = (*between, x.ndim)
    mean = grouped.mean(axes)
    if fast:
        spread = jnp.maximum(0, jnp.square(grouped).mean(axes) - jnp.square(mean))
    else:
        spread = jnp.square(grouped - jnp.expand_dims(mean, axes)).mean(axes)
    mean, spread = (jnp.repeat(y, size, axis=-1) for y in (mean, spread))
    if reshaped:
        shape = (x.shape[0], *[1 for _ in between], x.shape[-1])
        mean, spread = mean.reshape(shape), spread.reshape(shape)
    else:
        mean, spread = jnp.expand_dims(mean, between), jnp.expand_dims(spread, between)
    factor = lax.rsqrt(spread + epsilon)
    return (x - mean) * (factor if scale is None else factor * scale)


def _by_flax(item: Node, readers: Readers) -> Iterator[Reading]:
    """Read `(x - mean) * rsqrt(...)`."""
    for keywords, x in _by_channel(item):
        for root, other in _quotients(item, readers, is_divided=False):
            if _is_less(other, x):
                yield Reading(root, (x,), (x.type,), keywords)


def _by_scaled_flax(item: Node, readers: Readers) -> Iterator[Reading]:
    """Read `(x - mean) * (rsqrt(...) * scale)`."""
    for keywords, x in _by_channel(item):
        for scaled, scale in _quotients(item, readers, is_divided=False):
            for root, other in _quotients(scaled, readers, is_divided=False):
                if _is_less(other, x):
                    yield Reading(root, (x, scale), (x.type, scale.type), keywords)


def _is_less(item: Node, x: Node) -> bool:
    """Whether a node is an array less something."""
    return item.operation == "sub" and through(item.inputs[0], _CAST) is through(x, _CAST)


def _by_channel(item: Node) -> Iterator[tuple[Keywords, Node]]:
    """Read how the channels of an array may have been put in groups for a root."""
    for spread in _spread(item):
        grouped = through(spread.x, _CAST)
        if grouped.operation != "reshape" or spread.is_fast != spread.is_clipped:
            continue
        x = grouped.inputs[0]
        if 1 < grouped.type.rank == x.type.rank + 1:
            for is_reshaped in (False, True):
                keywords = (
                    ("groups", grouped.type.shape[-2]),
                    ("epsilon", spread.epsilon),
                    ("fast", spread.is_fast),
                    ("reshaped", is_reshaped),
                )
                yield keywords, x


def _with_bias(reading: Reading, leaves: tuple[Node, ...], readers: Readers) -> Extension | None:
    x, *scales = leaves
    return _group_norm(reading.root, x, scales, x.type.rank - 1, readers)


FORMS = (
    Form(
        "standardize",
        jax.nn.standardize,
        "rsqrt",
        _by_library,
        "jax.nn.standardize",
        extend=_with_scale,
    ),
    *(
        Form(name, _normalised, anchor, read, operands=operands, extend=_with_scale)
        for name, is_centred in (("standardize", True), ("rms_norm", False))
        for anchor, read, operands in (
            ("rsqrt", _by_root(is_centred, is_divided=False), ("x",)),
            ("sqrt", _by_root(is_centred, is_divided=True), ("x",)),
            ("rsqrt", _by_scaled_root(is_centred), ("x", "scale")),
        )
    ),
    Form("group_norm", _spread_back, "rsqrt", _by_flax, extend=_with_bias),
    Form(
        "group_norm",
        _spread_back,
        "rsqrt",
        _by_scaled_flax,
        operands=("x", "scale"),
        extend=_with_bias,
    ),
)
