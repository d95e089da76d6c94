"""Random numbers: their statistics, their seeds, and that a model's steps draw anew."""

import numpy as np
import pytest

import xlathe as xl

DRAWS = {
    "normal": (lambda seed: xl.random.normal((4000,), 3.0, 2.0, seed=seed), 3.0, 2.0),
    "truncated_normal": (
        lambda seed: xl.random.truncated_normal((4000,), 3.0, 2.0, seed=seed),
        3.0,
        1.76,
    ),
    "uniform": (lambda seed: xl.random.uniform((4000,), 2.0, 4.0, seed=seed), 3.0, 0.577),
    "randint": (lambda seed: xl.random.randint((4000,), 2, 5, seed=seed), 3.0, 0.816),
    "categorical": (
        lambda seed: xl.random.categorical(np.log([[0.2, 0.8]]), 4000, seed=seed),
        0.8,
        0.4,
    ),
}


@pytest.mark.parametrize(("draw", "mean", "deviation"), DRAWS.values(), ids=DRAWS.keys())
def test_statistics_and_seeds(draw, mean, deviation):
    first = np.asarray(draw(1))
    assert abs(first.mean() - mean) < 0.15
    assert abs(first.std() - deviation) < 0.1
    np.testing.assert_array_equal(first, draw(1))
    assert not np.array_equal(first, draw(2))
    seeds = xl.random.SeedGenerator(1)
    assert not np.array_equal(draw(seeds), draw(seeds))


def test_shapes_and_dtypes():
    assert xl.random.normal((2, 3), dtype="bfloat16", stddev=2.0).dtype == "bfloat16"
    assert xl.random.uniform((2, 3)).dtype == "float32"
    drawn = xl.random.categorical(np.zeros((3, 4), "float32"), 5, dtype="int8")
    assert drawn.shape == (3, 5)
    assert drawn.dtype == "int8"


def test_shuffle_moves_whole_rows():
    x = np.arange(40).reshape(20, 2)
    shuffled = np.asarray(xl.random.shuffle(x, seed=3))
    assert not np.array_equal(shuffled, x)
    np.testing.assert_array_equal(shuffled[shuffled[:, 0].argsort()], x)


class Noisy(xl.Layer):
    def __init__(self, seed):
        super().__init__()
        self.seed_generator = seed

    def call(self, x):
        return x + xl.random.normal(x.shape, seed=self.seed_generator)


def test_each_step_of_a_model_draws_anew():
    model = xl.Sequential([xl.Input((2,)), Noisy(xl.random.SeedGenerator(0))])
    x = np.zeros((4, 2), "float32")
    assert not np.array_equal(model(x, training=True), model(x, training=True))
    assert not np.array_equal(model.predict(x, verbose=0), np.zeros((4, 2)))


def test_no_seed_in_a_compiled_model_is_an_error():
    model = xl.Sequential([Noisy(None)])
    with pytest.raises(ValueError, match="SeedGenerator"):
        model.predict(np.zeros((4, 2), "float32"), verbose=0)


@pytest.mark.parametrize("draw", [xl.random.normal, xl.random.truncated_normal])
def test_the_type_asked_for_is_returned_for_bounds_of_another(draw):
    assert draw((3,), np.float32(1), np.float32(2), "bfloat16", seed=0).dtype == "bfloat16"
