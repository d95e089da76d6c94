"""GPT-2's train step, written plainly in float32, against versions tuned by hand.

xl.compile(step, precision="bfloat16") runs beside plain jax.jit, beside the same model with
bfloat16 and fused attention written by hand, and, where PyTorch is installed, beside torch.compile
with autocast of the same plain model. All take turns in one run. The limits hold for the default
sizes on a GPU of the kind of an H100.

python benchmarks/gpt2.py
python benchmarks/gpt2.py --batch 2 --length 64 --layers 2 --width 128 --heads 4 --vocabulary 512
"""

import argparse
import importlib.util
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import common
import jax
import jax.numpy as jnp
import numpy as np
import optax

import xlathe as xl

BY_HAND, HAND_WIDE, TORCH = "by hand", "by hand, float32 residual", "torch.compile + autocast"
LIMITS = {
    f"time, {common.PEER}": 1 / 2.9,
    f"memory, {common.PEER}": 0.33,
    f"time, {BY_HAND}": 1.03,
    f"compile time, {common.PEER}": 1.0,
    f"time, {TORCH}": 1.0,
}
optimizer = optax.adamw(3e-4, weight_decay=0.1)


@dataclass(frozen=True)
class Size:
    """How large the model and its batch are; by default those of GPT-2 124M."""

    layers: int = 12
    width: int = 768
    heads: int = 12
    vocabulary: int = 50257
    length: int = 1024
    batch: int = 16


def init(size: Size) -> dict[str, Any]:
    """Make the parameters in float32."""
    width = size.width
    shapes = {"qkv": (width, 3 * width), "proj": (width, width)}
    shapes |= {"up": (width, 4 * width), "down": (4 * width, width)}
    keys = iter(jax.random.split(jax.random.key(0), 4 * size.layers + 2))

    def norm() -> dict[str, jax.Array]:
        return {"scale": jnp.ones(width), "bias": jnp.zeros(width)}

    def dense(shape: tuple[int, int]) -> dict[str, jax.Array]:
        return {"w": 0.02 * jax.random.normal(next(keys), shape), "b": jnp.zeros(shape[1])}

    def block() -> dict[str, Any]:
        dense_layers = {name: dense(shape) for name, shape in shapes.items()}
        return {"norm1": norm(), "norm2": norm(), **dense_layers}

    return {
        "tokens": 0.02 * jax.random.normal(next(keys), (size.vocabulary, width)),
        "positions": 0.02 * jax.random.normal(next(keys), (size.length, width)),
        "blocks": [block() for _ in range(size.layers)],
        "norm": norm(),
    }


def layer_norm(p, x):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * p["scale"] + p["bias"]


def linear(p, x):
    return x @ p["w"] + p["b"]


def attention(q, k, v):
    length, head = q.shape[1], q.shape[-1]
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / head**0.5
    scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -jnp.inf)
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, axis=-1), v)


def plain_loss(params, tokens, targets, heads):
    """Return the loss as one writes it down: nothing is cast, attention is two einsums."""
    batch, length = tokens.shape
    x = params["tokens"][tokens] + params["positions"][:length]
    for p in params["blocks"]:
        qkv = linear(p["qkv"], layer_norm(p["norm1"], x))
        q, k, v = (part.reshape(batch, length, heads, -1) for part in jnp.split(qkv, 3, axis=-1))
        x = x + linear(p["proj"], attention(q, k, v).reshape(x.shape))
        x = x + linear(p["down"], jax.nn.gelu(linear(p["up"], layer_norm(p["norm2"], x))))
    logits = layer_norm(params["norm"], x) @ params["tokens"].T
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()


def tuned_loss(params, tokens, targets, heads, residual):
    """Return the loss as an expert writes it: bfloat16 and fused attention, float32 where needed.

    Args:
        params: the parameters.
        tokens: what is read,
        targets: and what comes next.
        heads: the number of heads.
        residual: the dtype of the stream that the blocks add to.
    """
    fused = "cudnn" if jax.default_backend() == "gpu" else "xla"
    low = jax.tree.map(lambda p: p.astype(jnp.bfloat16), params)
    batch, length = tokens.shape

    def norm(p, x):
        return layer_norm(p, x.astype(jnp.float32)).astype(jnp.bfloat16)

    x = (params["tokens"][tokens] + params["positions"][:length]).astype(residual)
    for p, wide in zip(low["blocks"], params["blocks"], strict=True):
        qkv = linear(p["qkv"], norm(wide["norm1"], x))
        q, k, v = (part.reshape(batch, length, heads, -1) for part in jnp.split(qkv, 3, axis=-1))
        mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation=fused)
        x = x + linear(p["proj"], mixed.reshape(x.shape))
        x = x + linear(p["down"], jax.nn.gelu(linear(p["up"], norm(wide["norm2"], x))))
    logits = norm(params["norm"], x) @ low["tokens"].T
    logits = logits.astype(jnp.float32)
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()


