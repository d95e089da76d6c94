"""The kinds of function that the composition matrix covers, one of each.

A kind is a function, arguments for it, and the transformations that JAX itself refuses to apply to
such a function. Refusals are part of the table so that a test can tell "JAX cannot do this" from
"the compiler broke this".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.experimental import io_callback

Function = Callable[..., Any]
Wrap = Callable[[Function], Function]

LOG: list[tuple[str, Any]] = []
"""What the host callbacks of the kinds below saw, in the order they saw it."""

REVERSE = frozenset(
    [
        "grad",
        "value_and_grad",
        "vjp",
        "jacrev",
        "hessian",
        "checkpoint",
        "checkpoint_policy",
        "grad_of_vmap",
        "vmap_of_grad",
        "scan_of_grad",
        "linear_transpose",
    ]
)
"""Transformations that differentiate in reverse."""

FORWARD = frozenset(["jvp", "linearize", "jacfwd", "hessian", "linear_transpose"])
"""Transformations that differentiate forwards."""

MAPPED = frozenset(["vmap", "vmap_in_axes", "vmap_axis_name", "shard_map", "shard_map_checked"])
"""Transformations that run a function once for each of several elements or devices."""


@dataclass(frozen=True)
class Kind:
    """A function of one kind, with what the matrix must know to transform it."""

    name: str
    build: Callable[[Wrap], Function]
    args: Callable[[], tuple[Any, ...]]
    differentiable: tuple[int, ...] = (0,)
    refuses: frozenset[str] = frozenset()
    ordered: bool = True
    tolerance: float = 1e-5

    def __repr__(self) -> str:
        return self.name


KINDS: dict[str, Kind] = {}


def kind(args: Callable[[], tuple[Any, ...]], **options: Any) -> Callable[[Function], Function]:
    """Registers the decorated function as a kind of its own name."""

    def register(f: Function) -> Function:
        KINDS[f.__name__] = Kind(f.__name__, lambda wrap: wrap(f), args, **options)
        return f

    return register


def vector() -> tuple[jax.Array]:
    """One small vector of values away from the corners of the functions used here."""
    return (jnp.array([0.3, -0.7, 1.1, 0.5]),)


def two_layers() -> dict[str, Any]:
    """The parameters of a small network, with the containers people use."""
    w = np.sin(np.arange(24, dtype=np.float32)).reshape(4, 6)
    return {
        "layers": [(jnp.asarray(w), jnp.zeros(6)), (jnp.asarray(w.T[:, :2]), jnp.ones(2))],
        "unused": None,
    }


class Prediction(NamedTuple):
    """A result with named fields."""

    logits: jax.Array
    norm: jax.Array


@kind(vector)
def elementwise(x):
    y = jnp.tanh(x) * 2 + x**2
    return jnp.where(x > 0, y, jnp.exp(-y))


@kind(lambda: (two_layers(), jnp.linspace(-1, 1, 12).reshape(3, 4)))
def mlp(params, x):
    for w, b in params["layers"][:-1]:
        x = jax.nn.gelu(x @ w + b)
    w, b = params["layers"][-1]
    logits = jax.nn.log_softmax(x @ w + b)
    return {"prediction": Prediction(logits, jnp.linalg.norm(x, axis=-1)), "unused": None}


@kind(
    lambda: (
        {"in": jnp.full((3, 4), 0.2), "state": jnp.eye(4) * 0.5},
        jnp.arange(15.0).reshape(5, 3) / 7,
    ),
    refuses=frozenset(("shard_map_checked",)),
)
def rnn(params, xs):
    def step(carry, x):
        h, count = carry
        h = jnp.tanh(x @ params["in"] + h @ params["state"])
        return (h, count + 1), h.sum()

    (h, count), sums = lax.scan(step, (jnp.zeros(4), 0), xs, reverse=True, unroll=2)
    return h, count, sums


@kind(vector, refuses=REVERSE)
def while_loop(x):
    def newton(state):
        i, y = state
        return i + 1, 0.5 * (y + (1 + x**2) / y)

    def converging(state):
        i, y = state
        return (i < 4) & (y.sum() < 1e6)

    return lax.while_loop(converging, newton, (0, jnp.ones_like(x)))


@kind(vector)
def fori_loop(x):
    return lax.fori_loop(0, 3, lambda i, y: jnp.sin(y) * (i + 1) + x, x)


@kind(lambda: (*vector(), jnp.int32(1)))
def cond_and_switch(x, i):
    y = lax.cond(x.sum() > 0, lambda v: v * 3, lambda v: jnp.exp(v), x)
    return lax.switch(i, [jnp.sin, lambda v: v @ v * jnp.ones(4), lambda v: v + 1], y)


@jax.custom_jvp
def tripled(x):
    return jnp.sin(x)


@tripled.defjvp
def _(primals, tangents):
    (x,), (t,) = primals, tangents
    return jnp.sin(x), 3 * jnp.cos(x) * t


@kind(vector)
def custom_jvp(x):
    return tripled(x * 2) + jax.nn.relu(x)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def reversed_gradient(scale, x, pair):
    return jnp.sin(x) * scale + pair["a"]


def _forward(scale, x, pair):
    return reversed_gradient(scale, x, pair), (x, pair["b"])


def _backward(scale, residuals, g):
    x, b = residuals
    return -7 * scale * g * x, {"a": g * b, "b": None}


reversed_gradient.defvjp(_forward, _backward)


@kind(vector, refuses=FORWARD - {"linear_transpose"})
def custom_vjp(x):
    return reversed_gradient(2.0, x, {"a": x * 3, "b": jnp.cos(x)}) * x


@kind(lambda: (two_layers(), jnp.linspace(-1, 1, 12).reshape(3, 4)))
def checkpointed(params, x):
    policy = jax.checkpoint_policies.save_only_these_names("hidden")

    @partial(jax.checkpoint, policy=policy)
    def block(w, b, x):
        return jnp.sin(checkpoint_name(jnp.cos(x @ w + b), "hidden"))

    (w1, b1), (w2, b2) = params["layers"]
    return jax.checkpoint(lambda h: jnp.sin(h @ w2 + b2))(block(w1, b1, x))


@kind(lambda: (jnp.sin(jnp.arange(12.0)).reshape(4, 3), jnp.array([2, 0, 3, -1]), jnp.int32(1)))
def gather_and_scatter(x, index, start):
    rows = x[index]
    piece = lax.dynamic_slice(x, (start, 0), (2, 2))
    scattered = x.at[index, 1].add(2.0).at[0].multiply(rows[1]).at[9, 9].set(1.0, mode="drop")
    ranked = jnp.take_along_axis(x, jnp.argsort(x, axis=0), axis=0)
    return scattered, jnp.pad(piece, ((0, 1), (1, 0))), ranked[::-1], jnp.flip(jnp.cumsum(x, 0))


@kind(lambda: (*vector(), jax.random.key(7)))
def random(x, key):
    key, drop, noise = jax.random.split(key, 3)
    y = x * jax.random.bernoulli(drop, 0.5, x.shape) + jax.random.normal(noise, x.shape)
    return y, key, jax.random.key_data(noise), jax.random.randint(drop, (3,), 0, 9)


def _note(name: str, value: Any) -> None:
    LOG.append((name, np.asarray(value).tolist()))


@kind(vector, refuses=frozenset(("export",)), ordered=False)
def debug_print(x):
    jax.debug.print("sum {s:.4f} first {f:.4f}", s=x.sum(), f=x[0])
    y = jnp.sin(x)
    jax.debug.callback(partial(_note, "debug"), y)
    return y * 2


@kind(vector, refuses=REVERSE | FORWARD | {"export"})
def pure_callback(x):
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    y = jax.pure_callback(lambda v: np.sin(v), shape, x, vmap_method="sequential")
    return y * 2


@kind(vector, refuses=REVERSE | FORWARD | {"export"}, ordered=False)
def unordered_io(x):
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)

    def seen(v):
        _note("io", v)
        return np.cos(v)

    return x + io_callback(seen, shape, x * 2)


@kind(vector, refuses=REVERSE | FORWARD | MAPPED | {"export"})
def ordered_effects(x):
    io_callback(partial(_note, "first"), None, x[0], ordered=True)
    y = jnp.sin(x)
    io_callback(partial(_note, "second"), None, y[1], ordered=True)

    def step(carry, v):
        io_callback(partial(_note, "step"), None, v, ordered=True)
        return carry + v, v

    total, _ = lax.scan(step, jnp.float32(0), y)
    jax.debug.print("total {t:.4f}", t=total, ordered=True)
    return y * total


@kind(lambda: (jnp.eye(3) * 2 + jnp.sin(jnp.arange(9.0)).reshape(3, 3) / 3, jnp.arange(3.0)))
def linear_algebra(a, b):
    symmetric = a @ a.T + jnp.eye(3)
    lower = jnp.linalg.cholesky(symmetric)
    half = jax.scipy.linalg.solve_triangular(lower, b, lower=True)
    matvec = partial(jnp.matmul, symmetric)
    by_hand = lax.custom_linear_solve(
        matvec, b, lambda mv, v: jnp.linalg.solve(symmetric, v), symmetric=True
    )
    return jnp.linalg.solve(a, b), half, jnp.linalg.slogdet(symmetric)[1], by_hand


@kind(vector)
def complex_inside(x):
    z = jnp.exp(1j * x) * (x + 2j)
    return jnp.fft.fft(z), jnp.abs(z), z.conj() / (1 + z * z.conj())


@kind(
    lambda: (jnp.array([0.3 + 1j, -0.7 - 0.2j, 1.1 + 0j]),),
    refuses=frozenset(("jacfwd", "hessian")),
)
def complex_arguments(z):
    return jnp.sin(z) * z.conj(), z.real.astype(int), jnp.angle(z)


@kind(lambda: (*vector(), jnp.array([3, 1, 2, 0], jnp.uint8)))
def integers_and_booleans(x, n):
    flags = (x > 0) & (n > 1)
    return jnp.argsort(x), flags, n << 1, flags.any(), x * n, jnp.bitwise_count(n)


@kind(vector)
def weak_types_and_constants(x):
    total = x.sum()
    return x * 2, 3, 2.5, True, None, (lax.convert_element_type(total, jnp.bfloat16), total * 1j)


_NUMPY = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)


def _closes_over_arrays(wrap: Wrap) -> Function:
    on_device, integers = jnp.cos(_NUMPY), jnp.arange(4)
    return wrap(lambda x: ((x @ _NUMPY) @ on_device, integers + 1, x[integers[::-1]]))


KINDS["closes_over_arrays"] = Kind("closes_over_arrays", _closes_over_arrays, vector)


def _closes_over_tracers(wrap: Wrap) -> Function:
    def outer(x, i):
        hidden = jnp.sin(x)
        inner = wrap(lambda y: (hidden * y, lax.cond(i > 0, lambda: hidden.sum(), lambda: y[0])))
        product, chosen = inner(x + 1)
        return product * chosen, lax.map(lambda v: wrap(lambda u: u * v + hidden)(x), x)

    return outer


KINDS["closes_over_tracers"] = Kind(
    "closes_over_tracers", _closes_over_tracers, lambda: (*vector(), jnp.int32(1))
)


@partial(jax.jit, static_argnames="power")
def _raised(x, y, *, power):
    return x**power + y


@kind(vector)
def nested_jit(x):
    with jax.named_scope("outer"):
        y = _raised(x, 1, power=3)
    return jax.jit(lambda v: (_raised(v, y, power=3), v), inline=True)(y)


@kind(vector)
def linear(x):
    y = jnp.concatenate([x[1:], x[:1]]) @ jnp.asarray(_NUMPY)
    return jnp.cumsum(y).reshape(2, 2).T * 3, lax.rev(x, (0,)), jnp.convolve(x, _NUMPY[1])


@kind(
    lambda: (jnp.array([0.3, -0.7, 1.1, 0.5], jnp.bfloat16), jnp.ones((4, 2), jnp.float16)),
    tolerance=2e-2,
)
def low_precision(x, w):
    return jnp.tanh(x) + 1, lax.dot(x.astype(w.dtype), w, preferred_element_type=jnp.float32)
