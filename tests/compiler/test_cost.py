"""The cost model, against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from xlathe.compiler.cost import Cost, graph_cost
from xlathe.compiler.ir import Graph, get, make_type, parameter, parse
from xlathe.compiler.passes.inline_calls import InlineCalls
from xlathe.tracer.capture import capture


def cost(text: str) -> Cost:
    return graph_cost(parse(text))


def captured(function, *arguments) -> Graph:
    return InlineCalls()(capture(function, *arguments).graph)


def test_elementwise():
    found = cost(
        "def f(x: f32[8, 4], y: f32[8, 4]):\n    z: f32[8, 4] = add(x, y)\n    return (z,)"
    )
    assert found == Cost(flops=32, bytes=3 * 128, peak_bytes=3 * 128)


def test_nothing():
    assert cost("def f(x: f32[8]):\n    return (x,)") == Cost(0, 0, 32)


def test_product():
    found = cost(
        """
def f(x: f32[8, 4], w: f32[4, 2]):
    y: f32[8, 2] = dot_general(x, w, dimension_numbers=(((1,), (0,)), ((), ())))
    return (y,)
"""
    )
    assert found == Cost(flops=2 * 8 * 4 * 2, bytes=4 * (32 + 8 + 16), peak_bytes=4 * (32 + 8 + 16))


def test_batched_product():
    graph = captured(lambda x, y: jnp.matmul(x, y), jnp.ones((5, 8, 4)), jnp.ones((5, 4, 2)))
    assert graph_cost(graph).flops == 2 * 5 * 8 * 4 * 2


def test_convolution():
    def f(x, w):
        return lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    graph = captured(f, jnp.ones((2, 6, 6, 3)), jnp.ones((3, 3, 3, 8)))
    assert graph_cost(graph).flops == 2 * (2 * 6 * 6 * 8) * (3 * 3 * 3)


def test_reduction_counts_what_it_reads():
    assert graph_cost(captured(lambda x: x.sum(axis=0), jnp.ones((8, 4)))).flops == 32


def test_moving_data_is_no_arithmetic():
    found = cost(
        """
def f(x: f32[8, 4]):
    y: f32[4, 8] = transpose(x, permutation=(1, 0))
    z: f32[32] = reshape(y, new_sizes=(32,), dimensions=None, sharding=None)
    return (z,)
"""
    )
    assert found.flops == 0
    assert found.bytes == 4 * 128


def test_bytes_follow_the_dtype():
    one = cost("def f(x: bf16[8]):\n    y: bf16[8] = sin(x)\n    return (y,)")
    other = cost("def f(x: f64[8]):\n    y: f64[8] = sin(x)\n    return (y,)")
    assert (one.bytes, other.bytes) == (32, 128)


def test_peak_is_what_lives_at_once():
    found = cost(
        """
def f(x: f32[256]):
    a: f32[256] = sin(x)
    b: f32[256] = cos(a)
    c: f32[256] = tan(b)
    d: f32[256] = exp(c)
    return (d,)
"""
    )
    # The argument, one value that is read and the one that is written.
    assert found.peak_bytes == 3 * 1024


def test_peak_counts_what_is_needed_later():
    found = cost(
        """
def f(x: f32[256]):
    a: f32[256] = sin(x)
    b: f32[256] = cos(x)
    c: f32[256] = tan(x)
    d: f32[256] = add(a, b)
    e: f32[256] = add(d, c)
    return (e,)
"""
    )
    assert found.peak_bytes == 5 * 1024


def scanned(length: int) -> str:
    return f"""
def body(c: f32[256], x: f32[256]):
    a: f32[256] = mul(c, x)
    b: f32[256] = add(a, x)
    return (b,)

def f(c: f32[256], xs: f32[{length}, 256]):
    y: f32[256] = scan(c, xs, body=body, consts=0, carry=1, length={length}, reverse=False)
    return (y,)
"""


@pytest.mark.parametrize("length", [0, 1, 10])
def test_a_scan_costs_its_body_times_its_length(length: int):
    found = cost(scanned(length))
    assert found.flops == length * 512
    assert found.bytes == length * 2 * 3 * 1024


def test_the_peak_of_a_loop_is_that_of_one_turn_beside_what_is_outside():
    body_peak = (2 + 2) * 1024
    assert cost(scanned(10)).peak_bytes == (1 + 10 + 1) * 1024 + body_peak


def test_scans_inside_scans_multiply():
    def f(x):
        def turn(c, row):
            return lax.scan(lambda d, y: (d * y, None), c, row)[0], None

        return lax.scan(turn, jnp.float32(1), x)[0]

    assert graph_cost(captured(f, jnp.ones((7, 5)))).flops == 35


def test_a_while_loop_is_counted_once_and_says_so():
    graph = captured(lambda x: lax.while_loop(lambda c: c[0] < 9, lambda c: c * 2, x), jnp.ones(5))
    found = graph_cost(graph)
    assert found.unknown_trips == 1
    assert found.flops < 20
    assert "a while loop counted once" in str(found)


def test_branches_cost_the_dearest():
    def f(x):
        return lax.cond(x[0, 0] > 0, lambda v: v @ v, lambda v: v + 1, x)

    found = graph_cost(captured(f, jnp.ones((16, 16))))
    assert 2 * 16**3 <= found.flops < 2 * 16**3 + 16


def test_derivative_rules_cost_nothing():
    @jax.custom_vjp
    def f(x):
        return x * 2

    f.defvjp(lambda x: (x * 2, jnp.sin(x)), lambda r, g: (g * r,))
    assert graph_cost(capture(f, jnp.ones(8)).graph).flops == 8


def test_a_shared_graph_is_counted_where_it_runs():
    @jax.jit
    def double(x):
        return x * 2

    graph = capture(lambda x: double(x) + double(x + 1), jnp.ones(8)).graph
    assert graph_cost(graph).flops == 8 * 4


def test_a_result_that_is_not_read_is_not_kept():
    pair = """
def f(x: f32[256]):
    p: (f32[256], f32[256]) = pair(x)
    a: f32[256] = get(p, index=0)
    b: f32[256] = sin(a)
    return (b,)
"""
    assert cost(pair).bytes == (1 + 2 + 1 + 1) * 1024


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Cost(), "0 FLOP, 0 B moved, 0 B live"),
        (Cost(1500, 2048, 3 * 2**20), "1.5 kFLOP, 2 KiB moved, 3 MiB live"),
        (Cost(2e12, 2**30, 5), "2 TFLOP, 1 GiB moved, 5 B live"),
        (Cost(9e18, 0, 0), "9e+06 TFLOP, 0 B moved, 0 B live"),
    ],
)
def test_text(found: Cost, text: str):
    assert str(found) == text


def test_a_pair_that_a_graph_is_given_counts_as_both_its_arrays():
    pair = parameter(0, (make_type((4,), np.dtype(np.float32)),) * 2)
    assert graph_cost(Graph([pair], [get(pair, 1)])).peak_bytes == 32
