"""What the user calls things is what the graph and the program call them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl
from xlathe.compiler.ir import Graph
from xlathe.tracer import names
from xlathe.tracer.capture import capture

X = jnp.arange(3.0)
TABLE = jnp.arange(60.0)


class Layer(NamedTuple):
    w: jax.Array
    b: jax.Array


def parameter_names(graph: Graph) -> list[str]:
    return [graph.origin(item).name for item in graph.parameters]


def variable_names(graph: Graph) -> list[str]:
    return [graph.origin(item).name for item in graph.nodes if graph.origin(item).name]


def many(params: Any, x: Any, /, *rest: Any, scale: Any = 1.0, **more: Any) -> Any:
    return jax.tree.map(jnp.sin, (params, x, rest, scale, more))


def test_paths_of_arguments():
    arguments = ({"w": X, "b": [X, X]}, X, X, X)
    assert names.argument_paths(many, arguments, {"scale": 2.0, "extra": X}) == [
        "params['b'][0]",
        "params['b'][1]",
        "params['w']",
        "x",
        "rest[0]",
        "rest[1]",
        "extra",
        "scale",
    ]


def test_paths_are_in_the_order_of_the_leaves():
    arguments = ({"w": 1.0, "b": [2.0, 3.0]}, 4.0, 5.0)
    keywords = {"scale": 6.0, "extra": 7.0, "a": 8.0}
    leaves = jax.tree.leaves((arguments, keywords))
    assert len(names.argument_paths(many, arguments, keywords)) == len(leaves)
    graph = capture(many, *arguments, **keywords).graph
    given = dict(zip(parameter_names(graph), leaves, strict=True))
    assert given == {
        "b_0": 2,
        "b_1": 3,
        "w": 1,
        "x": 4,
        "rest_0": 5,
        "a": 8,
        "extra": 7,
        "scale": 6,
    }


def test_paths_of_a_function_without_a_signature():
    class NoSignature:
        __signature__ = "not a signature"

        def __call__(self, x, y):
            return x + y

    assert names.argument_paths(NoSignature(), (X, (X, X)), {}) == [
        "argument_0",
        "argument_1[0]",
        "argument_1[1]",
    ]


def test_names_are_as_short_as_they_can_be():
    def f(params, x):
        return params["encoder"].w * params["decoder"].w + params["encoder"].b + x

    params = {"encoder": Layer(X, X), "decoder": Layer(X, X)}
    graph = capture(f, params, X).graph
    assert parameter_names(graph) == ["decoder_w", "decoder_b", "encoder_w", "encoder_b", "x"]


def test_names_of_results():
    graph = capture(lambda x: {"loss": x.sum(), "aux": (x, None)}, X).graph
    assert graph.result_names == ("result['aux'][0]", "result['loss']")
    assert capture(lambda x: x, X).graph.result_names == ("result",)


class Model:
    def __init__(self) -> None:
        self.w = TABLE

    def predict(self, x):
        return x + self.w

    def __call__(self, x):
        return x * 2


def test_names_of_functions():
    assert names.function_name(many) == "many"
    assert names.function_name(lambda x: x) == "function"
    assert names.function_name(functools.partial(many, 1)) == "many"
    assert names.function_name(functools.partial(functools.partial(many, 1), 2)) == "many"
    assert names.function_name(Model().predict) == "predict"
    assert names.function_name(Model()) == "Model"
    assert names.function_name(jax.jit(many)) == "many"
    assert names.function_name(jnp.sin) == "sin"


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (functools.partial(many, X), (X, X), ["x", "rest_0"]),
        (functools.partial(many, scale=X), (X, X), ["params", "x", "scale"]),
        (Model(), (X,), ["x"]),
        (Model().predict, (TABLE,), ["x"]),
        (lambda first, second: first, (X, X), ["first", "second"]),
        (jax.jit(lambda first, second: first), (X, X), ["first", "second"]),
        (jax.grad(lambda weight, x: (weight * x).sum()), (X, X), ["weight", "x"]),
        (jax.vmap(lambda row: row * 2), (X,), ["row"]),
    ],
)
def test_names_of_the_arguments_of(function, arguments, expected: list[str]):
    graph = capture(function, *arguments).graph
    assert parameter_names(graph)[: len(arguments)] == expected[: len(arguments)]


def test_names_of_closed_over_arrays():
    local = TABLE + 1

    def helper(x):
        return x * local

    def f(x):
        return helper(x) + TABLE

    captured = capture(f, TABLE)
    assert parameter_names(captured.graph) == ["x", "local", "TABLE"]
    np.testing.assert_array_equal(captured.constants[0], local)
    assert captured.constants[1] is TABLE


def test_closed_over_arrays_that_no_variable_holds_are_numbered():
    def f(x, held=(TABLE + 1, TABLE + 2)):
        return x + held[0] * held[1]

    captured = capture(f, TABLE)
    assert parameter_names(captured.graph) == ["x", "constant_1", "constant_2"]


def test_a_variable_that_is_not_bound_yet_is_no_obstacle():
    def f(x):
        def inner():
            return later

        later = TABLE
        return x + inner()

    assert capture(f, TABLE).constant_count == 1


def test_names_of_assigned_variables():
    def f(x, w):
        hidden = jnp.sin(x) * w
        shifted: jax.Array = hidden + 1
        shifted += 2
        first, second = jnp.cos(shifted), jnp.tan(shifted)
        return first + second

    assert variable_names(capture(f, X, X).graph) == ["hidden", "shifted"]


def test_the_last_operation_of_an_assignment_has_the_name():
    def f(x):
        y = jnp.sin(x) * 2 + 1
        return -y

    graph = capture(f, X).graph
    named = [item.operation for item in graph.nodes if graph.origin(item).name == "y"]
    assert named == ["add"]


def test_a_variable_assigned_twice():
    def f(x):
        y = jnp.sin(x)
        y = jnp.cos(y)
        return y

    traced = xl.compile(f).trace(X)
    assert variable_names(traced.captured) == ["y", "y"]
    assert "y_1 = lax.cos(y)" in traced.as_text("python")


def test_names_inside_loops():
    def f(x):
        def turn(carry, row):
            scaled = carry * row
            return scaled + 1, row

        return jax.lax.scan(turn, x, jnp.ones((9, 3)) * x)

    graph = capture(f, X).graph
    (body,) = graph.subgraphs()
    assert variable_names(body) == ["scaled"]


def test_cotangents_do_not_take_the_names_of_variables():
    def loss(x):
        hidden = jnp.sin(x)
        return (hidden * hidden).sum()

    found = variable_names(capture(jax.grad(loss), X).graph)
    assert "hidden" in found
    assert len(found) == len(set(found))
    assert any(name.startswith("d_") for name in found)


def test_places_in_the_source():
    def f(x):
        y = jnp.sin(x)
        return y.sum()

    graph = capture(f, X).graph
    start = f.__code__.co_firstlineno
    places = {item.operation: graph.origin(item) for item in graph.nodes}
    assert places["sin"].file == __file__
    assert places["sin"].line == start + 1
    assert places["reduce_sum"].line == start + 2


def test_name_scopes():
    def f(x):
        with jax.named_scope("encoder"), jax.named_scope("attention"):
            y = jnp.sin(x)
        return y * 2

    graph = capture(f, X).graph
    scopes = {item.operation: graph.origin(item).scope for item in graph.nodes}
    assert scopes["sin"] == "encoder/attention"
    assert scopes["mul"] == ""


def test_source_summaries():
    assert names.source("/a/b.py:12:7 (f)") == ("/a/b.py", 12, 7)
    assert names.source("/a/b.py:12 (f)") == ("/a/b.py", 12, 0)
    assert names.source("C:\\a\\b.py:12:7 (f)") == ("C:\\a\\b.py", 12, 7)
    assert names.source("unknown") == ("", 0, 0)


def test_assigned_names_of_a_file(tmp_path: Path):
    path = tmp_path / "source.py"
    path.write_text(
        "x = 1\ny: int = 2\na = b = 3\nc, d = 4, 5\nself.e = 6\nz: int\nif (w := 7): pass\n"
    )
    assert names.assigned_names(str(path)) == {(1, 4): "x", (2, 9): "y"}


def test_files_that_cannot_be_read(tmp_path: Path):
    path = tmp_path / "broken.py"
    path.write_text("x = (\n")
    assert names.assigned_names(str(path)) == {}
    assert names.assigned_names(str(tmp_path / "missing.py")) == {}
    assert names.assigned_names("<stdin>") == {}


def test_functions_without_a_file():
    namespace: dict = {"jnp": jnp}
    exec("def f(x):\n    y = jnp.sin(x)\n    return y * 2\n", namespace)
    graph = capture(namespace["f"], X).graph
    assert parameter_names(graph) == ["x"]
    assert [item.operation for item in graph.nodes if not item.is_constant] == ["sin", "mul"]
