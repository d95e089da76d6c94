"""Names in printed programs: none hides another, whatever the user calls things; and sizes."""

from __future__ import annotations

import ast
import builtins
import keyword
import linecache
import traceback

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import Primitive

from xlathe.compiler.ir import Graph, constant, make_type, parameter, parse
from xlathe.compiler.lowering import lower
from xlathe.compiler.ops import make
from xlathe.tracer.capture import capture

from .printing import printed

W = jnp.arange(4.0)
A = jnp.float32(2)

RESERVED = ["jax", "jnp", "lax", "np", "partial", "primitives", "complex", "functools"]
CLASHES = [
    *RESERVED,
    *keyword.kwlist,
    *keyword.softkwlist,
    *["print", "len", "object", "body", "condition", "branch", "carry", "xs", "ys", "_carry"],
    *["x0", "v1", "v1_1", "custom", "consts", "residuals", "primals", "object_callback", "f"],
]


@jax.custom_jvp
def custom(x):
    return x * 2


@custom.defjvp
def _custom_jvp(primals, tangents):
    return custom(*primals), 2 * tangents[0]


def everything(x, y):
    z = lax.scan(lambda c, b: (c * y + b, c), x, y)
    w = lax.while_loop(lambda c: c.sum() < 9, lambda c: c + y + 1, x)
    v = lax.cond(y.sum() > 0, lambda a: a * y, lambda a: jnp.where(a > 0, a, np.float32(2)), x)
    u = jax.pure_callback(lambda a: np.asarray(a), x, x)
    return z, w, v, u + custom(x) + complex(0, 1).real * jax.nn.relu(x)


def assert_all_close(got, wanted) -> None:
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)


def test_arguments_of_any_name():
    def f(arguments):
        parts = everything(arguments["jax"], arguments["lax"])
        return parts, sum(jnp.sin(arguments[name]) * i for i, name in enumerate(CLASHES))

    arguments = {name: W + i for i, name in enumerate(CLASHES)}
    program = printed(f, arguments)
    assert_all_close(program(*jax.tree.leaves(arguments)), f(arguments))


@pytest.mark.parametrize("name", CLASHES)
def test_functions_of_any_name(name: str):
    def f(x, y):
        return x * y

    f.__name__ = name
    program = printed(f, W, W)
    assert program.name.isidentifier()
    assert not keyword.iskeyword(program.name)
    np.testing.assert_array_equal(program(W, W)[0], W * W)


@pytest.mark.parametrize("name", ["jax", "lax", "body", "branch", "custom", "x0", "partial"])
def test_functions_named_like_what_they_use(name: str):
    def f(x, y):
        return everything(x, y)

    f.__name__ = name
    assert_all_close(printed(f, W, W + 1)(W, W + 1), f(W, W + 1))


@pytest.mark.parametrize("name", ["x²", "größe", "a b", "", "1", "a.b/c", "🙂", "ﬁ", "__class__"])
def test_names_that_are_no_identifiers(name: str):
    program = printed(lambda p: p[name] + p["other"], {name: W, "other": W})
    np.testing.assert_array_equal(program(W, W)[0], W + W)


def test_variables_and_functions_of_one_name():
    def f(x):
        def body(carry, row):
            body = carry * row
            return body, carry

        body_1, ys = lax.scan(body, x, jnp.ones((9, 4)) * x)
        return body_1 + ys.sum()

    np.testing.assert_allclose(printed(f, W)(W)[0], f(W))


def test_no_name_is_bound_twice_in_a_function():
    program = printed(lambda x, y: everything(x, y), W, W + 1)
    functions = [
        item for item in ast.parse(program.source).body if isinstance(item, ast.FunctionDef)
    ]
    assert len(functions) == len({function.name for function in functions})
    for function in functions:
        bound = [item.arg for item in function.args.args]
        bound += [
            item.id
            for item in ast.walk(function)
            if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store) and item.id != "_"
        ]
        assert len(bound) == len(set(bound))


def test_only_what_is_used_is_imported():
    source = printed(lambda x: x + 1, W).source
    assert "import jax" in source
    for module in ("numpy", "lax", "partial", "primitives"):
        assert module not in source