def make_step(loss_fn: Callable[..., jax.Array], *static: Any) -> Callable[..., Any]:
    """Return the train step of a loss."""

    def train_step(params, state, tokens, targets):
        loss, grads = jax.value_and_grad(loss_fn)(params, tokens, targets, *static)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, loss

    return train_step


class Contestant:
    """A compiled train step with its own parameters, taking one step a call."""

    def __init__(self, jitted: Any, size: Size, batch: tuple[jax.Array, jax.Array]) -> None:
        params = init(size)
        self.state = (params, optimizer.init(params))
        self.batch = batch
        start = time.perf_counter()
        self.step = jitted.lower(*self.state, *batch).compile()
        self.compile_seconds = time.perf_counter() - start
        memory = self.step.memory_analysis()
        self.memory = memory.temp_size_in_bytes + memory.argument_size_in_bytes
        self.loss = 0.0

    def __call__(self) -> float:
        """Take a step and return the seconds it took."""
        start = time.perf_counter()
        *state, loss = self.step(*self.state, *self.batch)
        jax.block_until_ready((state, loss))
        seconds = time.perf_counter() - start
        self.state, self.loss = tuple(state), float(loss)
        return seconds


def torch_contestant(size: Size, batch: tuple[jax.Array, jax.Array]) -> Any:
    """Return the same plain model in PyTorch, compiled, under autocast; its first step is timed."""
    import gpt2_torch

    return gpt2_torch.Contestant(size, *map(np.asarray, batch))


def read_arguments() -> tuple[Size, int]:
    """Return the sizes and the number of rounds from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in vars(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rounds", type=int, default=20)
    given = vars(parser.parse_args())
    rounds = given.pop("rounds")
    return Size(**given), rounds


def main() -> None:
    """Compile all, let them take turns, print a table, and hold the ratios to their limits."""
    size, rounds = read_arguments()
    with_torch = importlib.util.find_spec("torch") is not None
    if with_torch:
        # Leave room on the device for the other allocator.
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.7")
    print(common.environment())
    print(size)
    tokens = jax.random.randint(jax.random.key(1), (size.batch, size.length), 0, size.vocabulary)
    batch = tokens, jnp.roll(tokens, -1, axis=1)
    plain = make_step(plain_loss, size.heads)
    steps = {
        common.OURS: xl.compile(plain, precision="bfloat16", donate_argnums=(0, 1)),
        common.PEER: jax.jit(make_step(plain_loss, size.heads), donate_argnums=(0, 1)),
    }
    for name, residual in ((BY_HAND, jnp.bfloat16), (HAND_WIDE, jnp.float32)):
        tuned = make_step(tuned_loss, size.heads, residual)
        steps[name] = jax.jit(tuned, donate_argnums=(0, 1))
    contestants: dict[str, Any] = {}
    for name, jitted in steps.items():
        contestants[name] = Contestant(jitted, size, batch)
    if with_torch:
        contestants[TORCH] = torch_contestant(size, batch)
    for contestant in contestants.values():
        for _ in range(3):
            contestant()
    seconds = common.take_turns(contestants, rounds)
    report(size, contestants, seconds)


def report(size: Size, contestants: dict[str, Any], seconds: dict[str, list[float]]) -> None:
    """Print the table; on a GPU and at the default sizes, judge the ratios."""
    ours = contestants[common.OURS]
    rows, found = [], {}
    for name, item in contestants.items():
        ratios = {
            "time": common.median_ratio(seconds[common.OURS], seconds[name]),
            "memory": ours.memory / item.memory,
            "compile time": ours.compile_seconds / item.compile_seconds,
        }
        found |= {f"{what}, {name}": ratio for what, ratio in ratios.items()}
        rows.append(
            [
                name,
                f"{median(seconds[name]) * 1e3:.1f} ms",
                f"{ratios['time']:.3f}",
                f"{item.memory / 2**20:.0f} MiB",
                f"{ratios['memory']:.3f}",
                f"{item.compile_seconds:.1f} s",
                f"{item.loss:.4f}",
            ]
        )
    header = ["", "step", "ours / it", "temp + arguments", "ours / it", "compile", "loss"]
    common.print_table(header, rows)
    if jax.default_backend() == "gpu" and size == Size():
        common.judge(
            {name: (found[name], limit) for name, limit in LIMITS.items() if name in found}
        )


if __name__ == "__main__":
    main()
