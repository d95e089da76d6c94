"""Constant folding: computing now what does not depend on the arguments.

Only operations whose result the standard fixes to the last bit are folded, so that no target can
disagree; and only small results, so that the program does not fill with numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlathe.compiler.ir import Array, Graph, Node, make_type, node
from xlathe.compiler.ops.build import broadcast_in_dim
from xlathe.compiler.ops.elementwise import filled_scalar
from xlathe.compiler.passes.everywhere import rewrite_everywhere

_Fold = Callable[..., Any]


def _is_real(dtype: np.dtype) -> bool:
    """Whether these are integers or NumPy's own floats; float8_e5m2 has their kind, too."""
    return dtype.kind in "iuf" and dtype.isbuiltin == 1


def _divide(left: np.ndarray, right: np.ndarray) -> Any:
    return np.divide(left, right) if left.dtype.kind == "f" else None


def _real(function: _Fold) -> _Fold:
    """Fold for integers and NumPy's own floats, whose arithmetic is the same everywhere."""

    def fold(*values: np.ndarray) -> Any:
        return function(*values) if all(_is_real(value.dtype) for value in values) else None

    return fold


def _extreme(function: _Fold) -> _Fold:
    def fold(left: np.ndarray, right: np.ndarray) -> Any:
        # Which of 0.0 and -0.0 is the greater is not fixed.
        if left.dtype.kind == "f" and np.any((left == 0) & (right == 0)):
            return None
        return function(left, right) if _is_real(left.dtype) else None

    return fold


def _logic(bools: _Fold, integers: _Fold) -> _Fold:
    def fold(*values: np.ndarray) -> Any:
        return bools(*values) if values[0].dtype == np.bool_ else integers(*values)

    return fold


_FOLDS: dict[str, _Fold] = {
    "add": _real(np.add),
    "sub": _real(np.subtract),
    "mul": _real(np.multiply),
    "div": _real(_divide),
    "neg": _real(np.negative),
    "square": _real(np.square),
    "max": _extreme(np.maximum),
    "min": _extreme(np.minimum),
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "and": _logic(np.logical_and, np.bitwise_and),
    "or": _logic(np.logical_or, np.bitwise_or),
    "xor": _logic(np.logical_xor, np.bitwise_xor),
    "not": _logic(np.logical_not, np.invert),
    "stop_gradient": np.asarray,
}

_FOLDED_WHEN_FILLED = frozenset([*_FOLDS, "convert_element_type"])


def fold_node(item: Node, max_elements: int = 16) -> Node | None:
    """The constant, or array filled by one, that a node computes from known inputs; else None.

    Args:
        item: the node.
        max_elements: how large a result may be.
    """
    for source in item.inputs:
        if source.operation != "constant":
            return _fold_filled(item)
    if not item.inputs:
        return None
    if isinstance(item.type, tuple) or not item.type.is_plain or item.type.size > max_elements:
        return None
    values = [source.value for source in item.inputs]
    with np.errstate(all="ignore"):
        result = _evaluate(item, values)
    if result is None or np.shape(result) != item.type.shape:
        return None
    return node(
        "constant", (), item.type, {"value": Array(np.asarray(result).astype(item.type.dtype))}
    )


def _fold_filled(item: Node) -> Node | None:
    """Fold an elementwise operation on arrays that one known number fills each."""
    if item.operation not in _FOLDED_WHEN_FILLED or not item.type.is_plain:
        return None
    scalars = [source if source.is_constant else filled_scalar(source) for source in item.inputs]
    if any(scalar is None or scalar.type.shape for scalar in scalars):
        return None
    inputs = tuple(scalar for scalar in scalars if scalar is not None)
    scalar_type = make_type((), item.type.dtype, item.type.weak)
    folded = fold_node(node(item.operation, inputs, scalar_type, item.attributes))
    return None if folded is None else broadcast_in_dim(folded, item.type.shape, ())


def _evaluate(item: Node, values: list[np.ndarray]) -> Any:
    fold = _FOLDS.get(item.operation)
    if fold is not None:
        return fold(*values)
    if item.operation == "convert_element_type":
        return _convert(values[0], item.type.dtype)
    if item.operation == "select_n":
        return _choose(*values)
    if item.operation == "clamp" and values[0].dtype.kind in "iu":
        return np.minimum(np.maximum(values[1], values[0]), values[2])
    if item.operation == "reshape" and item["dimensions"] is None:
        return values[0].reshape(item["new_sizes"])
    return None


def _choose(which: np.ndarray, *cases: np.ndarray) -> Any:
    if np.any((which < 0) | (which >= len(cases))):
        return None
    chosen = cases[0]
    for place, case in enumerate(cases):
        chosen = np.where(which == place, case, chosen)
    return chosen


def _convert(value: np.ndarray, dtype: np.dtype) -> Any:
    if "bfloat16" in (value.dtype.name, dtype.name):
        return _convert_bfloat16(value, dtype)
    if not all(kind == np.bool_ or _is_real(kind) for kind in (value.dtype, dtype)):
        return None
    if value.dtype.kind == "f" and dtype.kind in "iu":
        # What a number out of range becomes differs from target to target.
        limits = np.iinfo(dtype)
        # The greatest integer may have no float of its own, but the next power of two has.
        exact = value.astype(np.float64)
        if not np.all((exact >= float(limits.min)) & (exact < float(limits.max + 1))):
            return None
    return value.astype(dtype)


def _convert_bfloat16(value: np.ndarray, dtype: np.dtype) -> Any:
    """To and from float32: rounded to the nearest, ties to even, as JAX rounds literals."""
    return value.astype(dtype) if np.float32 in (value.dtype, dtype) else None


@dataclass(frozen=True)
class FoldConstants:
    """Replace what does not depend on the arguments by its value.

    Attributes:
        max_elements: results of more elements than this are left to XLA.
    """

    max_elements: int = 16

    def __call__(self, graph: Graph) -> Graph:
        """Fold constants in the graph and the graphs nested in it."""
        return rewrite_everywhere(graph, lambda item: fold_node(item, self.max_elements))
