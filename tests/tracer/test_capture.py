"""Capture: each kind of equation in its one form, and values that the program closes over."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.core import Tracer
from jax.experimental import io_callback
from jax.experimental.compute_on import compute_on
from jax.extend.core import Primitive

import xlathe as xl
from xlathe.compiler.ir import TOKEN, Graph, Node, Opaque, make_type, verify
from xlathe.compiler.lowering import lower
from xlathe.tracer.capture import (
    MAX_INLINE_CONSTANT,
    Captured,
    UnsupportedProgram,
    capture,
    freeze,
    type_of_aval,
)

X = jnp.arange(3.0)
ROWS = jnp.arange(30.0).reshape(10, 3)
TABLE = jnp.arange(60.0)


def captured(function: Callable[..., Any], *arguments: Any) -> Captured:
    """The captured function, verified; JAX and its printed program agree on it."""
    found = capture(function, *arguments)
    verify(found.graph)
    leaves = jax.tree.leaves(arguments)
    program = lower(found.graph, constant_count=found.constant_count)
    got = program(*leaves, *found.constants)
    wanted = jax.tree.leaves(function(*arguments))
    for values in (got, found.evaluate(*leaves)):
        for one, other in zip(values, wanted, strict=True):
            if jnp.issubdtype(jnp.asarray(other).dtype, jax.dtypes.prng_key):
                one, other = jax.random.key_data(one), jax.random.key_data(other)
            np.testing.assert_allclose(one, other, rtol=1e-6)
    return found


def only(graph: Graph, operation: str) -> Node:
    (found,) = [item for item in graph.nodes if item.operation == operation]
    return found


def test_a_primitive():
    graph = captured(lambda x: lax.sin(x), X).graph
    (item,) = graph.nodes
    assert item.operation == "sin"
    assert item.inputs == graph.parameters
    assert item.type is graph.parameter_types[0]


def test_a_primitive_with_several_results():
    graph = captured(lambda x: lax.top_k(x, 2), X).graph
    top = only(graph, "top_k")
    assert [result.inputs[0] for result in graph.results] == [top, top]
    assert [result["index"] for result in graph.results] == [0, 1]


def test_a_call():
    @jax.jit
    def inner(x):
        return x * 2

    call = only(captured(lambda x: inner(x), X).graph, "call")
    assert call["name"] == "inner"
    assert call["body"].name == "inner"
    assert set(call.attributes) == {"body", "name"}


def test_a_call_of_jaxs_own_functions_has_no_name():
    call = only(captured(lambda x: jnp.where(x > 0, x, 0), X).graph, "call")
    assert call["name"] == ""


def test_a_jaxpr_called_twice_is_one_graph():
    inner = jax.jit(lambda x: jnp.sin(x))
    graph = captured(lambda x: inner(x) + inner(x + 1), X).graph
    calls = [item for item in graph.nodes if item.operation == "call"]
    assert len(calls) == 2
    assert calls[0]["body"] is calls[1]["body"]


def test_a_jit_with_shardings_is_kept_whole():
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    inner = jax.jit(lambda x: x * 2, out_shardings=sharding)
    item = only(captured(lambda x: inner(x), X).graph, "equation")
    assert isinstance(item["function"], Opaque)


def test_a_jit_with_donation_or_compiler_options_is_kept_whole():
    donating = jax.jit(lambda x: x * 2, donate_argnums=0)
    graph = capture(lambda x: donating(x), X).graph
    assert only(graph, "equation")["name"] in ("jit", "pjit")


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan(reverse: bool):
    def f(x, w, rows):
        return lax.scan(lambda c, r: (c * w + r, c), x, rows, reverse=reverse, unroll=2)

    scan = only(captured(f, X, X, ROWS).graph, "scan")
    assert {name: scan[name] for name in ("consts", "carry", "length", "reverse", "unroll")} == {
        "consts": 1,
        "carry": 1,
        "length": 10,
        "reverse": reverse,
        "unroll": 2,
    }
    assert len(scan.inputs) == 3


def test_a_scan_that_closes_over_an_array_has_it_first():
    table = TABLE[:30].reshape(10, 3)

    def f(x, rows):
        return lax.scan(lambda c, r: (c + r + table.sum(), c * table[0]), x, rows)

    found = captured(f, X, ROWS)
    assert found.constant_count == 1
    scan = only(found.graph, "scan")
    assert scan["consts"] == 1
    assert scan.inputs[0] is found.graph.parameters[-1]
    assert scan["body"].parameter_types[0].shape == (10, 3)


def test_a_while_loop():
    table = TABLE[:30]

    def f(x, limit):
        def unfinished(c):
            return c.sum() < limit + table.sum()

        return lax.while_loop(unfinished, lambda c: c + 1 + table.max() + limit, x)

    found = captured(f, X, 9.0)
    item = only(found.graph, "while")
    assert (item["condition_consts"], item["body_consts"]) == (2, 2)
    assert len(item.inputs) == 5


def test_a_condition_with_effects_is_kept_whole():
    def f(x):
        def unfinished(c):
            jax.debug.print("{}", c)
            return c < 3

        return lax.while_loop(unfinished, lambda c: c + 1, x)

    assert only(captured(f, 0.0).graph, "equation")["name"] == "while"


def test_branches():
    def f(x, y):
        return lax.switch(y, [jnp.sin, jnp.cos, lambda v: v * y], x)

    cond = only(captured(f, X, 2).graph, "cond")
    assert len(cond["branches"]) == 3
    assert set(cond.attributes) == {"branches"}


def test_branches_that_close_over_arrays():
    def f(x):
        return lax.cond(x.sum() > 0, lambda v: v + TABLE, lambda v: v - TABLE, x)

    captured(f, TABLE)


def test_branches_for_other_platforms_are_left_to_jax():
    primitive = Primitive("runs_on_tpu_only")
    primitive.def_abstract_eval(lambda x: x)

    def f(x):
        return lax.platform_dependent(x, tpu=lambda v: primitive.bind(v), default=lambda v: v * 2)

    graph = capture(f, X).graph
    assert only(graph, "equation")["name"] == "cond"


def test_a_checkpoint():
    def f(x):
        policy = jax.checkpoint_policies.dots_saveable
        return jax.checkpoint(lambda v: jnp.sin(v), policy=policy, prevent_cse=False)(x)

    item = only(captured(f, X).graph, "checkpoint")
    assert item["policy"] is jax.checkpoint_policies.dots_saveable
    assert item["prevent_cse"] is False
    assert not item["differentiated"]


def test_a_checkpoint_that_closes_over_an_array():
    captured(lambda x: jax.checkpoint(lambda v: jnp.sin(v) * TABLE)(x), TABLE)


def test_a_linear_solve():
    def f(a, b):
        return lax.custom_linear_solve(
            lambda v: a @ v, b, lambda _, r: jnp.linalg.inv(a) @ r, lambda _, r: r @ a
        )

    graph = capture(f, jnp.eye(3) * 2, X).graph
    verify(graph)
    item = only(graph, "linear_solve")
    assert len(item["const_lengths"]) == 4


def test_a_scatter_loses_the_code_that_its_name_says():
    scatter = only(captured(lambda x: x.at[1].add(2.0), X).graph, "scatter_add")
    assert not any("jaxpr" in name for name in scatter.attributes)


def test_a_scatter_with_a_function_of_its_own_is_kept_whole():
    graph = captured(lambda x: x.at[1].apply(jnp.exp), X).graph
    assert [item.operation for item in graph.nodes if item.operation in ("scatter", "equation")]


def test_reading_and_writing_a_reference():
    def f(x):
        ref = jax.new_ref(x)
        ref[0] = ref[1] + 5
        return ref[...]

    graph = captured(f, X).graph
    kinds = [item.operation for item in graph.nodes if item.types[-1] is TOKEN]
    assert [kind for kind in kinds if kind != "get"] == [
        "token",
        "new_ref",
        "other_get",
        "swap",
        "other_get",
    ]


def primitive_named(name: str) -> Primitive:
    primitive = Primitive(name)
    primitive.def_impl(lambda x: x + 100)
    primitive.def_abstract_eval(lambda x: x)
    return primitive


@pytest.mark.parametrize("name", ["mine", "my-own", "my own.op:2", "2nd"])
def test_an_unknown_primitive_is_carried_through(name: str):
    primitive = primitive_named(name)
    graph = captured(lambda x: primitive.bind(x) * 2, X).graph
    item = graph.nodes[0] if not graph.nodes[0].is_constant else graph.nodes[1]
    assert item["primitive"] == Opaque(primitive)
    assert f"v{item.operation}".isidentifier()


@pytest.mark.parametrize(
    "name", ["neg", "add", "get", "constant", "scan", "jit", "sin", "equation"]
)
def test_a_primitive_that_shares_a_name_is_another_operation(name: str):
    primitive = primitive_named(name)
    graph = captured(lambda x: lax.neg(primitive.bind(x)), X).graph
    (operation,) = {item.operation for item in graph.nodes} - {"neg"}
    assert operation.endswith(f"other_{name}")


def test_random_draws_are_never_one():
    def f(x):
        return lax.rng_uniform(x, x + 1, (3,)), lax.rng_uniform(x, x + 1, (3,))

    first, second = capture(f, 0.0).graph.results
    assert first is not second


def test_small_closed_over_arrays_are_constants():
    small, large = np.arange(MAX_INLINE_CONSTANT), np.arange(MAX_INLINE_CONSTANT + 1)
    found = captured(lambda x: x + small.sum() + jnp.asarray(small).max() + jnp.asarray(large), 1)
    assert found.constant_count == 1
    np.testing.assert_array_equal(found.constants[0], large)


def test_one_array_closed_over_twice_is_one_parameter():
    inner = jax.jit(lambda x: x * TABLE)
    found = captured(lambda x: inner(x) + TABLE * inner(x + 1), TABLE)
    assert found.constant_count == 1
    assert len(found.graph.parameters) == 2


def test_a_closed_over_scalar_keeps_its_weakness():
    weak, strong = jnp.asarray(2.0), jnp.float32(2)
    graph = captured(lambda x: (x * weak, x * strong), jnp.float16(3)).graph
    assert [str(result.type) for result in graph.results] == ["f16", "f32"]


def test_closed_over_keys():
    key = jax.random.key(7)
    found = captured(lambda x: jax.random.normal(key) + x, 1.0)
    assert found.constant_count == 1


def test_closed_over_tracers():
    seen: list[Captured] = []

    def outer(x):
        found = capture(lambda y: y * x + TABLE, TABLE)
        seen.append(found)
        program = lower(found.graph, constant_count=found.constant_count)
        return program(TABLE, *found.constants)[0]

    np.testing.assert_allclose(jax.jit(outer)(2.0), TABLE * 3)
    (found,) = seen
    assert any(isinstance(value, Tracer) for value in found.constants)
    assert any(value is TABLE for value in found.constants)


def test_closed_over_tracers_are_differentiated():
    def outer(x):
        return xl.optimize(lambda y: jnp.sin(y * x))(3.0)

    np.testing.assert_allclose(jax.grad(outer)(2.0), 3 * jnp.cos(6.0), rtol=1e-6)


@pytest.mark.parametrize("wide", [False, True])
def test_widths_of_numbers(wide: bool):
    def f(x, i):
        return x * 0.1 + np.pi, i // 3 + 1, jnp.sin(x).astype(jnp.float32), jnp.arange(3) * i

    with jax.enable_x64(wide):
        graph = captured(f, np.float64(2), 7).graph
    bits = "64" if wide else "32"
    assert [str(type_) for type_ in graph.result_types] == [
        f"f{bits}",
        f"~i{bits}",
        "f32",
        f"i{bits}[3]",
    ]


def test_wide_code_inside_a_narrow_program_is_left_to_jax():
    def f(x):
        with jax.enable_x64(True):
            return jnp.sin(x.astype(jnp.float64)).astype(jnp.float32)

    with pytest.raises(UnsupportedProgram, match=r"has a f64\[3\]"):
        capture(f, X)
    with pytest.warns(xl.NotOptimized, match="runs as JAX traced it"):
        got = xl.compile(f)(X)
    np.testing.assert_array_equal(got, jax.jit(f)(X))


def test_narrow_code_inside_a_wide_program():
    def f(x):
        with jax.enable_x64(False):
            y = jnp.sin(x) * 0.1 + jnp.arange(3)
        return y * np.pi, y.sum()

    with jax.enable_x64(True):
        x = jnp.arange(3.0, dtype=jnp.float32)
        for one, other in zip(xl.compile(f)(x), jax.jit(f)(x), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("partitionable", [False, True])
def test_random_numbers_of_another_setting_are_the_same(partitionable: bool):
    def f(key):
        with jax.threefry_partitionable(partitionable):
            return jax.random.uniform(key, (5,)), jax.random.split(key)

    found = captured(f, jax.random.key(3))
    assert found.graph.result_types[0].shape == (5,)


@pytest.mark.skipif(
    "out_memory_spaces" in inspect.signature(compute_on).parameters,
    reason="in this version of JAX, compute_on is no context",
)
def test_code_for_the_host_stays_there():
    def f(x):
        with compute_on("device_host"):
            y = jnp.sin(x)
        return y * 2

    graph = capture(f, X).graph
    whole = [item for item in graph.nodes if item.operation in ("equation", "call")]
    assert whole
    assert '_xla_compute_type = "host"' in xl.compile(f).lower(X).as_text()


def test_effects_are_threaded_in_order():
    def f(x):
        jax.debug.print("one", ordered=True)
        y = io_callback(lambda v: v, x, x, ordered=True)
        jax.debug.print("two", ordered=True)
        return y

    graph = capture(f, X).graph
    token = graph.effect
    order = []
    while token is not None and token.inputs:
        order.append(token.operation)
        token = token.inputs[-1] if token.operation != "get" else token.inputs[0]
    assert [item for item in order[::-1] if item != "get"] == [
        "debug_print",
        "io_callback",
        "debug_print",
    ]


def test_types_that_only_jax_can_say_are_kept():
    plain = type_of_aval(jax.typeof(X))
    assert plain is make_type((3,), np.dtype("float32"))
    key = type_of_aval(jax.typeof(jax.random.key(0)))
    assert key.shape == ()
    assert not key.is_plain


def test_symbolic_dimensions_are_not_supported():
    from jax import export

    (size,) = export.symbolic_shape("n")
    aval = jax.ShapeDtypeStruct((size,), jnp.float32)
    with pytest.raises(UnsupportedProgram, match="symbolic dimension"):
        capture(lambda x: x * 2, aval)


def test_parameters_are_frozen():
    assert freeze((1, "a")) == (1, "a")
    assert freeze(np.int64(3)) == 3
    assert type(freeze(np.int64(3))) is int
    assert type(freeze(np.float32(0.5))) is float
    assert freeze((np.int32(1), [2]))[0] == 1
    assert isinstance(freeze([1]), Opaque)
    assert isinstance(freeze(np.zeros(2)), Opaque)
    numbers = lax.GatherDimensionNumbers((0,), (), (1,))._replace(offset_dims=(np.int64(0),))
    assert type(freeze(numbers).offset_dims[0]) is int
    assert type(freeze(numbers)) is lax.GatherDimensionNumbers


def test_errors_of_the_user_pass_through():
    def f(x):
        return x @ jnp.ones((7, 7))

    with pytest.raises(TypeError) as caught:
        capture(f, X)
    assert any(entry.name == "f" for entry in caught.traceback)


def test_structures_of_arguments_and_results():
    def f(params, *, scale):
        return {"out": [params["a"] * scale, None, (params["b"],)]}

    found = capture(f, {"a": X, "b": 2.0, "c": None}, scale=3.0)
    values = found.evaluate(X, 2.0, 3.0)
    result = jax.tree.unflatten(found.result_tree, values)
    np.testing.assert_array_equal(result["out"][0], X * 3)
    assert result["out"][1] is None


def test_shapes_stand_for_arrays():
    found = capture(lambda x: x * 2, jax.ShapeDtypeStruct((4, 5), jnp.bfloat16))
    assert str(found.graph.result_types[0]) == "bf16[4, 5]"
