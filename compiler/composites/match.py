"""Comparing a region of a program with a reference: the one matcher of all composites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from xlathe.compiler.ir import Graph, Node, node
from xlathe.compiler.ops.elementwise import ELEMENTWISE

_ARITHMETIC = {
    "add": np.add,
    "div": np.divide,
    "mul": np.multiply,
    "rsqrt": lambda number: 1 / np.sqrt(number),
    "sqrt": np.sqrt,
    "sub": np.subtract,
}
_COMMUTATIVE = frozenset(["add", "mul", "max", "min", "and", "or"])


class Match(NamedTuple):
    """A region that computes what a reference does, operation by operation.

    Attributes:
        leaves: what stands for the reference's parameters.
        is_exact: whether derivatives are the same to the bit, too: they are not where the reference
            holds a maximum constant on which its result doesn't depend, and the region does not.
        is_identical: whether numbers are the same to the bit; they are not where the region
            computes one, such as sqrt(2 / pi), that the reference knows.
    """

    leaves: tuple[Node, ...]
    is_exact: bool
    is_identical: bool


def match(reference: Graph, root: Node, leaves: Sequence[Node | None]) -> Match | None:
    """Compare a reference of one result with the region that ends in a node.

    The operands of commutative operations may be in either order.

    Args:
        reference: the reference in its normal form.
        root: the last node of the region.
        leaves: what stands for its parameters; None where that is to be found.
    """
    bound: dict[Node, Node] = {}
    for parameter, leaf in zip(reference.parameters, leaves, strict=True):
        if leaf is not None:
            if not _of_one_type(parameter, leaf):
                return None
            bound[parameter] = leaf
    (result,) = reference.results
    matcher = _Matcher(bound)
    # What is held constant in one place and not in another has another derivative.
    if not matcher.matches(result, root, is_stopped=False) or len(matcher.held) > 1:
        return None
    found = tuple(matcher.bound.get(parameter, root) for parameter in reference.parameters)
    return Match(found, False not in matcher.held, matcher.is_identical)


class _Matcher:
    """Which node of the region stands for which of the reference."""

    def __init__(self, bound: dict[Node, Node]) -> None:
        self.bound = bound
        self.ends = frozenset(bound.values())
        self.held: frozenset[bool] = frozenset()
        self.is_identical = True

    def matches(self, wanted: Node, item: Node, is_stopped: bool) -> bool:
        if wanted.operation != "parameter":
            wanted, item = self._widened_first(wanted), self._widened_first(item)
        if wanted.operation == "stop_gradient" and not is_stopped:
            return self._held_constant(wanted, item)
        if is_stopped:
            wanted, item = self._unstopped(wanted), self._unstopped(item)
        known = self.bound.get(wanted)
        if known is item:
            return True
        if known is not None and wanted.operation == "parameter":
            return False
        if not _of_one_type(wanted, item) or not self._operates_alike(wanted, item, is_stopped):
            return False
        self.bound[wanted] = item
        return True

    def _held_constant(self, wanted: Node, item: Node) -> bool:
        """Match what the reference holds constant, however the region does so, if it does."""
        if not self.matches(wanted.inputs[0], item, is_stopped=True):
            return False
        self.held |= {_stops(item)}
        return True

    def _operates_alike(self, wanted: Node, item: Node, is_stopped: bool) -> bool:
        if wanted.operation == "parameter":
            return True
        if wanted.is_constant:
            return self._is_number(wanted, item)
        if wanted.operation == "square" and item.operation == "mul":
            left, right = item.inputs
            return left is right and self.matches(wanted.inputs[0], left, is_stopped)
        if wanted.operation != item.operation or len(wanted.inputs) != len(item.inputs):
            return False
        if wanted.attribute_key != item.attribute_key:
            return False
        for inputs in _orders(item):
            before = dict(self.bound), self.held, self.is_identical
            pairs = zip(wanted.inputs, inputs, strict=True)
            if all(self.matches(one, other, is_stopped) for one, other in pairs):
                return True
            self.bound, self.held, self.is_identical = before
        return False

    def _is_number(self, wanted: Node, item: Node) -> bool:
        if item.is_constant:
            return wanted.value.tobytes() == item.value.tobytes()
        computed = _computed(item) if not item.type.shape else None
        if computed is None:
            return False
        self.is_identical = False
        # As the dtype rounds it, or the way to it.
        resolution = float(jnp.finfo(item.type.dtype).eps)
        return bool(np.isclose(computed, float(wanted.value), rtol=4 * resolution, atol=0))

    def _widened_first(self, item: Node) -> Node:
        """Axes of size one that are added to a result, added to what it is computed from instead.

        How a leaf is computed doesn't matter, so that it stays.
        """
        is_widened = item.operation == "broadcast_in_dim" and item not in self.ends
        if not is_widened or item.type.size != item.inputs[0].type.size:
            return item
        source = self._widened_first(item.inputs[0])
        own = source.type.shape
        if source in self.ends or source.operation not in ELEMENTWISE:
            return item
        if isinstance(source.type, tuple):
            return item
        if any(operand.type.shape not in ((), own) for operand in source.inputs):
            return item
        shape = item.type.shape
        inputs = tuple(
            node(item.operation, (x,), x.type.with_shape(shape), item.attributes)
            if x.type.shape
            else x
            for x in source.inputs
        )
        return node(source.operation, inputs, source.type.with_shape(shape), source.attributes)

    def _unstopped(self, item: Node) -> Node:
        while item.operation == "stop_gradient":
            item = self._widened_first(item.inputs[0])
        return item


def _orders(item: Node) -> Iterator[tuple[Node, ...]]:
    yield item.inputs
    if item.operation in _COMMUTATIVE and item.inputs[0] is not item.inputs[1]:
        yield item.inputs[::-1]


def _stops(item: Node) -> bool:
    """Whether a maximum that only moves is held constant on its way."""
    while item.operation != "stop_gradient":
        operands = [source for source in item.inputs if source.type.dtype == item.type.dtype]
        if not operands or item.operation == "reduce_max":
            return bool(operands) and item.inputs[0].operation == "stop_gradient"
        item = operands[-1]
    return True


def _of_one_type(wanted: Node, item: Node) -> bool:
    one, other = wanted.type, item.type
    if isinstance(one, tuple) or isinstance(other, tuple):
        return one == other
    return (one.shape, one.dtype, one.extra) == (other.shape, other.dtype, other.extra)


def _computed(item: Node) -> float | None:
    """The number that a scalar is computed to be from known ones."""
    if item.is_constant:
        return float(item.value)
    if item.operation == "convert_element_type":
        return _computed(item.inputs[0])
    if item.operation not in _ARITHMETIC:
        return None
    numbers = [_computed(source) for source in item.inputs]
    known = [number for number in numbers if number is not None]
    return _ARITHMETIC[item.operation](*known) if len(known) == len(numbers) else None
