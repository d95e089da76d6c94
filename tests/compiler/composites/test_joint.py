"""Composites and their backward have names in programs that hold both."""

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
from xlathe.compiler.pipeline import PassRecord, pipeline, run_passes
from xlathe.compiler.targets import CPU
from xlathe.runtime.pullback import pullback
from xlathe.runtime.reference import reference
from xlathe.tracer.capture import capture

from .spellings import SPELLINGS, WIDTH, X, by_hand, cross_entropy, layer_norm, rms_norm, values
from .test_name_composites import assert_close, misses, source_of, with_extremes

Program = Callable[..., Any]

ELSEWHERE = {
    "softplus jax": "jax.nn.softplus(",
    "softplus keras": "jax.nn.softplus(",
    "softplus by logaddexp": "jax.nn.softplus(",
    "relu jax": "jax.nn.relu(",
    "relu6 jax": "jax.nn.relu6(",
}
"""What keeps its own rule, so that the forward's inside is read by nobody."""

INSIDE = {
    "cross entropy": "log_softmax_vjp(",
    "cross entropy of sequences": "log_softmax_vjp(",
    "cross entropy squeezed": "log_softmax_vjp(",
    "cross entropy indexed": "log_softmax_vjp(",
    "cross entropy of sum": "logsumexp_vjp(",
    "cross entropy optax": "logsumexp_vjp(",
}
"""What has a cheaper backward than JAX's, and in it something that has JAX's."""


def trained(label: str) -> int:
    """How many of a spelling's arguments are trained: nobody trains the angles of rotations."""
    return 1 if label.startswith(("rotary", "cross entropy")) else len(SPELLINGS[label].shapes)


def joint(label: str) -> Program:
    """A step in which a composite stands between other functions, and its gradient with it."""
    function = SPELLINGS[label].function

    def step(*arguments: jax.Array) -> Any:
        def loss(first: jax.Array, *rest: jax.Array) -> jax.Array:
            hidden = jnp.arcsinh(first)
            return jnp.sin(function(hidden, *rest)).sum() + jnp.cos(hidden).sum()

        return jax.value_and_grad(loss, argnums=tuple(range(trained(label))))(*arguments)

    return step


def named(
    function: Program, *arguments: Any, numerics: Any = "relaxed"
) -> tuple[Graph, PassRecord]:
    captured = capture(function, *arguments)
    steps = pipeline(numerics, CPU, pullback, reference=reference)
    graph, records = run_passes(captured.graph, steps)
    verify(graph)
    assert captured.constant_count == 0
    return graph, records[-1]


def operations(graph: Graph) -> list[str]:
    return [item.operation for inner in graph.walk() for item in inner.nodes]


def assert_same_numbers(function: Program, *inputs: list[jax.Array]) -> None:
    graph, record = named(function, *inputs[0])
    ours, unnamed = (jax.jit(lower(item).function) for item in (graph, record.before))
    for arguments in inputs:
        flat = jax.tree.leaves(arguments)
        assert_close(ours(*flat), unnamed(*flat), units=64)


@pytest.mark.parametrize("label", SPELLINGS)
def test_forward_and_backward_share_a_pullback(label: str):
    name = SPELLINGS[label].name.split("(")[0].split(".")[-1]
    step, arguments = joint(label), values(SPELLINGS[label].shapes)
    text = source_of(step, *arguments)
    if label in ELSEWHERE:
        assert ELSEWHERE[label] in text
    elif label.startswith("rotary"):
        assert "rotary_embedding(" in text
    else:
        wanted = INSIDE.get(label, f"{name}_vjp(")
        assert wanted in text, text
        assert f"{wanted[:-1]} = jax.vjp(" in text


SOME = (
    "softmax by hand",
    "log_softmax jax",
    "logsumexp jax",
    "gelu jax",
    "gelu GPT-2",
    "silu jax",
    "elu jax",
    "leaky_relu jax",
    "mish jax",
    "GLU",
    "layer norm",
    "layer norm flax",
    "rms norm Llama",
    "group norm",
    "group norm flax",
    "cross entropy of one-hot",
    "cross entropy optax",
)


@pytest.mark.parametrize("label", SOME)
def test_same_numbers(label: str):
    arguments = values(SPELLINGS[label].shapes)
    assert_same_numbers(joint(label), arguments, with_extremes(*arguments))


@pytest.mark.slow
@pytest.mark.parametrize("label", SPELLINGS)
def test_same_numbers_of_all(label: str):
    test_same_numbers(label)


