"""What is cut along axes that run together computes the part of the whole that it should."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from xlathe.compiler.ir import Graph, Node, node, parameter
from xlathe.compiler.lowering import lower
from xlathe.compiler.passes.inline_calls import InlineCalls
from xlathe.compiler.pipeline import EXACT, run_passes
from xlathe.compiler.rowwise.axes import Place, axes_of, resized, through_reshape
from xlathe.compiler.rowwise.indices import aligned
from xlathe.tracer.capture import capture

X = jax.random.normal(jax.random.key(0), (2, 4, 6))
Y = jax.random.normal(jax.random.key(1), (4, 6, 8))
INDEX = jax.random.randint(jax.random.key(2), (2, 4, 1), 0, 6)
BATCH = lax.GatherDimensionNumbers((), (2,), (2,), (0, 1), (0, 1))
PICKED = lax.ScatterDimensionNumbers((), (2,), (2,), (0, 1), (0, 1))
WINDOW = lax.GatherDimensionNumbers((0, 1), (2,), (2,))
ROWS = lax.GatherDimensionNumbers((1, 2), (0,), (0,))

OPERATIONS: dict[str, tuple[Callable[..., Any], Sequence[Any]]] = {
    "elementwise": (lax.mul, (X, X + 1)),
    "one stretched": (lambda x, y: lax.add_p.bind(x, y), (X, X[:, :1])),
    "select": (lax.select_n, (X > 0, X, X + 1)),
    "broadcast": (lambda x: lax.broadcast_in_dim(x, (2, 4, 5, 6), (0, 1, 3)), (X,)),
    "transpose": (lambda x: lax.transpose(x, (2, 0, 1)), (X,)),
    "sum": (lambda x: lax.reduce_sum_p.bind(x, axes=(0, 2), out_sharding=None), (X,)),
    "maximum": (lambda x: lax.reduce_max_p.bind(x, axes=(1,), out_sharding=None), (X,)),
    "argmax": (lambda x: lax.argmax(x, 2, jnp.int32), (X,)),
    "cumulative": (lambda x: lax.cumsum(x, 1), (X,)),
    "concatenate": (lambda x, y: lax.concatenate([x, y], 1), (X, X[:, :2])),
    "reverse": (lambda x: lax.rev(x, (1,)), (X,)),
    "slice": (lambda x: lax.slice(x, (0, 1, 0), (2, 3, 6)), (X,)),
    "pad": (lambda x: lax.pad(x, 0.0, ((0, 0, 0), (1, 0, 0), (0, 0, 0))), (X,)),
    "product": (lambda x, y: lax.dot_general(x, y, (((2,), (1,)), ((), ()))), (X, Y)),
    "product of batches": (
        lambda x, y: lax.dot_general(x, y, (((2,), (1,)), ((1,), (0,)))),
        (X, Y),
    ),
    "product over two axes": (
        lambda x, y: lax.dot_general(x, y, (((1, 2), (0, 1)), ((), ()))),
        (X, Y),
    ),
    "gather of a batch": (lambda x, i: lax.gather(x, i, BATCH, (1, 1, 1)), (X, INDEX)),
    "gather of a column": (
        lambda x, i: lax.gather(x, i, WINDOW, (2, 4, 1)),
        (X, INDEX[0, 0]),
    ),
    "gather of rows": (lambda x, i: lax.gather(x, i, ROWS, (1, 6, 8)), (Y, INDEX[0] % 4)),
    "scatter": (lambda x, i, y: lax.scatter_add(x, i, y, PICKED), (X, INDEX, X[:, :, 0])),
}
RESHAPES = [
    ((4, 6), 0, (24,), 4),
    ((4, 6), 1, (24,), 6),
    ((2, 4, 6), 1, (8, 6), 4),
    ((2, 4, 6), 1, (2, 1, 4, 3, 2), 4),
    ((2, 4, 6), 2, (8, 1, 6), 6),
]


def only_node(function: Callable[..., Any], arguments: Sequence[Any]) -> Node:
    graph = InlineCalls()(capture(function, *arguments).graph)
    (result,) = graph.results
    return result


def evaluated(item: Node, inputs: Sequence[Any]) -> np.ndarray:
    fresh = [parameter(index, source.type) for index, source in enumerate(item.inputs)]
    given = [source if source.is_constant else fresh[i] for i, source in enumerate(item.inputs)]
    made = node(item.operation, tuple(given), item.type, item.attributes)
    (result,) = lower(Graph(fresh, [made]))(*inputs)
    return np.asarray(result)


def part(array: Any, labels: tuple[int | None, ...], label: int, start: int, size: int) -> Any:
    if label not in labels:
        return array
    return lax.slice_in_dim(jnp.asarray(array), start, start + size, axis=labels.index(label))


@pytest.mark.parametrize("name", OPERATIONS)
def test_parts_make_the_whole(name: str):
    function, arguments = OPERATIONS[name]
    item = only_node(function, arguments)
    axes = axes_of(item)
    assert axes is not None
    values = [s.value if s.is_constant else a for s, a in beside(item.inputs, arguments)]
    whole = evaluated(item, values)
    every = {label for labels in (*axes.inputs, axes.result) for label in labels}
    checked = 0
    for label in sorted(label for label in every if label is not None):
        if label in axes.pinned:
            continue
        sizes = [
            np.shape(value)[labels.index(label)]
            for value, labels in zip(values, axes.inputs, strict=True)
            if label in labels
        ]
        if not sizes:
            continue
        half = sizes[0] // 2
        parts = [parted(item, axes, values, label, start, half) for start in (0, half)]
        if label in axes.result:
            made = np.concatenate(parts, axes.result.index(label))
        else:
            assert label in axes.summed
            made = parts[0] + parts[1]
        np.testing.assert_allclose(made, whole, rtol=1e-5, atol=1e-5)
        checked += 1
    assert checked


def beside(inputs: Sequence[Node], arguments: Sequence[Any]) -> list[tuple[Node, Any]]:
    """Each input with its argument; constants have none."""
    rest = iter(arguments)
    return [(item, None if item.is_constant else next(rest)) for item in inputs]


def parted(
    item: Node, axes: Any, values: Sequence[Any], label: int, start: int, size: int
) -> np.ndarray:
    cut = [
        part(value, labels, label, start, size)
        for value, labels in zip(values, axes.inputs, strict=True)
    ]
    inputs = tuple(
        source
        if source.is_constant
        else parameter(index, source.type.with_shape(np.shape(cut[index])))
        for index, source in enumerate(item.inputs)
    )
    shape = list(item.type.shape)
    if label in axes.result:
        shape[axes.result.index(label)] = size
    attributes = resized(item, tuple(shape), inputs)
    made = node(item.operation, inputs, item.type.with_shape(tuple(shape)), attributes)
    return evaluated(made, cut)


@pytest.mark.parametrize(("before", "axis", "after", "rows"), RESHAPES)
def test_rows_through_a_reshape(before, axis, after, rows):
    place = through_reshape(Place(axis), before, after, rows)
    assert place is not None
    counted = along(before, axis, np.arange(rows)).reshape(after)
    expected = np.arange(after[place.axis]) // place.inner % rows
    np.testing.assert_array_equal(counted, along(after, place.axis, expected))


def along(shape: tuple[int, ...], axis: int, values: np.ndarray) -> np.ndarray:
    """An array that varies along one axis only."""
    return np.broadcast_to(values.reshape(-1, *(1,) * (len(shape) - 1 - axis)), shape)


def test_a_reshape_that_tears_rows_apart():
    assert through_reshape(Place(0), (6, 4), (4, 6), 6) is None


@pytest.mark.parametrize(
    "pick",
    [
        lambda x, i: x[jnp.arange(2)[:, None], jnp.arange(4), i],
        lambda x, i: x[jnp.arange(2)[:, None], i, jnp.arange(4) + 1],
        lambda x, i: x.at[jnp.arange(2)[:, None], jnp.arange(4), i].add(1.0),
    ],
)
@pytest.mark.parametrize("index", [INDEX[..., 0] % 4, INDEX[..., 0] * 0 + 9])
def test_counted_rows_are_a_batch(pick, index):
    graph, _ = run_passes(capture(pick, X, index).graph, EXACT)
    (item,) = [item for item in graph.nodes if item.operation in ("gather", "scatter_add")]
    new = aligned(item)
    assert new is not item
    assert 0 in new["dimension_numbers"].operand_batching_dims
    (found,) = lower(graph.with_outputs([new]))(X, index)
    np.testing.assert_array_equal(found, pick(X, index))
