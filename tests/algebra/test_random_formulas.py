"""Random formulas under xlathe: precision, integers, NaN, gradients, transformations and cost.

`random_formula(seed)` makes the formula of a test id again; a failing test prints it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl

from .checks import (
    QUICK,
    applied,
    both,
    check_against,
    check_cost,
    check_errors,
    loss,
    operands,
    poisoned,
    relative_error,
    setting,
)
from .generator import Formula, random_formula

DTYPES = ["float32", "bfloat16", "float16", "float64", "complex64"]


def seeds(default: int, every: int) -> list[Any]:
    """So many seeds by default, and the others for a longer sweep."""
    return [
        seed if seed < default else pytest.param(seed, marks=pytest.mark.slow)
        for seed in range(every)
    ]


def printed(seed: int, is_integer: bool = False) -> Formula:
    """The formula of a seed, printed so that a failing test shows it."""
    formula = random_formula(seed, is_integer)
    print(formula.shapes, formula.source, sep="\n")
    return formula


def improved_and_plain(
    formula: Formula, arguments: list[np.ndarray], numerics: str = "relaxed"
) -> tuple[Any, Any]:
    """The results of a formula, improved and as written."""
    f = applied(formula)
    return both(xl.optimize(f, numerics=numerics), f, arguments)


@pytest.mark.parametrize("seed", seeds(50, 600))
def test_error(seed: int) -> None:
    """The error is at most twice that of `jax.jit`, in each dtype."""
    formula = printed(seed)
    dtype = jnp.dtype(DTYPES[seed % len(DTYPES)])
    arguments = operands(formula, dtype, seed)
    with setting(dtype):
        ours, jits = improved_and_plain(formula, arguments)
    check_errors(formula, arguments, ours, jits)


@pytest.mark.parametrize("seed", seeds(15, 300))
def test_error_of_ill_conditioned(seed: int) -> None:
    """So it is where the operands' elements differ by orders of magnitude."""
    formula = printed(seed + 1000)
    arguments = operands(formula, jnp.dtype("float32"), seed, spread=3.0)
    ours, jits = improved_and_plain(formula, arguments)
    check_errors(formula, arguments, ours, jits)


@pytest.mark.parametrize("seed", seeds(15, 300))
def test_integers(seed: int) -> None:
    """Integers are exactly equal, also where they overflow."""
    formula = printed(seed + 2000, is_integer=True)
    ours, jits = improved_and_plain(formula, operands(formula, np.int32, seed))
    for found, expected in zip(ours, jits, strict=True):
        assert jax.typeof(found) == jax.typeof(expected)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize("seed", seeds(12, 300))
def test_where_nan_goes(seed: int, poison: float) -> None:
    """A NaN or an infinity in an operand reaches the elements that it reached as written."""
    formula = printed(seed + 3000)
    arguments = poisoned(operands(formula, jnp.dtype("float32"), seed), poison, seed)
    for found, expected in zip(*improved_and_plain(formula, arguments), strict=True):
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))


@pytest.mark.parametrize("seed", seeds(8, 300))
def test_gradient(seed: int) -> None:
    """The gradient, improved as a whole, is as precise as that of `jax.jit`."""
    formula = printed(seed + 4000)
    check_gradient(formula, xl.optimize(gradient(formula, applied(formula))), seed)


@pytest.mark.parametrize("seed", seeds(4, 150))
def test_gradient_of_optimised(seed: int) -> None:
    """So is the gradient of the improved formula."""
    formula = printed(seed + 5000)
    check_gradient(formula, gradient(formula, xl.optimize(applied(formula))), seed)


def gradient(formula: Formula, f: Callable[..., Any]) -> Callable[..., Any]:
    """The gradient of a formula's loss with respect to all operands."""
    return jax.grad(loss(f), tuple(range(len(formula.shapes))))


def check_gradient(formula: Formula, ours: Callable[..., Any], seed: int) -> None:
    """Compare a gradient with jit's; the reference is the gradient in 64 bits."""
    arguments = operands(formula, np.float32, seed)
    plain = gradient(formula, applied(formula))
    bound = gradient(formula, lambda *values: formula.bound(jnp, *values))
    found, expected = both(ours, plain, arguments)
    with jax.enable_x64(True):
        wide = [value.astype(np.float64) for value in arguments]
        references, bounds = jax.jit(
            lambda *values: (plain(*values), bound(*map(jnp.abs, values))), compiler_options=QUICK
        )(*wide)
    check_against(found, expected, *([np.asarray(x) for x in xs] for xs in (references, bounds)))


