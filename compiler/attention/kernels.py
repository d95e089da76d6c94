"""Which kernel computes an attention on a target, and why none does."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xlathe.compiler.attention.read import Attention
from xlathe.compiler.ir import Node
from xlathe.compiler.rules import Declined
from xlathe.compiler.targets import Target

Band = tuple[int | None, int | None]
"""The least and the greatest distance, key - query, that a mask keeps; None where no bound is."""

_CUDNN_TYPES = frozenset(["bfloat16", "float16"])
_MIN_POSITIONS = 64
_SPLASH_BLOCK = 128
_MIN_SPLASH_SCORES = 1 << 20
_MAX_BLOCK_BYTES = 1 << 26


@dataclass(frozen=True)
class Kernel:
    """How an attention is computed.

    Attributes:
        name: `cudnn`, by way of `jax.nn.dot_product_attention`; `splash`, Pallas's for TPUs; or
            `blocked`, plain JAX for a block of queries at a time.
        band: the distances of query and key at which a score is kept; None where all are.
        rows: how many queries a block of the plain form holds.
    """

    name: str
    band: Band | None = None
    rows: int = 0

    @property
    def is_causal(self) -> bool:
        """Whether no query sees a later key."""
        return self.band is not None and self.band[1] == 0


@dataclass(frozen=True)
class Sizes:
    """The extents of an attention."""

    batch: int
    rows: int
    columns: int
    key_heads: int
    groups: int
    depth: int
    value_depth: int

    @property
    def heads(self) -> int:
        """The heads of the queries."""
        return self.key_heads * self.groups

    @property
    def score_bytes(self) -> int:
        """The bytes that all scores take in float32."""
        return 4 * self.batch * self.heads * self.rows * self.columns


def sizes_of(attention: Attention) -> Sizes:
    """The extents of an attention, with its axes in common taken for batch and heads."""
    layout, weights = attention.layout, attention.weights.type.shape
    shared = [weights[item.weights] for item in layout.shared]
    heads = shared.pop() if len(shared) > 1 else 1
    return Sizes(
        batch=math.prod(shared),
        rows=weights[layout.rows[0]],
        columns=weights[layout.columns[0]],
        key_heads=heads,
        groups=math.prod(weights[axis] for axis, _ in layout.groups),
        depth=attention.query.type.shape[layout.depth[0]],
        value_depth=attention.value.type.shape[layout.value_depth],
    )


def may_pay(attention: Attention, target: Target, any_type: bool) -> bool:
    """Whether a kernel of the target might compute an attention of these sizes.

    Args:
        attention: the attention.
        target: the device.
        any_type: whether a later pass may change the element types.
    """
    sizes = sizes_of(attention)
    if _is_small(sizes, target):
        return False
    if sizes.score_bytes >= target.large_scores:
        return True
    if _drops_out(attention):
        return False
    if "cudnn" in target.kernels:
        return any_type or attention.query.type.dtype.name in _CUDNN_TYPES
    return "splash" in target.kernels and sizes.rows * sizes.columns >= _MIN_SPLASH_SCORES


def choose_kernel(
    attention: Attention, target: Target, trained: tuple[Node, ...]
) -> Kernel | Declined:
    """Choose the kernel of an attention.

    Args:
        attention: the attention.
        target: the device.
        trained: those of its leaves whose gradients are computed.

    Returns:
        The kernel, or why the plain form stays.
    """
    sizes = sizes_of(attention)
    band = _band(attention.kept, sizes)
    if isinstance(band, Declined):
        return band
    reason = _shared_reason(attention, sizes, target)
    if reason:
        return Declined(reason)
    beside = [item for item in trained if item not in attention.leaves[:3]]
    if "cudnn" in target.kernels:
        reason = _cudnn_reason(attention, sizes, bool(beside))
        if not reason:
            return Kernel("cudnn", band)
    elif "splash" in target.kernels:
        reason = _splash_reason(attention, sizes, band)
        if not reason:
            return Kernel("splash", band, _block_rows(sizes))
    return _blocked(attention, sizes, target, band, reason, bool(beside))


def _band(kept: np.ndarray | None, sizes: Sizes) -> Band | Declined | None:
    """The bounds of the distances that are kept."""
    if kept is None:
        return None
    places = np.flatnonzero(kept)
    if not len(places) or places[-1] - places[0] + 1 != len(places):
        return Declined("its mask of positions keeps no single band of distances")
    low, high = (int(place) - (sizes.rows - 1) for place in (places[0], places[-1]))
    return (
        low if low > -(sizes.rows - 1) else None,
        high if high < sizes.columns - 1 else None,
    )


def _drops_out(attention: Attention) -> bool:
    return bool(attention.dropout.operands) or attention.dropout.scale != 1.0


def _is_small(sizes: Sizes, target: Target) -> bool:
    few = min(sizes.rows, sizes.columns) < _MIN_POSITIONS
    return few or sizes.score_bytes < target.small_scores


def _shared_reason(attention: Attention, sizes: Sizes, target: Target) -> str:
    types = {leaf.type.dtype for leaf in (attention.query, attention.key, attention.value)}
    if len(types) > 1:
        return f"its operands are {', '.join(sorted(map(str, types)))}, not of one type"
    if _is_small(sizes, target):
        return f"{sizes.rows} queries and {sizes.columns} keys are few: the plain form is as fast"
    return ""


def _cudnn_reason(attention: Attention, sizes: Sizes, trains_others: bool) -> str:
    dtype = attention.query.type.dtype
    if dtype.name not in _CUDNN_TYPES:
        return f"cuDNN's kernel takes bfloat16 or float16, and its operands are {dtype}"
    if sizes.depth != sizes.value_depth:
        return f"cuDNN's kernel wants heads of one size, not {sizes.depth} and {sizes.value_depth}"
    if sizes.depth > 128 or sizes.depth % 8:
        return f"cuDNN's kernel wants heads of up to 128, a multiple of 8, not {sizes.depth}"
    if attention.scores.cap is not None:
        return "cuDNN's kernel knows no soft cap (tanh)"
    if _drops_out(attention):
        return "cuDNN's kernel drops out weights of its own choice, not those of a mask"
    has_bias = bool(attention.scores.biases or attention.scores.masks)
    if has_bias and (sizes.rows % 2 or sizes.columns % 2):
        return "cuDNN's kernel wants even lengths beside a mask or a bias"
    if any(item.node.type.dtype != dtype for item in attention.scores.biases):
        return f"its bias is of more digits than {dtype}, in which cuDNN's kernel takes one"
    if trains_others:
        return "its bias is trained"
    return ""


def _splash_reason(attention: Attention, sizes: Sizes, band: Band | None) -> str:
    dtype = attention.query.type.dtype
    if dtype.name not in ("bfloat16", "float32"):
        return f"the TPU's kernel takes bfloat16 or float32, and its operands are {dtype}"
    if sizes.depth != sizes.value_depth:
        return f"the TPU's kernel wants heads of one size, not {sizes.depth}, {sizes.value_depth}"
    if sizes.depth % 64:
        return f"the TPU's kernel wants heads of a multiple of 64, not {sizes.depth}"
    if _drops_out(attention):
        return "the TPU's kernel knows no dropout"
    if attention.scores.biases or attention.scores.masks:
        return "the TPU's kernel takes no bias, and no mask but of positions"
    if sizes.rows % _SPLASH_BLOCK or sizes.columns % _SPLASH_BLOCK:
        return f"the TPU's kernel wants lengths that are multiples of {_SPLASH_BLOCK}"
    if sizes.rows * sizes.columns < _MIN_SPLASH_SCORES:
        return f"{sizes.rows} queries and {sizes.columns} keys are few: the plain form is as fast"
    if band is not None and not (band[0] or 0) <= 0 <= (band[1] or 0):
        return "the TPU's kernel wants a mask that keeps the diagonal"
    return ""


def _blocked(
    attention: Attention,
    sizes: Sizes,
    target: Target,
    band: Band | None,
    reason: str,
    trains_others: bool,
) -> Kernel | Declined:
    """The plain form a block of queries at a time, where its scores would take much memory."""
    if sizes.score_bytes < target.large_scores:
        return Declined(reason or "its scores take little memory: the plain form is as fast")
    beside = f"{reason}; " if reason else ""
    if trains_others:
        return Declined(f"{beside}by blocks of queries, its bias would be summed block by block")
    rows = _block_rows(sizes)
    if rows < min(16, _most_rows(sizes)):
        return Declined(f"{beside}{sizes.rows} queries do not part into blocks")
    return Kernel("blocked", band, rows)


def _most_rows(sizes: Sizes) -> int:
    """How many queries have scores of no more bytes than a block may have."""
    return min(sizes.rows, max(1, sizes.rows * _MAX_BLOCK_BYTES // sizes.score_bytes))


def _block_rows(sizes: Sizes) -> int:
    """The largest number of queries that parts them evenly and makes no block too large."""
    return next(n for n in range(_most_rows(sizes), 0, -1) if sizes.rows % n == 0)
