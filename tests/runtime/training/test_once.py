"""Programs that run once: a model that is built again has none of them compiled again."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl
from xlathe import layers
from xlathe.runtime.training import once

random = np.random.default_rng(0)
X = random.normal(size=(8, 5)).astype("float32")
LABELS = random.integers(0, 3, 8)


@pytest.fixture
def compiled(monkeypatch) -> list[Any]:
    """The programs that are compiled from here on."""
    found: list[Any] = []
    compile_program = once._compiled
    monkeypatch.setattr(once, "_programs", {})
    monkeypatch.setattr(once, "_compiled", lambda low: found.append(low) or compile_program(low))
    return found


def stepped(units: int = 7, optimizer: str = "adam") -> list[np.ndarray]:
    model = xl.Sequential(
        [layers.Input((5,)), layers.Dense(units), layers.Dense(3, activation="softmax")]
    )
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    model.train_on_batch(X, LABELS)
    return model.get_weights()


def test_a_model_built_again_compiles_nothing_but_its_step(compiled):
    first = stepped()
    assert len(compiled) == 1  # what is drawn; all else is filled with numbers
    second = stepped()
    assert len(compiled) == 1
    assert not np.allclose(first[0], second[0])
    stepped(units=6)
    assert len(compiled) == 2
    stepped(optimizer="sgd")
    assert len(compiled) == 2


@pytest.mark.parametrize("seed", [0, 5, 2**31 - 1, 2**31 + 5])
def test_a_seed_gives_the_values_that_it_gives_by_itself(seed):
    initializer = xl.initializers.GlorotUniform(seed=seed)
    model = xl.Sequential([layers.Input((5,)), layers.Dense(7, kernel_initializer=initializer)])
    model.compile("sgd", "mse")
    model.fit(X, np.zeros((8, 7), "float32"), epochs=0, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], initializer((5, 7), "float32"))


def test_equal_text_with_other_types_or_arguments_is_another_program(compiled):
    assert once.run_once(lambda x: x + 1, jnp.ones(3)).tolist() == [2, 2, 2]
    assert once.run_once(lambda x: x + 1, jnp.zeros(3)).tolist() == [1, 1, 1]
    assert len(compiled) == 1
    assert once.run_once(lambda x: [x + 1], jnp.ones(3))[0].tolist() == [2, 2, 2]
    once.run_once(lambda x: x + 1, jax.device_put(np.ones(3, "float32"), jax.devices()[1]))
    strong, weak = (once.run_once(lambda kind=kind: kind) for kind in (jnp.float32(2), 2.0))
    assert (strong.weak_type, weak.weak_type) == (False, True)
    assert len(compiled) == 5


def test_arguments_that_nothing_is_computed_of_may_differ_from_call_to_call(compiled):
    for shape in ((2, 3), (4,), (2, 3)):
        assert once.run_once(lambda x: jnp.arange(2), jnp.zeros(shape)).tolist() == [0, 1]
    assert len(compiled) == 2
    for units in (3, 4):
        stepped(units, "sgd")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "bool", "complex64"])
def test_what_is_filled_with_numbers_is_not_compiled(compiled, dtype):
    def fill(x):
        ones = (jnp.full((2, 3), 1, dtype), None)
        return {"a": jnp.zeros_like(x), "b": ones, "c": jnp.zeros((), "int32")}

    found = once.run_once(fill, jnp.ones((4,), dtype))
    expected = jax.jit(fill)(jnp.ones((4,), dtype))
    assert not compiled
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert jax.typeof(one) == jax.typeof(other)
        assert (one.sharding, one.committed) == (other.sharding, other.committed)
        np.testing.assert_array_equal(one, other)


def test_what_is_large_or_lies_elsewhere_is_filled_on_the_device(compiled, monkeypatch):
    elsewhere = jax.device_put(np.ones(3, "float32"), jax.devices()[1])
    assert once.run_once(jnp.zeros_like, elsewhere).tolist() == [0, 0, 0]
    assert len(compiled) == 1
    monkeypatch.setattr(once, "_MAX_FILLED_BYTES", 8)
    assert once.run_once(lambda: jnp.zeros(2)).tolist() == [0, 0]
    assert len(compiled) == 1
    assert once.run_once(lambda: jnp.zeros(3)).tolist() == [0, 0, 0]
    assert len(compiled) == 2


def test_an_option_that_xla_does_not_know_is_left_out(monkeypatch):
    monkeypatch.setattr(once, "_QUICKEST", {**once._QUICK, "xla_cpu_no_such_option": True})
    monkeypatch.setattr(once, "_programs", {})
    assert once.run_once(lambda x: x * 3, jnp.ones(2)).tolist() == [3, 3]


def test_programs_that_hold_arrays_are_not_kept(compiled):
    array = random.normal(size=(200, 100)).astype("float32")
    for _ in range(2):
        np.testing.assert_array_equal(once.run_once(lambda: jnp.asarray(array) * 2), array * 2)
    assert not once._programs or all(len(key[0]) < once._MAX_TEXT for key in once._programs)


def test_old_programs_are_dropped(compiled, monkeypatch):
    monkeypatch.setattr(once, "_MAX_PROGRAMS", 2)
    for size in (1, 2, 3, 1):
        once.run_once(lambda x: x * 2, jnp.ones(size))
    assert len(once._programs) == 2
    assert len(compiled) == 4


def test_inside_a_trace_it_is_part_of_the_trace():
    doubled = jax.jit(lambda x: once.run_once(lambda x: x * 2, x))
    assert doubled(jnp.ones(2)).tolist() == [2, 2]


def test_with_jit_disabled_nothing_is_compiled(compiled):
    with jax.disable_jit():
        stepped()
    assert not compiled
