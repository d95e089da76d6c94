"""Derivative rules of the user's own: what the graph holds of them, and what they compute."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl
from xlathe.compiler.ir import Graph, Node, parse, to_text, verify
from xlathe.tracer.capture import capture

X = jnp.arange(1.0, 4.0)


def only(graph: Graph, operation: str) -> Node:
    (found,) = [item for item in graph.nodes if item.operation == operation]
    return found


def agree(function, *arguments, argnums=0) -> Graph:
    """The captured graph; values and both kinds of derivatives are those of JAX."""
    graph = capture(function, *arguments).graph
    verify(graph)
    assert parse(to_text(graph), graph.objects()) == graph
    optimized = xl.optimize(function)

    def total(f):
        return lambda *a: sum(jnp.sum(leaf) for leaf in jax.tree.leaves(f(*a)))

    np.testing.assert_allclose(optimized(*arguments), function(*arguments), rtol=1e-6)
    for derive in (jax.grad, jax.jacfwd):
        if derive is jax.jacfwd and "custom_vjp" in to_text(graph):
            continue
        got = derive(total(optimized), argnums)(*arguments)
        np.testing.assert_allclose(got, derive(total(function), argnums)(*arguments), rtol=1e-6)
    return graph


def scaled_jvp(scale: float) -> Any:
    """sin with a derivative that is scaled, so that the rule shows in the numbers."""

    @jax.custom_jvp
    def f(x):
        return jnp.sin(x)

    @f.defjvp
    def _rule(primals, tangents):
        return f(*primals), scale * jnp.cos(primals[0]) * tangents[0]

    return f


def scaled_vjp(scale: float) -> Any:
    @jax.custom_vjp
    def f(x):
        return jnp.sin(x)

    f.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (scale * jnp.cos(x) * g,))
    return f


def test_a_jvp_rule_is_a_graph():
    item = only(agree(lambda x: scaled_jvp(7.0)(x), X), "custom_jvp")
    assert item["name"] == "f"
    assert len(item["rule"].parameters) == 2
    assert len(item["rule"].results) == 2


def test_a_vjp_rule_is_two_graphs():
    item = only(agree(lambda x: scaled_vjp(7.0)(x), X), "custom_vjp")
    assert len(item["forward"].results) == 2
    assert len(item["backward"].results) == 1


def test_a_rule_that_calls_its_own_function():
    item = only(agree(lambda x: scaled_jvp(7.0)(x), X), "custom_jvp")
    inner = only(item["rule"], "custom_jvp")
    assert inner["recursive"] is True
    assert "rule" not in inner.attributes


def test_derivatives_of_derivatives():
    f = scaled_jvp(7.0)
    wanted = jax.grad(jax.grad(f))(1.0)
    np.testing.assert_allclose(jax.grad(jax.grad(xl.optimize(f)))(1.0), wanted, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.grad(jax.grad(xl.compile(f))))(1.0), wanted, rtol=1e-6)


@pytest.mark.parametrize("make", [scaled_jvp, scaled_vjp])
@pytest.mark.parametrize("x", [2.0, np.float32(2.0)], ids=["weak", "strong"])
def test_derivatives_are_as_weakly_typed_as_those_of_jax(make, x):
    def squared(x):
        return make(7.0)(x) ** 2

    one = jnp.float32(1.0)
    for derive in (
        jax.grad,
        lambda f: lambda x: jax.vjp(f, x)[1](one),
        lambda f: lambda x: jax.vjp(jax.grad(f), x)[1](one),
    ):
        got, want = derive(xl.compile(squared))(x), derive(jax.jit(squared))(x)
        assert [a.aval for a in jax.tree.leaves(got)] == [a.aval for a in jax.tree.leaves(want)]


def test_two_rules_for_one_body_are_not_mixed_up():
    first, second = scaled_jvp(7.0), scaled_jvp(11.0)
    agree(lambda x: first(x) + 2 * second(x), X)
    third, fourth = scaled_vjp(7.0), scaled_vjp(11.0)
    agree(lambda x: third(x) + 2 * fourth(x), X)


def test_static_arguments_of_a_rule_are_not_mixed_up():
    @functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
    def same(x, scale):
        return x

    @same.defjvp
    def _rule(scale, primals, tangents):
        return primals[0], scale * tangents[0]

    agree(lambda x: same(x, 7.0) + 2 * same(x, 11.0), X)

    @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
    def also_same(scale: float, x: Any) -> Any:
        return x

    also_same.defvjp(lambda scale, x: (x, None), lambda scale, _, g: (scale * g,))
    agree(lambda x: jnp.add(also_same(7.0, x), also_same(11.0, x)), X)


def test_rules_given_argument_by_argument_are_not_mixed_up():
    first, second = jax.custom_jvp(jnp.sin), jax.custom_jvp(jnp.sin)
    first.defjvps(lambda t, ans, x: 7 * t)
    second.defjvps(lambda t, ans, x: 11 * t)
    agree(lambda x: first(x) + 2 * second(x), X)


def test_rules_that_are_no_plain_functions_are_not_mixed_up():
    class Rule:
        def __init__(self, scale: float) -> None:
            self.scale = scale

        def method(self, primals, tangents):
            return jnp.sin(primals[0]), self.scale * tangents[0]

        def __call__(self, primals, tangents):
            return self.method(primals, tangents)

    def with_rule(rule):
        f = jax.custom_jvp(lambda x: jnp.sin(x))
        f.defjvp(rule)
        return f

    rules = [Rule(1.0), Rule(2.0), Rule(3.0).method, Rule(4.0).method]
    rules += [jax.jit(Rule(5.0)), jax.jit(Rule(6.0)), functools.partial(Rule.method, Rule(7.0))]
    functions = [with_rule(rule) for rule in rules]
    agree(lambda x: sum(10.0**i * f(x) for i, f in enumerate(functions)), X)


def mutual():
    @jax.custom_jvp
    def sine(x):
        return jnp.sin(x)

    @jax.custom_jvp
    def cosine(x):
        return jnp.cos(x)

    sine.defjvp(lambda primals, tangents: (sine(*primals), 3 * cosine(*primals) * tangents[0]))
    cosine.defjvp(lambda primals, tangents: (cosine(*primals), -5 * sine(*primals) * tangents[0]))
    return sine, cosine


def test_rules_that_call_each_others_functions():
    sine, cosine = mutual()
    agree(lambda x: sine(x) + cosine(x) * sine(x + 1), X)

    def third(f):
        return jax.grad(jax.grad(jax.grad(f)))(1.0)

    def f(x):
        return sine(x) * cosine(x)

    np.testing.assert_allclose(third(xl.optimize(f)), third(f), rtol=1e-6)


def test_a_rule_outlives_the_call_beside_which_it_was_read():
    sine, cosine = mutual()

    def f(x):
        sine(x)
        return cosine(x)

    agree(f, X)


def test_literal_arguments():
    @jax.custom_jvp
    def power(x, n):
        return x**n

    @power.defjvp
    def _rule(primals, tangents):
        x, n = primals
        return power(x, n), 5 * n * x ** (n - 1) * tangents[0]

    agree(lambda x: power(x, 3) + power(x, np.int32(2)) + power(x, np.array([1, 2, 3])), X)


def test_a_function_used_twice_is_read_once():
    f = scaled_jvp(7.0)
    graph = agree(lambda x: f(x) + f(x + 1), X)
    calls = [item for item in graph.nodes if item.operation == "custom_jvp"]
    # An equal node from before stands for a new one, and keeps its own graph object.
    assert calls[0]["rule"] == calls[1]["rule"]


def test_a_function_used_with_other_shapes():
    f = scaled_jvp(7.0)
    agree(lambda x: f(x).sum() + f(x[0]) + f(x[None]).sum(), X)


def test_integer_arguments():
    @jax.custom_jvp
    def power(x, n):
        return x**n

    @power.defjvp
    def _rule(primals, tangents):
        x, n = primals
        return power(x, n), 5 * n * x ** (n - 1) * tangents[0]

    item = only(agree(lambda x, n: power(x, n), X, 3), "custom_jvp")
    assert len(item["rule"].parameters) == 3


def test_integer_arguments_of_a_vjp_rule():
    @jax.custom_vjp
    def power(n, x):
        return x**n

    power.defvjp(
        lambda n, x: (x**n, (n, x)), lambda r, g: (None, 5 * r[0] * r[1] ** (r[0] - 1) * g)
    )
    item = only(agree(lambda n, x: power(n, x), 3, X, argnums=1), "custom_vjp")
    assert len(item["backward"].results) == 1


def test_integer_results():
    @jax.custom_jvp
    def with_index(x):
        return x * 2, jnp.argmax(x)

    @with_index.defjvp
    def _rule(primals, tangents):
        (x,), (dx,) = primals, tangents
        value, index = with_index(x)
        zero: Any = np.zeros((), jax.dtypes.float0)
        return (value, index), (7 * dx, zero)

    agree(lambda x: with_index(x)[0], X)


def test_static_arguments_and_pytrees():
    @functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
    def scale(params, factor):
        return params["a"] * factor + params["b"]

    scale.defvjp(
        lambda params, factor: (scale(params, factor), params["a"]),
        lambda factor, a, g: ({"a": 5 * g * factor, "b": g + 0 * a},),
    )
    agree(lambda x: scale({"a": x, "b": x * 2}, 3.0), X)


def test_a_rule_that_raises_does_so_when_it_is_used():
    @jax.custom_jvp
    def f(x):
        return x * 2

    @f.defjvp
    def _rule(primals, tangents):
        raise NotImplementedError("this has no derivative")

    np.testing.assert_array_equal(xl.compile(lambda x: f(x))(X), X * 2)
    assert only(capture(lambda x: f(x), X).graph, "equation")["name"] == "custom_jvp_call"
    with pytest.raises(NotImplementedError, match="this has no derivative"):
        jax.grad(lambda x: xl.optimize(f)(x).sum())(X)


def test_a_backward_rule_that_raises_does_so_when_it_is_used():
    @jax.custom_vjp
    def f(x):
        return x * 2

    def refuse(residuals, cotangent):
        raise NotImplementedError("this has no derivative")

    f.defvjp(lambda x: (x * 2, None), refuse)
    np.testing.assert_array_equal(xl.compile(lambda x: f(x))(X), X * 2)
    with pytest.raises(NotImplementedError, match="this has no derivative"):
        jax.grad(lambda x: xl.optimize(f)(x).sum())(X)


def test_a_function_without_a_rule_says_so_when_it_is_used():
    @jax.custom_jvp
    def f(x):
        return x * 2

    with pytest.raises(AttributeError) as wanted:
        f(X)
    with pytest.raises(AttributeError) as got:
        xl.compile(lambda x: f(x))(X)
    assert str(got.value) == str(wanted.value)


def test_symbolic_zeros_are_kept_whole():
    @jax.custom_jvp
    def f(x, y):
        return x * y

    def rule(primals, tangents):
        x, y = primals
        dx, dy = tangents
        # Only with symbolic zeros can a rule see that an argument is not differentiated.
        is_zero = isinstance(dy, jax.custom_derivatives.SymbolicZero)
        return f(x, y), (100 if is_zero else 10) * y * dx

    f.defjvp(rule, symbolic_zeros=True)
    assert only(capture(lambda x: f(x, 2.0), X).graph, "equation")["name"] == "custom_jvp_call"
    wanted = jax.grad(lambda x: f(x, 2.0).sum())(X)
    assert wanted[0] == 200
    np.testing.assert_array_equal(jax.grad(lambda x: xl.optimize(f)(x, 2.0).sum())(X), wanted)


def test_a_rule_that_closes_over_an_array():
    held = jnp.arange(40.0)

    @jax.custom_vjp
    def f(x):
        return x * 2

    f.defvjp(lambda x: (x * 2, None), lambda _, g: (g * held,))
    agree(lambda x: f(x), held)
    agree(lambda x: f(x) + f(x + 1), held)


def test_a_rule_that_closes_over_a_tracer():
    def outer(scale, x):
        @jax.custom_jvp
        def f(y):
            return y * 2

        @f.defjvp
        def _rule(primals, tangents):
            return f(*primals), scale * tangents[0]

        return xl.optimize(f)(x)

    got = jax.jit(jax.grad(outer, 1))(5.0, 3.0)
    np.testing.assert_allclose(got, 5.0)


def test_a_rule_with_effects(capsys: pytest.CaptureFixture[str]):
    @jax.custom_vjp
    def f(x):
        return x * 2

    def backward(_, g):
        jax.debug.print("backward")
        return (g,)

    f.defvjp(lambda x: (x * 2, None), backward)
    jax.grad(lambda x: xl.optimize(f)(x).sum())(X)
    jax.effects_barrier()
    assert capsys.readouterr().out == "backward\n"


def test_rules_inside_loops_and_branches():
    f, g = scaled_jvp(7.0), scaled_vjp(11.0)

    def looped(x):
        def turn(c, _):
            return jax.lax.cond(c.sum() > 0, lambda v: f(v), lambda v: v * 2, c), c

        return jax.lax.scan(turn, x, None, length=9)[0]

    agree(looped, X)

    def backward_loop(x):
        return jax.lax.scan(lambda c, _: (g(c) + 1, None), x, None, length=9)[0]

    np.testing.assert_allclose(
        jax.grad(lambda x: xl.optimize(backward_loop)(x).sum())(X),
        jax.grad(lambda x: backward_loop(x).sum())(X),
        rtol=1e-6,
    )


def test_rules_under_vmap_and_jit():
    f = scaled_vjp(7.0)
    per_row = jax.vmap(jax.grad(xl.optimize(f)))
    np.testing.assert_allclose(jax.jit(per_row)(X), jax.vmap(jax.grad(f))(X), rtol=1e-6)


def test_functions_of_the_library_are_called_by_their_names():
    graph = agree(lambda x: jax.nn.relu(x - 2), X)
    relu = [
        item for inner in graph.walk() for item in inner.nodes if item.operation == "custom_jvp"
    ]
    assert relu[0]["library"] == "jax.nn.relu"
    assert "jax.nn.relu(" in xl.compile(lambda x: jax.nn.relu(x)).trace(X).as_text("python")


def test_a_function_of_the_users_with_such_a_name_is_their_own():
    @jax.custom_jvp
    def relu(x):
        return x * 3

    relu.defjvp(lambda primals, tangents: (relu(*primals), 5 * tangents[0]))
    graph = agree(lambda x: relu(x), X)
    assert "library" not in only(graph, "custom_jvp").attributes


def test_functions_of_the_library_without_a_name():
    agree(lambda x: jax.nn.softplus(x) + jax.nn.silu(x) + jax.nn.logsumexp(x), X)
