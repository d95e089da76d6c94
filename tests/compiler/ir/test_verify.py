"""The verifier finds each way in which a graph can contradict itself, and shows where."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from xlathe.compiler.ir import (
    Graph,
    Node,
    Origin,
    VerificationError,
    array_type,
    constant,
    node,
    parameter,
    parse,
    verify,
)
from xlathe.tracer.capture import capture

F32 = array_type((), "float32")
X = parameter(0, F32)

WRONG = {
    "a shape": (
        """
def f(x: f32[3, 4]):
    y: f32[4, 4] = transpose(x, permutation=(1, 0))
    return (y,)
""",
        r"f: in transpose, its type is f32\[4, 4\], but its operation gives f32\[4, 3\]",
    ),
    "a dtype": (
        """
def f(x: f32[3], y: f32[3]):
    z: i32[3] = lt(x, y)
    return (z,)
""",
        r"in lt, its type is i32\[3\], but its operation gives bool\[3\]",
    ),
    "a type by JAX's own rule": (
        """
def f(x: f32[3]):
    z: f32[4] = erf_inv(x)
    return (z,)
""",
        r"in erf_inv, its type is f32\[4\], but its operation gives f32\[3\]",
    ),
    "inputs that do not fit": (
        """
def f(x: f32[3, 4]):
    y: f32[5] = reshape(x, new_sizes=(5,), dimensions=None, sharding=None)
    return (y,)
""",
        r"in reshape, its inputs do not fit: f32\[3, 4\] has not the elements of \(5,\)",
    ),
    "a number of inputs": (
        """
def f(x: f32[3]):
    y: f32[3, 4] = dot_general(x, dimension_numbers=(((0,), (0,)), ((), ())))
    return (y,)
""",
        "in dot_general, its inputs do not fit: not enough values to unpack",
    ),
    "the inputs of a body": (
        """
def body(a: f32, b: f32):
    c: f32 = add(a, b)
    return (c,)

def f(x: f32):
    y: f32 = call(x, body=body, name='')
    return (y,)
""",
        "in call, body takes f32, f32, but is given f32",
    ),
    "the results of a body": (
        """
def body(a: f32):
    c: bool = lt(a, a)
    return (c,)

def f(x: f32):
    y: f32 = call(x, body=body, name='')
    return (y,)
""",
        "in call, body returns bool, not f32",
    ),
    "the carry of a scan": (
        """
def body(c: f32, x: f32):
    v: bool = lt(c, x)
    return (v,)

def f(c: f32, xs: f32[9]):
    y: f32 = scan(c, xs, body=body, consts=0, carry=1, length=9, reverse=False, unroll=1)
    return (y,)
""",
        "in scan, its type is f32, but its operation gives bool",
    ),
    "the outputs of a scan": (
        """
def body(c: f32, x: f32):
    v: f32 = add(c, x)
    return (v, v)

def f(c: f32, xs: f32[9]):
    y: (f32, f32[8]) = scan(c, xs, body=body, consts=0, carry=1, length=9, reverse=False)
    z: f32 = get(y, index=0)
    return (z,)
""",
        r"in scan, its type is f32, f32\[8\], but its operation gives f32, f32\[9\]",
    ),
    "the slices of a scan": (
        """
def body(c: f32, x: f32[2]):
    return (c,)

def f(c: f32, xs: f32[9]):
    y: f32 = scan(c, xs, body=body, consts=0, carry=1, length=9, reverse=False)
    return (y,)
""",
        r"in scan, body takes f32, f32\[2\], but is given f32, f32",
    ),
    "the condition of a loop": (
        """
def condition(c: i32):
    v: bool = lt(c, c)
    return (v,)

def body(c: f32):
    v: f32 = add(c, c)
    return (v,)

def f(c: f32):
    y: f32 = while_(c, condition=condition, body=body, condition_consts=0, body_consts=0)
    return (y,)
""",
        "in while, condition takes i32, but is given f32",
    ),
    "the carry of a loop": (
        """
def condition(c: f32):
    v: bool = lt(c, c)
    return (v,)

def body(c: f32):
    v: bool = lt(c, c)
    return (v,)

def f(c: f32):
    y: f32 = while_(c, condition=condition, body=body, condition_consts=0, body_consts=0)
    return (y,)
""",
        "in while, body returns bool, not f32",
    ),
    "the results of a branch": (
        """
def same(c: f32[3]):
    return (c,)

def head(c: f32[3]):
    v: f32[2] = slice(c, start_indices=(0,), limit_indices=(2,), strides=None)
    return (v,)

def f(i: i32, c: f32[3]):
    y: f32[3] = cond(i, c, branches=(same, head))
    return (y,)
""",
        r"in cond, head returns f32\[2\]",
    ),
    "the operands of a branch": (
        """
