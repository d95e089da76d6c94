"""From a softmax's argument back to the product of queries and keys: scale, biases, masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from xlathe.compiler.attention.toeplitz import Known, Toeplitz, toeplitz
from xlathe.compiler.ir import Node

Axes = tuple[int | None, ...]
"""For each axis of a node the axis of the weights that it goes along; None where it has size 1."""

_FAR_BELOW = -1e3
"""What is added to, or stands for, a score whose weight is nothing: its exponential is zero."""


@dataclass(frozen=True)
class Operand:
    """A bias, or a mask, as it stands in the graph.

    Attributes:
        node: the array, before it is spread over the scores.
        axes: where its axes go.
        factor: what a bias is multiplied by; for a mask, 1 where true keeps a score, else -1.
    """

    node: Node
    axes: Axes
    factor: float = 1.0


@dataclass(frozen=True)
class Scores:
    """How scores are made.

    Attributes:
        product: the product of queries and keys.
        axes: the axes of the weights that the product's axes go along.
        scale: what the product is multiplied by.
        cap: the bound of a tanh around the scaled product, None where there is none.
        bands: which distances of query and key a mask of positions keeps.
        masks: the other masks.
        biases: what is added.
        fill: what masked scores are, or about: all scores of a query may be masked.
    """

    product: Node
    axes: Axes
    scale: float = 1.0
    cap: float | None = None
    bands: tuple[Toeplitz, ...] = ()
    masks: tuple[Operand, ...] = ()
    biases: tuple[Operand, ...] = ()
    fill: float = 0.0


@dataclass(frozen=True)
class Unreadable:
    """Why an expression is no score."""

    reason: str


_Memo = dict[Node, Known | None]


def read_scores(item: Node) -> Scores | Unreadable:
    """Read the argument of a softmax."""
    return _read(item, tuple(range(item.type.rank)), 1.0, {})


def _read(item: Node, axes: Axes, factor: float, memo: _Memo) -> Scores | Unreadable:
    operation = item.operation
    if operation == "dot_general":
        return Scores(item, axes, factor)
    if operation == "convert_element_type":
        if item.inputs[0].type.dtype.kind not in "fV":
            return Unreadable("its scores are no floating point numbers")
        return _read(item.inputs[0], axes, factor, memo)
    if operation in ("transpose", "reshape", "broadcast_in_dim"):
        moved = moved_axes(item, axes)
        if moved is None:
            return Unreadable(f"its scores are laid out anew by a {operation}")
        return _read(item.inputs[0], moved, factor, memo)
    if operation == "neg":
        return _read(item.inputs[0], axes, -factor, memo)
    if operation in ("mul", "div"):
        return _scaled(item, axes, factor, memo)
    if operation in ("add", "sub"):
        return _biased(item, axes, factor, memo)
    if operation == "select_n":
        return _masked(item, axes, factor, memo)
    if operation == "tanh":
        return _capped(item, axes, factor, memo)
    if operation == "reduce_precision":
        return Unreadable("its scores are saved, as the policy of a checkpoint says")
    if not item.inputs:
        return Unreadable("its scores are no product of queries and keys")
    return Unreadable(f"its scores pass through {operation}")


def _scaled(item: Node, axes: Axes, factor: float, memo: _Memo) -> Scores | Unreadable:
    left, right = item.inputs
    number = scalar(right)
    if number is not None:
        by = number if item.operation == "mul" else 1 / number if number else 0.0
        return _read(left, axes, factor * by, memo)
    number = scalar(left) if item.operation == "mul" else None
    if number is not None:
        return _read(right, axes, factor * number, memo)
    return Unreadable("its scores are multiplied by more than a number known in advance")


def _biased(item: Node, axes: Axes, factor: float, memo: _Memo) -> Scores | Unreadable:
    left, right = item.inputs
    sign = 1.0 if item.operation == "add" else -1.0
    reason: Unreadable | None = None
    for main, bias, of_main, of_bias in ((left, right, 1.0, sign), (right, left, sign, 1.0)):
        if main.type.shape != item.type.shape:
            continue
        found = _read(main, axes, factor * of_main, memo)
        if isinstance(found, Scores):
            return with_bias(found, bias, axes, factor * of_bias, memo)
        reason = reason or found
    return reason or Unreadable("its scores are stretched by a bias")


def _masked(item: Node, axes: Axes, factor: float, memo: _Memo) -> Scores | Unreadable:
    if len(item.inputs) != 3 or item.inputs[0].type.dtype != np.bool_:
        return Unreadable("its scores are chosen from several")
    which, if_false, if_true = item.inputs
    for kept, filling, sign in ((if_true, if_false, 1.0), (if_false, if_true, -1.0)):
        fill = scalar(filling)
        if fill is None:
            continue
        if not fill * factor <= _FAR_BELOW:
            return Unreadable(f"its masked scores are {fill:g}, which leaves them a weight")
        found = _read(kept, axes, factor, memo)
        if isinstance(found, Unreadable):
            return found
        return with_mask(_filled(found, fill), which, sized(which, axes), sign, memo)
    return Unreadable("its masked scores are not one number")


def _capped(item: Node, axes: Axes, factor: float, memo: _Memo) -> Scores | Unreadable:
    found = _read(item.inputs[0], axes, 1.0, memo)
    if isinstance(found, Unreadable):
        return found
    if found.cap is not None or found.bands or found.masks or found.biases:
        return Unreadable("its scores pass through tanh after a mask or bias")
    return replace(found, cap=factor, scale=found.scale)


def with_bias(
    scores: Scores, bias: Node, axes: Axes, factor: float, memo: _Memo
) -> Scores | Unreadable:
    """Scores with a further summand, taken apart into masks and what is no mask."""
    known = toeplitz(bias, memo)
    if known is not None:
        return _with_known_bias(scores, bias, known, axes, factor)
    switched = _switched(bias, axes)
    if switched is not None:
        which, moved, if_false, if_true = switched
        low, high = sorted((if_false * factor, if_true * factor))
        if high == 0 and low <= _FAR_BELOW:
            sign = 1.0 if if_true == 0 else -1.0
            return with_mask(_filled(scores, low), which, sized(which, moved), sign, memo)
    operation = bias.operation
    if operation in ("add", "sub"):
        sign = -1.0 if operation == "sub" else 1.0
        for part, by in zip(bias.inputs, (1.0, sign), strict=True):
            added = with_bias(scores, part, sized(part, axes), factor * by, memo)
            if isinstance(added, Unreadable):
                return added
            scores = added
        return scores
    if operation == "select_n" and len(bias.inputs) == 3:
        which, if_false, if_true = bias.inputs
        for kept, filling, sign in ((if_true, if_false, 1.0), (if_false, if_true, -1.0)):
            fill = scalar(filling)
            if fill is not None and fill * factor <= _FAR_BELOW:
                masked = with_mask(
                    _filled(scores, fill * factor), which, sized(which, axes), sign, memo
                )
                return with_bias(masked, kept, axes, factor, memo)
    if operation in ("mul", "div"):
        left, right = bias.inputs[0], bias.inputs[1]
        number = scalar(right)
        if number:
            by = number if operation == "mul" else 1 / number
            return with_bias(scores, left, sized(left, axes), factor * by, memo)
        number = scalar(left) if operation == "mul" else None
        if number is not None:
            return with_bias(scores, right, sized(right, axes), factor * number, memo)
    if operation in ("transpose", "reshape", "broadcast_in_dim"):
        moved = moved_axes(bias, axes)
        if moved is not None:
            return with_bias(scores, bias.inputs[0], moved, factor, memo)
    if operation == "convert_element_type" and bias.inputs[0].type.dtype.kind in "fV":
        return with_bias(scores, bias.inputs[0], axes, factor, memo)
    operand = Operand(bias, sized(bias, axes), factor)
    return replace(scores, biases=(*scores.biases, operand))


def _switched(item: Node, axes: Axes) -> tuple[Node, Axes, float, float] | None:
    """A boolean array as numbers, multiplied and added to: the array, and what it becomes."""
    operation = item.operation
    if operation == "convert_element_type" and item.inputs[0].type.dtype == np.bool_:
        return item.inputs[0], axes, 0.0, 1.0
    if operation in ("broadcast_in_dim", "convert_element_type", "reshape", "transpose"):
        moved = axes if operation == "convert_element_type" else moved_axes(item, axes)
        return None if moved is None else _switched(item.inputs[0], moved)
    if operation not in ("add", "mul", "sub"):
        return None
    for place in (0, 1):
        number = scalar(item.inputs[1 - place])
        if number is None:
            continue
        found = _switched(item.inputs[place], sized(item.inputs[place], axes))
        if found is None:
            return None
        which, moved, *values = found
        if operation == "mul":
            values = [value * number for value in values]
        elif operation == "add":
            values = [value + number for value in values]
        else:
            values = [value - number if place == 0 else number - value for value in values]
        return which, moved, values[0], values[1]
    return None


def _with_known_bias(
    scores: Scores, bias: Node, known: Known, axes: Axes, factor: float
) -> Scores | Unreadable:
    if isinstance(known, np.ndarray):
        # The same number everywhere changes no weight.
        finite = bool(np.isfinite(known))
        return scores if finite else Unreadable("an infinity is added to all its scores")
    placed = _placed(known, axes)
    if placed is None:
        operand = Operand(bias, sized(bias, axes), factor)
        return replace(scores, biases=(*scores.biases, operand))
    values = placed.values.astype(np.float64) * factor
    kept = values == 0
    if not np.all(kept | (values <= _FAR_BELOW)):
        operand = Operand(bias, sized(bias, axes), factor)
        return replace(scores, biases=(*scores.biases, operand))
    scores = _filled(scores, float(values.min()))
    return replace(scores, bands=(*scores.bands, replace(placed, values=kept)))


def _filled(scores: Scores, fill: float) -> Scores:
    return replace(scores, fill=min(fill, scores.fill))


def with_mask(scores: Scores, which: Node, axes: Axes, sign: float, memo: _Memo) -> Scores:
    """Scores under a further mask, taken apart into those of positions and the others."""
    known = toeplitz(which, memo)
    if isinstance(known, Toeplitz):
        placed = _placed(known, axes)
        if placed is not None:
            kept = placed.values.astype(bool) == (sign > 0)
            return replace(scores, bands=(*scores.bands, replace(placed, values=kept)))
    operation = which.operation
    if operation == ("and" if sign > 0 else "or"):
        for part in which.inputs:
            scores = with_mask(scores, part, sized(part, axes), sign, memo)
        return scores
    if operation == "not":
        return with_mask(scores, which.inputs[0], axes, -sign, memo)
    if operation in ("transpose", "reshape", "broadcast_in_dim"):
        moved = moved_axes(which, axes)
        if moved is not None:
            return with_mask(scores, which.inputs[0], moved, sign, memo)
    return replace(scores, masks=(*scores.masks, Operand(which, sized(which, axes), sign)))


def _placed(known: Known, axes: Axes) -> Toeplitz | None:
    """A mask of positions with its axes counted as those of the weights."""
    if not isinstance(known, Toeplitz):
        return None
    row, column = axes[known.row], axes[known.column]
    return None if row is None or column is None else replace(known, row=row, column=column)


def moved_axes(item: Node, axes: Axes) -> Axes | None:
    """The axes of what a node lays out anew; None where it joins or parts axes."""
    source = item.inputs[0].type.shape
    if item.operation == "transpose":
        places: list[int | None] = [None] * len(source)
        for axis, below in zip(axes, item["permutation"], strict=True):
            places[below] = axis
        return tuple(places)
    if item.operation == "broadcast_in_dim":
        shape = item.type.shape
        return tuple(
            axes[place] if shape[place] == size else None
            for size, place in zip(source, item["broadcast_dimensions"], strict=True)
        )
    wide = [axis for axis, size in zip(axes, item.type.shape, strict=True) if size != 1]
    sizes = [size for size in item.type.shape if size != 1]
    if sizes != [size for size in source if size != 1]:
        return None
    rest: Iterator[int | None] = iter(wide)
    return tuple(next(rest) if size != 1 else None for size in source)


def sized(item: Node, axes: Axes) -> Axes:
    """The axes of a node that is spread over these: None where its size is 1."""
    if not item.type.shape:
        return ()
    return tuple(
        None if size == 1 else axis for size, axis in zip(item.type.shape, axes, strict=True)
    )


def scalar(item: Node) -> float | None:
    """The number that an array holds throughout, if it is known."""
    while item.operation in ("convert_element_type", "broadcast_in_dim", "reshape"):
        item = item.inputs[0]
    if item.is_constant:
        value = item.value
        known = value.size and value.dtype.kind in "biufV" and (value == value.flat[0]).all()
        return float(value.flat[0]) if known else None
    if item.type.shape or item.operation not in _OF_NUMBERS:
        return None
    numbers = [scalar(source) for source in item.inputs]
    if any(number is None for number in numbers):
        return None
    values = np.asarray([number for number in numbers if number is not None], np.float64)
    with np.errstate(all="ignore"):
        if item.operation == "integer_pow":
            return float(values[0] ** item["y"])
        return float(_OF_NUMBERS[item.operation](*values))


_OF_NUMBERS = {
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "exp": np.exp,
    "log": np.log,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "integer_pow": np.power,
    "neg": np.negative,
}
