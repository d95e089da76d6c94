"""precision=: what programs compute with it, and what they learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax
from sklearn.datasets import load_digits

import xlathe as xl
from xlathe.compiler.ir import verify
from xlathe.compiler.pipeline import pipeline

from .random_programs.generator import FLOATS, random_program

TOLERANCE = {"bfloat16": 0.02, "float16": 0.003}


def random(*shape: int, seed: int = 0) -> jax.Array:
    values = np.random.default_rng(seed).normal(size=shape) / np.sqrt(shape[-1])
    return jnp.asarray(values, jnp.float32)


def attention(p, x):
    q, k, v = jnp.split(x @ p["qkv"] + p["b"], 3, axis=-1)
    weights = jax.nn.softmax(jnp.einsum("bqd,bkd->bqk", q, k) / 4.0)
    return jnp.einsum("bqk,bkd->bqd", weights, v) @ p["out"]


def layers(weights, x):
    def layer(h, w):
        return h + jax.nn.gelu(h @ w[0] + w[1]) @ w[2], None

    return lax.scan(jax.checkpoint(layer), x, weights)[0]


def recurrent(p, x):
    def cell(state, inputs):
        state = jnp.tanh(inputs @ p[0] + state @ p[1] + p[2])
        return state, state

    return lax.scan(cell, jnp.zeros((4, 16)), x)


def convolutions(p, x):
    for kernel in p:
        x = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=NHWC)
        x = jnp.tanh(x)
        x = lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return x


def tied(p, tokens):
    logits = jax.nn.gelu(p["table"][tokens] @ p["w"]) @ p["table"].T
    return optax.softmax_cross_entropy_with_integer_labels(logits, tokens)


def branches(p, x):
    return lax.cond(x[0, 0] > 0, lambda: jnp.tanh(x @ p) @ p, lambda: x @ p.T)


NHWC = ("NHWC", "HWIO", "NHWC")
PROGRAMS: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    "attention": (
        attention,
        {"qkv": random(16, 48), "b": random(48), "out": random(16, 16, seed=1)},
        random(2, 32, 16, seed=2),
    ),
    "layers": (
        layers,
        (random(3, 16, 32), random(3, 32, seed=1), random(3, 32, 16, seed=2)),
        random(16, 16, seed=3),
    ),
    "recurrent": (recurrent, (random(8, 16), random(16, 16), random(16)), random(6, 4, 8, seed=3)),
    "convolutions": (
        convolutions,
        (random(3, 3, 4, 8), random(3, 3, 8, 8, seed=1)),
        random(2, 8, 8, 4, seed=2),
    ),
    "tied": (
        tied,
        {"table": random(32, 16), "w": random(16, 16, seed=1)},
        jnp.arange(24).reshape(4, 6) % 32,
    ),
    "branches": (branches, random(8, 8), random(4, 8, seed=1)),
}


def step_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The sum of squares of a program's results, and its gradient."""

    def loss(p, x):
        return sum((leaf**2).sum() for leaf in jax.tree.leaves(function(p, x)))

    return jax.value_and_grad(loss)


def distance(got: Any, wanted: Any) -> float:
    """The greatest relative distance of two trees of arrays, whose types must agree."""
    found = 0.0
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        one, other = jnp.asarray(one), jnp.asarray(other)
        assert (one.dtype, one.shape, one.weak_type) == (other.dtype, other.shape, other.weak_type)
        found = max(found, float(jnp.linalg.norm(one - other) / jnp.linalg.norm(other)))
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_from_inside_and_outside_are_near_those_of_float32(name: str):
    function, p, x = PROGRAMS[name]
    step = step_of(function)
    wanted = jax.jit(step)(p, x)
    inside = xl.compile(step, precision="bfloat16")
    verify(inside.trace(p, x).graph)
    assert 0 < distance(inside(p, x), wanted) < TOLERANCE["bfloat16"]
    outside = jax.jit(step_of(xl.optimize(function, precision="bfloat16")))
    assert 0 < distance(outside(p, x), wanted) < 2 * TOLERANCE["bfloat16"]


@pytest.mark.parametrize("name", ["attention", "recurrent"])
def test_float16_is_nearer(name: str):
    function, p, x = PROGRAMS[name]
    found = distance(xl.compile(function, precision="float16")(p, x), jax.jit(function)(p, x))
    assert 0 < found < TOLERANCE["float16"]


