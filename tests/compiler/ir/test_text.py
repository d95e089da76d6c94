"""The text form: what is printed is read back as the same graph."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import Primitive

from xlathe.compiler.ir import (
    Graph,
    Origin,
    ParseError,
    array_type,
    constant,
    node,
    parameter,
    parse,
    to_text,
)
from xlathe.compiler.ir.text import Names, identifier, origin_comment, shortest_names
from xlathe.tracer.capture import capture

F32 = array_type((), "float32")
X = parameter(0, F32)

LAYER = """\
def layer(x: f32[8, 4], w: f32[4, 2]):
    h: f32[8, 2] = dot_general(x, w, dimension_numbers=(((1,), (0,)), ((), ())))
    half: ~f32 = constant(0.5)
    y: f32[8, 2] = mul(h, half)
    return (y, h)
"""
LOOP = """\
def body(c: f32, x: f32):
    v0: f32 = add(c, x)
    return (v0, c)

def loop(start: f32, xs: f32[9]):
    both: (f32, f32[9]) = scan(start, xs, body=body, consts=0, carry=1, length=9, reverse=True)
    last: f32 = get(both, index=0)
    return (last,)
"""
EFFECT = """\
def shout(x: f32):
    t: token = token()
    e: token = print(x, t, fmt='{} \\n "x"')
    return (x, e)
"""
KEYWORDS = """\
def f(a: bool[3], b: bool[3]):
    v0: bool[3] = and_(a, b)
    v1: bool[3] = not_(v0)
    v2: bool[3] = or_(v1, a)
    return (v2,)