@pytest.mark.parametrize("label", ["softmax jax", "gelu jax", "layer norm", "rms norm Llama"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_other_floats(label: str, dtype: str):
    with jax.enable_x64(dtype == "float64"):
        arguments = values(SPELLINGS[label].shapes, dtype)
        assert "_vjp(" in source_of(joint(label), *arguments)
        assert_same_numbers(joint(label), arguments)


@pytest.mark.parametrize("label", ["softmax by hand", "layer norm", "cross entropy optax"])
def test_no_less_accurate_than_jit(label: str):
    step, arguments = joint(label), values(SPELLINGS[label].shapes)
    ours, theirs = xl.compile(step)(*arguments), jax.jit(step)(*arguments)
    with jax.enable_x64(True):
        wide = [jnp.asarray(np.asarray(argument, np.float64)) for argument in arguments]
        exact = jax.tree.map(np.asarray, jax.jit(step)(*wide))
    for one, other, wanted in zip(*map(jax.tree.leaves, (ours, theirs, exact)), strict=True):
        floor = 4 * float(jnp.finfo(jnp.float32).eps) * float(np.abs(wanted).max())
        errors = [
            float(np.abs(np.asarray(found, np.float64) - wanted).max()) for found in (one, other)
        ]
        assert errors[0] <= 2 * errors[1] + floor


def test_strict_numerics_order_no_sum_anew():
    for label, is_named in (("softmax jax", True), ("gelu jax", False), ("layer norm", False)):
        arguments = values(SPELLINGS[label].shapes)
        graph, record = named(joint(label), *arguments, numerics="strict")
        assert ("composite_grad" in operations(graph)) == is_named
        ours, unnamed = (jax.jit(lower(item).function) for item in (graph, record.before))
        for one, other in zip(ours(*arguments), unnamed(*arguments), strict=True):
            np.testing.assert_array_equal(one, other)


def transformer(x, scale, bias, up, down, table, labels):
    hidden = x + jax.nn.gelu(layer_norm(x, scale, bias) @ up) @ down
    hidden = hidden + by_hand(hidden @ up) @ down
    return cross_entropy(rms_norm(hidden, scale) @ table, labels).mean()


def transformer_arguments() -> list[jax.Array]:
    shapes = (X, (WIDTH,), (WIDTH,), (WIDTH, 16), (16, WIDTH), (WIDTH, 12))
    return [*values(shapes), jnp.arange(X[0])]


STEP = jax.value_and_grad(transformer, argnums=(0, 1, 2, 3, 4, 5))


def test_a_training_step_reads_as_one_writes_it():
    text = source_of(STEP, *transformer_arguments())
    for line in (
        r"layer_norm_vjp = jax\.vjp\(layer_norm, x, scale, bias\)",
        r"gelu_vjp = jax\.vjp\(jax\.nn\.gelu, ",
        r"softmax_vjp = jax\.vjp\(softmax, ",
        r"rms_norm_vjp = jax\.vjp\(rms_norm, \w+, scale\)",
        r"log_softmax_vjp = jax\.vjp\(partial\(jax\.nn\.log_softmax, axis=-1\), ",
        r"\(\w+,\) = gelu_vjp\(",
        r"\(\w+, \w+, \w+\) = layer_norm_vjp\(",
    ):
        assert re.search(line, text), text


def test_explain_counts_them_and_says_why_others_have_no_name():
    text = xl.compile(STEP).trace(*transformer_arguments()).explain()
    for name in ("layer_norm", "rms_norm", "jax.nn.gelu", "softmax", "jax.nn.log_softmax"):
        assert f"1 x {name}, forward and backward" in text
    assert "cross_entropy" in text
    assert "is also read by its derivative" in text


def test_naming_twice_changes_nothing_and_text_reads_back():
    graph, record = named(STEP, *transformer_arguments())
    again = pipeline("relaxed", CPU, pullback, reference=reference)[-1].transform
    assert isinstance(again, NameComposites)
    assert again(graph) == graph
    assert parse(to_text(graph), graph.objects()) == graph
    assert record.cost_after.flops <= record.cost_before.flops


def test_xla_computes_no_more():
    graph, record = named(STEP, *transformer_arguments())
    arguments = transformer_arguments()
    ours, unnamed = (
        jax.jit(lower(item).function).lower(*arguments).compile() for item in (graph, record.before)
    )
    costs = [program.cost_analysis() or {} for program in (ours, unnamed)]
    for key in ("flops", "transcendentals"):
        assert costs[0][key] <= costs[1][key]
    sizes = []
    for program in (ours, unnamed):
        memory = program.memory_analysis()
        assert memory is not None
        sizes.append(memory.temp_size_in_bytes)
    assert sizes[0] <= 1.05 * sizes[1]


def test_the_printed_program_runs_alone():
    arguments = transformer_arguments()
    namespace: dict[str, Any] = {}
    source = xl.compile(STEP).trace(*arguments).as_text("python")
    assert "import xlathe" not in source
    exec(compile(source, "step.py", "exec"), namespace)
    wanted = jax.tree.leaves(jax.jit(STEP)(*arguments))
    assert_close(namespace["transformer"](*arguments), wanted, units=64)


def test_transformations_of_a_named_step():
    arguments = transformer_arguments()

    def norm(step: Program) -> Program:
        return lambda x: sum(jnp.sum(jnp.sin(part)) for part in step(x, *arguments[1:])[1])

    ours, theirs = norm(xl.optimize(STEP)), norm(STEP)
    x, tangent = arguments[0], jnp.cos(arguments[0])
    assert_close(jax.jit(jax.grad(ours))(x), jax.jit(jax.grad(theirs))(x), units=4096)
    directed = [jax.jit(lambda x, t, f=f: jax.jvp(f, (x,), (t,))[1]) for f in (ours, theirs)]
    assert_close(directed[0](x, tangent), directed[1](x, tangent), units=4096)
    many = jnp.stack([x, 2 * x])
    assert_close(jax.jit(jax.vmap(ours))(many), jax.jit(jax.vmap(theirs))(many), units=4096)


def test_in_checkpoints_branches_and_loops_that_hold_both():
    def block(x, scale, up):
        return jax.nn.gelu(rms_norm(x, scale) @ up) @ up.T

    def loss(x, scale, up):
        return jnp.sin(jax.checkpoint(block)(x, scale, up)).sum()

    def step(x, scale, up):
        def body(carry, _):
            grads = jax.grad(loss, argnums=(0, 1, 2))(*carry)
            return tuple(old - 1e-3 * new for old, new in zip(carry, grads, strict=True)), None

        (x, scale, up), _ = lax.scan(body, (x, scale, up), length=64)
        branches = (jax.grad(lambda x: jnp.sin(jax.nn.silu(x)).sum()), jnp.tanh)
        return lax.cond(x[0, 0] > 0, *branches, x), scale, up

    arguments = values((X, (WIDTH,), (WIDTH, 16)))
    text = source_of(step, *arguments)
    for name in ("rms_norm_vjp(", "gelu_vjp(", "silu_vjp("):
        assert name in text
    assert_same_numbers(step, arguments)


def test_a_loop_that_hands_on_the_inside_has_no_name_for_it():
    def loss(x, weights):
        x, _ = lax.scan(lambda x, w: (jnp.sin(jax.nn.silu(x @ w)), None), x, weights)
        return x.sum()

    arguments = values((X, (64, WIDTH, WIDTH)))
    text = source_of(jax.value_and_grad(loss), *arguments)
    assert "silu" not in text
    assert any("silu: not named: " in text for text in misses(jax.value_and_grad(loss), *arguments))


def test_of_two_whose_gradients_are_added_in_turn_one_has_a_name():
    def loss(x):
        gate, other = jax.nn.sigmoid(x), jnp.tanh(jnp.log1p(jnp.exp(x)))
        return jnp.sin(x * gate).sum() + jnp.cos(x * other).sum()

    (x,) = values((X,))
    step = jax.value_and_grad(loss)
    assert len(re.findall(r"_vjp = jax\.vjp\(", source_of(step, x))) == 1
    assert any("whose terms are added in turn with others" in text for text in misses(step, x))
    assert_same_numbers(step, [x])


def shared_sum(x):
    def loss(x):
        y = jax.nn.silu(x)
        return jnp.sin(y).sum(), y

    (_, y), dx = jax.value_and_grad(loss, has_aux=True)(x)
    return y, dx + jax.nn.sigmoid(x)


def two_cotangents(x):
    y, pull = jax.vjp(jax.nn.silu, x)
    return pull(jnp.sin(y)), pull(jnp.cos(y))


def by_hand_backward(x):
    gate = jax.nn.sigmoid(x)
    y = x * gate
    return jnp.sin(y), jnp.cos(y) * (gate + x * gate * (1 - gate))


def wrong_backward(x):
    e = jnp.exp(x - lax.stop_gradient(x.max(-1, keepdims=True)))
    total = e.sum(-1, keepdims=True)
    y = e / total
    g = jnp.cos(y)
    return y, (g / total - (g * e).sum(-1, keepdims=True) / total) * e


def returned_inside(x):
    def loss(x):
        e = jnp.exp(x - x.max(-1, keepdims=True))
        return jnp.sin(e / e.sum(-1, keepdims=True)).sum(), e

    return jax.value_and_grad(loss, has_aux=True)(x)


LOOKALIKES = {
    "read by the user as well": (shared_sum, "silu: not named: logistic(x) is also read by"),
    "two cotangents": (two_cotangents, "silu: not named: logistic(x) is also read by"),
    "backward by hand": (by_hand_backward, "silu: not named: logistic(x) is also read by"),
    "another backward": (wrong_backward, "softmax: not named: "),
    "returned": (returned_inside, "softmax: not named: exp(x - reduce_max(x)) is also returned"),
}


@pytest.mark.parametrize("label", LOOKALIKES)
def test_lookalikes_have_no_pullback(label: str):
    function, reason = LOOKALIKES[label]
    (x,) = values((X,))
    assert "_vjp(" not in source_of(function, x)
    assert any(reason in text for text in misses(function, x))
    assert_same_numbers(function, [x])
