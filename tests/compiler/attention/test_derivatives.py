"""Attention by a kernel is differentiated in every way that plain attention is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from xlathe.compiler.attention import kernels
from xlathe.compiler.targets import GPU as MEASURED_GPU
from xlathe.compiler.targets import TPU

from .check import concrete, errors, runnable
from .spellings import BF16, F32, SPELLINGS, Spelling, scores, through, tril
from .ways import WAYS, squares

GPU = replace(MEASURED_GPU, small_scores=0)
BACKWARD: list[str] = []


def once_differentiable(
    query: jax.Array, key: jax.Array, value: jax.Array, bias=None, mask=None, **options: Any
) -> jax.Array:
    """Attention with restrictions of cuDNN's: derivatives in reverse mode, once, none by the bias.

    cuDNN's may be mapped, over all arrays at once; this one may not.
    """
    plain = partial(jax.nn.dot_product_attention, **options)

    def refuse(*_: Any) -> Any:
        raise NotImplementedError("the kernel was differentiated twice")

    @jax.custom_batching.custom_vmap
    def unmapped(*arrays: Any) -> Any:
        return arrays

    @unmapped.def_vmap
    def _(size: int, mapped: list[bool], *arrays: Any) -> Any:
        raise NotImplementedError("the kernel was mapped")

    @jax.custom_vjp
    def backward(operands: Any, others: Any, cotangent: Any) -> Any:
        BACKWARD.append("traced")
        *operands, cotangent = unmapped(*operands, cotangent)
        return jax.vjp(lambda *given: plain(*given, *others), *operands)[1](cotangent)

    @jax.custom_vjp
    def attend(operands: Any, others: Any) -> Any:
        operands = unmapped(*operands)
        return plain(*operands, *others)

    backward.defvjp(refuse, refuse)
    attend.defvjp(
        lambda operands, others: (attend(operands, others), (operands, others)),
        lambda kept, cotangent: (backward(*kept, cotangent), None),
    )
    return attend((query, key, value), (bias, mask))


SLOW = {
    "by one, by another",
    "checkpoint",
    "grad by one",
    "hessian of checkpoint",
    "jacrev",
    "jit",
    "linearize",
    "reverse over forward",
    "third",
    "vmap of grad",
    "vmap of hessian",
}


def alibi(q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array) -> jax.Array:
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) + bias
    weights = jax.nn.softmax(jnp.where(tril(), scores, -jnp.inf))
    return jnp.einsum("bhqk,bkhd->bqhd", weights, v)


def in_a_loop(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    def layer(x: jax.Array, scale: jax.Array) -> Any:
        return x + SPELLINGS["tril of ones, -inf"].function(scale * x, k, v), None

    return lax.scan(layer, q, jnp.array([0.5, 1.5], q.dtype))[0]


FORMS = {
    "causal": SPELLINGS["tril of ones, -inf"],
    "a bias": Spelling(alibi, (*SPELLINGS["tril of ones, -inf"].shapes, (1, 4, 64, 64))),
    "padding": SPELLINGS["padding and causal"],
    "a loop": Spelling(in_a_loop),
}


def value_of(spelling: Spelling) -> Callable[..., Any]:
    def loss(*arguments: Any) -> Any:
        result = spelling.function(*arguments, *spelling.others)
        return jnp.sin(result.astype(F32)).sum()

    return loss


def joint_of(spelling: Spelling) -> Callable[..., Any]:
    """A function that holds attention's gradient by queries, keys and values."""

    def norm(*arguments: Any) -> Any:
        value, found = jax.value_and_grad(value_of(spelling), (0, 1, 2))(*arguments)
        return value + squares(found)

    return norm


def cases(quick: dict[str, set[str]]) -> list[Any]:
    """All ways of all forms; by default of those that differ in what JAX does with them."""
    return [
        pytest.param(form, way, marks=[] if way in quick.get(form, ()) else [pytest.mark.slow])
        for form in FORMS
        for way in WAYS
    ]


OUTSIDE = {
    "causal": set(WAYS) - SLOW,
    "a bias": {"grad", "jacfwd", "reverse over reverse"},
    "padding": {"vmap over one"},
    "a loop": {"reverse over reverse"},
}
INSIDE = {"causal": {"grad", "jvp", "reverse over reverse"}}


@pytest.fixture(autouse=True)
def _kernel_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Derivatives of derivatives are compared in float32, which cuDNN itself doesn't take."""
    monkeypatch.setattr(kernels, "_CUDNN_TYPES", {"float32"})


def assert_same(form: str, way: str, program: Callable[[Spelling], Callable[..., Any]]) -> None:
    spelling = FORMS[form]
    arguments = tuple(concrete(spelling))
    source, run = runnable(program(spelling), arguments, GPU, once_differentiable)
    assert re.search(r"partial\(\s*kernel,", source)
    derive = WAYS[way]
    ours = jax.jit(lambda *given: derive(run, given))(*arguments)
    plain = jax.jit(lambda *given: derive(program(spelling), given))(*arguments)
    assert jax.tree.structure(ours) == jax.tree.structure(plain)
    assert max(errors(ours, plain)) < 1e-3


@pytest.mark.parametrize(("form", "way"), cases(OUTSIDE))
def test_from_outside(form: str, way: str):
    BACKWARD.clear()
    assert_same(form, way, value_of)
    assert BACKWARD or way in ("jvp", "linearize", "jacfwd")


@pytest.mark.parametrize(("form", "way"), cases(INSIDE))
def test_from_inside(form: str, way: str):
    assert_same(form, way, joint_of)


def test_the_tpu_takes_every_way():
    spelling = Spelling(through(scores, lambda: tril(1024, 1024)), ((1, 1024, 2, 64),) * 3, BF16)
    arguments = tuple(concrete(spelling))
    source, run = runnable(value_of(spelling), arguments, TPU)
    assert "with_derivatives(" in source
    for way in ("grad", "jvp", "reverse over reverse", "vmap of hessian"):
        derived = jax.jit(lambda *given, way=way: WAYS[way](run, given))
        text = derived.trace(*arguments).lower(lowering_platforms=("tpu",)).as_text()
        assert ("splash" in text) or way == "jvp"
