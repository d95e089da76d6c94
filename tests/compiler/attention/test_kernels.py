"""Which kernel a target is given, why not, and what the kernels compute."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xlathe as xl
from xlathe.compiler.ir import parse, to_text, verify
from xlathe.compiler.passes.choose_kernels import ChooseKernels
from xlathe.compiler.pipeline import EXACT, run_passes
from xlathe.compiler.targets import CPU, TPU, Target, has_cudnn_attention
from xlathe.compiler.targets import GPU as MEASURED_GPU
from xlathe.tracer.capture import capture

from .check import BLOCKED, abstract, concrete, errors, improved, joint, recognised, runnable
from .spellings import BF16, BTNH, F32, LAYER, SPELLINGS, Spelling, nano_gpt, scores, through, tril

GPU = replace(MEASURED_GPU, small_scores=0)
CUDNN = [
    "tril of ones, -inf",
    "causal scores of keys by queries",
    "three axes in common",
    "causal with an offset",
    "grouped queries",
    "padding and causal",
    "sliding window",
]
BY_BLOCKS = [
    "multi-query",
    "unbatched, one head",
    "padding and causal",
    "window to both sides",
    "soft cap",
    "dropout, causal",
    "dropout by Flax",
]
BY_BLOCKS_TOO = [
    "dropout",
    "dropout, scaled afterwards",
    "dropout, one mask for all heads",
    "masked weights",
    "tril of ones, -1e9",
    "grouped queries",
    "other depth of the values",
    "segments",
    "ALiBi, causal",
]
LONG = ((1, 1024, 4, 64),) * 3


def long(mask=None, dtype=BF16, depth: int = 64, length: int = 1024) -> Spelling:
    """Attention over so many tokens that kernels pay."""

    def score(q, k):
        return scores(q, k) / 2.0

    return Spelling(
        through(score, mask and (lambda: mask(length, length))), ((1, length, 4, depth),) * 3, dtype
    )


def misses(spelling: Spelling, target, function=None) -> list[str]:
    arguments = [*abstract(spelling), *spelling.others]
    _, records = improved(function or spelling.function, arguments, target)
    return [miss.reason for record in records for miss in record.rules.misses]


def against_float32(spelling: Spelling, target, expected: str):
    """The kernel's error in low precision, and that of the plain form."""
    arguments = concrete(spelling)
    exact = [x.astype(F32) for x in arguments]
    function = joint(spelling)
    source, run = runnable(function, [*arguments, *spelling.others], target)
    assert expected in source
    true = jax.jit(joint(spelling._replace(dtype=F32)))(*exact, *spelling.others)
    ours = errors(jax.jit(run)(*arguments, *spelling.others), true)
    plain = errors(jax.jit(function)(*arguments, *spelling.others), true)
    return ours, plain


def assert_as_exact_on_cudnn(name: str) -> None:
    spelling = SPELLINGS[name]._replace(dtype=BF16)
    if name.startswith("T5"):
        # cuDNN's gradient of a bias is left alone.
        table = jax.random.normal(jax.random.key(1), spelling.shapes[3], BF16)
        (buckets,) = spelling.others
        attend = spelling.function
        spelling = Spelling(lambda q, k, v: attend(q, k, v, table.astype(q.dtype), buckets), BTNH)
        spelling = spelling._replace(dtype=BF16)
    ours, plain = against_float32(spelling, GPU, 'implementation="xla"')
    for error, reference in zip(ours, plain, strict=True):
        assert error <= 2 * reference + 1e-2


@pytest.mark.parametrize("name", CUDNN)
def test_cudnn_computes_the_same(name: str):
    assert_as_exact_on_cudnn(name)


NOT_BY_CUDNN = {
    "a bias of heads",
    "a bias of everything",
    "a bias beside a mask",
    "ALiBi",
    "ALiBi, causal",
    "other depth of the values",
    "soft cap",
    "one query",
    "float32 operands in bfloat16 code",
    "float16",
    "checkpointed, dots saved",
    "additive padding, by BERT",
    "masked weights",
    # In bfloat16 their operands are float32: rotations by float32, weights of float32.
    "rotary embedding",
    "Llama",
    "Llama in bfloat16",
    "Equinox's layer",
    *(name for name in SPELLINGS if "dropout" in name),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in SPELLINGS if n not in {*CUDNN, *NOT_BY_CUDNN}])
def test_cudnn_computes_the_same_in_every_spelling(name: str):
    assert_as_exact_on_cudnn(name)


