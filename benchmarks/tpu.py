"""What the TPU v5e compiler makes of our programs: xl.compile against jax.jit, without a TPU.

The compiler comes with `pip install "jax[tpu]"`. Prints operations, bytes moved, temporary memory
and compile time of each program, and exits with a message if ours needs more than jit's.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")

import jax
import jax.numpy as jnp
from common import OURS, PEER, environment, judge, print_table
from jax.experimental import topologies
from transformer import Size, make_arguments, make_train_step

import xlathe as xl

LIMIT = 1.05


def chain(a: jax.Array, b: jax.Array, v: jax.Array) -> jax.Array:
    return (a @ b) @ v


def low_rank(a: jax.Array, u: jax.Array, w: jax.Array, v: jax.Array) -> jax.Array:
    return jnp.sin((a + u @ w) @ v)


def programs(blocks: int) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    matrix, vector = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((3000, 3000), (3000,)))
    thin, wide = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((3000, 16), (16, 3000)))
    size = Size(blocks)
    return {
        "(A @ B) @ v": (chain, (matrix, matrix, vector)),
        "sin((A + U @ W) @ v)": (low_rank, (matrix, thin, wide, vector)),
        f"transformer step, {blocks} blocks": (make_train_step(size), make_arguments(size)),
    }


def compiled_for(device: Any, jitted: Any, arguments: tuple[Any, ...]) -> tuple[float, Any]:
    """The seconds that compilation took, and what came out of it."""
    sharding = jax.sharding.SingleDeviceSharding(device)
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), arguments
    )
    lowered = jitted.lower(*abstract)
    start = time.perf_counter()
    compiled = lowered.compile()
    return time.perf_counter() - start, compiled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=4)
    options = parser.parse_args()
    topology = topologies.get_topology_desc(
        platform="tpu", topology_name="v5e:1x1", chips_per_host_bounds=(1, 1, 1)
    )
    (device,) = topology.devices
    print(f"{environment()}\ncompiled for {device.device_kind}")
    limits = {}
    for name, (function, arguments) in programs(options.blocks).items():
        transforms = {OURS: partial(xl.compile, target="tpu-v5e-1"), PEER: jax.jit}
        rows: dict[str, list[float]] = {}
        for transform in transforms.values():
            seconds, compiled = compiled_for(device, transform(function), arguments)
            analysis, memory = compiled.cost_analysis(), compiled.memory_analysis()
            figures = {
                "MFLOP": analysis["flops"] / 1e6,
                "MiB moved": analysis["bytes accessed"] / 2**20,
                "MiB temporary": memory.temp_size_in_bytes / 2**20,
                "seconds to compile": seconds,
            }
            for label, figure in figures.items():
                rows.setdefault(label, []).append(figure)
        ratios = {label: ours / peer if peer else 1.0 for label, (ours, peer) in rows.items()}
        print(f"\n{name}\n")
        print_table(
            ["", *transforms, "ratio"],
            [
                [label, *(f"{figure:.3f}" for figure in rows[label]), f"{ratio:.3f}"]
                for label, ratio in ratios.items()
            ],
        )
        limits |= {f"{name}: {label}": (ratios[label], LIMIT) for label in list(ratios)[:3]}
    judge(limits)


if __name__ == "__main__":
    main()
