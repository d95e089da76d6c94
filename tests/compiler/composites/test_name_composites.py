"""Composites are printed by their names, and the program computes what it did."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl
from xlathe.compiler.ir import Graph, parse, to_text, verify
from xlathe.compiler.lowering import lower
from xlathe.compiler.passes.name_composites import NameComposites
from xlathe.compiler.pipeline import pipeline, run_passes
from xlathe.runtime.reference import reference
from xlathe.tracer.capture import capture

from .spellings import (
    SPELLINGS,
    WIDTH,
    X,
    by_hand,
    cross_entropy,
    group_norm,
    layer_norm,
    rms_norm,
    rotate_half,
    rotate_halves,
    rotate_wide,
    values,
)

Program = Callable[..., Any]
SOME = ("softmax jax", "log_softmax jax", "logsumexp jax", "gelu jax", "gelu exact", "silu jax")


def source_of(function: Program, *arguments: Any, **options: Any) -> str:
    """The printed program, without the comments."""
    text = xl.compile(function, **options).trace(*arguments).as_text("python")
    return re.sub(r"  #.*", "", text[text.index("def ") :])


def misses(function: Program, *arguments: Any) -> list[str]:
    """What `explain` says of composites that were nearly named."""
    text = xl.compile(function).trace(*arguments).explain()
    return [
        re.sub(r", \S+:\d+( \S+\(\))?", "", x.strip())
        for x in text.splitlines()
        if "not named:" in x
    ]


def with_and_without(function: Program, *arguments: Any, numerics: Any = "relaxed"):
    """The program as it is, and as it is without names."""
    captured = capture(function, *arguments)
    graph, records = run_passes(captured.graph, pipeline(numerics, reference=reference))
    verify(graph)
    assert NameComposites(reference)(graph) == graph
    assert parse(to_text(graph), graph.objects()) == graph
    count = captured.constant_count
    assert count == 0
    return [lower(item).function for item in (graph, records[-1].before)]


def assert_same(got: Any, wanted: Any):
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(np.asarray(one, np.float64), np.asarray(other, np.float64))


def assert_close(got: Any, wanted: Any, units: float = 16):
    """Equal but for rounding; infinities and NaN in the same places."""
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert one.dtype == other.dtype
        tolerance = units * float(jnp.finfo(one.dtype).eps)
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        finite = np.abs(other[np.isfinite(other)])
        np.testing.assert_allclose(
            one, other, rtol=tolerance, atol=tolerance * float(finite.max(initial=0.0))
        )


def gradients(program: Program, *arguments: jax.Array) -> Any:
    """The pullback of a cotangent that differs from place to place."""
    result, pullback = jax.vjp(program, *arguments)
    return pullback(jnp.cos(jnp.arange(result.size, dtype=result.dtype)).reshape(result.shape))


@pytest.mark.parametrize("label", SPELLINGS)
def test_spelling_is_named(label: str):
    spelling = SPELLINGS[label]
    text = source_of(spelling.function, *values(spelling.shapes))
    assert re.search(r"(?<![\w.])" + re.escape(spelling.name), text), text


def with_derivatives(program: Program) -> Program:
    """The program's results, and their derivatives in both directions, compiled."""

    def run(*arguments: jax.Array) -> Any:
        tangents = tuple(jnp.sin(argument) for argument in arguments)
        directed = jax.jvp(program, arguments, tangents)[1]
        return program(*arguments), (gradients(program, *arguments), directed)

    return jax.jit(run)


def assert_same_with_derivatives(function: Program, *inputs: list[jax.Array]):
    programs = [with_derivatives(program) for program in with_and_without(function, *inputs[0])]
    for arguments in inputs:
        (got, derived), (wanted, expected) = (program(*arguments) for program in programs)
        assert_same(got, wanted)
        assert_close(derived, expected)


