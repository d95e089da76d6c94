"""Loading long functions: compiled in parts, they are what they would be in one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import xlathe as xl
from xlathe.compiler.lowering.load import MAX_LINES, load


def test_a_long_derivative_rule():
    x = jnp.eye(6) * 2 + 0.1
    program = xl.compile(jnp.linalg.det)
    source = program.trace(x).as_text("python")
    assert max(len(part.splitlines()) for part in source.split("\n\n\n")) > MAX_LINES
    np.testing.assert_allclose(
        jax.grad(program)(x), jax.grad(jnp.linalg.det)(x), rtol=1e-4, atol=1e-4
    )


def test_many_arguments_and_one_statement():
    arrays = [jnp.full(3, float(i)) for i in range(8 * MAX_LINES)]
    program = xl.compile(lambda arrays: arrays[0] + arrays[-1])
    assert len(program.trace(arrays).as_text("python").splitlines()) > MAX_LINES
    np.testing.assert_array_equal(program(arrays), arrays[0] + arrays[-1])


def test_long_functions_that_the_module_itself_uses():
    lines = "\n".join(f"    x{i} = {i}" for i in range(2 * MAX_LINES))
    source = (
        f"def given(function):\n{lines}\n    return function\n\n\n"
        f"def double(x):\n{lines}\n    return 2 * x\n\n\n"
        "doubled = given(\n    double,\n)\n\n\n"
        f"def program(x):\n{lines}\n    return doubled(x)\n"
    )
    assert load(source, "<long>", "program", {})(3) == 6
