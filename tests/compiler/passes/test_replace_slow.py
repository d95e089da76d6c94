"""Pooling and convolutions that XLA runs slowly on CPU, in other forms with the same numbers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl
from xlathe.compiler.passes.replace_slow import ReplaceSlow
from xlathe.compiler.pipeline import EXACT, run_passes
from xlathe.compiler.rules import RuleLog, logging_rules
from xlathe.compiler.targets import CPU, GPU, TPU
from xlathe.tracer.capture import capture

from .check import operations

SLOW = frozenset(["reduce_window_max", "reduce_window_sum", "select_and_scatter_add"])
NHWC, NCHW, MIXED = (
    ("NHWC", "HWIO", "NHWC"),
    ("NCHW", "OIHW", "NCHW"),
    ("HWNC", "IHWO", "CHWN"),
)
random = np.random.default_rng(0)


def numbers(*shape: int, dtype: str = "float32"):
    """Numbers among which there are equal ones."""
    return jnp.asarray(np.round(random.normal(size=shape) * 2), dtype)


def replaced(function, *arguments, target=CPU, numerics="relaxed"):
    """The graph after the pass, and what it logged."""
    graph, _ = run_passes(capture(function, *arguments).graph, EXACT)
    with logging_rules() as log:
        after = ReplaceSlow(numerics, target)(graph)
    assert ReplaceSlow(numerics, target)(after) is after
    return after, log


def reasons(log: RuleLog) -> set[str]:
    return {miss.reason for miss in log.misses}


def agree(function, *arguments, tolerance=1e-5):
    """Check values against `jax.jit`, NaN included."""
    got, wanted = xl.compile(function)(*arguments), jax.jit(function)(*arguments)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert one.dtype == other.dtype
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def agree_from_outside(function, *arguments, tolerance=1e-5):
    """Check the gradient of the compiled function against that of the function."""
    got, wanted = (
        jax.jit(partial(gradient, form))(*arguments) for form in (xl.compile(function), function)
    )
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def pooled(x, size=2, stride=2, padding="VALID", kind="max"):
    start, operation = {
        "max": (-jnp.inf, lax.max),
        "min": (jnp.inf, lax.min),
        "sum": (0.0, lax.add),
    }[kind]
    if not jnp.issubdtype(x.dtype, jnp.floating):
        limits = jnp.iinfo(x.dtype)
        start = {"max": limits.min, "min": limits.max, "sum": 0}[kind]
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    return lax.reduce_window(x, np.asarray(start, x.dtype), operation, window, strides, padding)


def gradient(function, *arguments):
    """The values and their gradient by all arguments, each value weighted otherwise."""
    result, pullback = jax.vjp(function, *arguments)
    weights = jnp.asarray(np.cos(np.arange(result.size)).reshape(result.shape), "float32")
    return result, pullback(weights.astype(result.dtype))


BOTH_SIDES = ((0, 0), (1, 0), (0, 1), (0, 0))
POOLINGS = [
    ("max", 2, 2, "VALID"),
    ("max", 3, 2, "SAME"),
    ("max", 2, 3, BOTH_SIDES),
    ("min", 3, 1, BOTH_SIDES),
    ("sum", 3, 2, "SAME"),
    ("sum", 2, 2, "VALID"),
]
MORE_POOLINGS = [
    case
    for kind in ("max", "min", "sum")
    for size, stride in ((2, 2), (3, 2), (2, 3), (3, 1))
    for padding in ("VALID", "SAME", BOTH_SIDES)
    if (case := (kind, size, stride, padding)) not in POOLINGS
]


def slow(cases):
    """Cases for the longer sweep."""
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


@pytest.mark.parametrize(("kind", "size", "stride", "padding"), [*POOLINGS, *slow(MORE_POOLINGS)])
def test_pooling(kind, size, stride, padding):
    function = partial(pooled, size=size, stride=stride, padding=padding, kind=kind)
    x = numbers(2, 7, 8, 3)
    inside = partial(gradient, function)
    if kind != "sum" or size == 3:
        assert SLOW.isdisjoint(operations(replaced(inside, x)[0]))
    agree(inside, x)
    agree_from_outside(function, x)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "int8", "int32"])
@pytest.mark.parametrize("kind", ["max", "sum"])
def test_dtypes_of_pooling(kind, dtype):
    with jax.enable_x64(dtype == "float64"):
        x = numbers(1, 6, 6, 2, dtype=dtype)
        function = partial(pooled, size=3, kind=kind)
        assert SLOW.isdisjoint(operations(replaced(function, x)[0]))
        whole = dtype.startswith("int")
        tolerance = 1e-2 if dtype in ("bfloat16", "float16") else 1e-6
        agree(function if whole else partial(gradient, function), x, tolerance=tolerance)


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("stride", [1, 2])
def test_nan_and_infinity_in_windows(value, padding, stride):
    function = partial(pooled, stride=stride, padding=padding)
    places = random.random((4, 7, 7, 2)) < 0.4
    x = jnp.where(places, value, numbers(4, 7, 7, 2)).at[0].set(value)
    agree(partial(gradient, function), x)
    agree_from_outside(function, x)


def test_gradients_of_windows_apart_are_exact():
    x = numbers(2, 6, 6, 2)
    after, log = replaced(partial(gradient, pooled), x, numerics="strict")
    assert log.hits == {"gradient of pooling": 1}
    assert "select_and_scatter_add" not in operations(after)
    overlapping = partial(pooled, size=3, stride=1)
    assert not replaced(partial(gradient, overlapping), x, numerics="strict")[1].hits
    function = partial(gradient, pooled)
    (_, (got,)), (_, (wanted,)) = xl.compile(function)(x), jax.jit(function)(x)
    np.testing.assert_array_equal(got, wanted)


def test_gradients_of_overlapping_windows_whose_cotangent_is_dear_stay():
    def loss(x):
        return jnp.sum(jnp.sin(pooled(x, size=3, stride=2)))

    _, log = replaced(jax.grad(loss), numbers(1, 7, 7, 2))
    assert reasons(log) == {"what comes back would be computed anew for each place of a window"}


def test_second_and_forward_derivatives_of_pooling():
    x = numbers(1, 6, 6, 2)
    agree(lambda x: jax.jvp(pooled, (x,), (jnp.sin(x),)), x)
    agree(lambda x: jax.hessian(lambda x: jnp.sum(pooled(x) ** 3))(x), x[:, :4, :4, :1])
    agree(jax.vmap(pooled), x[None])


def test_windows_that_stay():
    x = numbers(1, 40, 40, 1)
    assert reasons(replaced(partial(pooled, kind="sum"), x)[1]) == {
        "XLA adds up so small windows as fast itself"
    }
    assert reasons(replaced(partial(pooled, size=6), x)[1]) == {
        "a window has 36 places, more than are worth a slice each"
    }
    dilated = partial(
        lax.reduce_window,
        init_value=-jnp.inf,
        computation=lax.max,
        window_dimensions=(1, 2, 2, 1),
        window_strides=(1, 1, 1, 1),
        padding="VALID",
        window_dilation=(1, 2, 2, 1),
    )
    assert reasons(replaced(dilated, x)[1]) == {"its windows, or what they lie on, are dilated"}


@pytest.mark.parametrize("target", [GPU, TPU, replace(CPU, slow=frozenset())])
def test_other_targets_stay(target):
    x, kernel = numbers(1, 8, 8, 3), numbers(3, 3, 1, 3)
    function = partial(gradient, lambda x, w: pooled(convolved(x, w, groups=3)))
    graph, _ = run_passes(capture(function, x, kernel).graph, EXACT)
    assert ReplaceSlow("relaxed", target)(graph) is graph


def convolved(
    x,
    kernel,
    strides=(1, 1),
    padding: Any = "SAME",
    data=(1, 1),
    window=(1, 1),
    layout=NHWC,
    groups=1,
):
    return lax.conv_general_dilated(
        x, kernel, strides, padding, data, window, layout, feature_group_count=groups
    )


def operands(layout, channels, inputs, outputs, size, dtype="float32"):
    data = {"N": 3, "H": 7, "W": 8, "C": channels}
    kernel = {"H": size, "W": size, "I": inputs, "O": outputs}
    return (
        numbers(*(data[letter] for letter in layout[0]), dtype=dtype),
        numbers(*(kernel[letter] for letter in layout[1]), dtype=dtype),
    )


PLACES = {
    "same": {},
    "strides": {"strides": (2, 1)},
    "valid": {"strides": (2, 2), "padding": "VALID"},
    "dilated window": {"window": (2, 2), "padding": "VALID"},
    "dilated data": {"data": (2, 2), "padding": ((1, 2), (0, 1))},
}


DEPTHWISE = [
    (2, "same", NHWC),
    (1, "strides", NCHW),
    (2, "valid", MIXED),
    (1, "dilated window", NHWC),
    (2, "dilated data", NCHW),
]
MORE_DEPTHWISE = [
    case
    for each in (1, 2)
    for place in PLACES
    for layout in (NHWC, NCHW, MIXED)
    if (case := (each, place, layout)) not in DEPTHWISE
]


@pytest.mark.parametrize(("each", "place", "layout"), [*DEPTHWISE, *slow(MORE_DEPTHWISE)])
def test_depthwise(each, place, layout):
    x, kernel = operands(layout, 4, 1, 4 * each, 3)
    function = partial(convolved, layout=layout, groups=4, **PLACES[place])
    after, log = replaced(partial(gradient, function), x, kernel)
    assert "conv_general_dilated" not in operations(after)
    assert "gradient of a depthwise convolution" in log.hits
    agree(partial(gradient, function), x, kernel, tolerance=1e-4)


@pytest.mark.parametrize("place", ["same", "valid"])
def test_depthwise_differentiated_from_outside(place):
    x, kernel = operands(NHWC, 4, 1, 8, 3)
    function = partial(convolved, groups=4, **PLACES[place])
    agree_from_outside(function, x, kernel, tolerance=1e-4)


@pytest.mark.parametrize("layout", [NHWC, NCHW, MIXED])
@pytest.mark.parametrize(
    "place", [{}, {"strides": (2, 1)}, {"strides": (2, 2), "padding": "VALID"}]
)
def test_convolutions_of_single_places_are_products(place, layout):
    x, kernel = operands(layout, 4, 4, 6, 1)
    function = partial(convolved, layout=layout, **place)
    counted = operations(replaced(partial(gradient, function), x, kernel)[0])
    assert "conv_general_dilated" not in counted
    assert counted["dot_general"] == 3
    agree(partial(gradient, function), x, kernel, tolerance=1e-4)


def test_a_convolution_over_the_whole_image_is_a_product():
    x, kernel = numbers(3, 5, 4, 2), numbers(5, 4, 2, 6)
    function = partial(convolved, padding="VALID")
    assert operations(replaced(function, x, kernel)[0])["dot_general"] == 1
    agree(function, x, kernel)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
@pytest.mark.parametrize(("groups", "inputs", "size"), [(4, 1, 3), (1, 4, 1)])
def test_dtypes_of_convolutions(groups, inputs, size, dtype):
    with jax.enable_x64(dtype == "float64"):
        x, kernel = operands(NHWC, 4, inputs, 4, size, dtype)
        function = partial(convolved, groups=groups)
        assert "conv_general_dilated" not in operations(replaced(function, x, kernel)[0])
        agree(function, x, kernel, tolerance=1e-6 if dtype == "float64" else 1e-2)


def test_depthwise_is_as_near_to_the_truth_as_before():
    x, kernel = (
        jnp.asarray(random.normal(size=s), "float32") for s in [(4, 9, 9, 8), (3, 3, 1, 8)]
    )
    inside = partial(gradient, partial(convolved, groups=8))
    found = [jax.tree.map(np.asarray, f(inside)(x, kernel)) for f in (xl.compile, jax.jit)]
    with jax.enable_x64(True):
        wide = [jnp.asarray(np.asarray(value, np.float64)) for value in (x, kernel)]
        true = jax.tree.map(np.asarray, jax.jit(inside)(*wide))
    ours, theirs = (
        [
            np.abs(one - other).max()
            for one, other in zip(jax.tree.leaves(each), jax.tree.leaves(true), strict=True)
        ]
        for each in found
    )
    for one, other in zip(ours, theirs, strict=True):
        assert one <= 2 * other + 1e-5


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_nan_and_infinity_reach_what_they_reached(value):
    x, kernel = numbers(1, 6, 6, 2).at[0, 2, 2, 0].set(value), numbers(3, 3, 1, 2)
    for arguments, size, groups in ((kernel, 3, 2), (numbers(1, 1, 2, 2), 1, 1)):
        function = partial(convolved, groups=groups)
        got, wanted = xl.compile(function)(x, arguments), jax.jit(function)(x, arguments)
        assert bool(jnp.all(~jnp.isfinite(got) | jnp.isfinite(wanted))), size


@pytest.mark.parametrize(
    ("channels", "inputs", "outputs", "size", "groups", "reason"),
    [
        (8, 4, 8, 3, 2, "a group has 4 channels and makes 4 of them"),
        (2, 1, 2, 8, 2, "its window has 64 places, more than are worth a slice each"),
    ],
)
def test_groups_that_stay(channels, inputs, outputs, size, groups, reason):
    arguments = operands(NHWC, channels, inputs, outputs, size)
    _, log = replaced(partial(convolved, groups=groups), *arguments)
    assert reasons(log) == {reason}


def test_gradients_of_large_windows_and_of_groups_stay():
    for arguments, groups, reason in (
        (operands(NHWC, 2, 1, 2, 5), 2, "its window has 25 places, more than are worth a sum each"),
        (operands(NHWC, 8, 4, 8, 3), 2, "a group has several channels"),
    ):
        function = partial(gradient, partial(convolved, groups=groups))
        assert reason in reasons(replaced(function, *arguments)[1])
        agree(function, *arguments, tolerance=1e-4)


def test_single_places_that_stay():
    function = partial(convolved, strides=(2, 2), padding=((1, 1), (0, 0)))
    arguments = operands(NHWC, 4, 4, 6, 1)
    assert reasons(replaced(function, *arguments)[1]) == {"it skips elements and adds others"}
    function = partial(convolved, padding=((1, 0), (0, 0)))
    arguments = numbers(1, 2, 3, 2), numbers(3, 3, 2, 2)
    assert reasons(replaced(function, *arguments)[1]) == {"its data are padded, or dilated"}


def trained(x, kernel, layout=NHWC, rank=2):
    """Steps of gradient descent in a loop."""

    def loss(kernel):
        return jnp.sum(
            jnp.tanh(
                lax.conv_general_dilated(x, kernel, (1,) * rank, "SAME", dimension_numbers=layout)
            )
        )

    return lax.fori_loop(0, 40, lambda _, kernel: kernel - 1e-4 * jax.grad(loss)(kernel), kernel)


@pytest.mark.parametrize("layout", [NHWC, NCHW, MIXED])
def test_convolutions_in_loops_have_the_order_that_is_fast(layout):
    x, kernel = operands(layout, 4, 4, 6, 3)
    after, log = replaced(partial(trained, layout=layout), x, kernel)
    assert log.hits["convolution in a loop"] >= 1
    for graph in after.walk():
        for item in graph.nodes:
            if item.operation == "conv_general_dilated":
                assert item["dimension_numbers"].lhs_spec == (0, 3, 1, 2)
                assert item["dimension_numbers"].rhs_spec == (3, 2, 0, 1)
                assert item["dimension_numbers"].out_spec == (0, 3, 1, 2)
    agree(partial(trained, layout=layout), x, kernel)


@pytest.mark.parametrize(
    ("rank", "layout"), [(1, ("NWC", "WIO", "NWC")), (3, ("NDHWC", "DHWIO", "NDHWC"))]
)
def test_convolutions_of_other_ranks_in_loops(rank, layout):
    x, kernel = numbers(2, *(5,) * rank, 3), numbers(*(3,) * rank, 3, 4)
    function = partial(trained, layout=layout, rank=rank)
    assert replaced(function, x, kernel, numerics="strict")[1].hits == {"convolution in a loop": 1}
    agree(function, x, kernel)


def test_grouped_and_strided_convolutions_in_loops():
    x, kernel = operands(NCHW, 8, 4, 8, 3)
    function = partial(convolved, strides=(2, 1), layout=NCHW, groups=2)

    def steps(x, kernel):
        def step(_, values):
            changes = gradient(function, *values)[1]
            return tuple(
                value - 1e-4 * change for value, change in zip(values, changes, strict=True)
            )

        return lax.fori_loop(0, 40, step, (x, kernel))

    assert replaced(steps, x, kernel)[1].hits == {"convolution in a loop": 1}
    agree(steps, x, kernel)


def test_convolutions_outside_of_loops_stay():
    x, kernel = operands(NCHW, 4, 4, 6, 3)
    graph, _ = run_passes(capture(partial(convolved, layout=NCHW), x, kernel).graph, EXACT)
    assert ReplaceSlow()(graph) is graph


CUMULATIVE = {
    "sum": lax.cumsum,
    "product": lax.cumprod,
    "largest": lax.cummax,
    "smallest": lax.cummin,
}


@pytest.mark.parametrize("name", CUMULATIVE)
@pytest.mark.parametrize(("shape", "axis", "reverse"), [((2, 16), 1, False), ((37, 3), 0, True)])
def test_cumulative_operations(name, shape, axis, reverse):
    function = partial(CUMULATIVE[name], axis=axis, reverse=reverse)
    x = numbers(*shape) / 2 + 0.25
    after, log = replaced(function, x)
    assert not any(operation.startswith("cum") for operation in after.operations)
    assert log.hits == {"cumulative operation": 1}
    agree(function, x)
    # JAX derives the others by halves itself, inside of what is compiled.
    if name == "sum":
        agree(partial(gradient, function), x)
    if not reverse:
        agree_from_outside(function, x)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64", "int8", "uint32"])
def test_dtypes_of_cumulative_operations(dtype):
    with jax.enable_x64(dtype == "float64"):
        x = jnp.abs(numbers(3, 21)).astype(dtype)
        assert "cumsum" not in replaced(partial(lax.cumsum, axis=1), x)[0].operations
        tolerance = 1e-2 if dtype == "bfloat16" else 1e-6
        agree(lambda x: (lax.cumsum(x, 1), lax.cummax(x, 1)), x, tolerance=tolerance)


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
def test_nan_and_infinity_in_cumulative_operations(value):
    x = numbers(2, 19).at[0, 5].set(value)
    agree(lambda x: [function(x, 1) for function in CUMULATIVE.values()], x)


def test_cumulative_operations_that_stay():
    def reason(length):
        return reasons(replaced(lambda x: lax.cumsum(x, 0), numbers(length))[1])

    assert reason(15) == {"15 elements are few"}
    assert reason(513) == {"of 513 elements, the derivative by halves is slower"}
    assert not replaced(lambda x: lax.cumsum(x, 0), numbers(20), numerics="strict")[1].hits
