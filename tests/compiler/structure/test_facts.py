"""What is inferred of matrices, from hints and from the operations that made them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl
from xlathe.compiler.ir import Graph, parse
from xlathe.compiler.pipeline import EXACT, run_passes
from xlathe.compiler.structure.facts import FULL, IDENTITY, OF_KIND, Facts, kinds_of
from xlathe.compiler.structure.infer import Structures
from xlathe.tracer.capture import capture

from .check import normal

A = normal(0, 6, 6)
V = normal(1, 6)


def facts_of(function, *arguments, zeros: bool = True) -> Facts:
    graph: Graph = run_passes(capture(function, *arguments).graph, EXACT)[0]
    return Structures(zeros)(graph.results[0])


def assume(kind):
    return lambda x: xl.assume(x, kind)


def solved(a, b, **options):
    return lax.linalg.triangular_solve(a, b, **{"left_side": True, **options})


def with_entry(a, place):
    return a.at[place].set(1.0)


SHOWN = {
    "tril": (jnp.tril, (A,), (FULL, 0)),
    "tril of the first below": (lambda a: jnp.tril(a, -1), (A,), (FULL, -1)),
    "tril of the second above": (lambda a: jnp.tril(a, 2), (A,), (FULL, 2)),
    "triu": (jnp.triu, (A,), (0, FULL)),
    "triu of the first above": (lambda a: jnp.triu(a, 1), (A,), (-1, FULL)),
    "transpose": (lambda a: jnp.tril(a, 1).T, (A,), (1, FULL)),
    "band": (lambda a: jnp.tril(jnp.triu(a, -1), 2), (A,), (1, 2)),
    "mask by multiplication": (lambda a: a * jnp.tri(6), (A,), (FULL, 0)),
    "mask by where": (
        lambda a: jnp.where(jnp.arange(6)[:, None] > jnp.arange(6), a, 0.0),
        (A,),
        (FULL, -1),
    ),
    "mask the other way": (
        lambda a: jnp.where(jnp.arange(6)[:, None] < jnp.arange(6), 0.0, a),
        (A,),
        (FULL, 0),
    ),
    "diag": (jnp.diag, (V,), (0, 0)),
    "diagonal above": (lambda v: jnp.diag(v, 1), (V,), (-1, 1)),
    "diagonal below": (lambda v: jnp.diag(v, -2), (V,), (2, -2)),
    "sum": (lambda v: jnp.diag(v) + jnp.diag(v[1:], 1), (V,), (0, 1)),
    "difference": (lambda a: jnp.tril(a) - jnp.tril(a, -2), (A,), (FULL, 0)),
    "scaled": (lambda a: -2 * jnp.tril(a) / 3, (A,), (FULL, 0)),
    "elementwise product": (lambda a: jnp.tril(a) * jnp.triu(a), (A,), (0, 0)),
    "function that keeps zeros": (lambda a: jnp.sin(jnp.tril(a)), (A,), (FULL, 0)),
    "function that does not": (lambda a: jnp.cos(jnp.tril(a)), (A,), (FULL, FULL)),
    "product": (lambda a: jnp.tril(a) @ jnp.tril(a + 1), (A,), (FULL, 0)),
    "product of bands": (
        lambda a: jnp.tril(jnp.triu(a), 1) @ jnp.tril(jnp.triu(a, -1), 1),
        (A,),
        (1, 2),
    ),
    "product of one each": (lambda a: jnp.tril(a) @ jnp.triu(a), (A,), (FULL, FULL)),
    "vmap": (jax.vmap(jnp.tril), (jnp.stack([A, A]),), (FULL, 0)),
    "vmapped product": (
        jax.vmap(lambda a: jnp.tril(a) @ jnp.tril(a).T.T),
        (jnp.stack([A, A]),),
        (FULL, 0),
    ),
    "sum over the batch": (lambda a: jax.vmap(jnp.tril)(a).sum(0), (jnp.stack([A, A]),), (FULL, 0)),
    "pad": (lambda a: jnp.pad(a, ((2, 0), (0, 2))), (A,), (7, 3)),
    "rows of a split": (lambda a: jnp.split(jnp.tril(a), 2)[1], (A,), (FULL, 3)),
    "columns of a split": (lambda a: jnp.split(jnp.triu(a), 2, 1)[1], (A,), (3, FULL)),
    "solution with a triangle": (
        lambda a: solved(a, jnp.tril(a), lower=True),
        (A,),
        (FULL, 0),
    ),
    "solution with a transposed triangle": (
        lambda a: solved(a, jnp.triu(a), lower=True, transpose_a=True),
        (A,),
        (0, FULL),
    ),
    "solution from the right": (
        lambda a: solved(a, jnp.triu(jnp.tril(a, 1)), left_side=False, unit_diagonal=True),
        (A,),
        (0, FULL),
    ),
    "an entry set": (lambda a: with_entry(jnp.triu(a, 1), (2, 2)), (A,), (0, FULL)),
    "an entry set elsewhere": (lambda a: with_entry(jnp.triu(a, 1), (2, 1)), (A,), (FULL, FULL)),
    "cast": (lambda a: jnp.tril(a).astype(jnp.bfloat16), (A,), (FULL, 0)),
    "nothing": (lambda a: a + 1, (A,), (FULL, FULL)),
    "a comparison with a vector": (
        lambda a: jnp.where(jnp.arange(6) > 2, a, 0.0),
        (A,),
        (FULL, FULL),
    ),
}


@pytest.mark.parametrize("case", SHOWN.values(), ids=SHOWN)
def test_zeros_that_the_program_shows(case):
    function, arguments, (low, high) = case
    facts = facts_of(function, *arguments)
    assert (facts.low, facts.high) == (low, high)
    value = np.asarray(jax.jit(function)(*arguments), np.float64)
    offset = np.arange(value.shape[-1])[None, :] - np.arange(value.shape[-2])[:, None]
    outside = (offset < -low) | (offset > high)
    assert not np.any(value[..., outside])
    known = facts_of(function, *arguments, zeros=False)
    assert not known.is_banded


def test_zero_and_identity():
    assert facts_of(lambda: jnp.zeros((6, 6))).is_zero
    assert facts_of(lambda: jnp.eye(6)) == IDENTITY
    assert facts_of(lambda: jnp.eye(6).T @ jnp.eye(6)).is_identity
    assert not facts_of(lambda: jnp.eye(6, k=1)).is_identity
    assert not facts_of(lambda: jnp.eye(6, 5)).unit


def test_hints_are_known_whatever_zeros_count_for():
    for zeros in (True, False):
        found = facts_of(
            lambda a: assume("lower_triangular")(a).T @ assume("diagonal")(a), A, zeros=zeros
        )
        assert (found.low, found.high) == (0, FULL)
    both = facts_of(lambda a: assume("upper_triangular")(assume("lower_triangular")(a)), A)
    assert both.is_diagonal


SYMMETRIC = {
    "a @ a.T": (lambda a: a @ a.T, True),
    "a.T @ a": (lambda a: a.T @ a, True),
    "a @ a": (lambda a: a @ a, False),
    "a + a.T": (lambda a: a + a.T, True),
    "a - a.T": (lambda a: a - a.T, False),
    "sum": (lambda a: a @ a.T + 2 * assume("symmetric")(a), True),
    "sum with a number": (lambda a: a @ a.T + 1.0, True),
    "function": (lambda a: jnp.sin(a @ a.T), True),
    "scaled by rows": (lambda a: a @ a.T * a[0], False),
    "hint": (assume("symmetric"), True),
    "hermitian hint": (assume("hermitian"), True),
    "positive definite hint": (assume("positive_definite"), True),
    "other": (lambda a: a * 2, False),
}


@pytest.mark.parametrize("case", SYMMETRIC.values(), ids=SYMMETRIC)
def test_symmetry(case):
    function, expected = case
    found = facts_of(function, A, zeros=False)
    assert found.symmetric == expected
    assert found.hermitian == expected
    if expected and "assume" not in str(jax.make_jaxpr(function)(A)):
        value = np.asarray(function(A))
        np.testing.assert_allclose(value, value.T, rtol=1e-5)


def test_complex_symmetry():
    a = A + 1j
    assert facts_of(assume("symmetric"), a) == Facts(symmetric=True)
    assert facts_of(assume("hermitian"), a) == Facts(hermitian=True)
    assert not facts_of(lambda a: a @ a.T, a).hermitian


def test_orthogonal_and_positive():
    q, p = assume("orthogonal"), assume("positive_definite")
    assert facts_of(lambda a, b: q(a) @ q(b).T, A, A).orthogonal
    assert not facts_of(lambda a, b: q(a) + q(b), A, A).orthogonal
    assert not facts_of(lambda a: 2 * q(a), A).orthogonal
    assert facts_of(lambda a: jnp.linalg.eigh(a)[1], A).orthogonal
    assert facts_of(lambda a, b: p(a) + 2 * p(b), A, A).positive
    assert not facts_of(lambda a, b: p(a) - p(b), A, A).positive
    assert not facts_of(lambda a: -2 * p(a), A).positive
    swap = assume("permutation")
    assert facts_of(lambda a, b: swap(a).T @ swap(b), A, A).permutation


def test_deep_programs_do_not_overflow_the_stack():
    lines = "\n".join(f"    v{i + 1}: f32[3, 3] = neg(v{i})" for i in range(5000))
    text = f"def f(a: f32[3, 3]):\n    v0: f32[3, 3] = assume(a, kind='diagonal')\n{lines}\n"
    graph = parse(f"{text}    return (v5000,)\n")
    assert Structures(False)(graph.results[0]).is_diagonal


@pytest.mark.parametrize("kind", list(OF_KIND))
def test_facts_as_hints_and_back(kind):
    facts = facts_of(assume(kind), A, zeros=False)
    again = facts_of(
        lambda a: [a := xl.assume(a, each) for each in kinds_of(facts)][-1], A, zeros=False
    )
    assert again == facts