def with_extremes(first: jax.Array, *rest: jax.Array) -> list[jax.Array]:
    """The arguments with infinities, NaN and large numbers in rows of the first."""
    flat = first.reshape(-1, WIDTH)
    for row, number in enumerate([jnp.inf, -jnp.inf, jnp.nan, 1e38, -1e38, -0.0]):
        flat = flat.at[row, row].set(number)
    flat = flat.at[1].set(-jnp.inf).at[3, 0].set(-jnp.inf)
    return [flat.reshape(first.shape), *rest]


@pytest.mark.parametrize("label", SPELLINGS)
def test_same_numbers_and_derivatives(label: str):
    spelling = SPELLINGS[label]
    arguments = values(spelling.shapes)
    assert_same_with_derivatives(spelling.function, arguments, with_extremes(*arguments))


@pytest.mark.parametrize("label", SOME)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_other_floats(label: str, dtype: str):
    spelling = SPELLINGS[label]
    with jax.enable_x64(dtype == "float64"):
        arguments = values(spelling.shapes, dtype)
        assert spelling.name in source_of(spelling.function, *arguments)
        assert_same_with_derivatives(spelling.function, arguments)


@pytest.mark.parametrize("label", SOME)
def test_strict_numerics(label: str):
    spelling = SPELLINGS[label]
    arguments = values(spelling.shapes)
    assert spelling.name in source_of(spelling.function, *arguments, numerics="strict")
    compiled = xl.compile(spelling.function, numerics="strict")
    assert_same(compiled(*arguments), jax.jit(spelling.function)(*arguments))
    assert_same(
        jax.jit(lambda *given: gradients(compiled, *given))(*arguments),
        jax.jit(lambda *given: gradients(spelling.function, *given))(*arguments),
    )


def test_strict_numerics_keep_how_a_derivative_is_rounded():
    (x,) = values((X,))
    text = source_of(lambda x: 2.0 * by_hand(x), x, numerics="strict")
    assert "softmax(x)" in text
    assert "jax.nn.softmax" not in text


@pytest.mark.parametrize("label", SOME)
def test_transformations_of_the_compiled_function(label: str):
    function = SPELLINGS[label].function
    (x,) = values(((3, *X),))
    compiled = xl.compile(function)
    wanted = jax.jit(jax.vmap(function))(x)
    assert_close(jax.vmap(compiled)(x), wanted)
    assert_close(jax.jit(jax.vmap(xl.optimize(function)))(x), wanted)

    def total(f: Program) -> Program:
        return lambda x: jnp.sin(f(x)).sum()

    def second(f: Program) -> Program:
        return jax.jit(jax.grad(lambda x: gradients(f, x)[0].sum()))

    assert_close(jax.grad(total(compiled))(x[0]), jax.jit(jax.grad(total(function)))(x[0]))
    assert_close(second(compiled)(x[0]), second(function)(x[0]), units=256)


def test_layers_of_one_form_share_a_function():
    def two(x, first, second, bias):
        return layer_norm(jnp.sin(layer_norm(x, first, bias)), second, bias)

    arguments = values((X, (WIDTH,), (WIDTH,), (WIDTH,)))
    text = source_of(two, *arguments)
    assert text.count("def layer_norm") == 1
    assert text.count("layer_norm(") == 3


def test_queries_and_keys_share_a_rotation():
    def scores(queries, keys, cos, sin):
        return rotate_half(queries, cos, sin) @ rotate_half(keys, cos, sin).T

    text = source_of(scores, *values((X, X, X, X)))
    assert text.count("def rotary_embedding(x, cos, sin)") == 1
    assert text.count("rotary_embedding(") == 3


def test_a_rotation_has_a_name_in_a_training_step():
    def loss(x, cos, sin):
        return jnp.sin(rotate_half(x, cos, sin)).sum()

    text = source_of(jax.value_and_grad(loss), *values((X, X, X)))
    assert text.count("rotary_embedding(") == 2