@pytest.mark.parametrize(
    "name", [*BY_BLOCKS, *(pytest.param(n, marks=pytest.mark.slow) for n in BY_BLOCKS_TOO)]
)
def test_blocks_compute_the_same(name: str):
    spelling = SPELLINGS[name]
    arguments = [*concrete(spelling), *spelling.others]
    source, run = runnable(joint(spelling), arguments, BLOCKED)
    assert "jax.checkpoint" in source
    ours = jax.jit(run)(*arguments)
    plain = jax.jit(joint(spelling))(*arguments)
    assert max(errors(ours, plain)) < 1e-5


@pytest.mark.parametrize("checkpointed", [False, True])
def test_blocks_compute_the_same_in_a_loop(checkpointed: bool):
    def model(x, ws, outs):
        def block(x, weights):
            return x + nano_gpt(x, *weights), None

        return lax.scan(jax.checkpoint(block) if checkpointed else block, x, (ws, outs))[0]

    spelling = Spelling(model, (LAYER[0], *((3, *shape) for shape in LAYER[1:])))
    arguments = [x / 8 for x in concrete(spelling)]
    source, run = runnable(joint(spelling), arguments, BLOCKED)
    assert source.count("jax.vjp(") == 1
    ours, plain = (jax.jit(f)(*arguments) for f in (run, joint(spelling)))
    assert max(errors(ours, plain)) < 1e-5


def test_blocks_hold_a_part_of_the_queries():
    spelling = long(tril, F32)._replace(shapes=((4, 1024, 8, 8),) * 3)
    source, _ = improved(spelling.function, abstract(spelling), BLOCKED)
    assert "# 512 queries at a time" in source
    assert "query.reshape(4, 2, 512, 8, 1, 8)" in source


def test_blocks_have_derivatives_in_every_direction():
    spelling = SPELLINGS["tril of ones, -1e9"]
    arguments = tuple(concrete(spelling))
    _, run = runnable(spelling.function, arguments, BLOCKED)

    def tangents(function):
        def gradient(q):
            return jax.grad(lambda q: (function(q, *arguments[1:]) ** 2).sum())(q)

        return jax.jvp(gradient, arguments[:1], arguments[1:2])

    assert max(errors(tangents(run), tangents(spelling.function))) < 1e-4


def test_fully_masked_queries_stay_as_they_are_by_blocks():
    spelling = Spelling(through(scores, lambda: jnp.zeros((64, 64), bool), -jnp.inf))
    arguments = concrete(spelling)
    _, run = runnable(spelling.function, arguments, BLOCKED)
    assert np.isnan(jax.jit(run)(*arguments)).all()


PADDED = Spelling(
    lambda q, k, v, mask: through(scores, lambda: mask)(q, k, v),
    LONG,
    F32,
    (jnp.ones((1, 1, 1, 1024), bool),),
)
REASONS = {
    "large heads": (long(depth=136), GPU, "up to 128"),
    "odd heads": (long(depth=60), GPU, "multiple of 8"),
    "soft cap": (SPELLINGS["soft cap"]._replace(dtype=BF16), GPU, "soft cap"),
    "float32 bias": (SPELLINGS["ALiBi"]._replace(dtype=BF16), GPU, "more digits"),
    "depths": (SPELLINGS["other depth of the values"]._replace(dtype=BF16), GPU, "of one size"),
    "lengths, on a TPU": (long(length=1056), TPU, "multiples of 128"),
    "heads, on a TPU": (long(depth=32), TPU, "multiple of 64"),
    "mask, on a TPU": (PADDED, TPU, "no bias, and no mask but of positions"),
}


@pytest.mark.parametrize("target", [GPU, TPU])
def test_dropout_is_for_blocks_or_for_nobody(target: Target):
    def drop(s):
        return jax.nn.softmax(s) * (jnp.arange(1024) % 8 > 0).astype(s.dtype)

    dropped = Spelling(through(scores, weights=drop), LONG, BF16)
    for least, expected in ((1 << 24, True), (1 << 25, False)):
        large = replace(target, large_scores=least)
        source, records = improved(joint(dropped), abstract(dropped), large)
        assert ("def blocked_attention" in source) is expected
        assert "cudnn" not in source
        assert "splash" not in source
        assert not any(record.rules.misses for record in records)


@pytest.mark.parametrize("name", REASONS)
def test_declines(name: str):
    spelling, target, reason = REASONS[name]
    assert any(reason in text for text in misses(spelling, target))