def test_it_composes_with_vmap():
    p, x = random(3, 8, 8), random(4, 8, seed=1)
    mapped = jax.vmap(branches, in_axes=(0, None))
    wanted = jax.jit(mapped)(p, x)
    inside = xl.compile(mapped, precision="bfloat16")(p, x)
    outside = jax.vmap(xl.optimize(branches, precision="bfloat16"), in_axes=(0, None))(p, x)
    assert 0 < distance(inside, wanted) < TOLERANCE["bfloat16"]
    assert 0 < distance(outside, wanted) < TOLERANCE["bfloat16"]


@pytest.mark.parametrize("name", ["layers", "tied"])
def test_it_is_off_by_default(name: str):
    function, p, x = PROGRAMS[name]
    step = step_of(function)
    assert not {"Autocast", "FindPromotions"} & {item.name for item in pipeline()}
    plain = xl.compile(step).trace(p, x)
    for precision in (None, "float32"):
        asked = xl.compile(step, precision=precision).trace(p, x)
        assert asked.graph == plain.graph
        assert asked.as_text("python") == plain.as_text("python")


def test_explain_counts_products_and_says_which_stay_and_why():
    def f(p, x):
        with jax.named_scope("head"):
            y = x @ p
        return jnp.tanh(jnp.tanh(y) @ p) @ p

    precision = {"default": "bfloat16", "head": "float32"}
    text = xl.compile(f, precision=precision).trace(random(8, 8), random(4, 8)).explain()
    assert "1 x product of bfloat16, summed in float32 and rounded" in text
    assert "1 x product of bfloat16, summed and kept in float32" in text
    assert "the product stays in float32: precision['head'] keeps it" in text
    assert "options without effect" not in text


@pytest.mark.parametrize("precision", ["bfloat16", "tensorfloat32", {"head": "bfloat16"}])
def test_explain_says_where_nothing_is_cast(precision: Any):
    function = jnp.sin if precision == "bfloat16" else branches
    arguments = (random(4, 8),) if precision == "bfloat16" else (random(8, 8), random(4, 8))
    compiled = xl.compile(function, precision=precision, target="cpu")
    text = compiled.trace(*arguments).explain()
    assert f"precision={precision!r}: no product of float32 arrays is computed otherwise" in text


def differentiated(program: Callable[..., Any]) -> Callable[..., Any]:
    """The gradient of what a random program makes of its real inputs."""

    def f(*inputs):
        def loss(floats):
            given = list(inputs)
            for index, value in zip(FLOATS, floats, strict=True):
                given[index] = value
            leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(program(*given))]
            real = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in real)

        return jax.grad(loss)([inputs[index] for index in FLOATS])

    return f


def check_random_program(seed: int) -> None:
    program = random_program(seed)
    inputs = program.inputs(seed)
    for function in (program.function, differentiated(program.function)):
        try:
            wanted = jax.jit(function)(*inputs)
        except Exception:
            continue
        compiled = xl.compile(function, precision="bfloat16")
        verify(compiled.trace(*inputs).graph)
        got = compiled(*inputs)
        for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
            if jnp.issubdtype(other.dtype, jax.dtypes.prng_key):
                one, other = jax.random.key_data(one), jax.random.key_data(other)
            one, other = np.asarray(one), np.asarray(other)
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            if one.dtype.kind == "f" and one.size:
                far = np.abs(one - other).max() / (1 + np.abs(other).max())
                assert far < 0.1 or not np.isfinite(far)


@pytest.mark.parametrize("seed", range(500, 504))
def test_random_programs(seed: int):
    check_random_program(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 1200, 10))
def test_more_random_programs(first: int):
    for seed in range(first, first + 10):
        check_random_program(seed)