@pytest.mark.parametrize("rotate", [rotate_half, rotate_wide])
def test_narrow_features_turned_by_wide_angles(rotate: Program):
    (x,) = values((X,), jnp.bfloat16)
    arguments = (x, *values((X, X)))

    def program(x, cos, sin):
        return 2.0 * rotate(x, cos, sin)

    assert "rotary_embedding(" in source_of(program, *arguments)
    named, plain = with_and_without(program, *arguments)
    assert_same(jax.jit(named)(*arguments), jax.jit(plain)(*arguments))


def test_inside_of_loops_branches_and_checkpoints():
    def program(x, scale):
        def body(carry, row):
            carry = rms_norm(carry, scale) + row
            return carry, jax.nn.softmax(carry)

        x, weights = lax.scan(body, x, jnp.stack([x] * 64))
        x = lax.cond(x[0, 0] > 0, jax.nn.gelu, jax.nn.silu, x)
        return jax.checkpoint(lambda x: jnp.sin(jax.nn.log_softmax(x)))(x), weights

    arguments = values((X, (WIDTH,)))
    text = source_of(program, *arguments)
    for name in ("rms_norm(", "nn.softmax(", "nn.gelu(", "nn.silu(", "nn.log_softmax("):
        assert name in text
    assert "lax.scan(" in text
    named, plain = with_and_without(program, *arguments)
    assert_same(jax.jit(named)(*arguments), jax.jit(plain)(*arguments))


@pytest.mark.parametrize("axis", [-1, 0])
def test_one_hot(axis: int):
    labels = jnp.asarray([3, 0, 4, 7, -1])
    named, plain = with_and_without(lambda x: jax.nn.one_hot(x, 5, axis=axis) * 2.0, labels)
    text = source_of(lambda x: jax.nn.one_hot(x, 5, axis=axis) * 2.0, labels)
    assert f"jax.nn.one_hot(x, num_classes=5, dtype=jnp.float32, axis={axis})" in text
    assert_same(named(labels), plain(labels))


def test_softmax_with_a_rule_of_its_own_is_not_what_others_write():
    (x,) = values((X,))
    with jax.softmax_custom_jvp(True):
        text = source_of(lambda x: 2.0 * by_hand(x), x)
    assert "softmax" not in text
    assert "jax.nn.softmax(x, axis=-1)" in source_of(lambda x: 2.0 * by_hand(x), x)


def test_costs_stay():
    arguments = values((X, (WIDTH,), (WIDTH,)))
    captured = capture(lambda x, s, b: x + layer_norm(jax.nn.gelu(x), s, b), *arguments)
    _, records = run_passes(captured.graph, pipeline(reference=reference))
    last = records[-1]
    assert last.after is not last.before
    assert last.cost_after == last.cost_before


def test_explain_lists_what_has_a_name():
    (x,) = values((X,))
    text = xl.compile(lambda x: jax.nn.softmax(jax.nn.silu(x))).trace(x).explain()
    assert "1 x jax.nn.softmax" in text
    assert "1 x jax.nn.silu" in text


def kept_exponential(x):
    e = jnp.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True), e


def logged_root(x, scale):
    root = lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6)
    return x * root * scale, jnp.sin(root)


def unshifted(x):
    return jnp.exp(x) / jnp.exp(x).sum(axis=-1, keepdims=True)


