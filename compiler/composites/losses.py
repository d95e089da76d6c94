"""Cross entropy of each row of logits, by labels that are numbers or distributions."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp

from xlathe.compiler.composites.form import MOVES, Form, Readers, Reading, above, through
from xlathe.compiler.ir import Node

_CAST = frozenset(["convert_element_type"])
_SHAPED = frozenset(["broadcast_in_dim", "reshape"])
_UP = frozenset(["reshape", "gather", "sub", "convert_element_type"])


def _picked(item: Node) -> tuple[Node, str] | None:
    """Read how one number of each row is picked: the gather, and what follows it."""
    item = through(item, _CAST)
    how = "arange"
    if item.operation == "reshape":
        item, how = item.inputs[0], "squeeze"
    elif item.operation == "gather" and item.inputs[0].operation == "gather":
        item, how = item.inputs[0], "take"
    return (item, how) if item.operation == "gather" else None


def _labels(gather: Node, shape: tuple[int, ...]) -> Node | None:
    """The labels of rows of this shape, before negative ones are counted from the end."""
    item = gather.inputs[1]
    if item.operation == "concatenate":
        item = item.inputs[-1]
    chosen = through(item, _SHAPED)
    if chosen.operation == "select_n":
        item = chosen.inputs[1]
    while item.type.shape != shape and item.operation in MOVES:
        item = item.inputs[0]
    return item if item.type.shape == shape else None


def _logits(item: Node) -> Node | None:
    """What a node may be the logarithm of the softmax of."""
    item = through(item, _CAST)
    shifted = item.inputs[0] if item.operation == "sub" else item
    return shifted.inputs[0] if shifted is not item and shifted.operation == "sub" else None


def _by_number(root: Node, logits: Node, gather: Node, how: str) -> Iterator[Reading]:
    labels = _labels(gather, logits.type.shape[:-1])
    if labels is not None:
        yield Reading(root, (logits, labels), (logits.type, labels.type), (("how", how),))


def _by_log_softmax(item: Node, readers: Readers) -> Iterator[Reading]:
    """Read `-log_softmax(logits)[label]`."""
    picked = _picked(item.inputs[0])
    logits = None if picked is None else _logits(picked[0].inputs[0])
    if picked is not None and logits is not None:
        yield from _by_number(item, logits, *picked)


def _by_logsumexp(item: Node, readers: Readers) -> Iterator[Reading]:
    """Read `logsumexp(logits) - logits[label]`."""
    for root in above(item, readers, _UP, most=3):
        picked = _picked(root.inputs[1]) if root.operation == "sub" else None
        if picked is not None and picked[0] is item:
            yield from _by_number(root, item.inputs[0], *picked)


def _by_distribution(item: Node, readers: Readers) -> Iterator[Reading]:
    """Read `-sum(labels * log_softmax(logits))`."""
    total = through(item.inputs[0], _CAST)
    product = through(total.inputs[0], _CAST) if total.operation == "reduce_sum" else total
    if product.operation != "mul":
        return
    for labels, other in (product.inputs, product.inputs[::-1]):
        logits = _logits(other)
        if logits is not None:
            yield Reading(item, (logits, labels), (logits.type, labels.type))


def _pick(rows: jax.Array, labels: jax.Array, how: str) -> jax.Array:
    if how == "arange":
        return rows[jnp.arange(rows.shape[0]), labels]
    found = jnp.take_along_axis(rows, labels[..., None], axis=-1)
    return jnp.take(found, 0, axis=-1) if how == "take" else found.squeeze(-1)


def _of_log_softmax(logits: jax.Array, labels: jax.Array, *, how: str) -> jax.Array:
    return -_pick(jax.nn.log_softmax(logits), labels, how)


def _of_logsumexp(logits: jax.Array, labels: jax.Array, *, how: str) -> jax.Array:
    return jax.nn.logsumexp(logits, axis=-1) - _pick(logits, labels, how)


def _of_distribution(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return -(labels * jax.nn.log_softmax(logits)).sum(axis=-1)


FORMS = tuple(
    Form("cross_entropy", function, anchor, read, operands=("logits", "labels"))
    for function, anchor, read in (
        (_of_log_softmax, "neg", _by_log_softmax),
        (_of_logsumexp, "gather", _by_logsumexp),
        (_of_distribution, "neg", _by_distribution),
    )
)