def same(c: f32):
    return (c,)

def f(i: i32, c: f32[3]):
    y: f32[3] = cond(i, c, branches=(same, same))
    return (y,)
""",
        r"in cond, same takes f32, but is given f32\[3\]",
    ),
    "a nested graph": (
        """
def body(c: f32):
    v: f32[1] = sin(c)
    w: f32 = reshape(v, new_sizes=(), dimensions=None, sharding=None)
    return (w,)

def f(c: f32):
    y: f32 = call(c, body=body, name='')
    return (y,)
""",
        r"body: in sin, its type is f32\[1\], but its operation gives f32",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_fault_is_found(fault: str):
    text, message = WRONG[fault]
    with pytest.raises(VerificationError, match=message):
        verify(parse(text))


def test_the_message_shows_the_nodes_around_the_fault():
    text = """
def f(x: f32[3]):
    a: f32[3] = sin(x)
    b: f32[3] = cos(a)
    c: f32[2] = tan(b)
    d: f32[2] = exp(c)
    return (d,)
"""
    with pytest.raises(VerificationError) as caught:
        verify(parse(text))
    shown = str(caught.value).splitlines()[1:]
    assert shown == [
        "    a: f32[3] = sin(x)",
        "    b: f32[3] = cos(a)",
        "    c: f32[2] = tan(b)",
    ]


def test_the_message_shows_the_users_lines():
    sin = node("sin", (X,), array_type((2,), "float32"))
    graph = Graph([X], [sin], name="f", origins={sin: Origin((1,), "s", "/a/model.py", 12)})
    with pytest.raises(VerificationError, match=r"s: f32\[2\] = sin\(p0\)  # model\.py:12"):
        verify(graph)


def test_a_foreign_parameter_is_found():
    foreign = node("sin", (parameter(1, F32),), F32)
    with pytest.raises(VerificationError) as caught:
        verify(Graph([X], [foreign], name="f"))
    assert str(caught.value) == (
        "f: in sin, it reads <parameter: f32>, no parameter of f:\n    v0: f32 = sin(foreign)"
    )


def test_a_foreign_parameter_among_the_results_is_found():
    with pytest.raises(VerificationError, match="no parameter of f"):
        verify(Graph([X], [parameter(1, F32)], name="f"))


def test_parameters_out_of_order_are_found():
    with pytest.raises(VerificationError, match="f: parameter 0 is <parameter: f32>"):
        verify(Graph([parameter(1, F32), X], [X], name="f"))


def test_something_else_as_a_parameter_is_found():
    with pytest.raises(VerificationError, match="f: parameter 0 is <constant: f32>"):
        verify(Graph([constant(np.float32(1))], [X], name="f"))


def test_a_result_that_is_not_there_is_found():
    pair = node("pair", (X,), (F32, F32))
    third = node("get", (pair,), F32, {"index": 2})
    with pytest.raises(VerificationError, match="there is no result 2 of"):
        verify(Graph([X], [third]))
    of_one = node("get", (X,), F32, {"index": 0})
    with pytest.raises(VerificationError, match="there is no result 0 of"):
        verify(Graph([X], [of_one]))


def test_a_pair_read_as_a_whole_is_found():
    pair = node("pair", (X,), (F32, F32))
    with pytest.raises(VerificationError, match="with several results as a whole"):
        verify(Graph([X], [node("sin", (pair,), F32)]))


def softplus_scan(x):
    return lax.scan(lambda c, y: (jax.nn.softplus(c + y), c), x[0], x)


def branches(x):
    return lax.cond(
        x.sum() > 0, jnp.sin, lambda v: lax.while_loop(lambda w: w.sum() < 3, jnp.exp, v), x
    )


def effects(x):
    jax.debug.print("{}", x)
    return lax.fori_loop(0, 3, lambda i, c: c * i, x)


@pytest.mark.parametrize(
    "function",
    [
        softplus_scan,
        branches,
        effects,
        jax.grad(lambda x: jax.checkpoint(jnp.sin)(x).sum()),
        lambda x: jnp.linalg.solve(jnp.outer(x, x) + jnp.eye(3), x),
        lambda x: jax.pure_callback(np.sin, x, x),
        lambda x: jax.random.normal(jax.random.key(0), x.shape) + x,
        lambda x: x.astype(jnp.float8_e4m3fn).astype(jnp.bfloat16),
        lambda x: (x, 1.0, None),
        lambda x: (),
    ],
)
def test_what_is_captured_is_in_order(function):
    verify(capture(function, jnp.arange(3.0)).graph)


def test_every_type_is_inferred_once_a_kind():
    item: Node = X
    for _ in range(2000):
        item = node("erf_inv", (item,), F32)
    verify(Graph([X], [item]))
