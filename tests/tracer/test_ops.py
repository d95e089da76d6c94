"""Functions by Keras's names: on arrays, on variables, and on symbolic tensors as nodes."""

import jax.numpy as jnp
import numpy as np
import pytest

import xlathe as xl
from xlathe import layers, ops, random

X = np.arange(12, dtype="float32").reshape(3, 4)


def test_arrays_and_variables():
    np.testing.assert_array_equal(ops.mean(X, axis=0), X.mean(0))
    np.testing.assert_array_equal(ops.matmul(xl.Variable(X), X.T), X @ X.T)
    np.testing.assert_array_equal(ops.concatenate([xl.Variable(X), X], axis=1).shape, (3, 8))
    assert ops.cast(X, "int32").dtype == jnp.int32
    assert ops.shape(X) == (3, 4)
    assert isinstance(ops.convert_to_numpy(ops.convert_to_tensor([1.0])), np.ndarray)
    assert ops.is_tensor(jnp.ones(1))
    assert not ops.is_tensor(X)


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (lambda: ops.one_hot([0, 2], 3), np.eye(3)[[0, 2]]),
        (lambda: ops.logsumexp(np.zeros((2, 4)), axis=1), np.log([4.0, 4.0])),
        (lambda: ops.moments(X, axes=[0])[1], X.var(0)),
        (lambda: ops.normalize(X + 1), (X + 1) / np.linalg.norm(X + 1, axis=-1, keepdims=True)),
        (lambda: ops.divide_no_nan(X, np.zeros_like(X)), np.zeros_like(X)),
        (lambda: ops.unstack(X, axis=1)[2], X[:, 2]),
        (lambda: ops.vectorized_map(lambda row: row.sum(), jnp.asarray(X)), X.sum(1)),
        (lambda: ops.slice(X, (1, 1), (2, 2)), X[1:3, 1:3]),
    ],
)
def test_functions_written_here(received, expected):
    np.testing.assert_allclose(received(), expected, rtol=1e-6)


def test_symbolic_tensors_become_nodes(tmp_path):
    left, right = xl.Input((4,)), xl.Input((4,))
    joined = ops.concatenate([left, right * 2], axis=-1)
    top = ops.max(joined[:, 1:], axis=-1, keepdims=True)
    model = xl.Model([left, right], ops.where(top > 3, top, ops.zeros_like(top)))
    assert model.output_shape == (None, 1)
    expected = np.concatenate([X, 2 * X], axis=-1)[:, 1:].max(-1, keepdims=True)
    np.testing.assert_array_equal(model([X, X]), expected * (expected > 3))
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(xl.load_model(tmp_path / "m")([X, X]), model([X, X]))


def test_a_mask_ends_at_a_function_without_a_warning():
    tokens = xl.Input((3,), dtype="int32")
    embedded = layers.Embedding(4, 2, mask_zero=True)(tokens)
    model = xl.Model(tokens, ops.sum(embedded + 1.0, axis=1))
    assert model(np.array([[1, 2, 0]])).shape == (1, 2)


def test_rows_that_a_function_mixes_are_not_padded():
    inputs = xl.Input((1,))
    model = xl.Model(inputs, inputs - ops.mean(inputs, axis=0, keepdims=True))
    x = np.array([[1], [2], [6]], "float32")
    np.testing.assert_allclose(model.predict(x, verbose=0), x - 3, rtol=1e-6)


def test_names_that_there_are_not():
    with pytest.raises(AttributeError, match=r"no function 'reduce_mean'.*'mean'"):
        _ = ops.reduce_mean
    with pytest.raises(ValueError, match="Unknown operation: 'methodcaller'"):
        xl.Sequential.from_config(
            {
                "name": "hostile",
                "layers": [{"class_name": "Operator", "config": {"operation": "methodcaller"}}],
            }
        )
    assert {"mean", "relu", "shape"} <= set(dir(ops))


DRAWS = {
    "normal": lambda seed: random.normal((3, 4), 1.0, 2.0, seed=seed),
    "uniform": lambda seed: random.uniform((3, 4), -1.0, 1.0, seed=seed),
    "truncated_normal": lambda seed: random.truncated_normal((3, 4), seed=seed),
    "randint": lambda seed: random.randint((3, 4), 0, 100, seed=seed),
    "categorical": lambda seed: random.categorical(np.zeros((3, 50)), 4, seed=seed),
    "gamma": lambda seed: random.gamma((3, 4), 2.0, seed=seed),
    "beta": lambda seed: random.beta((3, 4), 2.0, 3.0, seed=seed),
    "binomial": lambda seed: random.binomial((3, 4), 100.0, 0.5, seed=seed),
    "dropout": lambda seed: random.dropout(np.ones((3, 4)), 0.5, seed=seed),
    "shuffle": lambda seed: random.shuffle(np.arange(12).reshape(3, 4), axis=1, seed=seed),
}


@pytest.mark.parametrize("name", DRAWS)
def test_seeds(name):
    draw = DRAWS[name]
    assert draw(3).shape == (3, 4)
    np.testing.assert_array_equal(draw(3), draw(3))
    generator = random.SeedGenerator(3)
    several = [np.asarray(draw(generator)) for _ in range(4)]
    assert any(not np.array_equal(several[0], other) for other in several[1:])


def test_a_draw_without_a_seed_in_a_compiled_function():
    assert not np.array_equal(random.normal((8,)), random.normal((8,)))
    with pytest.raises(ValueError, match="SeedGenerator"):
        xl.compile(lambda x: x + random.normal((4,)))(X)