"""


@pytest.mark.parametrize("text", [LAYER, LOOP, EFFECT, KEYWORDS])
def test_hand_written_text_is_printed_as_it_was(text: str):
    assert to_text(parse(text)) == text


def test_keyword_operations_have_their_own_names():
    assert [item.operation for item in parse(KEYWORDS).nodes] == ["and", "not", "or"]


def test_the_last_function_is_the_graph():
    graph = parse(LOOP)
    assert graph.name == "loop"
    assert graph.nodes[0]["body"].name == "body"


@pytest.mark.parametrize("value", [True, None, 3, -3, 2.5, -0.0, 1e-300, "it's", b"\x00'", ()])
def test_attributes_read_back(value: object):
    graph = Graph([X], [node("op", (X,), F32, {"a": value, "b": (value, (value,))})])
    again = parse(to_text(graph))
    assert again == graph
    assert repr(again.nodes[0]["a"]) == repr(value)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_float_attributes_that_are_no_numbers_read_back(value: float):
    graph = Graph([X], [node("op", (X,), F32, {"a": value})])
    assert parse(to_text(graph)) == graph


@pytest.mark.parametrize(
    "value",
    [
        np.dtype("bfloat16"),
        np.dtype("float8_e4m3fn"),
        np.dtype("int4"),
        lax.Precision.HIGHEST,
        (lax.Precision.HIGHEST, lax.Precision.DEFAULT),
        lax.GatherDimensionNumbers((0,), (), (1,)),
        lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)),
        lax.GatherScatterMode.CLIP,
    ],
    ids=str,
)
def test_values_of_jax_read_back_without_objects(value: object):
    graph = Graph([X], [node("op", (X,), F32, {"a": value})])
    assert graph.objects() == {}
    assert parse(to_text(graph)) == graph


@pytest.mark.parametrize(
    "value",
    [
        np.float32(0.1),
        np.float32(-0.0),
        np.float32(np.inf),
        np.float32(np.nan),
        np.float64(1e-310),
        np.float16(6e-8),
        jnp.bfloat16(1.005),
        np.int64(-(2**63)),
        np.uint64(2**64 - 1),
        np.uint32(2**32 - 1),
        np.bool_(True),
        np.complex64(complex(-0.0, np.inf)),
        np.zeros((0, 3), np.float32),
        np.array([[1, -2], [3, 4]], np.int8),
        np.array([2**64 - 1, 0], np.uint64),
        np.array([np.nan, -0.0, np.inf], np.float32),
        np.array([1, -8, 7], jnp.int4),
        np.array([0.5, -448], jnp.float8_e4m3fn),
        np.frombuffer(b"\x01\x00\xc0\x7f", np.float32),
        np.arange(1000),
    ],
    ids=lambda value: f"{value.dtype}{value.reshape(-1)[:1]}",
)
@pytest.mark.parametrize("weak", [False, True])
def test_constants_read_back_to_the_bit(value: np.ndarray, weak: bool):
    graph = Graph([], [constant(value, weak)])
    assert parse(to_text(graph), graph.objects()) == graph


def test_small_constants_are_written_and_large_ones_are_objects():
    small, large = constant(np.arange(64)), constant(np.arange(65))
    assert "[0, 1, 2" in to_text(Graph([], [small]))
    graph = Graph([], [large])
    assert "constant(object_0)" in to_text(graph)
    assert list(graph.objects()) == ["object_0"]


def scan(x):
    return lax.scan(lambda c, y: (c + y, (c, jnp.sin(y))), 0.0, x, reverse=True, unroll=2)


def nested(x):
    def turn(c):
        return lax.cond(c.sum() > 10, lambda v: v * 2, lambda v: lax.map(jnp.sin, v) + 1, c)

    return lax.while_loop(lambda c: c.sum() < 100, turn, x)


@jax.custom_vjp
def custom(x):
    return x * 2


custom.defvjp(lambda x: (x * 2, x), lambda x, g: (g * x,))


def printing(x):
    jax.debug.print("{}", x.sum(), ordered=True)
    return x + 1


def keys(x):
    key = jax.random.key(0)
    return jax.random.normal(key, x.shape) + jax.random.uniform(jax.random.split(key, 3)[1])


CAPTURED = {
    "scan": scan,
    "nested": nested,
    "custom": custom,
    "printing": printing,
    "keys": keys,
    "jit": lambda x: jax.nn.softmax(jax.nn.gelu(x)),
    "checkpoint": jax.grad(lambda x: jax.checkpoint(jnp.sin)(x).sum()),
    "gather": lambda x: x[jnp.array([0, 2])].at[0].add(2.0),
    "fill": lambda x: x.at[jnp.array([9])].get(mode="fill", fill_value=float("nan")),
    "callback": lambda x: jax.pure_callback(np.sin, x, x),
    "sort": lambda x: (jnp.sort(x), lax.top_k(x, 2)),
    "constant": lambda x: x + np.arange(3, dtype=np.float32),
    "fft": lambda x: jnp.fft.rfft(x).imag,
}


@pytest.mark.parametrize("name", CAPTURED)
def test_captured_graphs_read_back(name: str):
    graph = capture(CAPTURED[name], jnp.arange(3.0)).graph
    assert parse(to_text(graph), graph.objects()) == graph


def test_printing_twice_gives_the_same_text():
    graph = capture(nested, jnp.arange(3.0)).graph
    assert to_text(graph) == to_text(graph)
    assert to_text(parse(to_text(graph))) == to_text(parse(to_text(parse(to_text(graph)))))


def test_a_graph_used_twice_is_printed_once():
    body = Graph([X], [node("sin", (X,), F32)], name="body")
    first = node("call", (X,), F32, {"body": body})
    graph = Graph([X], [node("call", (first,), F32, {"body": body})])
    assert to_text(graph).count("def ") == 2


def test_different_graphs_of_one_name_are_told_apart():
    bodies = [Graph([X], [node(name, (X,), F32)], name="body") for name in ("sin", "cos")]
    call = node("cond", (X,), F32, {"branches": tuple(bodies)})
    text = to_text(Graph([X], [call]))
    assert "def body(" in text
    assert "def body_1(" in text
    assert parse(text) == Graph([X], [call])


@pytest.mark.parametrize("name", ["f32", "token", "object_0", "constant", "jax", "lax", "get"])
def test_a_function_may_have_a_name_that_means_something_in_the_text(name: str):
    body = Graph([X], [node(f"op_{name}", (X,), F32)], name=name)
    call = node("call", (X,), F32, {"body": body, "dtype": np.dtype("int8"), "axis": lax.add_p})
    graph = Graph([X], [node("add", (call, constant(np.float32(1))), F32)])
    assert parse(to_text(graph), graph.objects()) == graph


def test_names_lines_and_scopes_are_comments():
    sin = node("sin", (X,), F32)
    origins = {X: Origin(name="x"), sin: Origin((1,), "height", "/a/model.py", 12, "enc/attn")}
    graph = Graph([X], [sin], name="f", origins=origins, result_names=("result['h']",))
    assert to_text(graph) == (
        "def f(x: f32):\n"
        "    height: f32 = sin(x)  # model.py:12 enc/attn\n"
        "    return (height,)  # result['h']\n"
    )


def test_an_unknown_primitive_is_an_object():
    primitive = Primitive("my-own.op")
    primitive.def_abstract_eval(lambda x: x)
    graph = capture(lambda x: primitive.bind(x), 1.0).graph
    (item,) = graph.nodes
    assert item.operation == "my_own_op"
    assert list(graph.objects()) == ["object_0"]
    assert parse(to_text(graph), graph.objects()) == graph


def test_objects_that_are_missing_are_named():
    graph = capture(lambda x: jax.pure_callback(np.sin, x, x), jnp.arange(3.0)).graph
    with pytest.raises(ParseError, match=r"Line 2: object_0 is not known.*graph\.objects\(\)"):
        parse(to_text(graph))


ERRORS = {
    "x = (": r"Line 1: '\(' was never closed",
    "x = 1": r"Line 1: expected `def name\(\.\.\.\):`",
    "": r"holds no graph: expected at least one `def name",
    "def f(x):\n    return (x,)": "Line 1: parameter x has no type",
    "def f(x: f33):\n    return (x,)": r"Line 1: expected a type such as `f32\[3, 4\]`.*float33",
    "def f(x: f32):\n    y: f32 = sin(x)": "Line 1: f has no return",
    "def f(x: f32):\n    y = sin(x)\n    return (y,)": "Line 2: expected `name: type = operation",
    "def f(x: f32):\n    y: f32 = x\n    return (y,)": "Line 2: expected `name: type = operation",
    "def f(x: f32):\n    y: f32 = sin(z)\n    return (y,)": "Line 2: z is not the name of a node",
    "def f(x: f32):\n    y: f32 = sin(x)\n    return (z,)": "Line 3: z is not the name of a node",
    "def f(x: f32):\n    y: f32 = sin(x, a={})\n    return (y,)": r"Line 2: cannot read \{\}",
    "def f(x: f32):\n    y: f32 = sin(x, a=g)\n    return (y,)": "Line 2: g is not known",
    "def f(x: f32):\n    y: f32 = sin(x, a=b.c)\n    return (y,)": r"Line 2: cannot read b\.c",
    "def f(x: f32):\n    y: f32 = s(x, a=jax.jit(1))\n    return (y,)": "Line 2: cannot read jax",
}


@pytest.mark.parametrize("text", ERRORS)
def test_parse_errors_say_where_and_why(text: str):
    with pytest.raises(ParseError, match=ERRORS[text]):
        parse(text)


def test_names_are_given_once():
    names = Names(frozenset(["taken"]))
    given = [names.unique(wanted) for wanted in ("a", "a", "a_1", "a", "taken", "b c", "1", "")]
    assert given == ["a", "a_1", "a_1_1", "a_2", "taken_1", "b_c", "v1", "v"]
    assert len(set(given)) == len(given)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("weight", "weight"),
        ("layer.0/w", "layer_0_w"),
        ("lambda", "lambda_"),
        ("None", "None_"),
        ("2d", "v2d"),
        ("__init__", "init"),
        ("größe", "größe"),
        ("x²", "x2"),
        ("①", "v1"),
        ("ﬁt", "fit"),
        ("x٣", "x٣"),
        ("½", "v1_2"),
        ("৴", "v"),
        ("🙂", "v"),
        ("", "v"),
    ],
)
def test_any_text_makes_an_identifier(text: str, name: str):
    assert identifier(text) == name
    assert name.isidentifier()


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["params['w']", "x"], ["w", "x"]),
        (["p['a']['w']", "p['b']['w']"], ["a_w", "b_w"]),
        (["a[0]", "a[1]"], ["a_0", "a_1"]),
        (["a.b.w", "c.b.w", "w"], ["a_b_w", "c_b_w", "w"]),
        (["x", "x"], ["x", "x"]),
        (["p['lambda']"], ["lambda_"]),
        (["", "0"], ["v", "v0"]),
    ],
)
def test_shortest_names(paths: list[str], names: list[str]):
    assert shortest_names(paths) == names


def test_origin_comment():
    assert origin_comment(Origin()) == ""
    assert origin_comment(Origin(file="/a/b.py", line=3)) == "b.py:3"
    assert origin_comment(Origin(scope="enc/attn")) == "enc/attn"
