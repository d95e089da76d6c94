"""The gradient of a linear layer and its cross-entropy as people write it: xl.compile, plain jit.

It prints milliseconds, the ratio within a round and temporary memory, and exits with a message if
ours takes more than 1.05 times plain jit's time. With `--tpu` it asks the TPU v5e compiler for the
temporary memory of GPT-2's loss instead, which takes `pip install "jax[tpu]"` and no TPU.
"""

import argparse
import os
import sys
import time
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
import optax
from common import OURS, PEER, environment, judge, median_ratio, print_table, take_turns
from jax.experimental import topologies

import xlathe as xl

SIZES = ((8192, 64, 32768), (8192, 256, 32768))
"""Tokens, numbers a token, words."""
GPT2 = (8192, 768, 50257)
LIMIT, SHARE_LIMIT = 1.05, 0.33


def loss(states: jax.Array, weights: jax.Array, labels: jax.Array) -> jax.Array:
    """The loss of a language model, from its last hidden states."""
    logits = states @ weights.T
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def gradient(states: jax.Array, weights: jax.Array, labels: jax.Array) -> Any:
    """The loss and its gradients, so that forward and backward are one program."""
    return jax.value_and_grad(loss, (0, 1))(states, weights, labels)


def arguments(tokens: int, width: int, words: int) -> list[jax.Array]:
    first, second = jax.random.split(jax.random.key(0))
    states = jax.random.normal(first, (tokens, width))
    weights = 0.05 * jax.random.normal(second, (words, width))
    return [states, weights, jnp.arange(tokens) % words]


def seconds_of(compiled: Any, given: list[jax.Array]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(compiled(*given))
    return time.perf_counter() - start


def measure(rounds: int) -> None:
    """Time ours and plain jit in turns."""
    limits, rows = {}, []
    for size in SIZES:
        given = arguments(*size)
        programs = {OURS: xl.compile(gradient), PEER: jax.jit(gradient)}
        compiled = {name: f.lower(*given).compile() for name, f in programs.items()}
        seconds = take_turns(
            {name: partial(seconds_of, f, given) for name, f in compiled.items()}, rounds
        )
        ratio = median_ratio(seconds[OURS], seconds[PEER])
        name = " x ".join(map(str, size))
        times = [f"{median(taken) * 1e3:.0f}" for taken in seconds.values()]
        rows.append([name, *times, f"{ratio:.3f}", *map(mebibytes, compiled.values())])
        limits[f"{name}, to plain jit"] = (ratio, LIMIT)
    times, sizes = ([f"{name}, {unit}" for name in (OURS, PEER)] for unit in ("ms", "MiB"))
    print_table(["tokens x width x words", *times, "ratio", *sizes], rows)
    judge(limits)


def compile_for_tpu() -> None:
    """Ask the TPU's compiler for the temporary memory of ours and of plain jit."""
    topology = topologies.get_topology_desc(
        platform="tpu", topology_name="v5e:1x1", chips_per_host_bounds=(1, 1, 1)
    )
    (device,) = topology.devices
    print(f"compiled for {device.device_kind}\n")
    sharding = jax.sharding.SingleDeviceSharding(device)
    tokens, width, words = GPT2
    shapes = ((tokens, width), (words, width), (tokens,))
    given = [
        jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
        for shape, dtype in zip(shapes, (jnp.float32, jnp.float32, jnp.int32), strict=True)
    ]
    ours = partial(xl.compile, target="tpu-v5e-1")
    programs = {
        PEER: jax.jit(gradient),
        OURS: ours(gradient),
        f"{OURS}, bfloat16": ours(gradient, precision="bfloat16"),
    }
    compiled = {name: f.lower(*given).compile() for name, f in programs.items()}
    print_table(["", "MiB"], [[name, mebibytes(program)] for name, program in compiled.items()])
    plain = compiled[PEER].memory_analysis().temp_size_in_bytes
    limits = {
        f"{name}, share of plain jit's memory": (
            program.memory_analysis().temp_size_in_bytes / plain,
            SHARE_LIMIT,
        )
        for name, program in compiled.items()
        if name != PEER
    }
    judge(limits)


def mebibytes(compiled: Any) -> str:
    return f"{compiled.memory_analysis().temp_size_in_bytes / 2**20:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tpu", action="store_true", help="ask the TPU's compiler instead")
    options = parser.parse_args()
    print(f"{environment()}\n")
    if options.tpu:
        compile_for_tpu()
    else:
        measure(options.rounds)


if __name__ == "__main__":
    main()
