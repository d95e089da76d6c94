"""Sums, products and extremes up to each element, by halves.

XLA's CPU backend runs them as reductions over windows. By halves (Blelloch, "Prefix sums and their
applications", 1990) they are some additions of whole arrays, as in `jax.lax.associative_scan`,
which is also how JAX derives those that are no sums.
"""

from __future__ import annotations

from collections.abc import Callable

from xlathe.compiler.ir import Node
from xlathe.compiler.ops.build import concatenated, make, multiply, padded, sliced
from xlathe.compiler.rules.rule import Declined, Outcome
from xlathe.compiler.windows.slices import is_floating, strided

_LEAST = 16
_MOST_SUMS = 512

Combine = Callable[[Node, Node], Node]
_COMBINE: dict[str, Combine] = {
    "cumsum": lambda one, other: make("add", one, other),
    "cumprod": multiply,
    "cummax": lambda one, other: make("max", one, other),
    "cummin": lambda one, other: make("min", one, other),
}


def by_halves(item: Node) -> Outcome:
    """A cumulative operation as the same of pairs, and of that and every second element."""
    source, axis = item.inputs[0], item["axis"]
    dtype = source.type.dtype
    if not source.type.is_plain or not item.type.size:
        return None
    if not is_floating(dtype) and dtype.kind not in "iu":
        return None
    length = source.type.shape[axis]
    if length < _LEAST:
        return Declined(f"{length} elements are few")
    if item.operation == "cumsum" and length > _MOST_SUMS:
        return Declined(f"of {length} elements, the derivative by halves is slower")
    if item["reverse"]:
        source = make("rev", source, dimensions=(axis,))
    made = _scanned(source, axis, _COMBINE[item.operation])
    return make("rev", made, dimensions=(axis,)) if item["reverse"] else made


def _scanned(source: Node, axis: int, combine: Combine) -> Node:
    length = source.type.shape[axis]
    if length < 2:
        return source
    half = length // 2
    pairs = combine(_every_second(source, axis, 0, half), _every_second(source, axis, 1, half))
    odd = _scanned(pairs, axis, combine)
    first = sliced(source, axis, 0, 1)
    if length == 2:
        return concatenated([first, odd], axis)
    rest = (length - 1) // 2
    later = combine(sliced(odd, axis, 0, rest), _every_second(source, axis, 2, rest))
    even = concatenated([first, later], axis)
    return make(
        "add",
        _with_gaps(even, axis, 0, length - 2 * even.type.shape[axis] + 1),
        _with_gaps(odd, axis, 1, length - 2 * half),
    )


def _every_second(source: Node, axis: int, start: int, count: int) -> Node:
    starts, strides, sizes = [0] * source.type.rank, [1] * source.type.rank, list(source.type.shape)
    starts[axis], strides[axis], sizes[axis] = start, 2, count
    return strided(source, starts, sizes, strides)


def _with_gaps(source: Node, axis: int, low: int, high: int) -> Node:
    config = [(0, 0, 0)] * source.type.rank
    config[axis] = (low, high, 1)
    return padded(source, config)
