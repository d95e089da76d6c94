"""Normalisations: layer norm and RMS norm, with or without a scale and a bias."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from xlathe.compiler.composites.form import (
    MOVES,
    Extension,
    Form,
    Readers,
    Reading,
    axis_of,
    number,
    through,
)
from xlathe.compiler.ir import Node

Axis = int | tuple[int, ...]


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
        return None
    parameters = [_parameter(scale, axes, rank) for scale in scales]
    root = reading.root
    for operation in ("mul", "add")[len(scales) :]:
        found = _next(root, readers, operation)
        parameter = None if found is None else _parameter(found[1], axes, rank)
        if found is None or parameter is None:
            break
        root = found[0]
        parameters.append(parameter)
    known = [parameter for parameter in parameters if parameter is not None]
    if not known or len(known) < len(parameters):
        return None
    name = "layer_norm" if dict(reading.keywords).get("centred", True) else "rms_norm"
    return Extension(name, root, (x, *known), ("x", "scale", "bias")[: 1 + len(known)])


def _next(item: Node, readers: Readers, operation: str) -> tuple[Node, Node] | None:
    """The only reader of a node, past a cast, and its other operand."""
    found = set(readers.get(item, ()))
    if len(found) != 1:
        return None
    (reader,) = found
    if reader.operation == "convert_element_type":
        return _next(reader, readers, operation)
    if reader is item or reader.operation != operation:
        return None
    left, right = reader.inputs
    return reader, right if left is item else left


def _parameter(item: Node, axes: list[int], rank: int) -> Node | None:
    """The array that holds a number for each place along the axes, and varies along no other."""
    if item.type.rank != rank or any(item.type.shape[axis] != 1 for axis in range(axes[0])):
        return None
    source = through(item, frozenset(["broadcast_in_dim", "reshape"]))
    return None if source.is_constant or not source.type.shape else source


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
)
