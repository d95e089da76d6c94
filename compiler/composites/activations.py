"""Activations: what `jax.nn` has a name for, and other ways to write the same."""

from __future__ import annotations

import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax

from xlathe.compiler.composites.form import (
    Form,
    Readers,
    Reading,
    above,
    axis_of,
    elementwise,
    number,
)
from xlathe.compiler.ir import Node

_PRODUCTS = frozenset(["add", "mul", "copy"])
_LOG_OF_SUM = "logaddexp"


def _gelu(item: Node, readers: Readers) -> Iterator[Reading]:
    """The product that x and the hyperbolic tangent or error function of a multiple meet in."""
    if item.inputs[0].operation not in ("mul", "div"):
        return
    for root in above(item, readers, _PRODUCTS, most=4):
        if root.operation in ("mul", "copy"):
            yield elementwise(root)


def _gated_by_itself(item: Node, readers: Readers) -> Iterator[Reading]:
    """Read `x * f(x)`."""
    yield from _gated(item, readers, item.inputs[0])


def _gated_by_multiple(item: Node, readers: Readers) -> Iterator[Reading]:
    """Read `x * f(1.702 * x)`."""
    multiple = item.inputs[0]
    if multiple.operation == "mul" and number(multiple.inputs[0]) is not None:
        yield from _gated(item, readers, multiple.inputs[1])


def _gated_by_softplus(item: Node, readers: Readers) -> Iterator[Reading]:
    """Read `x * tanh(softplus(x))`."""
    inner = item.inputs[0]
    if inner.operation == "log1p" and inner.inputs[0].operation == "exp":
        yield from _gated(item, readers, inner.inputs[0].inputs[0])
    elif _is_log_of_sum(inner):
        yield from _gated(item, readers, inner.inputs[0])


def _gated(item: Node, readers: Readers, x: Node) -> Iterator[Reading]:
    for root in dict.fromkeys(readers.get(item, ())):
        if root.operation == "mul" and x in root.inputs:
            yield elementwise(root)


def _is_log_of_sum(item: Node) -> bool:
    return item.operation == "custom_jvp" and item["name"] == _LOG_OF_SUM


def _log_of_sum(item: Node, readers: Readers) -> Iterator[Reading]:
    if _is_log_of_sum(item):
        yield elementwise(item)


def _negated_log_of_sum(item: Node, readers: Readers) -> Iterator[Reading]:
    if _is_log_of_sum(item) and item.inputs[0].operation == "neg":
        for root in above(item, readers, frozenset(["neg"]), most=1):
            yield elementwise(root)


def _of_relu6(item: Node, readers: Readers) -> Iterator[Reading]:
    if item["name"] == "relu6" and item.inputs[0].operation == "add":
        for root in above(item, readers, frozenset(["div", "mul"]), most=2):
            yield elementwise(root)


def _of_exponential(item: Node, readers: Readers) -> Iterator[Reading]:
    if item.inputs[0].operation == "exp":
        yield elementwise(item)


def _of_one_and_exponential(item: Node, readers: Readers) -> Iterator[Reading]:
    """Read `f(1 + exp(x))` and `y / (1 + exp(x))`."""
    added = item.inputs[-1]
    if added.operation == "add" and any(side.operation == "exp" for side in added.inputs):
        yield elementwise(item)


def _leaky_relu(item: Node, readers: Readers) -> Iterator[Reading]:
    """Read `select_n(x >= 0, slope * x, x)`."""
    predicate, scaled, *_ = item.inputs
    if predicate.operation in ("ge", "gt") and scaled.operation == "mul":
        slope = number(scaled.inputs[0])
        if slope is not None:
            yield elementwise(item, negative_slope=slope)


def _elu(item: Node, readers: Readers) -> Iterator[Reading]:
    """Read `select_n(x > 0, alpha * expm1(...), x)`."""
    predicate, below, *_ = item.inputs
    if predicate.operation not in ("ge", "gt"):
        return
    if below.operation in ("expm1", "sub"):
        yield elementwise(item)
    elif below.operation == "mul":
        alpha = number(below.inputs[0])
        if alpha is not None:
            yield elementwise(item, alpha=alpha)


def _selu(item: Node, readers: Readers) -> Iterator[Reading]:
    """Read `scale * select_n(x > 0, alpha * expm1(...), x)`."""
    for root in above(item, readers, frozenset(["mul", "select_n"]), most=3):
        if root.operation == "mul" and any(x.operation == "select_n" for x in root.inputs):
            yield elementwise(root)


def _glu(item: Node, readers: Readers) -> Iterator[Reading]:
    """The first half of an array, gated by the second."""
    half = item.inputs[0]
    if half.operation != "get" or half.inputs[0].operation != "split":
        return
    source = half.inputs[0].inputs[0]
    axis = axis_of([half.inputs[0]["axis"]], source.type.rank)
    for root in dict.fromkeys(readers.get(item, ())):
        if root.operation == "mul":
            yield Reading(root, (source,), (source.type,), (("axis", axis),))


