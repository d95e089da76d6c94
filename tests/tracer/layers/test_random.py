"""Layers that draw: what they do in training, and that they do nothing otherwise."""

import jax
import numpy as np
import pytest

import xlathe as xl
from xlathe import layers

ONES = np.ones((4, 5, 1000), "float32")

DROPOUTS = [
    layers.Dropout(0.3, seed=1),
    layers.Dropout(0.3, noise_shape=(None, 1, None), seed=2),
    layers.AlphaDropout(0.3, seed=3),
    layers.GaussianDropout(0.3, seed=4),
    layers.SpatialDropout1D(0.3, seed=5),
    layers.GaussianNoise(0.5, seed=6),
]


@pytest.mark.parametrize("layer", DROPOUTS, ids=lambda layer: layer.name)
def test_acts_in_training_alone(layer: layers.Layer):
    np.testing.assert_array_equal(layer(ONES), ONES)
    first, second = layer(ONES, training=True), layer(ONES, training=True)
    assert not np.array_equal(first, second)
    if not isinstance(layer, layers.AlphaDropout):
        assert abs(float(np.mean(first)) - 1) < 0.05


def test_alpha_dropout_keeps_mean_and_variance():
    x = np.random.default_rng(0).normal(size=(200, 200)).astype("float32")
    y = np.asarray(layers.AlphaDropout(0.3, seed=1)(x, training=True))
    assert abs(y.mean()) < 0.05
    assert abs(y.std() - 1) < 0.05


def test_spatial_dropout_drops_whole_maps():
    x = np.ones((2, 5, 6, 30), "float32")
    y = np.asarray(layers.SpatialDropout2D(0.5, seed=1)(x, training=True))
    assert np.all(y == y[:, :1, :1])
    assert 0 < (y == 0).mean() < 1
    first = layers.SpatialDropout2D(0.5, data_format="channels_first", seed=1)(
        np.moveaxis(x, -1, 1), training=True
    )
    assert np.all(np.asarray(first) == np.asarray(first)[:, :, :1, :1])


def test_a_seed_draws_the_same_again():
    a, b = layers.Dropout(0.5, seed=3), layers.Dropout(0.5, seed=3)
    np.testing.assert_array_equal(a(ONES, training=True), b(ONES, training=True))
    xl.set_random_seed(1)
    first = layers.Dense(3)
    xl.set_random_seed(1)
    second = layers.Dense(3)
    np.testing.assert_array_equal(first(ONES), second(ONES))


@pytest.mark.parametrize("kind", [layers.SimpleRNN, layers.LSTM, layers.GRU])
def test_recurrent_dropout_is_the_same_in_all_steps(kind: type):
    layer = kind(4, dropout=0.5, recurrent_dropout=0.5, return_sequences=True, seed=1)
    x = np.repeat(np.ones((2, 1, 6), "float32"), 5, axis=1)
    y, z = layer(x, training=True), layer(x, training=True)
    assert y.shape == (2, 5, 4)
    assert not np.allclose(y, z)
    np.testing.assert_allclose(layer(x), layer(x))


def test_images_are_changed_in_training_alone():
    images = np.random.default_rng(0).uniform(size=(3, 8, 6, 2)).astype("float32")
    model = xl.Sequential(
        [
            xl.Input((8, 6, 2)),
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(0.2),
            layers.RandomCrop(5, 4),
        ]
    )
    assert model(images).shape == (3, 5, 4, 2)
    np.testing.assert_array_equal(model(images), model(images))
    y, _ = model.apply({}, images, training=True, key=jax.random.key(0))
    assert y.shape == (3, 5, 4, 2)
    assert not np.allclose(y, model(images))


def test_flip_flips_each_image_or_leaves_it():
    images = np.random.default_rng(0).uniform(size=(40, 4, 3, 1)).astype("float32")
    flipped = np.asarray(layers.RandomFlip("vertical", seed=1)(images))
    same = [np.array_equal(a, b) for a, b in zip(flipped, images, strict=True)]
    turned = [np.array_equal(a, b[::-1]) for a, b in zip(flipped, images, strict=True)]
    assert all(a != b for a, b in zip(same, turned, strict=True))
    assert 5 < sum(same) < 35


def test_adapt():
    data = np.random.default_rng(0).normal(3, 2, (400, 5)).astype("float32")
    whole, parts = layers.Normalization(), layers.Normalization()
    whole.adapt(data)
    parts.adapt(iter([data[:100], data[100:250], data[250:]]))
    np.testing.assert_allclose(whole(data), parts(data), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.mean(whole(data), 0), np.zeros(5), atol=1e-5)
    np.testing.assert_allclose(np.std(whole(data), 0), np.ones(5), atol=1e-4)
    bins = layers.Discretization(num_bins=4)
    bins.adapt(data)
    assert np.bincount(np.ravel(bins(data))).tolist() == [500, 500, 500, 500]