@pytest.mark.parametrize(
    ("spelling", "target"),
    [
        (SPELLINGS["one query"]._replace(dtype=BF16), GPU),
        (long(length=512), TPU),
        (long(length=512), MEASURED_GPU),
        (long(dtype=F32), GPU),
        (SPELLINGS["nanoGPT"], CPU),
    ],
)
def test_what_no_kernel_takes_stays_plain(spelling: Spelling, target: Target):
    source, records = improved(joint(spelling), [*abstract(spelling), *spelling.others], target)
    assert "exp" in source
    assert not any(record.rules.hits or record.rules.misses for record in records)


@pytest.mark.parametrize("name", ["tril of ones, -inf", "T5", "Equinox", "padding", "checkpointed"])
def test_what_is_recognised_and_declined_is_as_it_was(name: str):
    spelling = SPELLINGS[name]
    graph, _ = recognised(joint(spelling), *abstract(spelling), *spelling.others)
    before, _ = run_passes(
        capture(joint(spelling), *abstract(spelling), *spelling.others).graph, EXACT
    )
    assert graph != before
    assert ChooseKernels(CPU)(graph) == before


@pytest.mark.parametrize("name", ["tril of ones, -inf", "soft cap", "padding and causal"])
@pytest.mark.parametrize("target", [GPU, BLOCKED])
def test_the_text_of_the_graph_parses(name: str, target: Target):
    spelling = SPELLINGS[name]._replace(dtype=BF16)
    graph, _ = recognised(joint(spelling), *abstract(spelling), *spelling.others)
    for version in (graph, ChooseKernels(target)(graph)):
        verify(version)
        assert parse(to_text(version), version.objects()) == version


def test_a_trained_bias_declines_cudnn():
    spelling = SPELLINGS["T5 in bfloat16"]
    assert "its bias is trained" in misses(spelling, GPU, joint(spelling))


def test_one_vjp_serves_both_directions():
    spelling = long(tril)
    source, _ = improved(joint(spelling), abstract(spelling), GPU)
    assert source.count('implementation="cudnn"') == 1
    program = source[source.index("def step(") :]
    assert "attention_vjp = jax.vjp(" in program
    assert "attention_vjp(" in program.split("jax.vjp(")[1]
    assert "exp" not in program


def test_a_checkpoint_computes_the_forward_again():
    spelling = long(tril)
    checkpointed = spelling._replace(function=jax.checkpoint(spelling.function))
    source, _ = improved(joint(checkpointed), abstract(spelling), GPU)
    program = source[source.index("attention = with_derivatives(") :]
    assert program.count(" attention(") == 1
    assert program.count("jax.vjp(") == 1


def test_the_program_for_a_tpu():
    spelling = long(tril)
    source, _ = improved(joint(spelling), abstract(spelling), TPU)
    assert "splash_mask.CausalMask((1024, 1024))" in source
    assert source[source.index("def step(") :].count("jax.vjp(") == 1
    compile(source, "<tpu>", "exec")


def test_splash_attention_computes_the_same():
    def attend(q, k, v):
        return jax.nn.dot_product_attention(q, k, v, is_causal=True)

    spelling = Spelling(
        attend,
        ((1, 1024, 4, 64), (1, 1024, 2, 64), (1, 1024, 2, 64)),
    )
    arguments = concrete(spelling)
    source, _ = improved(spelling.function, arguments, TPU)
    assert "splash_attention(" in source
    names: dict[str, Any] = {}
    interpreted = source.replace("single_device(mask,", "single_device(mask, interpret=True,")
    assert interpreted != source
    exec(compile(interpreted, "<tpu>", "exec"), names)
    function = names["attend"]
    assert max(errors(function(*arguments), spelling.function(*arguments))) < 1e-5


def test_compile_runs_the_plain_form_on_short_sequences():
    spelling = SPELLINGS["nanoGPT"]
    arguments = concrete(spelling)
    compiled = xl.compile(spelling.function)
    assert max(errors(compiled(*arguments), spelling.function(*arguments))) < 1e-5
    assert "exp" in compiled.trace(*arguments).as_text("python")


@pytest.mark.parametrize(
    ("capability", "expected"), [("8.0", True), ("9.0", True), ("7.5", False), ("gfx90a", False)]
)
def test_which_gpus_have_the_kernel(capability: str, expected: bool):
    device = SimpleNamespace(compute_capability=capability)
    assert has_cudnn_attention(device) == expected
    assert not has_cudnn_attention(SimpleNamespace())
