"""The arguments about weights that many layers share: initializers, regularizers, constraints."""

from typing import Any

import numpy as np

from xlathe.tracer.layers import constraints, initializers, regularizers
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.variable import Variable

_KINDS = {
    "initializer": initializers.get,
    "regularizer": regularizers.get,
    "constraint": constraints.get,
}


def keep(layer: Layer, **options: Any) -> None:
    """Set attributes such as `kernel_initializer` to what the arguments stand for."""
    for name, value in options.items():
        setattr(layer, name, _KINDS[name.rpartition("_")[2]](value))


def add(
    layer: Layer,
    name: str,
    shape: Any,
    prefix: str | None = None,
    initializer: Any = None,
    **kwargs: Any,
) -> Variable:
    """Make a weight with the options kept under `prefix`, its name unless given.

    Arguments:
        layer: the layer that it belongs to.
        name: its name.
        shape: its shape.
        prefix: what its options are kept under.
        initializer: one to be used instead of that kept.
        kwargs: further arguments of `add_weight`.
    """
    prefix = prefix or name
    return layer.add_weight(
        shape,
        initializer or getattr(layer, f"{prefix}_initializer"),
        regularizer=getattr(layer, f"{prefix}_regularizer", None),
        constraint=getattr(layer, f"{prefix}_constraint", None),
        name=name,
        **kwargs,
    )


def positive(name: str, value: Any) -> int:
    """Return `value` if it is a positive integer, and raise an error with its name otherwise."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value <= 0:
        raise ValueError(
            f"Received an invalid value for `{name}`, expected a positive integer. "
            f"Received: {name}={value}"
        )
    return int(value)


def known(layer: Layer, shape: Any, axis: int) -> int:
    """Return the size of an axis that weights depend on.

    Raises:
        ValueError: when it isn't fixed.
    """
    size = shape[axis]
    if size is None:
        raise ValueError(
            f"Axis {axis} of the input of layer '{layer.name}' ({type(layer).__name__}) must be "
            f"fixed, because weights depend on it. Received: input_shape={tuple(shape)}"
        )
    return size