def train(loss: Callable[..., Any], params: Any, batches: Any, precision: str | None) -> float:
    """Train for one batch after the other, and return the mean loss of the last eighth."""
    optimizer = optax.adam(3e-3)

    def step(params, state, *batch):
        value, grads = jax.value_and_grad(loss)(params, *batch)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    compiled = xl.compile(step, precision=precision)
    state, losses = optimizer.init(params), []
    for batch in batches:
        params, state, value = compiled(params, state, *batch)
        losses.append(value)
    return float(np.mean(losses[-len(losses) // 8 :]))


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def digits(steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    rng = np.random.default_rng(0)
    picks = [rng.integers(len(pixels), size=64) for _ in range(steps)]
    return [(pixels[pick], labels[pick].astype(np.int32)) for pick in picks]


def mlp_loss(p, pixels, labels):
    hidden = jax.nn.relu(pixels @ p["w1"] + p["b1"])
    return cross_entropy(hidden @ p["w2"] + p["b2"], labels)


def cnn_loss(p, pixels, labels):
    x = pixels.reshape(-1, 8, 8, 1)
    for kernel in p["kernels"]:
        x = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=NHWC)
        x = jax.nn.relu(x)
        n, h, w, c = x.shape
        x = x.reshape(n, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))
    return cross_entropy(x.reshape(len(x), -1) @ p["w"] + p["b"], labels)


def transformer(blocks, x, mask):
    """Blocks of a pre-norm transformer; where the mask is false, a query sees no key."""
    for block in blocks:
        normed = jax.nn.standardize(x)
        q, k, v = ((normed @ block[name]).reshape(*x.shape[:2], 2, 16) for name in ("q", "k", "v"))
        scores = jnp.where(mask, jnp.einsum("bqhd,bkhd->bhqk", q, k) / 4.0, -jnp.inf)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v)
        x = x + mixed.reshape(x.shape) @ block["out"]
        x = x + jax.nn.gelu(jax.nn.standardize(x) @ block["up"]) @ block["down"]
    return jax.nn.standardize(x)


def transformer_blocks(seed: int = 0) -> Any:
    shapes = {name: (32, 32) for name in ("q", "k", "v", "out")}
    shapes |= {"up": (32, 128), "down": (128, 32)}
    keys = [(name, shape, seed) for seed, (name, shape) in enumerate(shapes.items(), 100 * seed)]
    return [
        {name: random(*shape, seed=10 * i + seed) / 2 for name, shape, seed in keys}
        for i in range(2)
    ]


def lm_loss(p, tokens):
    x = p["table"][tokens[:, :-1]] + p["places"]
    x = transformer(p["blocks"], x, jnp.tril(jnp.ones((x.shape[1], x.shape[1]), bool)))
    return cross_entropy(x @ p["table"].T, tokens[:, 1:])


def lm_parameters() -> Any:
    table, places = random(128, 32) / 2, random(32, 32, seed=9) / 2
    return {"table": table, "places": places, "blocks": transformer_blocks()}


def vit_loss(p, pixels, labels):
    patches = pixels.reshape(-1, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 16, 4)
    x = transformer(p["blocks"], patches @ p["patch"] + p["places"], True)
    return cross_entropy(x.mean(axis=1) @ p["head"], labels)


def text(steps: int) -> list[tuple[np.ndarray]]:
    source = (
        Path(optax.__file__).with_name("__init__.py").read_text(encoding="ascii", errors="ignore")
    )
    letters = np.frombuffer(source.encode(), np.uint8).astype(np.int32)
    rng = np.random.default_rng(0)
    starts = [rng.integers(len(letters) - 33, size=16) for _ in range(steps)]
    return [(np.stack([letters[s : s + 33] for s in start]),) for start in starts]


def test_a_network_learns_digits_as_well():
    p = {"w1": random(64, 64), "b1": jnp.zeros(64), "w2": random(64, 10), "b2": jnp.zeros(10)}
    batches = digits(240)
    wanted = train(mlp_loss, p, batches, None)
    assert wanted < 0.3
    assert train(mlp_loss, p, batches, "bfloat16") < 1.01 * wanted


@pytest.mark.slow
def test_a_language_model_learns_letters_as_well():
    batches = text(120)
    wanted = train(lm_loss, lm_parameters(), batches, None)
    assert wanted < 3.2
    assert train(lm_loss, lm_parameters(), batches, "bfloat16") < 1.01 * wanted


@pytest.mark.slow
def test_a_convolutional_network_learns_digits_as_well():
    batches = digits(250)
    ratios = []
    for seed in range(4):
        kernels = [random(3, 3, 1, 16, seed=seed), random(3, 3, 16, 32, seed=seed) / 3]
        p = {"kernels": kernels, "w": random(128, 10, seed=seed), "b": jnp.zeros(10)}
        part = batches[50 * seed : 50 * seed + 100]
        wanted = train(cnn_loss, p, part, None)
        assert wanted < 0.3
        ratios.append(train(cnn_loss, p, part, "bfloat16") / wanted)
    assert np.mean(ratios) < 1.01


@pytest.mark.slow
def test_a_vision_transformer_learns_digits_as_well():
    batches = digits(300)
    ratios = []
    for seed in range(4):
        patch, places, head = (random(n, m, seed=seed) for n, m in ((4, 32), (16, 32), (32, 10)))
        p = {"patch": patch, "places": places, "head": head, "blocks": transformer_blocks(seed)}
        part = batches[50 * seed : 50 * seed + 150]
        wanted = train(vit_loss, p, part, None)
        assert wanted < 0.6
        ratios.append(train(vit_loss, p, part, "bfloat16") / wanted)
    assert np.mean(ratios) < 1.01
