"""The gradient of causal attention as people write it: xl.compile, the direct kernel, plain jit.

On a GPU it prints milliseconds, ratios within a round and temporary memory, and exits with a
message if ours takes more than 1.05 times the direct call of cuDNN's kernel. With `--tpu` it asks
the TPU v5e compiler for the temporary memory instead, which takes `pip install "jax[tpu]"` and no
TPU.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

if "--tpu" in sys.argv:
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")

import jax
import jax.numpy as jnp
from common import OURS, PEER, environment, judge, median_ratio, print_table, take_turns
from jax.experimental import topologies

import xlathe as xl

HEADS, DEPTH = 16, 64
LENGTHS = (512, 2048, 8192)
LIMIT, MIB_LIMIT = 1.05, 100
DIRECT = "cuDNN"

Attention = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def plain(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Attention in two products and a softmax, as in most models."""
    length = q.shape[1]
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * DEPTH**-0.5
    scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -jnp.inf)
    weights = jax.nn.softmax(scores.astype(jnp.float32)).astype(q.dtype)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, v)


def direct(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """The kernel, called by hand."""
    return jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation="cudnn")


def gradient(attention: Attention) -> Callable[..., Any]:
    """The gradient of a loss, so that forward and backward are one program."""

    def step(q: jax.Array, k: jax.Array, v: jax.Array) -> Any:
        def loss(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
            return (attention(q, k, v).astype(jnp.float32) ** 2).sum()

        return jax.value_and_grad(loss, (0, 1, 2))(q, k, v)

    return step


def arguments(length: int, batch: int) -> list[jax.Array]:
    keys = jax.random.split(jax.random.key(0), 3)
    shape = (batch, length, HEADS, DEPTH)
    return [jax.random.normal(key, shape, jnp.bfloat16) for key in keys]


def seconds_of(compiled: Any, given: list[jax.Array], repeats: int) -> float:
    start = time.perf_counter()
    result = None
    for _ in range(repeats):
        result = compiled(*given)
    jax.block_until_ready(result)
    return (time.perf_counter() - start) / repeats


def measure(lengths: list[int], batch: int, rounds: int) -> None:
    """Time ours, the direct call and plain jit in turns."""
    limits = {}
    rows = []
    for length in lengths:
        given = arguments(length, batch)
        programs = {
            OURS: xl.compile(gradient(plain)),
            DIRECT: jax.jit(gradient(direct)),
            PEER: jax.jit(gradient(plain)),
        }
        compiled = {name: f.lower(*given).compile() for name, f in programs.items()}
        repeats = max(5, 40960 // length)
        for program in compiled.values():
            seconds_of(program, given, 3)
        seconds = take_turns(
            {name: partial(seconds_of, f, given, repeats) for name, f in compiled.items()}, rounds
        )
        to_direct = median_ratio(seconds[OURS], seconds[DIRECT])
        to_plain = median_ratio(seconds[OURS], seconds[PEER])
        memory = {n: f.memory_analysis().temp_size_in_bytes / 2**20 for n, f in compiled.items()}
        rows.append(
            [
                str(length),
                *(f"{median(taken) * 1e3:.3f}" for taken in seconds.values()),
                f"{to_direct:.3f}",
                f"{to_plain:.3f}",
                *(f"{size:.0f}" for size in memory.values()),
            ]
        )
        limits[f"{length} tokens, to the direct call"] = (to_direct, LIMIT)
    names = [OURS, DIRECT, PEER]
    header = ["tokens", *(f"{n}, ms" for n in names), "to direct", "to plain"]
    print_table([*header, *(f"{n}, MiB" for n in names)], rows)
    judge(limits)


def compile_for_tpu(lengths: list[int], batch: int) -> None:
    """Ask the TPU's compiler for the temporary memory of ours and of plain jit."""
    topology = topologies.get_topology_desc(
        platform="tpu", topology_name="v5e:1x1", chips_per_host_bounds=(1, 1, 1)
    )
    (device,) = topology.devices
    print(f"compiled for {device.device_kind}\n")
    sharding = jax.sharding.SingleDeviceSharding(device)
    rows, limits = [], {}
    for length in lengths:
        shape = (batch, length, HEADS, DEPTH)
        given = [jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=sharding)] * 3
        sizes = []
        for transform in (partial(xl.compile, target="tpu-v5e-1"), jax.jit):
            compiled: Any = transform(gradient(plain)).lower(*given).compile()
            sizes.append(compiled.memory_analysis().temp_size_in_bytes / 2**20)
        rows.append([str(length), *(f"{size:.1f}" for size in sizes)])
        if length == max(LENGTHS):
            limits[f"{length} tokens, MiB of temporary memory"] = (sizes[0], MIB_LIMIT)
    print_table(["tokens", f"{OURS}, MiB", f"{PEER}, MiB"], rows)
    judge(limits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tpu", action="store_true", help="compile for a TPU that isn't there")
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print(environment())
    if options.tpu:
        compile_for_tpu(options.lengths, options.batch)
    elif jax.default_backend() != "gpu":
        sys.exit(f"This compares with cuDNN, on a GPU; JAX runs on {jax.default_backend()} here.")
    else:
        measure(options.lengths, options.batch, options.rounds)


if __name__ == "__main__":
    main()
