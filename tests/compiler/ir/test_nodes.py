"""Nodes: built twice they are one, dropped they are gone."""

import gc
import struct
import threading
import weakref

import numpy as np
import pytest

from xlathe.compiler.ir import Graph, Node, constant, get, node, parameter, start_token
from xlathe.compiler.ir.node import Array, Opaque, _table
from xlathe.compiler.ir.types import TOKEN, array_type

F32 = array_type((), "float32")
X = parameter(0, F32)


def nan(bits: int) -> np.ndarray:
    return np.frombuffer(struct.pack("<I", bits), np.float32).reshape(())


def test_a_node_built_twice_is_one_node():
    assert node("sin", (X,), F32, {"accuracy": None}) is node("sin", (X,), F32, {"accuracy": None})
    assert node("add", (X, X), F32) is node("add", (X, X), F32)


def test_the_order_of_attributes_does_not_matter():
    one = node("scan", (X,), F32, {"length": 3, "reverse": True})
    other = node("scan", (X,), F32, {"reverse": True, "length": 3})
    assert one is other


@pytest.mark.parametrize(
    "other",
    [
        node("cos", (X,), F32),
        node("sin", (parameter(1, F32),), F32),
        node("sin", (X,), array_type((), "float32", weak=True)),
        node("sin", (X,), F32, {"accuracy": 1}),
    ],
    ids=["operation", "inputs", "type", "attributes"],
)
def test_nodes_that_differ_in_one_part_are_two(other: Node):
    assert node("sin", (X,), F32) is not other


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (0.0, -0.0),
        (1, 1.0),
        (np.float32(1), np.float64(1)),
        (np.zeros(2, np.int32), np.zeros((2, 1), np.int32)),
        (nan(0x7FC00000), nan(0x7FC00001)),
        (nan(0x7FC00000), nan(0xFFC00000)),
    ],
    ids=["sign of zero", "integer or float", "width", "shape", "payload of NaN", "sign of NaN"],
)
def test_constants_that_differ_in_a_bit_are_two(first, second):
    assert constant(first) is not constant(second)


def test_constants_of_the_same_bits_are_one():
    assert constant(nan(0x7FC00001)) is constant(nan(0x7FC00001))
    assert constant(-0.0) is constant(-0.0)
    assert constant(np.arange(6).reshape(2, 3).T) is constant(
        np.ascontiguousarray(np.arange(6).reshape(2, 3).T)
    )


def test_a_weak_constant_is_not_the_strong_one():
    assert constant(np.float32(1)) is not constant(np.float32(1), weak=True)


@pytest.mark.parametrize(("first", "second"), [(0.0, -0.0), (1, 1.0), (0.0, 0)])
def test_attributes_that_only_compare_equal_make_two_nodes(first: float, second: float):
    assert node("gather", (X,), F32, {"fill": first}) is not node(
        "gather", (X,), F32, {"fill": second}
    )


def test_a_nan_attribute_makes_one_node():
    one = node("gather", (X,), F32, {"fill": float("nan")})
    assert one is node("gather", (X,), F32, {"fill": float("nan")})


def test_a_constant_keeps_its_own_copy_of_the_array():
    array = np.ones(3)
    item = constant(array)
    array[0] = 5
    assert item.value[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        item.value[0] = 2


def test_opaque_attributes_compare_by_identity():
    first, second = [1], [1]
    assert Opaque(first) == Opaque(first)
    assert Opaque(first) != Opaque(second)
    assert node("call", (X,), F32, {"f": Opaque(first)}) is node(
        "call", (X,), F32, {"f": Opaque(first)}
    )


def test_an_attribute_without_a_hash_is_refused():
    with pytest.raises(TypeError, match="unhashable"):
        node("call", (X,), F32, {"f": [1]})


def test_dropped_nodes_leave_the_table():
    item = node("dropped_here", (X,), F32)
    reference = weakref.ref(item)
    before = len(_table)
    del item
    gc.collect()
    assert reference() is None
    assert len(_table) < before
    assert not any(key[0] == "dropped_here" for key in list(_table))


def test_a_node_lives_as_long_as_one_that_reads_it():
    inner = node("inner_of_pair", (X,), F32)
    outer = node("outer_of_pair", (inner,), F32)
    reference = weakref.ref(inner)
    del inner
    gc.collect()
    assert reference() is outer.inputs[0]


def test_a_long_chain_is_freed_without_recursion():
    item = X
    for _ in range(100_000):
        item = node("link_of_chain", (item,), F32)
    reference = weakref.ref(item)
    del item
    gc.collect()
    assert reference() is None
    assert not any(key[0] == "link_of_chain" for key in list(_table))


def test_threads_build_one_node():
    barrier = threading.Barrier(8)
    built: list[Node] = []

    def build() -> None:
        barrier.wait()
        item = X
        for _ in range(300):
            item = node("built_by_threads", (item,), F32)
            built.append(item)

    threads = [threading.Thread(target=build) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 8 * 300
    assert len(set(built)) == 300


def test_threads_that_drop_and_rebuild_get_live_nodes():
    barrier = threading.Barrier(4)
    failures: list[Exception] = []

    def churn() -> None:
        barrier.wait()
        try:
            for _ in range(3000):
                item = node("dropped_by_threads", (X,), F32)
                assert item.inputs == (X,)
                assert node("dropped_by_threads", (X,), F32) is item
                del item
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=churn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_results_of_a_node_with_several():
    pair = node("pair", (X,), (F32, TOKEN))
    assert get(pair, 0).type is F32
    assert get(pair, 1).type is TOKEN
    assert pair.types == (F32, TOKEN)
    assert X.types == (F32,)


def test_graphs_are_found_in_attributes_and_tuples():
    graph = Graph([X], [X])
    assert node("call", (X,), F32, {"body": graph}).holds_graphs
    assert node("cond", (X,), F32, {"branches": (graph, graph)}).holds_graphs
    assert not node("sin", (X,), F32, {"shape": (1, 2)}).holds_graphs


def test_text_for_debugging():
    assert repr(node("sin", (X,), F32)) == "<sin: f32>"
    assert repr(Array(np.ones(1))).startswith("Array(")
    assert repr(Opaque([1])) == "Opaque(list)"
    assert start_token().type is TOKEN
