"""Small products over the rows of both factors take the first one transposed beforehand, on CPU."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl
from xlathe.compiler.ir import Graph
from xlathe.compiler.passes.turn_factors import RULE, TurnFactors
from xlathe.compiler.pipeline import EXACT, run_passes
from xlathe.compiler.targets import GPU, TPU
from xlathe.tracer.capture import capture

X = jax.random.normal(jax.random.key(0), (32, 16))
Y = jax.random.normal(jax.random.key(1), (32, 8))
W = jax.random.normal(jax.random.key(2), (16, 16)) / 4
V = jax.random.normal(jax.random.key(3), (16, 8)) / 4


def loss(weights, x, y):
    first, second = weights
    return jnp.mean((jax.nn.relu(x @ first) @ second - y) ** 2)


def over_rows(x, y):
    return jnp.maximum(x, 0.5).T @ y


def simplified(function, *arguments) -> Graph:
    return run_passes(capture(function, *arguments).graph, EXACT)[0]


def turned(graph: Graph) -> int:
    return sum(
        item.operation == "optimization_barrier" for inner in graph.walk() for item in inner.nodes
    )


def in_a_loop(weights, x, y):
    def step(weights, batch):
        gradient = jax.grad(loss)(weights, *batch)
        return jax.tree.map(lambda w, g: w - 0.1 * g, weights, gradient), None

    return jax.lax.scan(step, weights, (jnp.stack([x, 2 * x]), jnp.stack([y, y])))[0]


@pytest.mark.parametrize(
    ("function", "arguments", "count"),
    [
        (over_rows, (X, Y), 1),
        (lambda x, y: jnp.tensordot(2 * x, y, ((0,), (0,))), (X, Y), 1),
        (jax.grad(loss), ((W, V), X, Y), 1),
        (lambda x, y, i: jax.lax.dynamic_slice_in_dim(x, i, 8).T @ y[:8], (X, Y, 3), 1),
        (in_a_loop, ((W, V), X, Y), 2),
    ],
)
def test_a_first_factor_computed_on_the_way_is_transposed(function, arguments, count):
    before = simplified(function, *arguments)
    after = TurnFactors()(before)
    assert turned(before) == 0
    assert turned(after) == count
    assert after.result_types == before.result_types
    assert TurnFactors()(after) is after


@pytest.mark.parametrize("function", [jax.value_and_grad(loss), in_a_loop])
def test_values_stay(function):
    compiled: Any = xl.compile(function, target="cpu")
    arguments = ((W, V), X, Y)
    assert RULE in compiled.trace(*arguments).explain()
    assert "lax.optimization_barrier(" in compiled.trace(*arguments).as_text("python")
    with jax.enable_x64(True):  # pyright: ignore[reportCallIssue]
        wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), arguments)
        exact = jax.tree.map(np.asarray, function(*wide))
    got, plain = compiled(*arguments), jax.jit(function)(*arguments)

    def check(got, plain, exact):
        allowed = 2 * np.abs(np.asarray(plain) - exact).max() + 1e-6 * np.abs(exact).max()
        assert np.abs(np.asarray(got) - exact).max() <= allowed

    jax.tree.map(check, got, plain, exact)


def test_it_goes_through_transformations():
    ours = xl.optimize(over_rows, target="cpu")
    total = lambda f: lambda x, y: jnp.sum(jnp.cos(f(x, y)))  # noqa: E731
    got = jax.grad(total(ours), argnums=(0, 1))(X, Y)
    wanted = jax.grad(total(over_rows), argnums=(0, 1))(X, Y)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, wanted)
    many = jax.vmap(ours)(jnp.stack([X, 2 * X]), jnp.stack([Y, Y]))
    np.testing.assert_allclose(many[1], over_rows(2 * X, Y), rtol=1e-4, atol=1e-5)


def test_a_nan_reaches_what_it_reached():
    compiled = xl.compile(over_rows, target="cpu")
    x = X.at[3, 5].set(jnp.nan)
    np.testing.assert_array_equal(np.isnan(compiled(x, Y)), np.isnan(jax.jit(over_rows)(x, Y)))


@pytest.mark.parametrize(
    ("function", "arguments", "reason"),
    [
        (lambda x, y: x.T @ y, (X, Y), "the transpose of a parameter would be a copy"),
        (lambda x, y: jnp.tanh(x).T @ y, (X, Y), "the transpose of a tanh would be a copy"),
        (over_rows, (jnp.ones((64, 16)), jnp.ones((64, 8))), "64 rows of 16 are too many"),
        (over_rows, (jnp.ones((32, 256)), Y), "32 rows of 256 are too many"),
        (over_rows, (X, Y[:, :2]), "with so few columns"),
        (over_rows, (X.astype("bfloat16"), Y.astype("bfloat16")), "no product of matrices in"),
        (over_rows, (X, Y[:, 0]), "no product of matrices in float32"),
    ],
)
def test_where_it_gains_nothing_the_product_stays(function, arguments, reason):
    graph = simplified(function, *arguments)
    assert TurnFactors()(graph) is graph
    compiled: Any = xl.compile(function, target="cpu")
    assert reason in compiled.trace(*arguments).explain()


def test_products_along_rows_stay():
    graph = simplified(lambda x, w: 2 * x @ w, X, W)
    assert TurnFactors()(graph) is graph


@pytest.mark.parametrize("target", [GPU, TPU])
def test_other_devices_choose_layouts_themselves(target):
    graph = simplified(jax.grad(loss), (W, V), X, Y)
    assert TurnFactors(target)(graph) is graph


def test_strict_numerics_leave_the_product():
    compiled = xl.compile(over_rows, numerics="strict", target="cpu")
    assert RULE not in compiled.trace(X, Y).explain()
