"""Mistakes get the exception that `jax.jit` raises, at the user's own line.

And a mistake of the compiler's own costs a warning, not the user's program.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import traceback
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl
from xlathe.compiler.passes.normalise import Normalise
from xlathe.compiler.pipeline import PassFailure

_X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


class _CustomError(Exception):
    """An exception of the user's, with a constructor that takes two arguments."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(f"{what}: {code}")


def branches_on_a_tracer(x):
    if x.sum() > 0:  # here
        return x
    return -x


def float_of_a_tracer(x):
    return x * float(x[0, 0])  # here


def index_of_a_tracer(x):
    return [1, 2, 3][x.astype(int)[0, 0]]  # here


def numpy_call(x):
    return np.asarray(x) + 1  # here


def shape_from_a_value(x):
    return jnp.zeros(x.astype(int)[0, 0])  # here


def boolean_mask(x):
    return x[x > 0]  # here


def assigns_in_place(x):
    x[0] = 1  # here
    return x


def shape_error(x):
    return x @ x  # here


def broadcast_error(x):
    return x + jnp.ones(7)  # here


def error_in_a_scan(x):
    def body(carry, row):
        return carry + row @ row[:2], None  # here

    return lax.scan(body, jnp.zeros(3), x)


def carry_type_changes(x):
    return lax.while_loop(lambda s: s.sum() < 3, lambda s: s.astype(int), x)  # here


def branches_differ(x):
    return lax.cond(x.sum() > 0, lambda v: v, lambda v: v[0], x)  # here


def returns_a_string(x):
    return {"value": x, "name": "text"}


def returns_an_object(x):
    return object()


def raises_its_own(x):
    raise _CustomError(7, "custom")  # here


def raises_in_a_library(x):
    return jax.tree.map(lambda a, b: a + b, {"a": x}, {"b": x})  # here


def raises_key_error(x):
    return {"weights": x}["bias"]  # here


def asserts(x):
    assert x.shape == (3, 2), "wrong shape"  # here
    return x


def wrong_gradient(x):
    return jax.grad(lambda v: v * 2)(x)  # here


def unknown_axis(x):
    return lax.psum(x, "nobody")  # here


_MISTAKES = [
    branches_on_a_tracer, float_of_a_tracer, index_of_a_tracer, numpy_call, shape_from_a_value,
    boolean_mask, assigns_in_place, shape_error, broadcast_error, error_in_a_scan,
    carry_type_changes, branches_differ, returns_a_string, returns_an_object, raises_its_own,
    raises_in_a_library, raises_key_error, asserts, wrong_gradient, unknown_axis,
]  # fmt: skip


