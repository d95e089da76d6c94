"""Pooling over windows, forward and backward, by one slice for each place in a window.

XLA's CPU backend visits one window after the other, and finds the place of each maximum again in
the gradient. Slices are arrays of all windows' first elements, of all their second ones, and so
on: arithmetic on them is fused and vectorised.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod

import numpy as np

from xlathe.compiler.ir import Node
from xlathe.compiler.ir.graph import unwrap
from xlathe.compiler.ir.types import array_type
from xlathe.compiler.ops.build import (
    broadcast_in_dim,
    cast,
    filled,
    iota,
    make,
    multiply,
    padded,
    reshaped,
    wide,
)
from xlathe.compiler.ops.elementwise import ELEMENTWISE
from xlathe.compiler.rules.rule import Declined, Outcome
from xlathe.compiler.windows.slices import is_floating, offsets, strided

_COMPARISONS = {"reduce_window_max": "ge", "reduce_window_min": "le"}
_EXTREMES = {"ge": "max", "le": "min"}
_FEW = 4
_MANY_FORWARD = 9
_MANY = 25
_LONG = 64
_DEAR = frozenset(
    "acos acosh asin asinh atan atan2 atanh cbrt cos cosh digamma erf_inv erfc lgamma pow sin "
    "sinh tan".split()
)
_SPREADING = frozenset(["broadcast_in_dim", "reshape", "transpose", "slice", "pad"])


@dataclass(frozen=True)
class Windows:
    """Windows over an array.

    Attributes:
        sizes: the size of a window along each axis,
        strides: the distance from one to the next,
        padding: what stands around the array,
        counts: and how many windows there are.
    """

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    counts: tuple[int, ...]

    @property
    def overlap(self) -> bool:
        """Whether windows share elements."""
        return any(size > stride for size, stride in zip(self.sizes, self.strides, strict=True))

    def parts(self, source: Node, outside: float) -> list[Node]:
        """One array for each place in a window: what stands there in all windows."""
        around = padded(source, [(low, high, 0) for low, high in self.padding], outside)
        return [strided(around, start, self.counts, self.strides) for start in offsets(self.sizes)]

    def spread(self, part: Node, start: Sequence[int], shape: Sequence[int]) -> Node:
        """Put what stands at one place of all windows back where it was, zeros elsewhere."""
        config = []
        for axis, place in enumerate(start):
            low, high = self.padding[axis]
            reach = (self.counts[axis] - 1) * self.strides[axis] + 1
            above = low + shape[axis] + high - place - reach
            config.append((place - low, above - high, self.strides[axis] - 1))
        return padded(part, config)


def largest(item: Node) -> Outcome:
    """The largest, or smallest, of each window, by comparing one place after the other.

    Its derivative, too, belongs to the first of equal elements.
    """
    found = _windows(item, item.inputs[0], item.type.shape, _MANY_FORWARD)
    if not isinstance(found, Windows):
        return found
    source, comparison = item.inputs[0], _COMPARISONS[item.operation]
    parts = found.parts(source, _outside(source.type.dtype, comparison))
    best = parts[0]
    for part in parts[1:]:
        best = make("select_n", make(comparison, best, part), part, best)
    if not is_floating(source.type.dtype):
        return best
    # Comparisons let NaN go by. Where there is one, it is added; elsewhere -0.0, which is nothing.
    name = _EXTREMES[comparison]
    extreme = reduce(lambda one, other: make(name, one, other), parts)
    is_nan = make("ne", extreme, extreme)
    added = make("select_n", is_nan, filled(-0.0, item.type), filled(np.nan, item.type))
    return make("add", best, added)


def largest_gradient(item: Node) -> Outcome:
    """What comes back to each window, given to the first of its largest, or smallest, elements."""
    cotangent, source = item.inputs
    comparison = getattr(unwrap(item["select_prim"]), "name", "")
    found = _windows(item, source, cotangent.type.shape, _MANY)
    if not isinstance(found, Windows):
        return found
    if comparison not in ("ge", "le") or not is_floating(source.type.dtype):
        return None
    best, *others = found.parts(source, _outside(source.type.dtype, comparison))
    of_places = array_type(cotangent.type.shape, np.int8)
    index, zeros = filled(0, of_places), filled(0, cotangent.type)
    for place, part in enumerate(others, 1):
        keeps = make(comparison, best, part)
        best = make("select_n", keeps, part, best)
        index = make("select_n", keeps, filled(place, of_places), index)
    if found.sizes == found.strides:
        return _among_windows(found, index, cotangent, source.type.shape)
    if _is_dear(cotangent):
        return Declined("what comes back would be computed anew for each place of a window")
    given = []
    for place, start in enumerate(offsets(found.sizes)):
        hit = make("eq", index, filled(place, of_places))
        part = make("select_n", hit, zeros, cotangent)
        given.append(found.spread(part, start, source.type.shape))
    return reduce(lambda one, other: make("add", one, other), given)


def _among_windows(windows: Windows, index: Node, cotangent: Node, shape: tuple[int, ...]) -> Node:
    """The same where windows lie side by side: each element compares its place with the index."""
    whole: list[int] = []
    axes, inner = [], []
    for count, size in zip(windows.counts, windows.sizes, strict=True):
        axes.append(len(whole))
        whole.append(count)
        if size > 1:
            inner.append(len(whole))
            whole.append(size)
    full = tuple(whole)
    places, step = filled(0, array_type(full, np.int8)), 1
    for axis in reversed(inner):
        along = iota(full, axis, np.dtype(np.int8))
        places = make("add", places, multiply(along, filled(step, along.type)))
        step *= full[axis]
    hit = make("eq", places, broadcast_in_dim(index, full, tuple(axes)))
    # Zero and a number are added, as a scatter does: -0.0 becomes 0.0.
    added = make("add", cotangent, filled(0, cotangent.type))
    given = make(
        "select_n",
        hit,
        filled(0, cotangent.type.with_shape(full)),
        broadcast_in_dim(added, full, tuple(axes)),
    )
    covered = tuple(map(operator.mul, windows.counts, windows.sizes))
    around = [
        (-low, size + low - reach, 0)
        for (low, _), size, reach in zip(windows.padding, shape, covered, strict=True)
    ]
    return padded(reshaped(given, covered), around)


def _is_dear(item: Node) -> bool:
    """Whether elementwise work that XLA would fuse into each reader takes long."""
    seen, stack = {item}, [item]
    while stack:
        found = stack.pop()
        if found.operation in _DEAR or len(seen) > _LONG:
            return True
        if found.operation in ELEMENTWISE or found.operation in _SPREADING:
            new = [source for source in found.inputs if source not in seen]
            seen.update(new)
            stack.extend(new)
    return False


def total(item: Node) -> Outcome:
    """The sum of each window, of as many slices as a window has places."""
    source = item.inputs[0]
    found = _windows(item, source, item.type.shape, _MANY)
    if not isinstance(found, Windows):
        return found
    if prod(found.sizes) <= _FEW:
        return Declined("XLA adds up so small windows as fast itself")
    parts = found.parts(cast(source, wide(source.type.dtype)), 0)
    return cast(reduce(lambda one, other: make("add", one, other), parts), item.type.dtype)


def _windows(item: Node, source: Node, counts: tuple[int, ...], most: int) -> Windows | Outcome:
    if not source.type.is_plain or not item.type.is_plain or item.type.weak or not item.type.size:
        return None
    dilations = (
        *item.attributes.get("base_dilation", ()),
        *item.attributes.get("window_dilation", ()),
    )
    sizes = item["window_dimensions"]
    if prod(sizes) == 1 or not (is_floating(source.type.dtype) or source.type.dtype.kind in "iu"):
        return None
    if set(dilations) - {1}:
        return Declined("its windows, or what they lie on, are dilated")
    if prod(sizes) > most:
        return Declined(f"a window has {prod(sizes)} places, more than are worth a slice each")
    if any(low < 0 or high < 0 for low, high in item["padding"]):
        return Declined("its padding cuts off elements")
    return Windows(sizes, item["window_strides"], item["padding"], counts)


def _outside(dtype: np.dtype, comparison: str) -> float:
    """What no element loses against."""
    if is_floating(dtype):
        return -np.inf if comparison == "ge" else np.inf
    limits = np.iinfo(dtype)
    return limits.min if comparison == "ge" else limits.max
