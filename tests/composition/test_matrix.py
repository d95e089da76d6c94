"""The composition matrix: every kind of function, every transformation, on either side.

A cell builds the same thing in several ways: the transformation outside a compiled or optimised
function, inside one, and on both sides. Each must give what the transformation of plain `jax.jit`
gives. All are evaluated in one program, for XLA's compile time is nearly all of this test's.
"""

from __future__ import annotations

from typing import Any

import jax
import pytest

import xlathe as xl

from .checks import Outcome, assert_same, assert_same_outcome, outcome
from .kinds import KINDS, Function, Kind
from .transformations import TRANSFORMATIONS

_QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
_WITH_EFFECTS = {"debug_print", "unordered_io", "ordered_effects", "pure_callback"}


def _ways(kind: Kind, name: str) -> dict[str, Function]:
    transform, plain = TRANSFORMATIONS[name], kind.build(lambda f: f)
    return {
        "jit": transform(kind.build(jax.jit), kind),
        "outside compile": transform(kind.build(xl.compile), kind),
        "outside optimize": transform(kind.build(xl.optimize), kind),
        "inside compile": xl.compile(transform(plain, kind)),
        "inside optimize": xl.optimize(transform(plain, kind)),
        "both": xl.compile(transform(kind.build(xl.compile), kind)),
    }


def _named(way: str, f: Function, args: tuple[Any, ...]) -> Any:
    try:
        return f(*args)
    except Exception as error:
        error.add_note(f"while building: {way}")
        raise


def _every_fifth(cells: list[tuple[str, str]]) -> list[Any]:
    """The cells, every fifth one of each row and column by default, the others in the sweep."""
    kinds, names = list(KINDS), list(TRANSFORMATIONS)
    slow = [pytest.mark.slow]
    return [
        pytest.param(kind, name, marks=slow if (kinds.index(kind) + names.index(name)) % 5 else [])
        for kind, name in cells
    ]


_REFUSED = [(kind, name) for kind in KINDS for name in sorted(KINDS[kind].refuses)]
_PURE = [
    (kind, name)
    for kind in KINDS
    for name in TRANSFORMATIONS
    if kind not in _WITH_EFFECTS and name not in KINDS[kind].refuses
]
_LOST_BY_JAX = {("ordered_effects", "custom_jvp")}
"""JAX itself drops the effects of a loop that a differentiated custom_jvp function runs."""

_EFFECTFUL = [
    (kind, name)
    for kind in sorted(_WITH_EFFECTS)
    for name in TRANSFORMATIONS.keys() - KINDS[kind].refuses
    if (kind, name) not in _LOST_BY_JAX
]


@pytest.mark.parametrize(("kind", "name"), _every_fifth(_PURE))
def test_same_as_jit(kind: str, name: str) -> None:
    ways, args = _ways(KINDS[kind], name), KINDS[kind].args()

    def program(*args: Any) -> dict[str, Any]:
        return {way: _named(way, f, args) for way, f in ways.items()}

    results = jax.jit(program, compiler_options=_QUICK)(*args)
    for way, got in results.items():
        try:
            assert_same(got, results["jit"], KINDS[kind].tolerance)
        except AssertionError as error:
            error.add_note(way)
            raise


@pytest.mark.parametrize(("kind", "name"), _every_fifth(sorted(_EFFECTFUL)))
def test_effects_happen_once_and_in_order(kind: str, name: str) -> None:
    args, ordered = KINDS[kind].args(), KINDS[kind].ordered and "shard_map" not in name
    ways = _ways(KINDS[kind], name)

    def result(way: str) -> Outcome:
        return outcome(jax.jit(ways[way], compiler_options=_QUICK), *args)

    want = result("jit")
    assert want.error is None
    for way in ("outside compile", "outside optimize", "inside compile"):
        assert_same_outcome(result(way), want, ordered=ordered)


@pytest.mark.parametrize(("kind", "name"), _REFUSED)
def test_refused_as_by_jit(kind: str, name: str) -> None:
    ways, args = _ways(KINDS[kind], name), KINDS[kind].args()
    want = outcome(jax.jit(ways.pop("jit")), *args)
    assert want.error is not None
    for f in ways.values():
        assert_same_outcome(outcome(jax.jit(f), *args), want)


@pytest.mark.parametrize("name", ["grad", "jvp", "linearize", "vmap", "scan", "cond", "shard_map"])
def test_called_eagerly(name: str) -> None:
    kind = KINDS["custom_jvp"]
    ways = _ways(kind, name)
    want = outcome(ways["jit"], *kind.args())
    assert want.error is None
    for way in ("outside compile", "outside optimize", "inside compile"):
        assert_same_outcome(outcome(ways[way], *kind.args()), want)