def _raised(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Exception:
    with pytest.raises(Exception) as error:
        f(*args, **kwargs)
    return error.value


def _message(error: BaseException) -> str:
    """The message without addresses, and without where in memory or in a trace it happened."""
    text = re.sub(r"0x[0-9a-f]+", "0x", str(error))
    return re.sub(r"JitTracer\S*|Traced<.*?>(with<.*?>)?", "tracer", text)


def _users_lines(error: BaseException) -> list[str | None]:
    frames = traceback.extract_tb(error.__traceback__)
    return [frame.line for frame in frames if frame.filename == __file__]


@pytest.mark.parametrize("make", [xl.compile, xl.optimize])
@pytest.mark.parametrize("f", _MISTAKES, ids=lambda f: f.__name__)
def test_the_users_mistakes(f: Callable[..., Any], make: Callable[..., Any]) -> None:
    want = _raised(jax.jit(f), _X)
    got = _raised(make(f), _X)
    assert type(got) is type(want)
    if make is xl.compile or "returns" not in f.__name__:
        assert _message(got) == _message(want)
    if any("# here" in (line or "") for line in _users_lines(want)):
        assert any("# here" in (line or "") for line in _users_lines(got))


@pytest.mark.parametrize("f", _MISTAKES, ids=lambda f: f.__name__)
def test_mistakes_found_by_tracing_and_lowering(f: Callable[..., Any]) -> None:
    want = type(_raised(jax.jit(f), _X))
    for verb in ("trace", "lower", "eval_shape"):
        assert type(_raised(getattr(xl.compile(f), verb), _X)) is want


def test_the_location_of_a_mistake_under_transformations() -> None:
    for error in (
        _raised(jax.grad(lambda x: xl.compile(shape_error)(x).sum()), _X),
        _raised(jax.vmap(xl.compile(error_in_a_scan)), _X[None]),
        _raised(xl.compile(lambda x: xl.compile(shape_error)(x)), _X),
    ):
        assert isinstance(error, TypeError)
        assert any("# here" in (line or "") for line in _users_lines(error))


def _two(x, y=1.0):
    return x + y


@pytest.mark.parametrize(
    ("args", "kwargs", "options"),
    [
        ((), {}, {}),
        ((_X, 1.0, 2.0), {}, {}),
        ((_X,), {"z": 1.0}, {}),
        ((_X, "text"), {}, {}),
        ((_X, object()), {}, {}),
        ((_X, np.array(["a"])), {}, {}),
        ((_X, np.array([None])), {}, {}),
        (({"a": _X}, 1.0), {}, {}),
        ((_X, [1]), {}, {"static_argnums": 1}),
        ((_X,), {"y": {}}, {"static_argnames": "y"}),
        ((_X, np.ones(2)), {}, {"static_argnums": 1}),
        ((_X, 2**40), {}, {}),
    ],
    ids=[
        "missing",
        "too many",
        "unknown keyword",
        "string",
        "object",
        "strings",
        "objects",
        "wrong tree",
        "unhashable",
        "unhashable by name",
        "array as static",
        "overflow",
    ],
)
def test_bad_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
) -> None:
    want = _raised(jax.jit(_two, **options), *args, **kwargs)
    got = _raised(xl.compile(_two, **options), *args, **kwargs)
    assert type(got) is type(want)
    assert _message(got) == _message(want)


@pytest.mark.parametrize(
    "options",
    [
        {"static_argnums": 5},
        {"static_argnames": "nobody"},
        {"donate_argnums": 5},
        {"donate_argnames": "nobody"},
        {"static_argnums": 0, "donate_argnums": 0},
        {"static_argnames": 3},
        {"in_shardings": 3},
    ],
    ids=str,
)
def test_bad_options(options: dict[str, Any]) -> None:
    want = _raised(lambda: jax.jit(_two, **options)(_X, 1.0))
    got = _raised(lambda: xl.compile(_two, **options)(_X, 1.0))
    assert type(got) is type(want)
    assert _message(got) == _message(want)


def _generator(x):
    yield x


@pytest.mark.parametrize(
    "value",
    [3, "text", [1], _generator, functools.partial(_generator, 1)],
    ids=["number", "text", "list", "generator", "part of a generator"],
)
def test_what_is_not_a_function_is_refused_as_by_jit(value: Any) -> None:
    want, got = _raised(jax.jit, value), _raised(xl.compile, value)
    assert type(got) is type(want)
    assert _message(got) == _message(want)


@pytest.mark.parametrize("value", [3, "text", [1]], ids=str)
def test_what_is_not_a_function_is_not_optimized(value: Any) -> None:
    assert type(_raised(lambda: xl.optimize(value)(_X))) is TypeError


def test_a_mistake_leaves_nothing_behind() -> None:
    compiled = xl.compile(lambda x: x @ x)
    _raised(compiled, _X)
    np.testing.assert_allclose(compiled(_X[:, :2]), _X[:, :2] @ _X[:, :2], rtol=1e-6)
    _raised(compiled, _X)


