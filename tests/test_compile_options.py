"""`xlathe.compile` takes what `jax.jit` takes, and does with it what `jax.jit` does."""

from __future__ import annotations

import collections
import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

import xlathe as xl

from .traces import counted, type_of

_X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


def _power(x, n, *, scale=1.0, mode="plus"):
    y = x**n * scale
    return y + 1 if mode == "plus" else y - 1


@pytest.mark.parametrize(
    ("options", "args", "kwargs"),
    [
        ({"static_argnums": 1}, (_X, 3), {}),
        ({"static_argnums": (1,)}, (_X, 3), {"scale": 2.0}),
        ({"static_argnums": -1}, (_X, 3), {}),
        ({"static_argnums": 1}, (_X,), {"n": 3}),
        ({"static_argnums": (0, 1)}, (2.0, 3), {}),
        ({"static_argnames": "n"}, (_X, 3), {}),
        ({"static_argnames": ("n", "mode")}, (_X,), {"n": 2, "mode": "minus"}),
        ({"static_argnums": 1, "static_argnames": "mode"}, (_X, 2), {"mode": "minus"}),
    ],
)
def test_static_arguments(
    options: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    def f(x, n, *, scale=1.0, mode="plus"):
        return _power(x, n, scale=scale, mode=mode), isinstance(n, int)

    got, n_is_static = xl.compile(f, **options)(*args, **kwargs)
    want, n_is_static_in_jit = jax.jit(f, **options)(*args, **kwargs)
    assert n_is_static
    assert n_is_static_in_jit
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_static_arguments_retrace_once_for_each_value() -> None:
    f, traces = counted(_power)
    compiled = xl.compile(f, static_argnames=("n", "mode"))
    for mode in ("plus", "minus", "plus", "minus"):
        compiled(_X, n=2, mode=mode)
    assert len(traces) == 2
    compiled(_X, 2, mode="plus")
    assert len(traces) == 3


@pytest.mark.parametrize(
    "options", [{"donate_argnums": 0}, {"donate_argnames": "state"}, {"donate_argnums": (0,)}]
)
def test_donated_arguments_are_deleted(options: dict[str, Any]) -> None:
    compiled = xl.compile(lambda state, x: (state + x, x.sum()), **options)
    state, x = jnp.ones((2, 3)), jnp.ones((2, 3))
    compiled(state, x)
    assert state.is_deleted()
    assert not x.is_deleted()
    jitted = jax.jit(compiled.__wrapped__, **options)
    jitted(kept := jnp.ones((2, 3)), x)
    with pytest.raises((RuntimeError, ValueError), match="deleted") as want:
        jitted(kept, x)
    with pytest.raises(type(want.value), match="deleted"):
        compiled(state, x)


def test_nothing_is_donated_unasked() -> None:
    x = jnp.ones(3)
    xl.compile(lambda x: x + 1)(x)
    assert not x.is_deleted()


def test_donated_buffers_are_reused() -> None:
    def f(state):
        return jax.tree.map(lambda s: s * 2, state)

    state = {"a": jnp.ones((4, 4)), "b": jnp.ones(3)}
    donated = xl.compile(f, donate_argnums=0).lower(state).compile().memory_analysis()
    kept = xl.compile(f).lower(state).compile().memory_analysis()
    assert donated.alias_size_in_bytes == 4 * 19
    assert kept.alias_size_in_bytes == 0


def test_shardings() -> None:
    mesh = Mesh(np.array(jax.devices()[:1]), ("d",))
    split = NamedSharding(mesh, PartitionSpec("d"))
    compiled = xl.compile(
        lambda x, y: {"sum": x + y}, in_shardings=(split, None), out_shardings={"sum": split}
    )
    out = compiled(jnp.ones((2, 3)), jnp.ones((2, 3)))
    assert out["sum"].sharding == split


def test_shardings_that_do_not_fit_are_refused_as_by_jit() -> None:
    mesh = Mesh(np.array(jax.devices()[:1]), ("d",))
    bad = NamedSharding(mesh, PartitionSpec(None, "d"))
    options: dict[str, Any] = {"out_shardings": bad}
    with pytest.raises(ValueError) as want:
        jax.jit(lambda x: x, **options)(jnp.ones(3))
    with pytest.raises(ValueError) as got:
        xl.compile(lambda x: x, **options)(jnp.ones(3))
    assert type(got.value) is type(want.value)


def test_keep_unused() -> None:
    def f(x, unused):
        return x + 1

    def parameters(**options: Any) -> int:
        lowered = xl.compile(f, **options).lower(_X, _X)
        return lowered.as_text().split("func.func public @main(")[1].split("->")[0].count("%arg")

    assert parameters() == 1
    assert parameters(keep_unused=True) == 2


_DEVICE_OPTIONS = [o for o in ("device", "backend") if o in inspect.signature(jax.jit).parameters]


@pytest.mark.parametrize("option", _DEVICE_OPTIONS or ["none of them in this JAX"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_device_and_backend(option: str) -> None:
    values = {"device": jax.devices()[0], "backend": "cpu"}
    if option not in values:
        with pytest.raises(TypeError):
            xl.compile(lambda x: x, device=jax.devices()[0])
        return
    out = xl.compile(lambda x: x + 1, **{option: values[option]})(_X)
    assert out.sharding == SingleDeviceSharding(jax.devices()[0])


def test_inline() -> None:
    def calls(make: Callable[..., Any], **options: Any) -> list[str]:
        inner = make(lambda x: jnp.sin(x) + 1, **options)
        return [str(e.primitive) for e in jax.make_jaxpr(lambda x: inner(x) * 2)(_X).eqns]

    assert calls(xl.compile, inline=True) == calls(jax.jit, inline=True)
    assert calls(xl.compile) == calls(jax.jit)


def test_compiler_options_reach_xla() -> None:
    f = xl.compile(jnp.sin, compiler_options={"xla_embed_ir_in_executable": True})
    np.testing.assert_allclose(f(_X), jax.jit(jnp.sin)(_X), rtol=1e-6)
    with pytest.raises(Exception, match="xla_no_such_option"):
        xl.compile(jnp.sin, compiler_options={"xla_no_such_option": True})(_X)


@pytest.mark.parametrize("make", [xl.compile, xl.optimize])
def test_unknown_options_are_refused_with_the_valid_ones(make: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="statik_argnums") as error:
        make(jnp.sin, statik_argnums=1)
    assert "numerics" in str(error.value)
    if make is xl.compile:
        for name in inspect.signature(jax.jit).parameters:
            assert name == "fun" or name in str(error.value)


@pytest.mark.parametrize("make", [xl.compile, xl.optimize])
def test_numerics_takes_only_known_classes(make: Callable[..., Any]) -> None:
    for numerics in ("relaxed", "strict"):
        np.testing.assert_allclose(make(jnp.sin, numerics=numerics)(_X), np.sin(_X), rtol=1e-5)
    with pytest.raises(ValueError, match="exakt"):
        make(jnp.sin, numerics="exakt")


@pytest.mark.parametrize("make", [xl.compile, xl.optimize])
def test_decorators(make: Callable[..., Any]) -> None:
    @make
    def bare(x):
        """Adds one."""
        return x + 1

    @make(numerics="strict")
    def with_options(x):
        """Adds two."""
        return x + 2

    @make()
    def with_parentheses(x):
        return x + 3

    for f, name, by in [
        (bare, "bare", 1),
        (with_options, "with_options", 2),
        (with_parentheses, "with_parentheses", 3),
    ]:
        assert f.__name__ == name
        assert f.__wrapped__(1) == 1 + by
        assert f.__wrapped__.__code__.co_filename == __file__
        assert inspect.signature(f) == inspect.signature(f.__wrapped__)
        assert f.__module__ == __name__
        np.testing.assert_allclose(f(_X), _X + by)
    assert bare.__doc__ == "Adds one."
    assert with_options.__doc__ == "Adds two."


class Model:
    """An object whose methods are compiled."""

    offset = 3.0

    def __init__(self, scale: float) -> None:
        self.scale = scale

    @functools.partial(xl.compile, static_argnums=0)
    def method(self, x):
        return x * self.scale

    @staticmethod
    @xl.compile
    def static(x, y=2.0):
        return x * y

    @classmethod
    @functools.partial(xl.compile, static_argnums=0)
    def of_class(cls, x):
        return x + cls.offset

    def __call__(self, x, *rest, **named):
        return sum(rest, x * self.scale) + sum(named.values())


def test_methods() -> None:
    kind = cast(Any, Model)
    two, three = kind(2.0), kind(3.0)
    np.testing.assert_allclose(two.method(_X), _X * 2)
    np.testing.assert_allclose(three.method(_X), _X * 3)
    static: Any = xl.compile(two.static)
    np.testing.assert_allclose(static(_X), _X * 2)
    np.testing.assert_allclose(kind.static(_X, y=4.0), _X * 4)
    np.testing.assert_allclose(kind.of_class(_X), _X + 3)


def test_methods_of_registered_objects() -> None:
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Layer:
        w: Any
        name: str = dataclasses.field(metadata={"static": True})

        @xl.compile
        def __call__(self, x):
            return x @ self.w if self.name == "dense" else x

    layer: Any = Layer
    np.testing.assert_allclose(layer(_X.T, "dense")(_X), _X @ _X.T, rtol=1e-6)
    np.testing.assert_allclose(layer(_X.T, "identity")(_X), _X)


@pytest.mark.parametrize("make", [xl.compile, xl.optimize])
def test_callables_and_partials(make: Callable[..., Any]) -> None:
    np.testing.assert_allclose(make(Model(2.0))(_X, 1.0, _X, a=_X, b=1), _X * 4 + 2, rtol=1e-6)
    np.testing.assert_allclose(make(Model(2.0).__call__)(_X), _X * 2)
    half = functools.partial(_power, n=2, scale=0.5)
    np.testing.assert_allclose(make(half)(_X), 0.5 * _X**2 + 1, rtol=1e-6)
    np.testing.assert_allclose(make(jnp.tanh)(_X), np.tanh(_X), rtol=1e-5)
    np.testing.assert_allclose(make(jax.jit(jnp.tanh))(_X), np.tanh(_X), rtol=1e-5)


@pytest.mark.parametrize("make", [xl.compile, xl.optimize])
def test_ways_of_passing_arguments(make: Callable[..., Any]) -> None:
    def f(a, /, b, *args, c=3.0, d, **kwargs):
        return {"a": a, "b": b * 2, "args": args, "c": c, "d": d, "kwargs": kwargs}

    for args, kwargs in [
        ((1.0, 2.0), {"d": 4.0}),
        ((1.0,), {"d": 4.0, "b": _X}),
        ((1.0, 2.0, 5.0, _X), {"d": None, "c": 1, "e": True, "z": [1, (2,)]}),
    ]:
        got, want = make(f)(*args, **kwargs), jax.jit(f)(*args, **kwargs)
        assert jax.tree.structure(got) == jax.tree.structure(want)
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            assert type_of(a) == type_of(b)
            np.testing.assert_allclose(a, b)
    with pytest.raises(TypeError, match="missing"):
        make(f)(1.0, 2.0)


def test_stages() -> None:
    def f(params, x):
        return jnp.tanh(x @ params["w"]).sum()

    params = {"w": np.ones((3, 4), np.float32)}
    compiled = xl.compile(f)
    traced = compiled.trace(params, _X)
    assert isinstance(traced, xl.Traced)
    lowered = compiled.lower(params, _X)
    assert isinstance(lowered, jax.stages.Lowered)
    assert isinstance(traced.lower(), jax.stages.Lowered)
    assert "stablehlo" in lowered.as_text()
    executable: Any = lowered.compile()
    np.testing.assert_allclose(executable(params, _X), jax.jit(f)(params, _X), rtol=1e-6)
    assert "HloModule" in executable.as_text()
    assert executable.cost_analysis()["flops"] > 0
    assert executable.memory_analysis().argument_size_in_bytes == 4 * (12 + 6)
    assert executable.in_tree == jax.tree.structure(((params, _X), {}))
    with pytest.raises(TypeError):
        executable(params, _X[:, :2])
    shape = compiled.eval_shape(params, _X)
    assert (shape.shape, shape.dtype) == ((), jnp.float32)


def test_stages_take_shapes_and_keywords() -> None:
    shape = jax.ShapeDtypeStruct((2, 3), jnp.bfloat16)
    compiled = xl.compile(_power, static_argnames="n")
    executable = compiled.lower(shape, n=2, scale=jax.ShapeDtypeStruct((), jnp.float32)).compile()
    out = executable(jnp.ones((2, 3), jnp.bfloat16), scale=np.float32(2))
    want = jax.eval_shape(lambda x, s: _power(x, 2, scale=s), shape, np.float32(2))
    assert (out.shape, out.dtype) == (want.shape, want.dtype)
    assert compiled.eval_shape(shape, n=2).dtype == jnp.bfloat16
    assert compiled.trace(shape, 3).graph is not None


def test_looking_inside() -> None:
    traced = xl.compile(lambda x: jnp.tanh(x) * 2).trace(_X)
    for form in ("ir", "captured", "python", "stablehlo", "hlo"):
        assert "tanh" in traced.as_text(form)
    unknown: Any = "fortran"
    with pytest.raises(ValueError, match="python"):
        traced.as_text(unknown)
    assert traced.passes
    assert all(record.name for record in traced.passes)


Pair = collections.namedtuple("Pair", ["first", "second"])


@jax.tree_util.register_pytree_with_keys_class
class Ragged:
    """A custom node with auxiliary data."""

    def __init__(self, rows: list[Any], tag: str) -> None:
        self.rows, self.tag = rows, tag

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], str]:
        keys = jax.tree_util.SequenceKey
        return [(keys(i), row) for i, row in enumerate(self.rows)], self.tag

    @classmethod
    def tree_unflatten(cls, tag: str, rows: Any) -> Ragged:
        return cls(list(rows), tag)


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class State:
    """A registered dataclass with a static field."""

    value: Any
    step: Any
    name: str = dataclasses.field(metadata={"static": True}, default="s")


@pytest.mark.parametrize("make", [xl.compile, xl.optimize])
@pytest.mark.parametrize(
    "tree",
    [
        None,
        (),
        {"a": None, "b": (), "c": {}},
        Pair(_X, [None, 1]),
        {2: _X, 1: _X[0]},
        State({"w": _X}, 3, "named"),
        Ragged([_X, _X[0], 2.0], "tag"),
        collections.OrderedDict(z=_X, a=collections.defaultdict(list, k=_X)),
        [State(Pair(Ragged([_X], "t"), None), 1), ({}, [True])],
    ],
    ids=[
        "none",
        "empty",
        "empties",
        "namedtuple",
        "dict",
        "dataclass",
        "custom",
        "ordered",
        "nested",
    ],
)
def test_trees(make: Callable[..., Any], tree: Any) -> None:
    def f(t, extra=None):
        return {"out": jax.tree.map(lambda x: x * 2, t), "extra": extra, "same": t}

    got, want = make(f)(tree, extra=tree), jax.jit(f)(tree, extra=tree)
    assert jax.tree.structure(got) == jax.tree.structure(want)
    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize("make", [xl.compile, xl.optimize])
@pytest.mark.parametrize(
    "value",
    [1, True, 2.5, 1j, np.float32(3), np.int8(4), np.bool_(True), np.arange(3), np.float64(1.5),
     np.ones((2, 0)), np.array(2, np.uint16), [1, 2.0]],
    ids=lambda v: f"{type(v).__name__}-{v}",
)  # fmt: skip
def test_scalars_and_numpy(make: Callable[..., Any], value: Any) -> None:
    def f(x, y=1):
        return jax.tree.map(lambda v: (v, v * y, v + np.float32(1)), x), y

    got, want = make(f)(value), jax.jit(f)(value)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert type_of(a) == type_of(b)
        np.testing.assert_array_equal(a, b)
