"""What an attention's weights pass through on their way to the values: moves, casts, dropout."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from xlathe.compiler.attention.scores import Axes, Operand, moved_axes, scalar, sized
from xlathe.compiler.ir import Node

Path = tuple[Node, ...]
"""The softmax, what is made of it, and so on to the operand of the product with the values."""

_MOVES = frozenset(["convert_element_type", "transpose"])


@dataclass(frozen=True)
class Dropout:
    """What weights are multiplied by.

    Attributes:
        scale: the number.
        kept: masks; the other weights are replaced by zero.
        factors: masks, zero or one, that weights are multiplied by.
    """

    scale: float = 1.0
    kept: tuple[Operand, ...] = ()
    factors: tuple[Operand, ...] = ()

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Its masks of either kind."""
        return (*self.kept, *self.factors)


def is_passed_through(item: Node, source: Node) -> bool:
    """Whether a node is one of another's weights that are moved, cast or dropped out."""
    if item.operation in _MOVES:
        return True
    if item.type is not source.type:
        return False
    return _with_step(Dropout(), item, source, tuple(range(item.type.rank))) is not None


def axes_along(path: Path) -> tuple[int, ...]:
    """The axes of the softmax that the axes of the last node of a path are."""
    axes = tuple(range(path[0].type.rank))
    for item in path[1:]:
        if item.operation == "transpose":
            axes = tuple(axes[place] for place in item["permutation"])
    return axes


def dropout_along(path: Path) -> Dropout:
    """What the weights are multiplied by along a path."""
    found = Dropout()
    for place in range(1, len(path)):
        if path[place].operation not in _MOVES:
            axes = axes_along(path[: place + 1])
            found = _with_step(found, path[place], path[place - 1], axes)
            assert found is not None
    return found


def _with_step(found: Dropout, item: Node, source: Node, axes: Axes) -> Dropout | None:
    """The dropout with one more operation; None if that is something else."""
    if item.operation == "select_n" and len(item.inputs) == 3:
        which, *values = item.inputs
        if which.type.shape != item.type.shape or source not in values or values[0] is values[1]:
            return None
        place = values.index(source)
        if scalar(values[1 - place]) != 0:
            return None
        mask = _mask(which, axes, 1.0 if place == 1 else -1.0)
        return replace(found, kept=(*found.kept, mask))
    if item.operation not in ("mul", "div") or item.inputs[0] is item.inputs[1]:
        return None
    if item.operation == "div" and item.inputs[0] is not source:
        return None
    other = item.inputs[1 - item.inputs.index(source)]
    number = scalar(other)
    if number is not None:
        by = number if item.operation == "mul" else 1 / number if number else np.inf
        return replace(found, scale=found.scale * by) if np.isfinite(by) else None
    factor = None if item.operation == "div" else _factor(other, axes)
    if factor is None:
        return None
    mask, by = factor
    return replace(found, scale=found.scale * by, factors=(*found.factors, mask))


def _mask(which: Node, axes: Axes, sign: float) -> Operand:
    while which.operation in ("broadcast_in_dim", "reshape", "transpose"):
        moved = moved_axes(which, axes)
        if moved is None:
            break
        which, axes = which.inputs[0], moved
    return Operand(which, sized(which, axes), sign)


def _factor(item: Node, axes: Axes) -> tuple[Operand, float] | None:
    """An array of zeros and one other number: where it is not zero, and that number."""
    operation = item.operation
    if operation == "convert_element_type":
        (source,) = item.inputs
        return (_mask(source, axes, 1.0), 1.0) if source.type.dtype == np.bool_ else None
    if operation in ("broadcast_in_dim", "reshape", "transpose"):
        moved = moved_axes(item, axes)
        return None if moved is None else _factor(item.inputs[0], moved)
    if operation not in ("mul", "div"):
        return None
    left, right = item.inputs
    for source, number in ((left, scalar(right)), (right, scalar(left))):
        if number and source.type.shape == item.type.shape:
            found = _factor(source, axes)
            if found is not None and (operation == "mul" or source is left):
                by = number if operation == "mul" else 1 / number
                return found[0], found[1] * by
    return None