def _one_hot(item: Node, readers: Readers) -> Iterator[Reading]:
    same = item.inputs[0]
    if same.operation != "eq" or same.inputs[1].operation != "iota":
        return
    labels, places = same.inputs
    if labels.operation != "broadcast_in_dim":
        return
    (x,) = labels.inputs
    axis = places["dimension"]
    keywords = (
        ("num_classes", places.type.shape[axis]),
        ("dtype", item.type.dtype),
        ("axis", axis_of([axis], item.type.rank)),
    )
    yield Reading(item, (x,), (x.type,), keywords)


def _tanh_gelu(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + jnp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _tanh_gelu_by_products(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + jnp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def _tanh_gelu_factored(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + jnp.tanh(math.sqrt(2 / math.pi) * x * (1 + 0.044715 * x**2)))


def _erf_gelu(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + lax.erf(x / math.sqrt(2)))


def _erf_gelu_by_product(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + lax.erf(x * math.sqrt(0.5)))


def _erf_gelu_halved_last(x: jax.Array) -> jax.Array:
    return x * 0.5 * (1 + lax.erf(x / math.sqrt(2)))


def _erf_gelu_of_cdf(x: jax.Array) -> jax.Array:
    return x * (0.5 * (1 + lax.erf(x / math.sqrt(2))))


def _quick_gelu(x: jax.Array) -> jax.Array:
    return x * jax.nn.sigmoid(1.702 * x)


def _sigmoid(x: jax.Array) -> jax.Array:
    return 1 / (1 + jnp.exp(-x))


def _silu(x: jax.Array) -> jax.Array:
    return x / (1 + jnp.exp(-x))


def _softplus(x: jax.Array) -> jax.Array:
    return jnp.log1p(jnp.exp(x))


def _plain_softplus(x: jax.Array) -> jax.Array:
    return jnp.log(1 + jnp.exp(x))


def _mish(x: jax.Array) -> jax.Array:
    return x * jnp.tanh(jnp.log1p(jnp.exp(x)))


def _open_leaky_relu(x: jax.Array, negative_slope: float = 0.01) -> jax.Array:
    return jnp.where(x > 0, x, negative_slope * x)


def _plain_elu(x: jax.Array, alpha: float = 1.0) -> jax.Array:
    return jnp.where(x > 0, x, alpha * jnp.expm1(x))


def _elu_of_exponential(x: jax.Array, alpha: float = 1.0) -> jax.Array:
    return jnp.where(x > 0, x, alpha * (jnp.exp(x) - 1))


FORMS = (
    Form("gelu", jax.nn.gelu, "tanh", _gelu, "jax.nn.gelu"),
    Form("gelu", jax.nn.gelu, "erfc", _gelu, "jax.nn.gelu", fixed=(("approximate", False),)),
    *(
        Form("gelu", function, "tanh", _gelu)
        for function in (_tanh_gelu, _tanh_gelu_by_products, _tanh_gelu_factored)
    ),
    *(
        Form("gelu", function, "erf", _gelu)
        for function in (_erf_gelu, _erf_gelu_by_product, _erf_gelu_of_cdf)
    ),
    Form("glu", jax.nn.glu, "logistic", _glu, "jax.nn.glu"),
    Form("silu", jax.nn.silu, "logistic", _gated_by_itself, "jax.nn.silu"),
    Form("silu", _silu, "div", _of_one_and_exponential),
    Form("quick_gelu", _quick_gelu, "logistic", _gated_by_multiple),
    Form("sigmoid", _sigmoid, "div", _of_one_and_exponential),
    Form("mish", jax.nn.mish, "tanh", _gated_by_softplus, "jax.nn.mish"),
    Form("mish", _mish, "tanh", _gated_by_softplus),
    Form(
        "log_sigmoid", jax.nn.log_sigmoid, "custom_jvp", _negated_log_of_sum, "jax.nn.log_sigmoid"
    ),
    Form("softplus", jax.nn.softplus, "custom_jvp", _log_of_sum, "jax.nn.softplus"),
    Form("softplus", _softplus, "log1p", _of_exponential),
    Form("softplus", _plain_softplus, "log", _of_one_and_exponential),
    Form("hard_silu", jax.nn.hard_silu, "custom_jvp", _of_relu6, "jax.nn.hard_silu"),
    Form("hard_sigmoid", jax.nn.hard_sigmoid, "custom_jvp", _of_relu6, "jax.nn.hard_sigmoid"),
    Form("leaky_relu", jax.nn.leaky_relu, "select_n", _leaky_relu, "jax.nn.leaky_relu"),
    Form("leaky_relu", _open_leaky_relu, "select_n", _leaky_relu),
    Form("selu", jax.nn.selu, "expm1", _selu, "jax.nn.selu"),
    Form("elu", jax.nn.elu, "select_n", _elu, "jax.nn.elu"),
    Form("elu", _plain_elu, "select_n", _elu),
    Form("elu", _elu_of_exponential, "select_n", _elu),
    Form("one_hot", jax.nn.one_hot, "convert_element_type", _one_hot, "jax.nn.one_hot"),
)
"""The forms, in the order in which they are tried."""
