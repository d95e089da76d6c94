"""What is asked of each entry: the round trip through the graph, equal values, equal gradients."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import xlathe as xl
from xlathe.compiler.ir import parse, to_text, verify
from xlathe.compiler.lowering import lower
from xlathe.tracer.capture import capture

Function = Callable[..., Any]


def round_trip(f: Function, inputs: list[Any]) -> Function:
    """The program lowered from the graph as traced, once that has survived printing and parsing."""
    captured = capture(f, *inputs)
    graph = captured.graph
    assert parse(to_text(graph), graph.objects()) == graph
    verify(graph)
    program = lower(graph, name="program", constant_count=captured.constant_count)
    return lambda *flat: program(*flat, *captured.constants)


def check_values(f: Function, inputs: list[Any], scale: float = 1.0) -> Any:
    """The compiled function and the program of the round trip give the results of `jax.jit`.

    The program is compiled together with `f`, because it is compiling that takes the time.
    """
    program = round_trip(f, inputs)
    expected, emitted = jax.jit(lambda *flat: (f(*flat), program(*flat)))(*inputs)
    assert_same(emitted, jax.tree.leaves(expected), scale)
    assert_same(xl.compile(f)(*inputs), expected, scale)
    return expected


def check_traced(f: Function, inputs: list[Any]) -> None:
    """What cannot be executed here: the program and the compiled function have the types of `f`."""
    expected = jax.eval_shape(f, *inputs)
    assert_same_types(jax.eval_shape(xl.compile(f), *inputs), expected)
    program = round_trip(f, inputs)
    assert_same_types(jax.eval_shape(program, *inputs), jax.tree.leaves(expected))


def check_gradients(
    f: Function, inputs: list[Any], argnums: tuple[int, ...], outputs: Any, scale: float = 1.0
) -> None:
    """The gradient of the compiled function is that of `jax.jit`'s.

    Its weak types are left alone: they tell which promotions were differentiated, `x + y` or the
    primitive, and no caller depends on them.
    """
    if not argnums or not any(is_inexact(leaf) for leaf in jax.tree.leaves(outputs)):
        return
    expected, actual = jax.jit(
        lambda *flat: (
            gradient(jax.jit(f), argnums)(*flat),
            gradient(xl.compile(f), argnums)(*flat),
        )
    )(*inputs)
    assert_same(strengthened(actual), strengthened(expected), scale)


def strengthened(values: Any) -> Any:
    """The same arrays without weak types."""
    return jax.tree.map(lambda value: lax.convert_element_type(value, value.dtype), values)


def gradient(f: Function, argnums: tuple[int, ...]) -> Function:
    """The gradient of the weighted sum of the outputs of `f`."""
    return jax.grad(lambda *inputs: weighted_sum(f(*inputs)), argnums)


def weighted_sum(outputs: Any) -> jax.Array:
    """One real number that depends on every floating-point output, and on each differently."""
    total = jnp.zeros(())
    for leaf in jax.tree.leaves(outputs):
        if is_inexact(leaf):
            weights = jnp.cos(jnp.arange(leaf.size, dtype=jnp.float32)).reshape(leaf.shape)
            terms = jnp.real(leaf) + jnp.imag(leaf) if jnp.iscomplexobj(leaf) else leaf
            total = total + jnp.sum(terms.astype(weights.dtype) * weights)
    return total


def differentiable_inputs(inputs: list[Any]) -> tuple[int, ...]:
    """Positions of the floating-point and complex inputs."""
    return tuple(i for i, value in enumerate(inputs) if is_inexact(value))


def is_inexact(value: Any) -> bool:
    """Whether the value has a floating-point or complex dtype."""
    return jnp.issubdtype(jax.typeof(value).dtype, jnp.inexact)


def assert_same_types(actual: Any, expected: Any) -> None:
    """Equal structure, shapes and dtypes, weak types included."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    assert jax.tree.leaves(actual) == jax.tree.leaves(expected)


def assert_same(actual: Any, expected: Any, scale: float = 1.0) -> None:
    """Equal structure, types (weak types included) and values, up to rounding for floats."""
    assert_same_types(jax.tree.map(jax.typeof, actual), jax.tree.map(jax.typeof, expected))
    for position, (got, want) in enumerate(
        zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True)
    ):
        if jnp.issubdtype(want.dtype, jax.dtypes.prng_key):
            got, want = jax.random.key_data(got), jax.random.key_data(want)
        assert_close(np.asarray(got), np.asarray(want), scale, f"result {position}")


def assert_close(got: np.ndarray, want: np.ndarray, scale: float = 1.0, what: str = "") -> None:
    """Equal to a few units of rounding at the magnitude of the result; exact for integers."""
    if not jnp.issubdtype(want.dtype, jnp.inexact):
        np.testing.assert_array_equal(got, want, what)
        return
    tolerance = 16 * scale * float(jnp.finfo(want.dtype).eps)
    wide = np.complex128 if jnp.iscomplexobj(want) else np.float64
    got, want = got.astype(wide), want.astype(wide)
    finite = np.abs(want[np.isfinite(want)])
    floor = tolerance * finite.max() if finite.size else 0.0
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=floor, err_msg=what)
