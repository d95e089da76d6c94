"""`ops` is called as Keras's: by its names of arguments, in its order, with lists."""

import keras
import numpy as np
import pytest

import xlathe as xl

DRAWN = np.random.default_rng(0)
X, Y = DRAWN.normal(size=(3, 4)).astype("float32"), DRAWN.normal(size=(4, 5)).astype("float32")
IMAGES = DRAWN.random((2, 8, 8, 3)).astype("float32")
KERNEL = DRAWN.random((3, 3, 3, 4)).astype("float32")
P = np.full((3, 4), 0.25, "float32")
LABELS = np.array([0, 1, 3])
CALLS = {
    "matmul": lambda ops: ops.matmul(x1=X, x2=Y),
    "sum": lambda ops: ops.sum(X, 1, True),
    "sum of a list": lambda ops: ops.sum([1.0, 2.0]),
    "mean": lambda ops: ops.mean(x=X, axis=[0, 1], keepdims=True),
    "reshape": lambda ops: ops.reshape(X, newshape=(2, 6)),
    "clip": lambda ops: ops.clip(X, x_min=-1, x_max=0.5),
    "tile": lambda ops: ops.tile(X, repeats=[2, 1]),
    "where": lambda ops: ops.where(X > 0, x1=X, x2=0.0),
    "take": lambda ops: ops.take(X, indices=[0, 2], axis=1),
    "transpose": lambda ops: ops.transpose(X, [1, 0]),
    "pad": lambda ops: ops.pad(X, [[1, 1], [0, 2]], "constant", 3),
    "digitize": lambda ops: ops.digitize(X, [-1.0, 0.0, 1.0]),
    "isin": lambda ops: ops.isin(LABELS, [1, 2]),
    "median": lambda ops: ops.median(X, 1, True),
    "top_k": lambda ops: list(ops.top_k(X, k=2, sorted=True)),
    "in_top_k": lambda ops: ops.in_top_k(LABELS, X, k=2),
    "multi_hot": lambda ops: ops.multi_hot(np.array([[0, 1], [2, 3]]), 5),
    "scatter": lambda ops: ops.scatter(np.array([[0], [3]]), np.array([9.0, 8.0], "float32"), (5,)),
    "scatter_update": lambda ops: ops.scatter_update(
        X, [[0, 1], [2, 0]], np.array([3.0, 4.0], "float32")
    ),
    "slice": lambda ops: ops.slice(X, start_indices=[0, 1], shape=[2, 2]),
    "slice to the end": lambda ops: ops.slice(X, (1, 1), (-1, 2)),
    "slice_update": lambda ops: ops.slice_update(X, [1, 1], np.ones((2, 2), "float32")),
    "get_item": lambda ops: ops.get_item(ops.array(X), (slice(0, 2), 1)),
    "segment_sum": lambda ops: ops.segment_sum(
        np.array([1.0, 2.0, 3.0], "float32"), np.array([0, 0, 1]), num_segments=2, sorted=True
    ),
    "while_loop": lambda ops: ops.while_loop(lambda i: i < 5, lambda i: (i + 1,), (0,)),
    "while_loop that is cut": lambda ops: ops.while_loop(
        lambda i, a: i < 10, lambda i, a: (i + 1, a * 2.0), (0, 1.0), maximum_iterations=3
    ),
    "cond": lambda ops: ops.cond(True, true_fn=lambda: X, false_fn=lambda: 2 * X),
    "extract_sequences": lambda ops: ops.extract_sequences(np.arange(10), 4, 2),
    "saturate_cast": lambda ops: ops.saturate_cast(X * 1000, "uint8"),
    "conv": lambda ops: ops.conv(IMAGES, KERNEL, strides=2, padding="same"),
    "conv of groups": lambda ops: ops.conv(np.tile(IMAGES, 2), KERNEL),
    "depthwise_conv": lambda ops: ops.depthwise_conv(IMAGES, KERNEL, padding="same"),
    "separable_conv": lambda ops: ops.separable_conv(
        IMAGES, KERNEL[..., :1], np.ones((1, 1, 3, 2), "float32")
    ),
    "conv_transpose": lambda ops: ops.conv_transpose(
        IMAGES, KERNEL.transpose(0, 1, 3, 2), strides=2, padding="same"
    ),
    "max_pool": lambda ops: ops.max_pool(IMAGES, 2, strides=1, padding="same"),
    "average_pool": lambda ops: ops.average_pool(IMAGES, 2, strides=2),
    "batch_normalization": lambda ops: ops.batch_normalization(X, X[0], X[1] ** 2, -1, X[2]),
    "layer_normalization": lambda ops: ops.layer_normalization(X, X[0], X[1]),
    "rms_normalization": lambda ops: ops.rms_normalization(X, X[0]),
    "binary_crossentropy": lambda ops: ops.binary_crossentropy(X[0] > 0, P[0]),
    "binary_crossentropy of logits": lambda ops: ops.binary_crossentropy(P, X, from_logits=True),
    "categorical_crossentropy": lambda ops: ops.categorical_crossentropy(P, P),
    "sparse_categorical_crossentropy": lambda ops: ops.sparse_categorical_crossentropy(
        LABELS, X, from_logits=True
    ),
    "dot_product_attention": lambda ops: ops.dot_product_attention(
        IMAGES, IMAGES, IMAGES, is_causal=True
    ),
    "fft": lambda ops: list(ops.fft((X, X))),
    "fft2": lambda ops: list(ops.fft2((X, X))),
    "ifft2": lambda ops: list(ops.ifft2((X, X))),
    "rfft": lambda ops: list(ops.rfft(X, 6)),
    "irfft": lambda ops: ops.irfft(ops.rfft(X)),
    "stft": lambda ops: list(ops.stft(np.tile(X, 8), 10, 4, 16)),
    "stft without padding": lambda ops: list(ops.stft(np.tile(X, 8), 8, 4, 8, "hamming", False)),
    "logdet": lambda ops: ops.logdet(2 * np.eye(3, dtype="float32")),
    "solve_triangular": lambda ops: ops.solve_triangular(
        np.eye(3, dtype="float32"), X[:, :1], lower=True
    ),
    "lstsq": lambda ops: ops.lstsq(Y, Y[:, :1]),
    "dtype": lambda ops: ops.dtype(X) == "float32",
    "nn": lambda ops: ops.nn.relu(X),
    "numpy": lambda ops: ops.numpy.sum(X),
    "linalg": lambda ops: ops.linalg.norm(X),
    "resize": lambda ops: ops.image.resize(IMAGES, size=(16, 4), interpolation="nearest"),
    "grayscale": lambda ops: ops.image.rgb_to_grayscale(IMAGES),
    "patches": lambda ops: ops.image.extract_patches(IMAGES, (2, 4)),
    "patches that overlap": lambda ops: ops.image.extract_patches(
        IMAGES, size=3, strides=1, padding="same"
    ),
    "pad_images": lambda ops: ops.image.pad_images(IMAGES, 1, 1, target_height=10, target_width=10),
    "crop_images": lambda ops: ops.image.crop_images(
        IMAGES, 1, None, bottom_cropping=2, right_cropping=1, target_width=4
    ),
    "map_coordinates": lambda ops: ops.image.map_coordinates(
        IMAGES[0, :, :, 0], np.array([[0.5, 1.0], [1.0, 2.0]], "float32"), order=1
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_as_in_keras(call):
    ours, theirs = call(xl.ops), call(keras.ops)
    if not isinstance(theirs, list | tuple):
        ours, theirs = [ours], [theirs]
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_on_symbolic_tensors():
    images = xl.Input((8, 8, 3))
    small = xl.ops.image.resize(images, (4, 4))
    model = xl.Model(images, xl.activations.relu(xl.ops.max_pool(small, 2) - 0.5, max_value=0.2))
    expected = np.minimum(
        np.maximum(xl.ops.max_pool(xl.ops.image.resize(IMAGES, 4), 2) - 0.5, 0), 0.2
    )
    np.testing.assert_allclose(model(IMAGES), expected, rtol=1e-5)
    again = xl.Model.from_config(model.get_config())
    np.testing.assert_allclose(again(IMAGES), expected, rtol=1e-5)
    assert [layer.name for layer in model.operations][1:] == [
        "resize",
        "max_pool",
        "subtract",
        "relu",
    ]
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer"]


def test_what_does_not_fit():
    with pytest.raises(AttributeError, match=r"Did you mean 'image\.extract_patches'"):
        xl.ops.image.extract_patch(IMAGES)
    with pytest.raises(ValueError, match="exactly two of the margin before"):
        xl.ops.image.pad_images(IMAGES, 1, 1)
    with pytest.raises(ValueError, match="must not be negative"):
        xl.ops.image.crop_images(IMAGES, 1, 1, target_height=9, target_width=4)
    with pytest.raises(ValueError, match="must have the same shape"):
        xl.ops.binary_crossentropy(X, Y)
    with pytest.raises(ValueError, match="evenly divisible"):
        xl.ops.conv(IMAGES, KERNEL[:, :, :2])
    with pytest.raises(ValueError, match="one of"):
        xl.ops.scatter_update(X, [[0, 0]], [1.0], reduction="mean")
    with pytest.raises(ValueError, match="larger than `sequence_length`"):
        xl.ops.stft(X, 4, 1, 2)
    with pytest.raises(ValueError, match="one of \\['hann', 'hamming'\\]"):
        xl.ops.stft(X, 2, 1, 2, "round")
