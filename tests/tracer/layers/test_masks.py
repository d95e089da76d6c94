"""Masks go from the layers that make them to those that use them."""

import jax
import numpy as np
import pytest

import xlathe as xl
from xlathe import layers
from xlathe.tracer.layers import scope

TOKENS = np.array([[3, 1, 0, 0], [2, 2, 4, 1]], "int32")


def test_masked_steps_do_not_count():
    model = xl.Sequential(
        [layers.Embedding(5, 3, mask_zero=True), layers.Dropout(0.5), layers.LSTM(4)]
    )
    y = model(TOKENS)
    shorter = model(TOKENS[:1, :2])
    np.testing.assert_allclose(y[:1], shorter, rtol=1e-5, atol=1e-6)
    params = model.get_params()
    np.testing.assert_allclose(jax.jit(model.apply)(params, TOKENS)[0], y, rtol=1e-5, atol=1e-6)


def test_masks_in_a_functional_model():
    tokens = xl.Input((4,), dtype="int32")
    x = layers.Embedding(5, 3, mask_zero=True)(tokens)
    x = layers.Bidirectional(layers.GRU(2, return_sequences=True))(x)
    model = xl.Model(tokens, layers.GlobalAveragePooling1D()(x))
    np.testing.assert_allclose(model(TOKENS)[:1], model(_padded(TOKENS[:1])), rtol=1e-5, atol=1e-6)


def _padded(tokens: np.ndarray) -> np.ndarray:
    """Return the same tokens with other padding after them left as it is."""
    return np.concatenate([tokens[:, :2], np.zeros((1, 2), "int32")], axis=1)


def test_masking_layer_and_concatenate():
    data = np.array([[[1.0, 2.0], [0.0, 0.0]]], "float32")
    masked = layers.Masking()(data)
    assert scope.get_mask(masked).tolist() == [[True, False]]
    both = layers.Concatenate()([masked, layers.Masking(mask_value=1.0)(data)])
    assert scope.get_mask(both).tolist() == [[True, True]]


def test_attention_uses_masks():
    embedded = layers.Embedding(5, 4, mask_zero=True)(TOKENS)
    attention = layers.MultiHeadAttention(2, 2)
    y, weights = attention(embedded, embedded, return_attention_scores=True)
    assert np.all(np.asarray(weights)[0, :, :, 2:] == 0)
    assert scope.get_mask(y) is not None


def test_a_layer_that_loses_the_mask_says_so():
    embedded = layers.Embedding(5, 4, mask_zero=True)(TOKENS)
    with pytest.warns(UserWarning, match="does not support masking and will therefore destroy"):
        layers.Flatten()(embedded)


def test_masks_are_forgotten_with_their_arrays():
    before = len(scope._masks)
    embedded = layers.Embedding(5, 4, mask_zero=True)(TOKENS)
    assert len(scope._masks) == before + 1
    del embedded
    assert len(scope._masks) == before


def test_symbolic_tensors_have_masks():
    class Softmax(layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def call(self, inputs, mask=None):
            assert mask is not None
            weights = jax.numpy.exp(inputs) * mask[..., None]
            return weights / weights.sum(1, keepdims=True)

    tokens = xl.Input((None,), dtype="int32")
    scores = layers.Dense(1)(layers.Embedding(5, 3, mask_zero=True)(tokens))
    shares = np.asarray(xl.Model(tokens, Softmax()(scores))(TOKENS))
    assert np.all(shares[0, 2:] == 0)
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
