"""What is known of a device: how fast it multiplies and reads, and what starting a kernel costs.

The figures decide between forms of one computation, so only their ratios matter. They are
sustained rates, not data-sheet peaks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import jax


@dataclass(frozen=True)
class Target:
    """A kind of device.

    Attributes:
        name: what users call it.
        platform: JAX's name of the platform: `cpu`, `gpu` or `tpu`.
        flops: floating point operations a second in large float32 matrix products.
        bandwidth: bytes a second to and from memory.
        launch: seconds that starting one kernel costs.
        cores: processor cores, where it is a CPU: with many, small products keep few of them busy.
        kernels: the attention kernels that it has: `cudnn`, `splash` (Pallas).
        small_scores: bytes of attention scores below which starting its kernel costs more than it
            saves.
        large_scores: bytes of attention scores above which they are not all held at once, even
            where that costs time; and of a loss's logits, where its gradient is taken from outside.
        large_logits: bytes of a loss's logits from which on they are computed by blocks,
        block_tokens: each of at least so many tokens: for every block the gradient of the weights
            is read and written once.
        row_bytes: what rows of matrices must be a multiple of, in bytes, for products to run fast;
            0 where it makes no difference.
        recomputes: how many elementwise functions, one of the other, are computed faster than an
            array is kept in memory.
        slow: what its XLA runs much slower than other operations of the same values: `pooling`,
            `products` that are written as convolutions, `depthwise` convolutions, the gradients
            of `convolutions in loops`, and `cumulative` sums, products and extremes.
    """

    name: str
    platform: str
    flops: float
    bandwidth: float
    launch: float
    cores: int = 2
    kernels: frozenset[str] = frozenset()
    small_scores: int = 0
    large_scores: int = 1 << 30
    large_logits: int = 1 << 30
    block_tokens: int = 2048
    row_bytes: int = 0
    recomputes: int = 0
    slow: frozenset[str] = frozenset()

    def seconds(self, flops: float, moved: float, kernels: int = 1) -> float:
        """Estimate the time of work that does so many operations and moves so many bytes."""
        return max(flops / self.flops, moved / self.bandwidth) + kernels * self.launch


CPU = Target(
    "cpu",
    "cpu",
    flops=100e9,
    bandwidth=10e9,
    launch=1e-6,
    block_tokens=1024,
    recomputes=1,
    slow=frozenset(["pooling", "products", "depthwise", "convolutions in loops", "cumulative"]),
)
GPU = Target(
    "gpu",
    "gpu",
    flops=40e12,
    bandwidth=2.5e12,
    launch=3e-6,
    kernels=frozenset(["cudnn"]),
    small_scores=1 << 25,
    large_logits=1 << 32,
    block_tokens=4096,
    row_bytes=16,
    recomputes=8,
)
TPU = Target(
    "tpu-v5e-1", "tpu", flops=45e12, bandwidth=0.7e12, launch=1e-6, kernels=frozenset(["splash"])
)

TARGETS = {target.name: target for target in (CPU, GPU, TPU)}
"""The targets by name."""

_BY_PLATFORM = {target.platform: target for target in TARGETS.values()}


def current_target() -> Target:
    """The kind of device that JAX runs on by default; of one not known, that of a GPU."""
    found = _BY_PLATFORM.get(jax.default_backend(), GPU)
    if found is CPU:
        return replace(CPU, cores=os.cpu_count() or 1)
    if found is GPU and not has_cudnn_attention(jax.local_devices()[0]):
        return replace(GPU, kernels=frozenset())
    return found


def has_cudnn_attention(device: Any) -> bool:
    """Whether a device is one of NVIDIA's since Ampere; others name no number of this kind."""
    try:
        return float(getattr(device, "compute_capability", 0)) >= 8.0
    except ValueError:
        return False
