"""Options: which are xlathe's, which are jit's, and what is said of the others."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import pytest

import xlathe as xl
from xlathe.runtime.options import Options, split_options


def test_options_are_parted():
    own, for_jit = split_options({"numerics": "strict", "static_argnums": 1, "inline": True})
    assert own == Options(numerics="strict")
    assert for_jit == {"static_argnums": 1, "inline": True}


def test_every_option_of_jit_is_taken():
    for name in list(inspect.signature(jax.jit).parameters)[1:]:
        assert split_options({name: None}) == (Options(), {name: None})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"static_argnum": 1}, r"'static_argnum'\. Did you mean 'static_argnums'\?"),
        ({"numeric": "strict"}, r"'numeric'\. Did you mean 'numerics'\?"),
        ({"colour": 1}, r"'colour'\. The options are: numerics, target, precision, in_shardings"),
        ({"function": 1}, r"'function'\. "),
    ],
)
def test_an_unknown_option_is_refused_with_the_known_ones(options: dict[str, Any], message: str):
    with pytest.raises(TypeError, match=f"Unknown option {message}"):
        split_options(options)
    with pytest.raises(TypeError, match=f"Unknown option {message}"):
        xl.compile(lambda x: x, **options)


def test_optimize_takes_none_of_jits_options():
    message = r"'static_argnums'\. The options are: numerics, target, precision\."
    with pytest.raises(TypeError, match=message):
        xl.optimize(lambda x: x, static_argnums=0)


@pytest.mark.parametrize("value", ["exact", "", None, 1, "Strict"])
def test_numerics_takes_its_classes_only(value: Any):
    with pytest.raises(ValueError, match="must be one of 'strict', 'relaxed', 'finite', got"):
        Options(numerics=value)


def test_target_takes_its_names_only():
    with pytest.raises(ValueError, match="target must be one of 'cpu', 'gpu', 'tpu-v5e-1', got"):
        xl.compile(lambda x: x, target="tpu-v9")
    assert Options(target="gpu").steps() != Options(target="cpu").steps()


def test_options_without_effect_are_known():
    assert not Options().idle([])
    assert list(Options(numerics="finite").idle([])) == ["numerics='finite'"]
    assert Options().steps()