def test_an_aot_program_refuses_other_arguments() -> None:
    want = _raised(jax.jit(_two).lower(_X).compile(), _X[0])
    got = _raised(xl.compile(_two).lower(_X).compile(), _X[0])
    assert type(got) is type(want)
    assert _message(got) == _message(want)
    want = _raised(jax.jit(_two).lower(_X).compile(), {"x": _X})
    assert type(_raised(xl.compile(_two).lower(_X).compile(), {"x": _X})) is type(want)


def test_nans_are_found_at_the_users_line() -> None:
    def f(x):
        return jnp.log(x)  # here

    with jax.debug_nans(True):
        want, got = _raised(jax.jit(f), _X), _raised(xl.compile(f), _X)
    assert type(got) is type(want) is FloatingPointError


def test_errors_of_callbacks_reach_the_user() -> None:
    def f(x):
        def fails(v):
            raise _CustomError(3, "in the callback")

        return jax.pure_callback(fails, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    want = _raised(lambda: jax.block_until_ready(jax.jit(f)(_X)))
    got = _raised(lambda: jax.block_until_ready(xl.compile(f)(_X)))
    assert type(got) is type(want)
    assert "in the callback" in str(got)


class _Defect(Exception):
    """An error that only the compiler can have made."""


def _breaks(self, graph):
    raise _Defect("no such node")


def _returns_a_broken_graph(self, graph):
    return dataclasses.replace(graph, results=())


def _program(x):
    return jax.grad(lambda x: jnp.sum(jnp.tanh(x * 1) ** 2))(x), lax.cumsum(x)


@pytest.mark.parametrize("make", [xl.compile, xl.optimize])
@pytest.mark.parametrize("defect", [_breaks, _returns_a_broken_graph])
def test_a_failing_pass_is_left_out_with_one_warning(
    make: Callable[..., Any], defect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XLATHE_STRICT")
    monkeypatch.setattr(Normalise, "__call__", defect)
    compiled = make(_program)
    with pytest.warns(PassFailure if defect is _breaks else UserWarning) as caught:
        got = compiled(_X)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, jax.jit(_program)(_X)
    )
    if defect is _breaks:
        assert "Normalise" in str(caught[0].message)
        assert "_Defect: no such node" in str(caught[0].message)
        assert len(caught) == 1


@pytest.mark.parametrize("make", [xl.compile, xl.optimize])
def test_a_failing_pass_raises_in_strict_mode(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLATHE_STRICT", "1")
    monkeypatch.setattr(Normalise, "__call__", _breaks)
    with pytest.raises(_Defect, match="no such node"):
        make(_program)(_X)


def test_the_failure_is_in_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLATHE_STRICT")
    monkeypatch.setattr(Normalise, "__call__", _breaks)
    with pytest.warns(PassFailure):
        traced = xl.compile(_program).trace(_X)
    assert [record.name for record in traced.passes if record.failure] == ["Normalise"]
    assert "no such node" in traced.explain()


def test_a_failing_printer_leaves_the_program_as_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **kwargs: Any) -> Any:
        raise _Defect("cannot be printed")

    monkeypatch.delenv("XLATHE_STRICT")
    monkeypatch.setattr("xlathe.runtime.program.lower", fails)
    with pytest.warns(xl.NotOptimized, match="cannot be printed"):
        got = xl.compile(_program)(_X)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, jax.jit(_program)(_X)
    )
    monkeypatch.setenv("XLATHE_STRICT", "1")
    with pytest.raises(_Defect):
        xl.compile(_program)(_X)


def test_a_failing_printer_does_not_repeat_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def f(x):
        jax.debug.callback(lambda v: seen.append(float(v)), x[0, 0])
        return x + 1

    monkeypatch.delenv("XLATHE_STRICT")
    monkeypatch.setattr(Normalise, "__call__", _breaks)
    with pytest.warns(PassFailure):
        xl.compile(f)(_X)
    jax.effects_barrier()
    assert seen == [-1.0]
