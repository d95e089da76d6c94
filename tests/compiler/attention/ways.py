"""The ways in which a function is differentiated: of one scalar result, by all its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def changes(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    keys = jax.random.split(jax.random.key(7), len(arguments))
    pairs = zip(keys, arguments, strict=True)
    return tuple(jax.random.normal(key, x.shape, x.dtype) for key, x in pairs)


def along(loss: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """The loss as a function of how far to go along each of two directions."""
    steps = changes(arguments)

    def moved(by: Any) -> Any:
        places = range(len(arguments))
        return loss(*(arguments[i] + by[i % 2].astype(steps[i].dtype) * steps[i] for i in places))

    return moved


def gradients(loss: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[..., Any]:
    return jax.grad(loss, tuple(range(len(arguments))))


def squares(tree: Any) -> Any:
    return sum((leaf.astype(jnp.float32) ** 2).sum() for leaf in jax.tree.leaves(tree))


TWO = jnp.array([0.1, 0.2])
STACKED = jnp.stack([TWO, -TWO])
WAYS: dict[str, Callable[[Callable[..., Any], tuple[Any, ...]], Any]] = {
    "grad": lambda f, a: gradients(f, a)(*a),
    "grad by one": lambda f, a: jax.grad(f, len(a) - 1)(*a),
    "jvp": lambda f, a: jax.jvp(f, a, changes(a)),
    "linearize": lambda f, a: jax.linearize(f, *a)[1](*changes(a)),
    "jacfwd": lambda f, a: jax.jacfwd(along(f, a))(TWO),
    "jacrev": lambda f, a: jax.jacrev(lambda by: jnp.stack([along(f, a)(by)] * 2) * by)(TWO),
    "forward over reverse": lambda f, a: jax.jvp(gradients(f, a), a, changes(a)),
    "reverse over forward": lambda f, a: gradients(lambda *b: jax.jvp(f, b, changes(a))[1], a)(*a),
    "reverse over reverse": lambda f, a: gradients(lambda *b: squares(gradients(f, a)(*b)), a)(*a),
    "by one, by another": lambda f, a: jax.grad(lambda *b: squares(jax.grad(f, len(b) - 1)(*b)))(
        *a
    ),
    "hessian": lambda f, a: jax.hessian(along(f, a))(TWO),
    "third": lambda f, a: jax.jacfwd(jax.hessian(along(f, a)))(TWO),
    "vmap over one": lambda f, a: jax.vmap(jax.value_and_grad(f), (0, *(None for _ in a[1:])))(
        jnp.stack([a[0], -a[0]]), *a[1:]
    ),
    "vmap of pullbacks": lambda f, a: jax.vmap(jax.vjp(f, *a)[1])(TWO),
    "vmap of grad": lambda f, a: jax.vmap(jax.grad(along(f, a)))(STACKED),
    "vmap of hessian": lambda f, a: jax.vmap(jax.hessian(along(f, a)))(STACKED),
    "checkpoint": lambda f, a: gradients(jax.checkpoint(f), a)(*a),
    "hessian of checkpoint": lambda f, a: jax.hessian(along(jax.checkpoint(f), a))(TWO),
    "jit": lambda f, a: jax.hessian(along(jax.jit(f), a))(TWO),
}