def free_names(source: str) -> set[str]:
    tree = ast.parse(source)
    bound = {item.name for item in ast.walk(tree) if isinstance(item, ast.FunctionDef)}
    bound |= {item.arg for item in ast.walk(tree) if isinstance(item, ast.arg)}
    used = set()
    for item in ast.walk(tree):
        if isinstance(item, ast.alias):
            bound.add(item.asname or item.name.split(".")[0])
        elif isinstance(item, ast.Name):
            (used if isinstance(item.ctx, ast.Load) else bound).add(item.id)
    return used - bound - set(dir(builtins))


def test_all_that_is_used_is_imported_or_listed():
    program = printed(everything, W, W + 1)
    assert free_names(program.source) == set(program.objects)
    assert "Whoever loads it supplies: " in program.source


def test_three_hundred_arguments():
    values = [jnp.float32(i) for i in range(300)]
    program = printed(lambda *xs: sum(xs), *values)
    assert program(*values)[0] == sum(range(300))


def test_three_hundred_carries_and_results():
    values = [jnp.float32(i) for i in range(300)]

    def f(*xs):
        carry, ys = lax.scan(lambda c, y: ([v + y for v in c], c[0]), list(xs), jnp.arange(9.0))
        return [*carry, ys]

    for one, other in zip(printed(f, *values)(*values), f(*values), strict=True):
        np.testing.assert_allclose(one, other)


def test_deep_expressions():
    def f(x):
        for _ in range(3000):
            x = -(x * 2 - 1)
            x = jnp.sin(x)
        return x

    program = printed(f, A)
    assert max(map(len, program.source.splitlines())) < 200
    np.testing.assert_allclose(program(A)[0], f(A), rtol=1e-5)


def test_deeply_nested_loops():
    def f(x, depth=30):
        if depth == 0:
            return jnp.sin(x)
        return lax.fori_loop(0, 1 + (x[0] < 0), lambda i, c: f(c, depth - 1), x)

    np.testing.assert_allclose(printed(f, W)(W)[0], f(W))


def test_no_arguments_and_no_results():
    assert printed(lambda: ())() == []
    assert printed(lambda x: (), W)(W) == []
    assert printed(lambda: 3)()[0] == 3
    first, second = printed(lambda x: (x, None, [x]), W)(W)
    assert first is W
    assert second is W


def test_a_primitive_without_a_public_name_is_an_object():
    primitive = Primitive("not_public")
    primitive.def_impl(lambda x, scale: x * scale)
    primitive.def_abstract_eval(lambda x, scale: x)
    program = printed(lambda x: primitive.bind(x, scale=3), W)
    assert list(program.objects.values()) == [primitive]
    np.testing.assert_array_equal(program(W)[0], W * 3)


def test_an_operation_that_cannot_be_written_says_what_to_do():
    graph = parse("def f(x: f32):\n    y: f32 = softmax_of_mine(x)\n    return (y,)\n")
    with pytest.raises(NotImplementedError, match=r"softmax_of_mine is neither .* compiler/ops"):
        lower(graph)


def test_tracebacks_show_the_program():
    program = printed(lambda x: jnp.sin(x) @ jnp.cos(x), W)
    assert linecache.getlines(program.filename) == program.source.splitlines(keepends=True)
    with pytest.raises(TypeError) as caught:
        program("not an array")
    frames = traceback.extract_tb(caught.value.__traceback__)
    lines = [frame.line for frame in frames if frame.filename == program.filename]
    assert lines
    assert str(lines[0]) in program.source


def test_programs_have_files_of_their_own():
    graph = capture(jnp.sin, W).graph
    assert lower(graph).filename != lower(graph).filename


def test_negative_positions_are_clamped_as_they_were():
    index = constant(np.int32(-5))
    x, u = (
        parameter(0, make_type((9,), np.dtype("float32"))),
        parameter(1, make_type((2,), np.dtype("float32"))),
    )
    item = make("dynamic_update_slice", x, u, index)
    program = lower(Graph([x, u], [item]))
    got = program(jnp.arange(9.0), jnp.ones(2))[0]
    np.testing.assert_array_equal(got, jnp.arange(9.0).at[:2].set(1))


def test_effects_with_unread_results_are_written():
    def f(x):
        ref = jax.new_ref(x)
        ref[...] = ref[...] + 1
        ref[0] = 7.0
        return ref[...]

    np.testing.assert_array_equal(printed(f, W)(W)[0], f(W))


def test_lower_takes_another_name():
    graph = capture(lambda x: jnp.sin(x), W).graph
    assert lower(graph, name="predict").name == "predict"
    assert "def predict(" in lower(graph, name="predict").source
    assert lower(graph, name="not a name").name == "not_a_name"
