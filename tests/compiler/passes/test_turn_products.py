"""Products over several axes are computed in the order of factors in which no transpose follows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl
from xlathe.compiler.ir import Graph
from xlathe.compiler.passes.turn_products import RULE, TurnProducts
from xlathe.compiler.pipeline import EXACT, run_passes
from xlathe.compiler.targets import GPU, TPU
from xlathe.tracer.capture import capture

X = jax.random.normal(jax.random.key(0), (3, 4, 5))
W = jax.random.normal(jax.random.key(1), (5, 2, 3))


def loss(w, x):
    return jnp.sum(jnp.sin(jnp.einsum("bti,ihd->bthd", x, w)))


def simplified(function, *arguments) -> Graph:
    return run_passes(capture(function, *arguments).graph, EXACT)[0]


def holds_transposes(graph: Graph) -> bool:
    return any("transpose" in inner.operations for inner in graph.walk())


def in_a_loop(w, x):
    step = lambda w, x: (w - 0.1 * jax.grad(loss)(w, x), None)  # noqa: E731
    return jax.lax.scan(step, w, jnp.stack([x, 2 * x]))[0]


@pytest.mark.parametrize("function", [jax.grad(loss), in_a_loop])
def test_the_gradient_of_weights_holds_no_transpose(function):
    before = simplified(function, W, X)
    after = TurnProducts()(before)
    assert holds_transposes(before)
    assert not holds_transposes(after)
    assert TurnProducts()(after) is after


def scaled(a, b):
    product = a.T @ b
    return 2.0 * product.T, (product * -0.5).T, (-product / 3.0).T


def test_scaled_transposes_of_one_product_are_that_product_turned_and_scaled():
    graph = simplified(scaled, X[0], W[:4, 0])
    after = TurnProducts()(graph)
    assert holds_transposes(graph)
    assert "mul" in after.operations
    assert not any(
        item.operation == "transpose" and item.inputs[0].operation != "parameter"
        for item in after.nodes
    )
    arguments = X[0], W[:4, 0]
    got, wanted = xl.compile(scaled, target="cpu")(*arguments), jax.jit(scaled)(*arguments)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, wanted)


def test_one_transpose_of_a_product_over_one_axis_is_left_to_xla():
    graph = simplified(lambda a, b: (a.T @ b).T, X[0], W[:4, 0])
    assert TurnProducts()(graph) is graph


def test_values_stay():
    compiled = xl.compile(jax.value_and_grad(loss, argnums=(0, 1)), target="cpu")
    assert RULE in compiled.trace(W, X).explain()
    got, wanted = compiled(W, X), jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(W, X)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, wanted)


def test_strict_numerics_leave_the_order():
    compiled = xl.compile(jax.grad(loss), numerics="strict", target="cpu")
    assert RULE not in compiled.trace(W, X).explain()


def test_what_is_read_in_both_orders_stays():
    def function(a, b):
        product = jnp.tensordot(a, b, ((0, 1), (0, 1)))
        return product, product.T + 1.0

    graph = simplified(function, X, X[..., :2])
    assert TurnProducts()(graph) is graph
    explained = xl.compile(function, target="cpu").trace(X, X[..., :2]).explain()
    assert "it is read in both orders" in explained


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: jnp.tensordot(a, b, ((0,), (0,))).transpose(2, 3, 0, 1),
        lambda a, b: jnp.tensordot(a, b, ((0, 1), (0, 1))),
        lambda a, b: jnp.einsum("nbti,nbtj->nji", a[None], b[None]),
        lambda a, b: jnp.tensordot(a[..., None, :], b, ((0, 1), (0, 1))).transpose(1, 0, 2),
    ],
)
def test_other_products_stay(function):
    graph = simplified(function, X, X[..., :2])
    assert TurnProducts()(graph) is graph


@pytest.mark.parametrize("target", [GPU, TPU])
def test_other_devices_choose_layouts_themselves(target):
    graph = simplified(jax.grad(loss), W, X)
    assert TurnProducts(target)(graph) is graph