TRANSFORMED = {
    "vmap of compiled": lambda f: jax.vmap(xl.compile(f)),
    "compiled vmap": lambda f: xl.compile(jax.vmap(f)),
    "jit of optimised": lambda f: jax.jit(jax.vmap(xl.optimize(f))),
    "loop over optimised": lambda f: jax.jit(lambda *xs: lax.map(lambda x: xl.optimize(f)(*x), xs)),
    "compiled loop over compiled": lambda f: xl.compile(
        lambda *xs: lax.map(lambda x: xl.compile(f)(*x), xs)
    ),
}


@pytest.mark.parametrize("seed", seeds(15, 300))
def test_transformed(seed: int) -> None:
    """Over a batch, with xlathe inside or outside of the transformation, the values hold."""
    formula = printed(seed + 6000)
    f = applied(formula)
    batches = [operands(formula, np.float32, seed + batch) for batch in range(2)]
    stacked = [np.stack(values) for values in zip(*batches, strict=True)]
    names = list(TRANSFORMED)
    ours = TRANSFORMED[names[seed % len(names)]](f)(*stacked)
    jits = jax.jit(jax.vmap(f))(*stacked)
    for place, batch in enumerate(batches):
        check_errors(formula, batch, [x[place] for x in ours], [x[place] for x in jits])


@pytest.mark.parametrize("numerics", ["relaxed", "finite"])
@pytest.mark.parametrize("seed", seeds(50, 2000))
def test_cost(seed: int, numerics: str) -> None:
    """No chosen form costs more operations than the formula as written."""
    formula = printed(seed + 7000)
    check_cost(applied(formula), operands(formula, np.float32, seed), numerics)


@pytest.mark.parametrize("seed", [701, 1151, 1658])
def test_cost_of_what_several_read(seed: int) -> None:
    """Nor do forms that each cost less, but share less than the formula as written."""
    formula = printed(seed + 7000)
    check_cost(applied(formula), operands(formula, np.float32, seed), "relaxed")


@pytest.mark.parametrize("seed", seeds(15, 300))
def test_cost_of_gradient(seed: int) -> None:
    """Nor does that of a gradient."""
    formula = printed(seed + 8000)
    f = gradient(formula, applied(formula))
    check_cost(f, operands(formula, np.float32, seed))


@pytest.mark.parametrize("seed", seeds(15, 300))
def test_finite(seed: int) -> None:
    """What skips structural zeros is as precise where all is finite."""
    formula = printed(seed + 9000)
    arguments = operands(formula, jnp.dtype("float32"), seed)
    ours, jits = improved_and_plain(formula, arguments, "finite")
    check_errors(formula, arguments, ours, jits)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_a_nan_stays_beside_a_sum_of_nothing(poison: float) -> None:
    """A product over an empty axis is zero, and what is not finite times zero is NaN."""
    a = jnp.eye(2).at[1, 1].set(poison)
    b, c = jnp.ones((2, 0)), jnp.ones(0)
    f = lambda a, b, c: (a @ (2.0 * a)) @ (b @ c)  # noqa: E731
    np.testing.assert_array_equal(xl.compile(f)(a, b, c), jax.jit(f)(a, b, c))


def test_check_sees_an_error() -> None:
    """The check of precision fails where a result is off by a little more than rounding."""
    formula = printed(3)
    arguments = operands(formula, jnp.dtype("float32"), 0)
    results = jax.jit(applied(formula))(*arguments)
    check_errors(formula, arguments, results, results)
    wrong = [result * np.float32(1.001) for result in results]
    with pytest.raises(AssertionError):
        check_errors(formula, arguments, wrong, results)


def test_error_has_the_unit_of_rounding() -> None:
    """The error of one unit in the last place of a one counts as one."""
    one = jnp.ones(3)
    off = one.at[1].add(jnp.finfo(jnp.float32).eps)
    assert relative_error(off, np.ones(3), np.ones(3)) == pytest.approx(1.0)