def other_axis(x):
    e = jnp.exp(x - x.max(axis=0, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def shifted_by_mean(x):
    e = jnp.exp(x - x.mean(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def kept_rotation(x):
    first, second = jnp.split(x, 2, axis=-1)
    rotated = jnp.concatenate([-second, first], axis=-1)
    return x * jnp.cos(x[0]) + rotated * jnp.sin(x[0]), jnp.tanh(rotated)


def kept_mean(x, scale):
    y = x.reshape(6, 2, 4)
    mean = y.mean(-1, keepdims=True)
    y = (y - mean) * lax.rsqrt(y.var(-1, keepdims=True) + 1e-5)
    return y.reshape(x.shape) * scale, jnp.sin(mean)


NEARLY = {
    "mean of groups": (kept_mean, 2, "group_norm: not named: "),
    "rotated": (kept_rotation, 1, "rotary_embedding: not named: concatenate("),
    "returned": (kept_exponential, 1, "not named: exp(x - reduce_max(x)) is also returned"),
    "read": (logged_root, 2, "rms_norm: not named: rsqrt("),
    "unshifted": (unshifted, 1, "softmax: not named: the maximum is not subtracted first"),
    "other axis": (
        other_axis,
        1,
        "softmax: not named: its maximum is taken along axis 0, its sum along axis 1",
    ),
    "mean": (shifted_by_mean, 1, "softmax: not named: what is subtracted first is not the maximum"),
}


@pytest.mark.parametrize("label", NEARLY)
def test_near_misses_say_why(label: str):
    function, count, reason = NEARLY[label]
    arguments = values((X, (WIDTH,))[:count])
    (found,) = misses(function, *arguments)
    assert reason in found
    assert "jax.nn" not in source_of(function, *arguments)


def wrong_stop(x):
    m = x.max(axis=-1, keepdims=True)
    return m + jnp.log(jnp.exp(x - lax.stop_gradient(m)).sum(axis=-1, keepdims=True))


def sum_of_another(x):
    e = jnp.exp(x - x.max())
    return e / jnp.exp(2 * x - x.max()).sum(axis=-1, keepdims=True)


def logarithm_of_another(x):
    return (x - x.max()) - jnp.log(jnp.exp(x).sum(axis=-1, keepdims=True))


def divided_by_root(x, spread):
    return x * lax.rsqrt(spread + 1e-6)


ANGLES = np.arange(WIDTH, dtype=np.float32)


def turned(join: Program) -> Program:
    """Something like a rotary embedding: what is multiplied by the sine is up to the caller."""
    return lambda x: x * jnp.cos(ANGLES) + join(*jnp.split(x, 2, axis=-1)) * jnp.sin(ANGLES)


def turned_parts(join: Program) -> Program:
    """Something like a rotary embedding of pairs, which the caller joins."""

    def apply(x: jax.Array) -> jax.Array:
        first, second = jnp.split(x, 2, axis=-1)
        cos, sin = jnp.cos(ANGLES[:4]), jnp.sin(ANGLES[:4])
        return join(first * cos - second * sin, second * cos + first * sin)

    return apply


def turned_back(x):
    first, second = jnp.split(x, 2, axis=-1)
    cos, sin = jnp.cos(ANGLES[:4]), jnp.sin(ANGLES[:4])
    return jnp.concatenate([first * cos + second * sin, second * cos - first * sin], -1)


def turned_by_two_angles(x):
    first, second = jnp.split(x, 2, axis=-1)
    cos, sin = jnp.cos(ANGLES[:4]), jnp.sin(ANGLES[:4])
    return jnp.concatenate([first * cos - second * sin, second * sin + first * sin], -1)


LOOKALIKES = {
    "halves exchanged": turned(lambda a, b: jnp.concatenate([-a, b], -1)),
    "sign of the other half": turned(lambda a, b: jnp.concatenate([b, -a], -1)),
    "no sign": turned(lambda a, b: jnp.concatenate([b, a], -1)),
    "halves put back as pairs": turned(lambda a, b: jnp.stack([-b, a], -1).reshape(X)),
    "halves joined as pairs": turned_parts(lambda a, b: jnp.stack([a, b], -1).reshape(X)),
    "halves joined the wrong way": turned_parts(lambda a, b: jnp.concatenate([b, a], -1)),
    "turned the other way": turned_back,
    "turned by two angles": turned_by_two_angles,
    "turned by one angle": lambda x: rotate_halves(x, 0.6, 0.8),
    "sum over another axis": other_axis,
    "no maximum": unshifted,
    "constant denominator": lambda x: jnp.exp(x - x.max(-1, keepdims=True)) / 3.0,
    "sum of another": sum_of_another,
    "logarithm of another sum": logarithm_of_another,
    "maximum held in one place only": wrong_stop,
    "maximum of another axis": lambda x: jnp.log(jnp.exp(x - x.max(0)).sum(0)) + x.max(0).sum(),
    "gelu of another number": lambda x: 0.5 * x * (1 + jnp.tanh(0.8 * (x + 0.044715 * x**3))),
    "gelu of another power": lambda x: 0.5 * x * (1 + jnp.tanh(0.7978846 * (x + 0.044715 * x**5))),
    "gelu less one": lambda x: 0.5 * x * (1 - jnp.tanh(0.7978846 * (x + 0.044715 * x**3))),
    "erf without a half": lambda x: x * (1 + lax.erf(x / np.sqrt(2.0).item())),
    "gate of another": lambda x: x * jax.nn.sigmoid(jnp.roll(x, 1)),
    "gate of the negative": lambda x: x * jax.nn.sigmoid(-x),
    "softplus of another base": lambda x: jnp.log(2 + jnp.exp(x)),
    "logaddexp with one": lambda x: jnp.logaddexp(x, 1.0),
    "relu by maximum": lambda x: jnp.maximum(x, 0),
    "relu by where": lambda x: jnp.where(x > 0, x, 0.0),
    "slope for the positive": lambda x: jnp.where(x >= 0, 0.1 * x, x),
    "slope of another": lambda x: jnp.where(x >= 0, x, 0.1 * jnp.roll(x, 1)),
    "elu of the wrong side": lambda x: jnp.where(x < 0, x, jnp.expm1(x)),
    "epsilon outside of the root": lambda x: (
        (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + 1e-5)
    ),
    "mean of another axis": lambda x: (x - x.mean(0)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5),
    "unbiased variance": lambda x: (
        (x - x.mean(-1, keepdims=True)) * lax.rsqrt(x.var(-1, keepdims=True, ddof=1) + 1e-5)
    ),
    "root of another mean": lambda x: divided_by_root(x, (x + 1).var(-1, keepdims=True)),
    "sum, no mean": lambda x: divided_by_root(x, jnp.square(x).sum(-1, keepdims=True)),
}


def grouped(x, shape, axes):
    return jax.nn.standardize(x.reshape(shape), axis=axes)


def means_in_turn(x):
    """Group norm as Flax writes it, but each group has the channels in turn."""
    y = x.reshape(2, 6, 2, 4)
    mean, spread = y.mean((1, 3)), jnp.square(y).mean((1, 3))
    spread = jnp.maximum(0.0, spread - jnp.square(mean))
    mean, spread = (jnp.tile(z, 4)[:, None] for z in (mean, spread))
    return (x - mean) * lax.rsqrt(spread + 1e-6)


UNGROUPED = {
    "of each place": lambda x: grouped(x, (2, 6, 2, 4), -1).reshape(x.shape),
    "of all examples": lambda x: grouped(x, (2, 6, 2, 4), (0, 1, 3)).reshape(x.shape),
    "of channels in turn": lambda x: grouped(x, (2, 6, 4, 2), (1, 2)).reshape(x.shape),
    "of all channels": lambda x: grouped(x, (2, 6, 2, 4), (1, 2, 3)).reshape(x.shape),
    "of each channel": lambda x: grouped(x, (2, 6, 8, 1), (1, 3)).reshape(x.shape),
    "of other rows": lambda x: grouped(x, (3, 4, 2, 4), (1, 3)).reshape(x.shape),
    "of another shape": lambda x: grouped(x, (2, 6, 2, 4), (1, 3)).reshape(2, 8, 6),
    "less no mean": lambda x: rms_norm(x.reshape(2, 2, 24), 1.0).reshape(x.shape),
    "means in turn": means_in_turn,
}


@pytest.mark.parametrize("label", UNGROUPED)
def test_other_means_are_no_group_norm(label: str):
    (x,) = values(((2, *X),))
    assert "group_norm" not in source_of(lambda x: 2.0 * UNGROUPED[label](x), x)


def test_a_scale_along_another_axis_is_not_that_of_a_group_norm():
    arguments = values(((2, *X), (6, 1)))
    text = source_of(lambda x, s: 1 + s * group_norm(x, 1.0, 0.0), *arguments)
    assert "group_norm(x)" in text


NO_LOSSES = {
    "along another axis": lambda x, y: -(y * jax.nn.log_softmax(x)).sum(0),
    "softmax along another axis": lambda x, y: -(y * jax.nn.log_softmax(x, axis=0)).sum(-1),
    "no sign": lambda x, y: (y * jax.nn.log_softmax(x)).sum(-1),
    "no logarithm": lambda x, y: -(y * jax.nn.softmax(x)).sum(-1),
    "sum of all": lambda x, y: -(y * jax.nn.log_softmax(x)).sum(),
    "picked along another axis": lambda x, y: (
        -jnp.take_along_axis(jax.nn.log_softmax(x), y[:1].astype(jnp.int32), axis=0)[0]
    ),
    "clipped labels": lambda x, y: (
        -jnp.take_along_axis(
            jax.nn.log_softmax(x), y[:, :1].astype(jnp.int32), axis=-1, mode="clip"
        )[:, 0]
    ),
    "sum of others": lambda x, y: (
        jax.nn.logsumexp(2 * x, axis=-1)
        - jnp.take_along_axis(x, y[:, 0].astype(jnp.int32)[:, None], axis=-1)[:, 0]
    ),
    "difference turned round": lambda x, y: (
        jnp.take_along_axis(x, y[:, 0].astype(jnp.int32)[:, None], axis=-1)[:, 0]
        - jax.nn.logsumexp(x, axis=-1)
    ),
}


@pytest.mark.parametrize("label", NO_LOSSES)
def test_others_are_no_cross_entropy(label: str):
    arguments = values((X, X))
    assert "cross_entropy" not in source_of(lambda *xs: 2.0 * NO_LOSSES[label](*xs), *arguments)


def test_logarithms_that_are_used_twice_keep_their_name():
    def program(x, y):
        logarithms = jax.nn.log_softmax(x)
        return -(y * logarithms).sum(-1), jnp.sin(logarithms)

    arguments = values((X, X))
    (found,) = misses(program, *arguments)
    assert "cross_entropy: not named: " in found
    assert "is also read by sin" in found
    text = source_of(program, *arguments)
    assert "jax.nn.log_softmax(" in text
    assert "cross_entropy" not in text


def test_a_training_step_has_no_cross_entropy():
    def loss(x, labels):
        return jnp.sin(cross_entropy(x, labels)).mean()

    (x,) = values((X,))
    step = jax.value_and_grad(loss)
    found = misses(step, x, jnp.arange(len(x)))
    assert any("cross_entropy: not named: " in text and "derivative" in text for text in found)
    assert "cross_entropy" not in source_of(step, x, jnp.arange(len(x)))


@pytest.mark.parametrize("label", LOOKALIKES)
def test_lookalikes_have_no_name(label: str):
    (x,) = values((X,))
    function = LOOKALIKES[label]
    captured = capture(lambda x: x + jnp.sin(function(x)), x)
    graph, records = run_passes(captured.graph, pipeline(reference=reference))
    assert records[-1].name == "NameComposites"
    assert not any(item.operation == "composite" for item in graph.nodes), source_of(function, x)


def test_a_gate_as_large_as_its_array_is_no_scale():
    arguments = values((X, X))
    text = source_of(lambda x, gate: 1 + rms_norm(x, gate), *arguments)
    assert "rms_norm(x)" in text


def test_a_program_without_anchors_is_left_as_it_is():
    graph: Graph = capture(lambda x: x @ x.T + 1, *values((X,))).graph
    assert NameComposites(reference)(graph) is graph


@pytest.mark.parametrize("label", SOME)
def test_xla_is_given_no_more_than_by_jit(label: str):
    function = SPELLINGS[label].function
    (x,) = values((X,))
    ours, theirs = (transform(function).lower(x).as_text() for transform in (xl.compile, jax.jit))
    assert ours.count("stablehlo.") <= theirs.count("stablehlo.")
