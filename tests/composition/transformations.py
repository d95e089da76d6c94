"""The transformations of the composition matrix.

Each takes a function and the kind it belongs to, and returns a function of the same arguments
whose results are arrays. So one table serves both sides: a transformation is applied to a compiled
function, or a function that applies it is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.extend as jex
import jax.numpy as jnp
import numpy as np
from jax import export, lax
from jax.sharding import Mesh, PartitionSpec

from .kinds import Function, Kind

TRANSFORMATIONS: dict[str, Callable[[Function, Kind], Function]] = {}


def transformation(t: Callable[[Function, Kind], Function]) -> Callable[[Function, Kind], Function]:
    """Registers the decorated transformation under its own name, less a trailing underscore."""
    TRANSFORMATIONS[t.__name__.rstrip("_")] = t
    return t


def _is_inexact(x: Any) -> bool:
    return jnp.issubdtype(jax.typeof(x).dtype, jnp.inexact)


def inexact(f: Function) -> Function:
    """`f` with only its floating results, complex ones as pairs: what jacobians are defined for."""

    def g(*args: Any) -> list[jax.Array]:
        leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(f(*args)) if _is_inexact(leaf)]
        return [jnp.stack([x.real, x.imag]) if jnp.iscomplexobj(x) else x for x in leaves]

    return g


def scalar(f: Function) -> Function:
    """A real number that depends on every floating result of `f`, each element with its weight."""

    def g(*args: Any) -> jax.Array:
        total = jnp.float32(0)
        for leaf in inexact(f)(*args):
            weights = jnp.cos(jnp.arange(np.size(leaf), dtype=jnp.float32)).reshape(jnp.shape(leaf))
            total += jnp.sum(leaf.astype(jnp.float32) * weights)
        return total

    return g


def nudged(args: tuple[Any, ...], kind: Kind, by: Any) -> tuple[Any, ...]:
    """The arguments with the differentiable ones scaled a little, so that iterations differ."""
    by = jnp.asarray(by, jnp.float32)

    def scale(x: jax.Array) -> jax.Array:
        return x * (1 + 0.1 * by).astype(x.dtype)

    return tuple(
        jax.tree.map(scale, a) if i in kind.differentiable else a for i, a in enumerate(args)
    )


def of_differentiable(f: Function, kind: Kind, args: tuple[Any, ...]) -> tuple[Function, Any]:
    """`f` as a function of its differentiable arguments alone, and these arguments."""

    def g(*chosen: Any) -> Any:
        full = list(args)
        for i, a in zip(kind.differentiable, chosen, strict=True):
            full[i] = a
        return f(*full)

    return g, tuple(args[i] for i in kind.differentiable)


def _directions(tree: Any) -> Any:
    return jax.tree.map(
        lambda x: jnp.cos(jnp.arange(x.size)).reshape(x.shape).astype(x.dtype), tree
    )


@transformation
def grad(f, kind):
    return jax.grad(scalar(f), kind.differentiable)


@transformation
def value_and_grad(f, kind):
    def loss(*args):
        return scalar(f)(*args), jax.tree.map(jnp.asarray, f(*args))

    return jax.value_and_grad(loss, kind.differentiable, has_aux=True)


@transformation
def jvp(f, kind):
    def g(*args):
        h, chosen = of_differentiable(inexact(f), kind, args)
        return jax.jvp(h, chosen, _directions(chosen))

    return g


@transformation
def vjp(f, kind):
    def g(*args):
        h, chosen = of_differentiable(inexact(f), kind, args)
        out, pull = jax.vjp(h, *chosen)
        return out, pull(_directions(out))

    return g


@transformation
def linearize(f, kind):
    def g(*args):
        h, chosen = of_differentiable(inexact(f), kind, args)
        out, push = jax.linearize(h, *chosen)
        return out, push(*_directions(chosen)), push(*chosen)

    return g


@transformation
def linear_transpose(f, kind):
    def g(*args):
        h, chosen = of_differentiable(inexact(f), kind, args)
        out, push = jax.linearize(h, *chosen)
        return jax.linear_transpose(push, *chosen)(_directions(out))

    return g


@transformation
def jacfwd(f, kind):
    return jax.jacfwd(inexact(f), kind.differentiable)


@transformation
def jacrev(f, kind):
    return jax.jacrev(inexact(f), kind.differentiable)


@transformation
def hessian(f, kind):
    return jax.hessian(scalar(f), kind.differentiable)


def _batched(args: tuple[Any, ...], kind: Kind) -> tuple[Any, ...]:
    copies = [nudged(args, kind, i) for i in range(3)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *copies)


@transformation
def vmap(f, kind):
    return lambda *args: jax.vmap(f)(*_batched(args, kind))


@transformation
def vmap_in_axes(f, kind):
    def g(*args):
        batched = _batched(args, kind)
        last = [jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), a) for a in batched]
        chosen = [last[i] if i in kind.differentiable else a for i, a in enumerate(args)]
        axes = tuple(-1 if i in kind.differentiable else None for i in range(len(args)))
        return jax.vmap(f, in_axes=axes, out_axes=0, axis_size=3)(*chosen)

    return g


@transformation
def vmap_axis_name(f, kind):
    def collective(*args):
        out = inexact(f)(*args)
        means = lax.pmean(out, "batch")
        return jax.tree.map(jnp.subtract, out, means), lax.axis_index("batch")

    return lambda *args: jax.vmap(collective, axis_name="batch")(*_batched(args, kind))


@transformation
def jit(f, kind):
    return jax.jit(f)


@transformation
def checkpoint(f, kind):
    return jax.grad(jax.checkpoint(scalar(f)), kind.differentiable)


@transformation
def checkpoint_policy(f, kind):
    policy = jax.checkpoint_policies.dots_saveable
    return jax.grad(scalar(jax.checkpoint(inexact(f), policy=policy)), kind.differentiable)


@transformation
def scan(f, kind):
    def g(*args):
        def step(i, x):
            return i + 1, f(*nudged(args, kind, i + x))

        return lax.scan(step, jnp.int32(0), jnp.arange(3.0))

    return g


@transformation
def while_loop(f, kind):
    def g(*args):
        def step(state):
            i, _ = state
            return i + 1, jax.tree.map(jnp.asarray, f(*nudged(args, kind, i)))

        first = jax.tree.map(jnp.asarray, f(*args))
        return lax.while_loop(lambda state: state[0] < 3, step, (1, first))

    return g


@transformation
def cond(f, kind):
    def g(*args):
        first = jax.tree.leaves([args[i] for i in kind.differentiable])[0]
        branches = (lambda *a: f(*nudged(a, kind, 1)), f)
        kept = lax.cond(first.real.sum() < 9, *branches, *args)
        return kept, lax.switch(jnp.argmax(first.real.ravel()) % 2, branches, *args)

    return g


def _shard_map(f: Function, kind: Kind, *, check_vma: bool) -> Function:
    def on_device(*args: Any) -> Any:
        nudge = nudged(args, kind, lax.axis_index("d"))
        means = lax.pmean(inexact(f)(*nudge), "d")
        return jax.tree.map(lambda x: jnp.asarray(x)[None], f(*nudge)), means

    def g(*args: Any) -> Any:
        mesh = Mesh(np.array(jax.devices()[:8]).reshape(2, 4), ("unused", "d"))
        specs = {"in_specs": PartitionSpec(), "out_specs": (PartitionSpec("d"), PartitionSpec())}
        return jax.shard_map(on_device, mesh=mesh, check_vma=check_vma, **specs)(*args)

    return g


@transformation
def shard_map(f, kind):
    return _shard_map(f, kind, check_vma=False)


@transformation
def shard_map_checked(f, kind):
    return _shard_map(f, kind, check_vma=True)


@transformation
def custom_vjp(f, kind):
    def g(*args):
        h, chosen = of_differentiable(scalar(f), kind, args)
        ruled = jax.custom_vjp(h)
        ruled.defvjp(lambda *a: (h(*a), a), lambda a, t: jax.tree.map(lambda x: -5 * t * x, a))
        return jax.value_and_grad(ruled, tuple(range(len(chosen))))(*chosen)

    return g


@transformation
def custom_jvp(f, kind):
    def g(*args):
        h, chosen = of_differentiable(scalar(f), kind, args)
        ruled = jax.custom_jvp(h)
        ruled.defjvp(lambda a, t: (h(*a), 5 * scalar(lambda *b: b)(*t)))
        return jax.value_and_grad(ruled, tuple(range(len(chosen))))(*chosen)

    return g


@transformation
def eval_shape(f, kind):
    def g(*args):
        def of(shape):
            if jnp.issubdtype(shape.dtype, jax.dtypes.prng_key):
                return shape.shape
            return jnp.zeros(shape.shape, shape.dtype), shape.weak_type

        return jax.tree.map(jnp.asarray, jax.tree.map(of, jax.eval_shape(f, *args)))

    return g


@transformation
def make_jaxpr(f, kind):
    def g(*args):
        jaxpr, shape = jax.make_jaxpr(f, return_shape=True)(*args)
        leaves = jex.core.jaxpr_as_fun(jaxpr)(*jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shape), leaves)

    return g


@transformation
def export_(f, kind):
    def g(*args):
        specs = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), args)
        return export.export(jax.jit(f))(*specs).call(*args)

    return g


@transformation
def grad_of_vmap(f, kind):
    return jax.grad(scalar(vmap(f, kind)), kind.differentiable)


@transformation
def vmap_of_grad(f, kind):
    def g(*args):
        batched, axes = _batched(args, kind), [0] * len(args)
        return jax.vmap(jax.grad(scalar(f), kind.differentiable), axes)(*batched)

    return g


@transformation
def scan_of_grad(f, kind):
    return scan(grad(f, kind), kind)
