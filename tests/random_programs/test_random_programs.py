"""Random programs under xlathe: values and every transformation, against plain `jax.jit`.

`random_program(seed)` makes the program of a test id again; a failing test prints it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl
from xlathe.compiler.ir import parse, to_text, verify
from xlathe.compiler.lowering import lower
from xlathe.tracer.capture import capture

from .generator import FLOATS, RandomProgram, random_program

Function = Callable[..., Any]
DEFAULT, ALL = 24, 400
SEEDS = [
    seed if seed < DEFAULT else pytest.param(seed, marks=pytest.mark.slow) for seed in range(ALL)
]


@pytest.mark.parametrize("seed", SEEDS)
def test_values(seed: int) -> None:
    """The compiled program gives the results of `jax.jit`, weak types included."""
    program = printed(seed)
    inputs = program.inputs(seed)
    expected = jax.jit(program.function)(*inputs)
    actual = xl.compile(program.function)(*inputs)
    assert jax.tree.map(jax.typeof, actual) == jax.tree.map(jax.typeof, expected)
    assert_close(actual, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_round_trip(seed: int) -> None:
    """The graph as traced verifies, prints, parses, and lowers to an equal program."""
    program = printed(seed)
    inputs = program.inputs(seed)
    captured = capture(program.function, *inputs)
    graph = captured.graph
    verify(graph)
    assert parse(to_text(graph), graph.objects()) == graph
    emitted = lower(graph, name="program", constant_count=captured.constant_count)
    both = jax.jit(lambda *flat: (emitted(*flat, *captured.constants), program.function(*flat)))
    actual, expected = both(*inputs)
    assert_close(actual, jax.tree.leaves(expected))


@pytest.mark.parametrize("seed", SEEDS)
def test_gradient(seed: int) -> None:
    """The gradient of the compiled program is the gradient of the program."""
    program = printed(seed)
    check_transformed(gradient, program, program.inputs(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_vmap(seed: int) -> None:
    """The compiled program maps over a batch of every input."""
    program = printed(seed)
    check_transformed(jax.vmap, program, program.inputs(seed, batch=(2,)))


@pytest.mark.parametrize("seed", SEEDS[::2])
def test_jvp(seed: int) -> None:
    """The compiled program has the directional derivatives of the program."""
    program = printed(seed)
    check_transformed(directional_derivative, program, program.inputs(seed))


@pytest.mark.parametrize("seed", SEEDS[::5])
def test_scan_of_it(seed: int) -> None:
    """The optimised program is the body of a loop over a batch."""
    program = printed(seed)
    inputs = program.inputs(seed, batch=(2,))
    check_transformed(loop, program, inputs, xl.optimize)


@pytest.mark.parametrize("seed", SEEDS[1::5])
def test_gradient_of_mapped_checkpoint(seed: int) -> None:
    """Transformations stack up on the optimised program."""
    program = printed(seed)
    inputs = program.inputs(seed, batch=(2,))
    check_transformed(lambda f: gradient(jax.vmap(jax.checkpoint(f))), program, inputs, xl.optimize)


@pytest.mark.parametrize("seed", SEEDS[2::5])
def test_gradient_inside(seed: int) -> None:
    """The gradient is taken first and compiled afterwards."""
    program = printed(seed)
    inputs = program.inputs(seed)
    differentiated = gradient(program.function)
    assert_close(xl.compile(differentiated)(*inputs), jax.jit(differentiated)(*inputs))


def printed(seed: int) -> RandomProgram:
    """The program of a seed, printed so that a failing test shows it."""
    program = random_program(seed)
    print(program.source)
    return program


def check_transformed(
    transform: Callable[[Function], Function],
    program: RandomProgram,
    inputs: list[Any],
    compiler: Callable[[Function], Function] = xl.compile,
) -> None:
    """A transformation of the compiled program is that of `jax.jit`'s."""
    expected = jax.jit(transform(jax.jit(program.function)))(*inputs)
    assert_close(jax.jit(transform(compiler(program.function)))(*inputs), expected)


def gradient(f: Function) -> Function:
    """The gradient of a sum of the floating-point results, each with a weight of its own."""

    def loss(*inputs: Any) -> jax.Array:
        leaves = [jnp.ravel(leaf) for leaf in jax.tree.leaves(f(*inputs)) if is_float(leaf)]
        flat = jnp.concatenate(leaves)
        return jnp.vdot(jnp.cos(jnp.arange(flat.size)), flat)

    return jax.grad(loss, FLOATS)


def directional_derivative(f: Function) -> Function:
    """The derivative along one direction, as a function of the point."""

    def derivative(*inputs: Any) -> Any:
        points = [inputs[i] for i in FLOATS]
        others = inputs[len(FLOATS) :]
        directions = [jnp.cos(point) for point in points]
        tangents = jax.jvp(lambda *floats: f(*floats, *others), points, directions)[1]
        return [leaf for leaf in jax.tree.leaves(tangents) if is_float(leaf)]

    return derivative


def loop(f: Function) -> Function:
    """A loop that calls the function once for each element of its batch."""
    return lambda *inputs: lax.scan(lambda count, xs: (count + 1, f(*xs)), 0, tuple(inputs))


def is_float(leaf: Any) -> bool:
    """Whether the value has a floating-point dtype."""
    return jnp.issubdtype(jax.typeof(leaf).dtype, jnp.floating)


def assert_close(actual: Any, expected: Any) -> None:
    """The same structure and the same values, up to rounding for floats."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for got, want in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        if jnp.issubdtype(want.dtype, jax.dtypes.prng_key):
            got, want = jax.random.key_data(got), jax.random.key_data(want)
        got, want = np.asarray(got), np.asarray(want)
        if not is_float(want):
            np.testing.assert_array_equal(got, want)
            continue
        largest = np.max(np.abs(want), initial=1.0, where=np.isfinite(want))
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * largest)
