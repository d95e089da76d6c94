"""A printed program, captured again, is the graph that it was printed from."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from xlathe.compiler.ir import Graph, to_text, verify
from xlathe.compiler.lowering import lower
from xlathe.compiler.pipeline import run_passes
from xlathe.tracer.capture import capture

X = jnp.arange(12.0).reshape(3, 4) / 7
Y = jnp.arange(20.0).reshape(4, 5)
V = jnp.arange(1.0, 5)
N = jnp.arange(12, dtype=jnp.int32).reshape(3, 4)
B = X > 0.5
BF = X.astype(jnp.bfloat16)
C = X + 1j * X[::-1]
KEY = jax.random.key(0)
IMAGE = jnp.ones((1, 8, 8, 2))
KERNEL = jnp.ones((3, 3, 2, 4))


def convolve(x, w):
    return lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


@jax.custom_vjp
def product(a, b):
    return a * b


product.defvjp(lambda a, b: (a * b, (a, b)), lambda r, g: (g * r[1], g * r[0]))


@jax.custom_jvp
def power_of_two(x):
    return x**2


@power_of_two.defjvp
def _power_of_two_jvp(primals, tangents):
    return power_of_two(*primals), 2 * primals[0] * tangents[0]


def shout(x):
    jax.debug.print("x is {}", x, ordered=True)
    return x + 1


def scanned(x):
    return lax.scan(lambda c, b: (c * V + b, c.sum()), V, jnp.tile(x, (3, 1)))


def mutable(x):
    return x.at[1].add(2.0).at[0, 1].set(5.0).at[:, 2].mul(3.0).at[2].max(1.0)


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "abs": (lambda x: jnp.abs(x), (X,)),
    "argmax": (lambda x: (jnp.argmax(x, -1), jnp.argmin(x, 0)), (X,)),
    "associative scan": (lambda x: lax.associative_scan(jnp.add, x), (X,)),
    "batched product": (lambda x: jnp.matmul(x[None], x.T[None]), (X,)),
    "bfloat16 mean": (lambda x: x.mean(0) + x.sum(), (BF,)),
    "bfloat16 softmax": (jax.nn.softmax, (BF,)),
    "bits": (lambda i: (i & 6) | (i ^ 3) | ~i, (N,)),
    "booleans": (lambda x: (x > 0) & (x < 2) | ~(x == 1) ^ (x != 3), (X,)),
    "broadcast": (lambda v: jnp.broadcast_to(v, (3, 4)) + v[None] + v[0], (V,)),
    "two rows": (lambda v: v[None] - jnp.sin(v)[None], (V,)),
    "call": (lambda x: jax.jit(lambda y: jnp.sin(y) * 2)(x) + 1, (X,)),
    "checkpoint": (lambda x: jax.checkpoint(lambda z: jnp.sin(jnp.sin(z)))(x), (X,)),
    "clip": (lambda x: jnp.clip(x, 0, 1), (X,)),
    "comparison": (lambda x: (x + 1 > x * 2) == (x < 3), (X,)),
    "complex": (lambda x: jnp.abs(x + 1j * x) + jnp.real(jnp.exp(1j * x)), (X,)),
    "complex product": (lambda c: c @ c.T + jnp.conj(c).sum(), (C,)),
    "concatenate": (lambda x: jnp.concatenate([x, x * 2, x[:1]]), (X,)),
    "cond": (lambda x: lax.cond(x.sum() > 0, lambda a: a, lambda a: -a, x), (X,)),
    "convolution": (convolve, (IMAGE, KERNEL)),
    "cumulative": (lambda x: (jnp.cumsum(x, 1), lax.cummax(x, 0, reverse=True)), (X,)),
    "custom jvp": (lambda x: power_of_two(x) + power_of_two(x + 1), (X,)),
    "custom jvp in scan": (lambda x: lax.scan(lambda c, r: (power_of_two(c) + r, c), V, x), (X,)),
    "custom vjp": (lambda x: product(x, x + 1), (X,)),
    "custom vjp gradient": (jax.grad(lambda x: product(x, x + 1).sum()), (X,)),
    "debug print": (shout, (X,)),
    "diagonal": (lambda x: jnp.diag(x[0]) + jnp.trace(x), (X,)),
    "dropout": (
        lambda k, x: jnp.where(jax.random.bernoulli(k, 0.5, x.shape), x / 0.5, 0),
        (KEY, X),
    ),
    "dynamic slice": (lambda x, i: lax.dynamic_slice(x, (i[0, 1], 0), (2, 2)), (X, N)),
    "dynamic update": (lambda x, i: lax.dynamic_update_slice(x, x[:1, :1], (i[0, 1], 0)), (X, N)),
    "einsum": (lambda x: jnp.einsum("ij,kj->ik", x, x), (X,)),
    "elu": (lambda x: jax.nn.elu(x) + jax.nn.leaky_relu(x) + jax.nn.relu6(x), (X,)),
    "expand": (lambda x: x[:, None] * x[None] - jnp.expand_dims(x, (0, 2)).sum(), (X,)),
    "fft": (lambda x: jnp.fft.fft(x).real, (X,)),
    "float powers": (lambda x: x**2 + x**3 + x**-1 + x**0.5 + (x + 1) ** x, (X,)),
    "fori of known length": (lambda x: lax.fori_loop(0, 10, lambda i, c: c + i * x, x), (X,)),
    "fori of unknown length": (lambda x, n: lax.fori_loop(0, n, lambda i, c: c + i, x), (X, 5)),
    "gather": (lambda x, i: x[i[0] % 3] + x[i[:, 0] % 3, i[:, 1] % 4][0], (X, N)),
    "gelu": (lambda x: jax.nn.gelu(x) + jax.nn.gelu(x, approximate=False), (X,)),
    "gradient": (jax.grad(lambda w, x: jnp.tanh(x @ w).sum()), (Y, X)),
    "gradient of a convolution": (jax.grad(lambda w, x: convolve(x, w).sum()), (KERNEL, IMAGE)),
    "gradient of a norm": (jax.grad(lambda x: jnp.linalg.norm(x)), (X + 1,)),
    "gradient of a scan": (jax.grad(lambda x: scanned(x)[1].sum()), (X,)),
    "gradient of a pool": (jax.grad(lambda x: pool(x).sum()), (IMAGE,)),
    "gradient of softmax": (jax.grad(lambda x: jax.nn.softmax(x)[0, 0]), (X,)),
    "hessian": (jax.hessian(lambda v: jnp.prod(jnp.sin(v))), (V,)),
    "indexing": (lambda x: x[1] + x[:, 1:2].sum() + x[::-1, ::2].sum() + x[..., -1].sum(), (X,)),
    "integers": (lambda i: i // 3 + i % 4 - (i << 1) * i + i**2 + (i >> 2), (N,)),
    "interpolate": (lambda v: jnp.interp(v, v + 1, v * 2), (V,)),
    "iota": (lambda x: jnp.arange(4) + lax.broadcasted_iota(jnp.float32, (3, 4), 1) * x, (X,)),
    "key split": (lambda k: jax.random.split(k, 3), (KEY,)),
    "log softmax": (jax.nn.log_softmax, (X,)),
    "logsumexp": (lambda x: jax.nn.logsumexp(x, axis=-1), (X,)),
    "map": (lambda x: lax.map(lambda r: r.sum(), x), (X,)),
    "matrix and vector": (lambda x, v: x @ v + v @ x.T, (X, V)),
    "mean": (lambda x: x.mean(0) + x.mean() + x.mean(-1, keepdims=True), (X,)),
    "mlp": (lambda w, x: jax.nn.relu(x @ w + jnp.ones(5)), (Y, X)),
    "negation": (lambda x: -(x - 1) - (2 - x) / (x / 2) / 3 * (x * (x + 1)), (X,)),
    "one hot": (lambda i: jax.nn.one_hot(i, 4), (N,)),
    "outputs of a scan": (lambda x: lax.scan(lambda c, b: (c, b), 0.0, x)[1], (X,)),
    "pad": (lambda x: jnp.pad(x, 1) + jnp.pad(x, ((2, 0), (0, 2)), mode="edge"), (X,)),
    "pool": (pool, (IMAGE,)),
    "prng": (lambda s: jax.random.normal(jax.random.PRNGKey(s), (2,)), (3,)),
    "qr": (jnp.linalg.qr, (X,)),
    "random": (lambda k: jax.random.normal(k, (3,)) + jax.random.uniform(k, (3,)), (KEY,)),
    "reduce": (lambda x, b: (x.max(), x.min(0), x.prod(1), b.all(), b.any(-1)), (X, B)),
    "reshape": (lambda x: x.reshape(2, -1).ravel().reshape(6, 1, 2), (X,)),
    "reverse scan": (lambda x: lax.scan(lambda c, r: (c - r, c), V, x, reverse=True), (X,)),
    "roll": (lambda x: jnp.roll(x, 1, 0) + jnp.flip(x), (X,)),
    "round": (lambda x: jnp.round(x) + jnp.floor(x) + jnp.sign(x) + jnp.ceil(x), (X,)),
    "scan": (scanned, (X,)),
    "scan without slices": (lambda x: lax.scan(lambda c, _: (c * 2, c), x, None, length=9), (X,)),
    "scatter": (mutable, (X,)),
    "select": (lambda x: jnp.where(x > 0, x, -x) + jnp.where(x > 0, 1.0, x), (X,)),
    "silu": (lambda x: jax.nn.silu(x) + jax.nn.sigmoid(x) + jax.nn.softplus(x), (X,)),
    "softmax": (jax.nn.softmax, (X,)),
    "sort": (lambda x: (jnp.sort(x), jnp.argsort(x), lax.sort_key_val(x, x * 2)), (X,)),
    "split": (lambda x: jnp.split(x, 2, axis=1), (X,)),
    "stack": (lambda x: jnp.stack([x, x * 2], axis=1), (X,)),
    "stop gradient": (jax.grad(lambda x: (lax.stop_gradient(x) * x).sum()), (X,)),
    "svd": (lambda a: jnp.linalg.svd(a), (X,)),
    "switch": (
        lambda x, i: lax.switch(i[0, 1], [lambda a: a, lambda a: -a, lambda a: a * 2], x),
        (X, N),
    ),
    "top k": (lambda x: lax.top_k(x, 2), (X,)),
    "transpose": (lambda x: x[None].transpose(2, 0, 1) + x.T[:, None], (X,)),
    "triangles": (lambda x: jnp.tril(x) + jnp.eye(3, 4) + jnp.triu(x, 1), (X,)),
    "trigonometry": (lambda x: jnp.arctan2(jnp.sin(x), jnp.cosh(x)) + jnp.tan(x), (X,)),
    "unsigned": (lambda i: (i.astype(jnp.uint8) + 5) * 3 - 200, (N,)),
    "variance": (lambda x: x.var(-1) + x.std(), (X,)),
    "vmap of a gradient": (jax.vmap(jax.grad(lambda v: (v**3).sum())), (X,)),
    "weak scalar": (lambda s: s * 2 + 1, (2.0,)),
    "weak and strong": (lambda s, x: jnp.where(x > 0, s, 1.0) + s**2, (2.0, X)),
    "while": (
        lambda x: lax.while_loop(lambda c: c[0] < 9, lambda c: (c[0] + 1, c[1] * 2), (0, x)),
        (X,),
    ),
}


def shown(graph: Graph) -> list[str]:
    """The text of a graph without names and places."""
    return [re.sub(r"  #.*", "", line) for line in to_text(graph).splitlines()]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_round_trip(name: str):
    function, arguments = FUNCTIONS[name]
    captured = capture(function, *arguments)
    graph, _ = run_passes(captured.graph)
    verify(graph)
    program = lower(graph, constant_count=captured.constant_count)
    values = [*jax.tree.leaves(arguments), *captured.constants]
    again, _ = run_passes(capture(lambda *x: program(*x), *values).graph)
    assert again == graph, "\n".join(difflib.unified_diff(shown(graph), shown(again), n=0))


def test_a_differentiated_checkpoint_comes_back_inlined():
    """The one form that cannot be written again: lax has no function that makes it."""
    graph, _ = run_passes(
        capture(jax.grad(lambda x: jax.checkpoint(lambda z: jnp.sin(jnp.sin(z)))(x).sum()), X).graph
    )
    (checkpoint,) = [item for item in graph.nodes if item.operation == "checkpoint"]
    assert checkpoint["differentiated"]
    program = lower(graph)
    assert "lax.optimization_barrier" in program.source
    again, _ = run_passes(capture(lambda x: program(x), X).graph)
    assert "optimization_barrier" in [item.operation for item in again.nodes]
