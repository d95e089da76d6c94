"""`assume` is an identity that survives every transformation, and that a debug mode checks."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl
from xlathe.compiler.ir import parse, to_text, verify
from xlathe.compiler.ops.assume import ASSUME, KINDS
from xlathe.tracer.assume import fault_of
from xlathe.tracer.capture import capture

from .check import matrix_of, normal

A = normal(0, 4, 4)
B = normal(1, 4)


def said(x):
    return xl.assume(x, "lower_triangular") @ B


def hints(function, *arguments) -> list[tuple[str, tuple[int, ...]]]:
    """The kind and shape of each hint in a captured program."""
    graph = capture(function, *arguments).graph
    verify(graph)
    assert parse(to_text(graph), graph.objects()) == graph
    nodes = [item for inner in graph.walk() for item in inner.nodes]
    return [(item["kind"], item.type.shape) for item in nodes if item.operation == "assume"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.complex64, jnp.int32])
def test_it_is_the_identity(kind, dtype):
    x = A.astype(dtype)
    for function in (lambda x: xl.assume(x, kind), jax.jit(lambda x: xl.assume(x, kind))):
        got = function(x)
        assert got.dtype == x.dtype
        np.testing.assert_array_equal(np.asarray(got), np.asarray(x))


def test_its_derivative_is_that_of_the_identity():
    np.testing.assert_array_equal(jax.grad(lambda x: said(x).sum())(A), jnp.tile(B, (4, 1)))
    _, tangent = jax.jvp(lambda x: xl.assume(x, "diagonal"), (A,), (A + 1,))
    np.testing.assert_array_equal(tangent, A + 1)
    (cotangent,) = jax.linear_transpose(lambda x: xl.assume(x, "diagonal"), A)(A + 2)
    np.testing.assert_array_equal(cotangent, A + 2)
    np.testing.assert_array_equal(
        jax.hessian(lambda x: (said(x) ** 2).sum())(A),
        jax.hessian(lambda x: ((x @ B) ** 2).sum())(A),
    )


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_a_batch_axis_goes_in_front(axis):
    x = jnp.moveaxis(jnp.stack([A, A + 1, A + 2]), 0, axis)
    mapped = jax.vmap(lambda x: xl.assume(x, "symmetric"), in_axes=axis)
    assert hints(mapped, x) == [("symmetric", (3, 4, 4))]
    np.testing.assert_array_equal(mapped(x)[1], A + 1)


def test_transformations_keep_the_hint():
    kind = "lower_triangular"
    assert hints(jax.jit(said), A) == [(kind, (4, 4))]
    assert hints(lambda x: jax.jvp(said, (x,), (x,)), A) == [(kind, (4, 4))]
    assert hints(jax.grad(lambda x: (said(x) ** 2).sum()), A) == [(kind, (4, 4))]
    nested = jax.vmap(jax.vmap(said, in_axes=1), in_axes=1)
    assert hints(nested, jnp.ones((4, 2, 3, 4))) == [(kind, (2, 3, 4, 4))]
    assert hints(jax.checkpoint(said), A) == [(kind, (4, 4))]


def test_it_stands_inside_and_outside_of_loops_and_branches():
    def inside(xs):
        return lax.scan(lambda c, x: (c + said(x), None), B, xs)[0]

    def outside(x):
        x = xl.assume(x, "lower_triangular")
        return lax.fori_loop(0, 3, lambda _, c: x @ c, B)

    def branch(x):
        return lax.cond(x[0, 0] > 0, said, lambda x: x @ B, x)

    xs = jnp.stack([A, A + 1])
    assert hints(inside, xs) == [("lower_triangular", (4, 4))]
    assert hints(outside, A) == [("lower_triangular", (4, 4))]
    assert hints(branch, A) == [("lower_triangular", (4, 4))]
    for function, x in ((inside, jnp.tril(xs)), (outside, jnp.tril(A)), (branch, jnp.tril(A))):
        np.testing.assert_allclose(xl.compile(function)(x), jax.jit(function)(x), rtol=1e-5)


@pytest.mark.parametrize("numerics", ["strict", "relaxed", "finite"])
def test_the_program_holds_no_trace_of_it(numerics):
    traced = xl.compile(said, numerics=numerics).trace(A)
    assert "assume" in traced.as_text("captured")
    for stage in ("ir", "python", "stablehlo"):
        text = traced.as_text(stage)
        assert "assume(" not in text
        assert "import xlathe" not in text


def test_its_line_is_the_users():
    assert f"{__file__.rsplit('/')[-1]}:" in xl.compile(said).trace(A).as_text("captured")
    assert "# assume.py" not in xl.compile(said).trace(A).as_text("captured")


def test_a_primitive_of_the_same_name_is_another():
    from jax.extend.core import Primitive

    other = Primitive("assume")
    other.def_impl(lambda x: x)
    other.def_abstract_eval(lambda x: x)
    graph = capture(lambda x: other.bind(x), A).graph
    assert [item.operation for item in graph.nodes] == ["other_assume"]
    assert ASSUME is not other


def test_an_unknown_kind():
    with pytest.raises(ValueError, match=r"Unknown kind 'lower_triangle'. Did you mean 'lower_tri"):
        xl.assume(A, "lower_triangle")
    with pytest.raises(ValueError, match=r"The kinds are: lower_triangular, upper_triangular, .*"):
        xl.assume(A, "round")


@pytest.mark.parametrize("shape", [(), (4,), (3, 4), (2, 3, 4)])
def test_an_array_of_the_wrong_shape(shape):
    wanted = "two or more dimensions" if len(shape) < 2 else "the same size in the last two axes"
    with pytest.raises(ValueError, match=rf"'diagonal' .*: expected {wanted}, got \("):
        xl.assume(jnp.ones(shape), "diagonal")


def test_a_triangle_need_not_be_square():
    assert xl.assume(jnp.ones((3, 4)), "upper_triangular").shape == (3, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_checked(kind):
    true = np.asarray(matrix_of(kind, 6))
    assert not fault_of(true, kind)
    assert not fault_of(np.stack([true, true]), kind)
    false = true.copy()
    false[0, 5] += 0.5
    false[5, 0] -= 0.7
    assert "off by" in fault_of(false, kind)
    assert not fault_of(true * np.nan, kind)


def test_eigenvalues_are_checked():
    assert "one eigenvalue is -1" in fault_of(-np.eye(3), "positive_definite")


def run_to_the_end(function, x):
    function(x)
    jax.effects_barrier()


def test_the_debug_mode_warns_with_the_line(monkeypatch):
    monkeypatch.setenv("XLATHE_CHECK_ASSUMPTIONS", "1")
    for transform in (xl.compile, jax.jit, jax.vmap):
        x = jnp.stack([A, A]) if transform is jax.vmap else A
        with pytest.warns(xl.FalseAssumption, match=r"test_assume.py:\d+: xl.assume says 'lower_"):
            run_to_the_end(transform(lambda x: said(x)), x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = xl.compile(lambda x: said(x))(jnp.tril(A))
        jax.effects_barrier()
    np.testing.assert_allclose(got, jnp.tril(A) @ B, rtol=1e-5)
