"""Softmax, its logarithm, and the logarithm of a sum of exponentials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from xlathe.compiler.composites.form import MOVES, Form, Readers, Reading, axis_of, through
from xlathe.compiler.ir import Node


def _log_of_sum(x: jax.Array, axis: int, keepdims: bool = False) -> jax.Array:
    """As most write it: infinities are not seen to."""
    greatest = lax.stop_gradient(x.max(axis, keepdims=keepdims))
    shifted = x - (greatest if keepdims else jnp.expand_dims(greatest, axis))
    return jnp.log(jnp.exp(shifted).sum(axis, keepdims=keepdims)) + greatest


def _of_difference(root: Node, exponent: Node, total: Node) -> Reading | None:
    """Read exp(x - m) and the sum that it is part of."""
    if exponent.operation != "sub" or total.operation != "reduce_sum":
        return None
    x = exponent.inputs[0]
    axes = axis_of(total["axes"], x.type.rank)
    return Reading(root, (x,), (x.type,), (("axis", axes),))


def _softmax(item: Node, readers: Readers) -> Iterator[Reading]:
    weights, total = item.inputs
    weights = through(weights, MOVES)
    total = through(total, MOVES)
    if weights.operation == "exp":
        found = _of_difference(item, weights.inputs[0], total)
        if found is not None:
            yield found


def _nearly_softmax(item: Node) -> str | None:
    """Say what a quotient of exponentials by their own sum lacks."""
    weights, total = (through(source, MOVES) for source in item.inputs)
    if weights.operation != "exp" or total.operation != "reduce_sum":
        return None
    if through(total.inputs[0], MOVES) is not weights:
        return None
    exponent = weights.inputs[0]
    if exponent.operation != "sub":
        return "the maximum is not subtracted first"
    greatest = through(exponent.inputs[1], MOVES | {"stop_gradient"})
    if greatest.operation == "reduce_max" and greatest["axes"] != total["axes"]:
        axes = [_axes(source["axes"]) for source in (greatest, total)]
        return f"its maximum is taken along {axes[0]}, its sum along {axes[1]}"
    return "what is subtracted first is not the maximum"


def _axes(axes: Sequence[int]) -> str:
    return f"ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}"


def _log_softmax(item: Node, readers: Readers) -> Iterator[Reading]:
    for root in set(_above_moves(item, readers)):
        if root.operation == "sub":
            total = through(item.inputs[0], MOVES)
            found = _of_difference(root, root.inputs[0], total)
            if found is not None:
                yield found


def _logsumexp(item: Node, readers: Readers) -> Iterator[Reading]:
    total = through(item.inputs[0], MOVES | {"abs"})
    if total.operation != "reduce_sum":
        return
    power = through(total.inputs[0], MOVES)
    if power.operation != "exp":
        return
    for root in set(_above_moves(item, readers)):
        found = None
        if root.operation == "add":
            found = _of_difference(root, power.inputs[0], total)
        if found is not None:
            keepdims = (("keepdims", True),) if root.type.rank == found.types[0].rank else ()
            yield found._replace(keywords=found.keywords + keepdims)


def _above_moves(item: Node, readers: Readers) -> Iterator[Node]:
    """What reads a node, or what it is only moved to."""
    for reader in readers.get(item, ()):
        if reader is not item and reader.operation in MOVES:
            yield from _above_moves(reader, readers)
        else:
            yield reader


FORMS = (
    Form("softmax", jax.nn.softmax, "div", _softmax, "jax.nn.softmax", nearly=_nearly_softmax),
    Form("log_softmax", jax.nn.log_softmax, "log", _log_softmax, "jax.nn.log_softmax"),
    Form("logsumexp", jax.nn.logsumexp, "log", _logsumexp, "jax.nn.logsumexp"),
    Form("logsumexp", _log_of_sum, "log", _logsumexp),
)
