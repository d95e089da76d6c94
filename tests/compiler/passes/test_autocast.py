"""Products are cast, each value once, and nothing else changes its type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from xlathe.compiler.ir import Graph, Node, verify
from xlathe.compiler.passes.autocast import Autocast
from xlathe.compiler.passes.fold_constants import FoldConstants
from xlathe.compiler.passes.inline_calls import InlineCalls
from xlathe.compiler.passes.simplify import Simplify
from xlathe.compiler.precision.policy import Policy
from xlathe.compiler.rules import RuleLog, logging_rules
from xlathe.compiler.targets import CPU, GPU, TPU, Target
from xlathe.tracer.capture import capture

from .check import run

LOW = np.dtype(jnp.bfloat16)


def random(*shape: int, seed: int = 0) -> jax.Array:
    values = np.random.default_rng(seed).normal(size=shape) / np.sqrt(shape[-1])
    return jnp.asarray(values, jnp.float32)


X, W, B = random(64, 8), random(8, 8, seed=1), random(8, seed=2)


def prepared(function: Callable[..., Any], *arguments: Any) -> Graph:
    return Simplify()(FoldConstants()(InlineCalls()(capture(function, *arguments).graph)))


def cast(
    function: Callable[..., Any],
    *arguments: Any,
    policy: Policy = Policy("bfloat16"),  # noqa: B008
    target: Target = GPU,
) -> tuple[Graph, RuleLog]:
    graph = prepared(function, *arguments)
    transform = Autocast(policy, target)
    with logging_rules() as log:
        after = transform(graph)
    assert run(transform, graph) == after
    return after, log


def nodes(graph: Graph, *operations: str) -> list[Node]:
    return [n for inner in graph.walk() for n in inner.nodes if n.operation in operations]


def dtypes(items: Sequence[Node]) -> set[str]:
    return {str(type_.dtype) for item in items for type_ in item.types}


def casts(graph: Graph) -> list[Node]:
    return nodes(graph, "convert_element_type")


def body_of(graph: Graph, operation: str) -> Graph:
    (item,) = nodes(graph, operation)
    return item["body"]


def mlp_loss(params: Any, x: jax.Array) -> jax.Array:
    hidden = jax.nn.gelu(x @ params["w1"] + params["b"])
    return (jax.nn.relu(hidden @ params["w2"]) ** 2).mean()


MLP = {"w1": W, "b": B, "w2": random(8, 8, seed=3)}


def test_operands_and_results_are_low_and_arguments_keep_their_types():
    graph, log = cast(lambda x, w: jnp.sin(x @ w) @ w, X, W)
    first, second = nodes(graph, "dot_general")
    assert dtypes([*first.inputs, *second.inputs, first]) == {"bfloat16"}
    assert dtypes([second, *graph.parameters, *graph.results]) == {"float32"}
    assert second["preferred_element_type"] == np.float32
    assert log.hits == {
        "product of bfloat16, summed in float32 and rounded": 1,
        "product of bfloat16, summed and kept in float32": 1,
    }


def test_a_weight_is_cast_once_for_forward_and_backward():
    graph, _ = cast(jax.value_and_grad(mlp_loss), MLP, X)
    for parameter in graph.parameters:
        if parameter.type.rank == 2:
            readers = [item for item in graph.nodes if parameter in item.inputs]
            assert [item.operation for item in readers] == ["convert_element_type"]
    assert dtypes([s for d in nodes(graph, "dot_general") for s in d.inputs]) == {"bfloat16"}


def test_no_value_is_cast_to_and_fro():
    graph, _ = cast(jax.value_and_grad(mlp_loss), MLP, X)
    for item in casts(graph):
        assert item.inputs[0].operation != "convert_element_type"
        assert item.type.dtype != item.inputs[0].type.dtype


def test_a_transposed_weight_shares_the_cast():
    graph, _ = cast(lambda x, w: jnp.tanh(x @ w) @ w.T.reshape(8, 8), X, W)
    (turned,) = nodes(graph, "transpose")
    assert turned.type.dtype == LOW
    assert len([item for item in casts(graph) if item.inputs[0] is graph.parameters[1]]) == 1


def test_a_table_that_is_only_read_in_places_is_not_cast_whole():
    graph, _ = cast(lambda t, w, i: jnp.tanh(t[i]) @ w, random(99, 8), W, jnp.arange(3))
    assert nodes(graph, "gather")[0].type.dtype == np.float32
    assert graph.parameters[0] not in [item.inputs[0] for item in casts(graph)]


def test_softmax_and_norms_stay_in_float32():
    def attend(q, k, v):
        mean = q.mean(axis=-1, keepdims=True)
        q = (q - mean) * lax.rsqrt(((q - mean) ** 2).mean(axis=-1, keepdims=True) + 1e-5)
        return (jax.nn.softmax(q @ k.T) @ v).sum()

    graph, _ = cast(jax.grad(attend, argnums=(0, 1, 2)), X, X, X)
    inside = nodes(graph, "exp", "reduce_sum", "reduce_max", "rsqrt", "div", "log", "integer_pow")
    assert {"exp", "reduce_sum", "rsqrt"} <= {item.operation for item in inside}
    assert dtypes(inside) == {"float32"}


def test_gradients_of_weights_and_the_optimizer_are_float32():
    optimizer = optax.adamw(1e-3)

    def step(params, state, x):
        updates, state = optimizer.update(jax.grad(mlp_loss)(params, x), state, params)
        return optax.apply_updates(params, updates), state

    graph, log = cast(step, MLP, optimizer.init(MLP), X)
    assert log.hits["product of bfloat16, summed and kept in float32"] == 2
    assert dtypes(nodes(graph, "sqrt", "square", "sub", "pow")) == {"float32"}
    low = {item.operation for item in graph.nodes if item.type.dtype == LOW}
    products = {"convert_element_type", "dot_general", "broadcast_in_dim", "custom_jvp"}
    assert low <= {*products, "add", "transpose", "constant", "mul", "select_n"}


def test_a_bias_is_part_of_a_product_that_a_product_reads():
    graph, _ = cast(lambda x, w, b: jnp.tanh(x @ w + b) @ w, X, W, B)
    (added,) = nodes(graph, "add")
    assert added.type.dtype == LOW
    graph, _ = cast(lambda x, w, b: x @ w + b, X, W, B)
    assert nodes(graph, "add")[0].type.dtype == np.float32


def test_a_residual_is_added_in_float32():
    graph, _ = cast(lambda x, w: (x + jnp.tanh(x @ w)) @ w, X, W)
    assert dtypes(nodes(graph, "add")) == {"float32"}


def test_moves_and_selections_of_low_values_stay_low():
    def f(x, w):
        a, b = jnp.split(x @ w, 2, axis=1)
        c = jnp.concatenate([jnp.maximum(b, 0.0), -a], axis=1).reshape(32, 16)[:, :8] * 0.25
        return jnp.where(c > 0, jax.nn.relu(c), 0.0) @ w

    graph, _ = cast(f, X, W)
    moved = nodes(graph, "concatenate", "max", "neg", "reshape", "slice", "mul", "select_n", "get")
    assert dtypes(moved) == {"bfloat16"}
    assert {item.operation for item in moved} >= {"get", "concatenate", "select_n", "mul"}


def test_convolutions_are_cast_and_rounded():
    def f(kernel, x):
        y = lax.conv_general_dilated(x, kernel, (1, 1), "SAME")
        return (jax.nn.relu(y) ** 2).sum()

    graph, _ = cast(jax.grad(f), random(4, 4, 3, 3), random(2, 4, 8, 8))
    products = nodes(graph, "conv_general_dilated")
    assert len(products) == 2
    assert dtypes([*products, *(s for p in products for s in p.inputs)]) == {"bfloat16"}


def test_a_ragged_product_is_cast():
    graph, _ = cast(lax.ragged_dot, random(6, 4), random(3, 4, 8), jnp.array([1, 2, 3]))
    (product,) = nodes(graph, "ragged_dot_general")
    assert dtypes(product.inputs) == {"bfloat16", "int32"}


def test_carried_types_stay_and_weights_enter_a_scan_low():
    def f(weights, x):
        def turn(h, w):
            return h + jnp.tanh(h @ w[0] + w[1]), (h @ w[0]).astype(jnp.bfloat16)

        return lax.scan(turn, x, weights)

    graph, _ = cast(f, (random(3, 8, 8), random(3, 8)), X)
    body = body_of(graph, "scan")
    assert [str(t.dtype) for t in body.parameter_types] == ["float32", "bfloat16", "float32"]
    assert len(casts(graph)) == 3
    (loop,) = nodes(graph, "scan")
    assert [str(item.type.dtype) for item in loop.inputs] == ["float32", "bfloat16", "float32"]


def test_what_a_backward_scan_reads_is_kept_low():
    def f(weights, x):
        def turn(h, w):
            return jnp.tanh(h @ w) @ w.T, None

        return (lax.scan(turn, x, weights)[0] ** 2).sum()

    graph, _ = cast(jax.grad(f), random(3, 8, 8), X)
    forward, backward = nodes(graph, "scan")
    kept = [t for t in forward.type if t.shape == (3, 64, 8)]
    assert LOW in {t.dtype for t in kept}
    assert forward.type[0].dtype == backward.type[0].dtype == np.float32
    weights = [item for item in casts(graph) if item.inputs[0] is graph.parameters[0]]
    assert len(weights) == 1


def test_a_carry_that_the_next_turn_multiplies_reaches_a_product():
    def f(x, w):
        def turn(_, carry):
            return carry[1] @ w, carry[0]

        return lax.fori_loop(0, 4, turn, (x, x))

    graph, _ = cast(f, X, W)
    (product,) = nodes(graph, "dot_general")
    assert product.type.dtype == LOW


def test_while_loops_keep_their_types():
    def f(x, w):
        return lax.while_loop(lambda s: (s @ w).sum() < 9, lambda s: jnp.tanh(s @ w) + 1, x)

    graph, _ = cast(f, X, W)
    (loop,) = nodes(graph, "while")
    assert loop["body"].parameter_types == loop["condition"].parameter_types
    assert dtypes(loop.inputs) == {"float32"}
    assert len(nodes(graph, "dot_general")) == 2
    assert dtypes([s for p in nodes(graph, "dot_general") for s in p.inputs]) == {"bfloat16"}


def test_branches_take_a_weight_low_if_all_want_it_so():
    def f(k, x, w, u):
        return lax.cond(k, lambda: jnp.tanh(x @ w) @ u, lambda: jnp.sin(x @ w) + u[0])

    graph, _ = cast(f, True, X, W, W + 1)
    (choice,) = nodes(graph, "cond")
    wide = {b.parameter_types for b in choice["branches"]}
    assert len(wide) == 1
    assert sorted(str(t.dtype) for t in wide.pop()) == ["bfloat16", "bfloat16", "float32"]
    assert choice.type.dtype == np.float32


def test_what_is_recomputed_takes_the_cast_weight():
    graph, _ = cast(jax.grad(jax.checkpoint(mlp_loss)), MLP, X)
    (again,) = nodes(graph, "checkpoint")
    weights = [t for t in again["body"].parameter_types if t.shape == (8, 8)]
    assert {str(t.dtype) for t in weights} == {"bfloat16"}


def test_functions_with_rules_of_their_own_keep_their_types():
    @jax.custom_vjp
    def layer(x, w):
        return jnp.tanh(x @ w) @ w

    layer.defvjp(lambda x, w: (layer(x, w), (x, w)), lambda r, g: (g @ r[1].T, r[0].T @ g))
    graph, _ = cast(lambda x, w: layer(x, w) @ w, X, W)
    (item,) = [item for item in graph.nodes if item.operation == "custom_vjp"]
    assert dtypes([item, *item.inputs]) == {"float32"}
    for name in ("body", "forward", "backward"):
        assert {str(t.dtype) for t in item[name].parameter_types} == {"float32"}
        assert {str(t.dtype) for t in item[name].result_types} == {"float32"}
    assert "float32" not in dtypes([s for p in nodes(graph, "dot_general") for s in p.inputs])


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x, w: jnp.matmul(x, w, precision="highest"), "its precision is set by hand"),
        (lambda x, w: jnp.einsum("ij,kl->ijkl", x, w), "nothing is summed in it"),
        (lambda x, w: jnp.vdot(w, w) * x, "it is a sum, with no axis of its own on either side"),
        (
            lambda x, w: jnp.linalg.cholesky(jnp.eye(8) + x.T @ x),
            "it flows into a factorisation or a solution of equations",
        ),
        (
            lambda x, w: jnp.linalg.solve(w.T @ w, x.T),
            "it flows into a factorisation or a solution of equations",
        ),
    ],
)
def test_what_stays_says_why(function: Callable[..., Any], reason: str):
    graph, log = cast(function, X, W)
    assert "bfloat16" not in dtypes(graph.nodes)
    assert f"the product stays in float32: {reason}" in [miss.reason for miss in log.misses]
    assert not log.hits


def test_a_pattern_keeps_products_forward_and_backward():
    def f(w, x):
        with jax.named_scope("head"):
            y = x @ w["head"]
        return (jnp.tanh(y @ w["body"]) ** 2).sum()

    policy = Policy("bfloat16", (("head", "float32"),))
    graph, log = cast(jax.grad(f), {"head": W, "body": W + 1}, X, policy=policy)
    kept = [item for item in nodes(graph, "dot_general") if item.inputs[0].type.dtype != LOW]
    assert len(kept) == 2
    assert {miss.reason for miss in log.misses} == {
        "the product stays in float32: precision['head'] keeps it"
    }


def test_a_pattern_alone_casts_only_what_it_names():
    def f(x, w):
        with jax.named_scope("body"):
            y = jnp.tanh(x @ w)
        return y @ w

    graph, log = cast(f, X, W, policy=Policy("float32", (("body", "bfloat16"),)))
    first, second = nodes(graph, "dot_general")
    assert dtypes(first.inputs) == {"bfloat16"}
    assert dtypes(second.inputs) == {"float32"}
    assert [miss.reason for miss in log.misses] == [
        "the product stays in float32: no pattern names it"
    ]


def test_casts_by_hand_are_kept():
    def f(x, w):
        wide = lax.dot_general(
            x.astype(jnp.bfloat16),
            w.astype(jnp.bfloat16),
            (((1,), (0,)), ((), ())),
            preferred_element_type=jnp.float32,
        )
        return wide.astype(jnp.float16) @ w.astype(jnp.float16)

    assert cast(f, X, W)[0] == prepared(f, X, W)


def test_a_cast_by_hand_from_low_precision_is_used_again():
    graph, _ = cast(lambda x, w: x.astype(jnp.float32) @ w, X.astype(jnp.bfloat16), W)
    (product,) = nodes(graph, "dot_general")
    assert product.inputs[0] is graph.parameters[0]


def test_a_program_without_products_is_the_same_object():
    graph = capture(lambda x: jax.nn.softmax(x), X).graph
    assert Autocast(Policy("bfloat16"))(graph) is graph


def test_float16_has_no_shifts():
    graph, _ = cast(lambda x, w: ((x @ w) * 0.5) @ w, X, W, policy=Policy("float16"))
    assert dtypes(nodes(graph, "mul")) == {"float32"}
    assert dtypes([s for p in nodes(graph, "dot_general") for s in p.inputs]) == {"float16"}


@pytest.mark.parametrize(
    ("target", "attribute"),
    [
        (GPU, lax.DotAlgorithmPreset.TF32_TF32_F32),
        (TPU, (lax.Precision.HIGH, lax.Precision.HIGH)),
        (CPU, None),
    ],
)
def test_tensorfloat32_is_an_attribute(target: Target, attribute: Any):
    def f(x, w):
        return jnp.tanh(x @ w) @ jnp.matmul(w, w, precision="highest")

    graph, _ = cast(f, X, W, policy=Policy("tensorfloat32"), target=target)
    by_hand = (lax.Precision.HIGHEST, lax.Precision.HIGHEST)
    found = [item["precision"] for item in nodes(graph, "dot_general")]
    assert found.count(attribute) == 2
    assert found.count(by_hand) == 1
    assert not casts(graph)


def test_on_cpus_a_sum_is_kept_by_products_of_widened_operands():
    graph, log = cast(lambda x, w: x @ w, X, W, target=CPU)
    (product,) = nodes(graph, "dot_general")
    assert dtypes([product, *product.inputs]) == {"float32"}
    assert dtypes([source.inputs[0] for source in product.inputs]) == {"bfloat16"}
    assert log.hits == {"product of bfloat16, summed and kept in float32": 1}


def test_effects_keep_their_order():
    def f(x, w):
        y = x @ w
        jax.debug.print("{}", y[0, 0])
        z = jnp.tanh(y) @ w
        jax.debug.print("{}", z[0, 0])
        return z

    graph, _ = cast(f, X, W)
    assert graph.has_effects
    verify(graph)
