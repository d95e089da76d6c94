"""Warning of code in low precision that a scalar silently turns into float32.

A Python number takes the dtype of the array beside it. A NumPy scalar, such as `np.sqrt(64)`, has
one of its own, and what it meets is widened to it.
"""

from __future__ import annotations

import linecache
import os
import re
import warnings
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from xlathe.compiler.ir import Graph, Node, Origin
from xlathe.compiler.precision.policy import FLOAT32, PrecisionWarning
from xlathe.compiler.rules.rule import Miss, log_miss

_LOW = (np.dtype(jnp.bfloat16), np.dtype(np.float16))
_ARITHMETIC = frozenset("add sub mul div max min pow rem atan2".split())
_MEANT = re.compile(r"astype|float32|convert|promote|upcast|f32")


@dataclass(frozen=True)
class FindPromotions:
    """Warn where a scalar of float32 widens an array of bfloat16 or float16; change nothing."""

    def __call__(self, graph: Graph) -> Graph:
        """Look through the graph and those nested in it."""
        seen: set[tuple[str, int]] = set()
        for inner in graph.walk():
            for item in inner.nodes:
                origin = inner.origin(item)
                place = (origin.file, origin.line)
                if origin.line and place not in seen and _is_promotion(item, inner, origin):
                    seen.add(place)
                    _warn(item, origin)
        return graph


def _is_promotion(item: Node, graph: Graph, origin: Origin) -> bool:
    if item.operation not in _ARITHMETIC or item.type.dtype != FLOAT32:
        return False
    widened = [source for source in item.inputs if _is_widened(source)]
    scalars = [source for source in item.inputs if _is_scalar(source)]
    if len(widened) != 1 or len(scalars) != 1:
        return False
    cast = graph.origin(widened[0])
    # A cast that the user wrote stands on a line that says so.
    same_line = (cast.file, cast.line) == (origin.file, origin.line)
    return same_line and not _MEANT.search(linecache.getline(origin.file, origin.line))


def _is_widened(item: Node) -> bool:
    return item.operation == "convert_element_type" and item.inputs[0].type.dtype in _LOW


def _is_scalar(item: Node) -> bool:
    while item.operation in ("broadcast_in_dim", "reshape"):
        item = item.inputs[0]
    return item.is_constant and item.type.size == 1 and not item.type.weak


def _warn(item: Node, origin: Origin) -> None:
    low = next(source for source in item.inputs if _is_widened(source)).inputs[0].type.dtype
    message = f"a scalar with a dtype of its own turns {low} into float32"
    log_miss(Miss("silent promotion", message, item))
    warnings.warn(
        f"{os.path.basename(origin.file)}:{origin.line}: {message}. Make it a Python number, "
        "float(...), which takes the dtype of the array, or cast the array by hand if float32 is "
        "meant.",
        PrecisionWarning,
        stacklevel=2,
    )
