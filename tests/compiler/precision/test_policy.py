"""What the option `precision` takes, and which products it is about."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl
from xlathe.compiler.ir import Origin
from xlathe.compiler.precision.policy import Policy, is_candidate, objection
from xlathe.tracer.capture import capture

X = jnp.ones((4, 8))


def product(function: Any, *arguments: Any) -> Any:
    graph = capture(function, *arguments).graph
    return next(item for item in graph.nodes if item.operation == "dot_general")


def test_it_is_read():
    assert Policy.read(None) is None
    assert Policy.read("bfloat16") == Policy("bfloat16")
    assert Policy.read({"default": "float16", "head": "float32"}) == Policy(
        "float16", (("head", "float32"),)
    )
    assert Policy.read({"head": "bfloat16"}) == Policy("float32", (("head", "bfloat16"),))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("bf16", "one of 'bfloat16', 'float16', 'tensorfloat32', 'float32', or .* got 'bf16'"),
        (16, "got 16"),
        (True, "got True"),
        ({"head": "half"}, "got 'half'"),
        ({"head": None}, "got None"),
        ({1: "float32"}, "patterns of name scopes as keys, got 1"),
        ({"": "float32"}, "patterns of name scopes as keys, got ''"),
        ({"default": "bfloat16", "head": "float16"}, "mixes 'bfloat16' and 'float16'"),
    ],
)
def test_what_it_does_not_take_is_refused(value: Any, message: str):
    with pytest.raises(ValueError, match=message):
        xl.compile(lambda x: x, precision=value)
    with pytest.raises(ValueError, match=message):
        xl.optimize(lambda x: x, precision=value)


def test_its_low_precision_is_known():
    assert Policy("bfloat16").dtype == jnp.bfloat16
    assert Policy("tensorfloat32", (("head", "float16"),)).dtype == np.float16
    assert Policy("tensorfloat32").dtype is None


@pytest.mark.parametrize(
    ("pattern", "scope", "fits"),
    [
        ("decoder", "jvp(decoder)", True),
        ("decoder", "transpose(jvp(decoder))", True),
        ("decoder", "model/decoder/block_0", True),
        ("decoder/*", "model/decoder", True),
        ("decoder/*", "model/decoder/block_0", True),
        ("block_?", "model/decoder/block_0", True),
        ("*/block_0", "model/decoder/block_0", True),
        ("dot_general", "", True),
        ("conv_general_dilated", "decoder", False),
        ("decoder", "encoder", False),
        ("decoder", "decoders", False),
        ("block_0/decoder", "decoder/block_0", False),
    ],
)
def test_patterns_name_scopes_and_operations(pattern: str, scope: str, fits: bool):
    item = product(lambda x: x @ x.T, X)
    policy = Policy("bfloat16", ((pattern, "float32"),))
    asked = policy.asked(item, Origin(scope=scope))
    assert asked == (("float32", pattern) if fits else ("bfloat16", ""))


def test_the_first_pattern_that_fits_decides():
    item = product(lambda x: x @ x.T, X)
    policy = Policy("bfloat16", (("head", "float32"), ("*", "tensorfloat32")))
    assert policy.asked(item, Origin(scope="head")) == ("float32", "head")
    assert policy.asked(item, Origin(scope="body")) == ("tensorfloat32", "*")


@pytest.mark.parametrize("dtype", ["int32", "complex64", "bfloat16", "float16"])
def test_products_of_other_types_are_none_of_its_business(dtype: str):
    x = X.astype(dtype)
    assert not is_candidate(product(lambda x: x @ x.T, x))
    assert is_candidate(product(lambda x: x @ x.T, X))


def test_products_of_float64_are_none_of_its_business():
    with jax.enable_x64(True):
        assert not is_candidate(product(lambda x: x @ x.T, X.astype("float64")))


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x @ x.T, ""),
        (lambda x: x @ x[0], ""),
        (lambda x: jnp.matmul(x, x.T, precision="default"), ""),
        (lambda x: jnp.matmul(x, x.T, precision="highest"), "its precision is set by hand"),
        (lambda x: jnp.einsum("ij,ik->ijk", x, x), "nothing is summed in it"),
        (lambda x: x[:, :1] @ x[:1], "nothing is summed in it"),
        (lambda x: jnp.vdot(x, x), "it is a sum, with no axis of its own on either side"),
        (lambda x: jnp.einsum("bi,bi->b", x, x), "it is a sum"),
    ],
)
def test_some_products_are_better_left_alone(function: Any, reason: str):
    graph = capture(function, X).graph
    found = [objection(item) for item in graph.nodes if is_candidate(item)]
    assert [text.startswith(reason) for text in found] == [True] * len(found)
    assert all(bool(text) == bool(reason) for text in found)
