"""Model code written for Keras gives the same model with its imports changed."""

from typing import Any

import keras
import numpy as np
import pytest

import xlathe as xl

from .check import data, randomise

TOKENS = np.array([[3, 1, 4, 0, 0], [2, 2, 0, 0, 0], [1, 4, 3, 2, 1]], "int32")


def convolutional(lib: Any) -> Any:
    layers = lib.layers
    model = lib.Sequential(name="convolutional")
    model.add(layers.Input((8, 8, 1)))
    model.add(layers.Rescaling(1.0 / 255))
    model.add(layers.Conv2D(4, 3, padding="same"))
    model.add(layers.BatchNormalization())
    model.add(layers.Activation("relu"))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    model.add(layers.Dense(3, activation="softmax"))
    return model


def recurrent(lib: Any) -> Any:
    layers = lib.layers
    tokens = lib.Input(shape=(5,), dtype="int32", name="tokens")
    x = layers.Embedding(5, 4, mask_zero=True)(tokens)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x)
    x = layers.GRU(3)(x)
    return lib.Model(inputs=tokens, outputs=layers.Dense(2)(x), name="recurrent")


def transformer(lib: Any) -> Any:
    layers = lib.layers

    class Block(layers.Layer):
        def __init__(self, width: int, **kwargs):
            super().__init__(**kwargs)
            self.attention = layers.MultiHeadAttention(num_heads=2, key_dim=2)
            self.norms = [layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
            self.feed_forward = lib.Sequential(
                [layers.Dense(2 * width, activation="gelu"), layers.Dense(width)]
            )

        def call(self, x, training=False):
            x = self.norms[0](x + self.attention(x, x, training=training))
            return self.norms[1](x + self.feed_forward(x))

    tokens = lib.Input((5,), dtype="int32")
    x = layers.Embedding(5, 4)(tokens)
    x = Block(4)(x)
    x = layers.GlobalAveragePooling1D()(x)
    return lib.Model(tokens, layers.Dense(2)(x))


def branched(lib: Any) -> Any:
    layers = lib.layers
    left, right = lib.Input((4,), name="left"), lib.Input((4,), name="right")
    shared = layers.Dense(3, activation="tanh", kernel_regularizer="l2")
    a, b = shared(left), shared(right)
    joined = layers.concatenate([a, layers.multiply([a, b])])
    return lib.Model([left, right], [layers.Dense(1)(joined), layers.dot([a, b], axes=1)])


def subclassed(lib: Any) -> Any:
    class Net(lib.Model):
        def __init__(self):
            super().__init__()
            self.hidden = lib.layers.Dense(5, activation="relu")
            self.out = lib.layers.Dense(2)

        def call(self, inputs, training=False):
            return self.out(self.hidden(inputs))

    model = Net()
    model(np.zeros((1, 4), "float32"))
    return model


ROWS = data((3, 4))
SCRIPTS = {
    "convolutional": (convolutional, data((2, 8, 8, 1))),
    "recurrent": (recurrent, TOKENS),
    "transformer": (transformer, TOKENS),
    "branched": (branched, [ROWS, data((3, 4), seed=1)]),
    "subclassed": (subclassed, ROWS),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_gives_the_same_model(name: str):
    make, x = SCRIPTS[name]
    theirs, ours = make(keras), make(xl)
    weights = randomise([np.asarray(w.value) for w in theirs.weights])
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    assert [type(a).__name__ for a in ours.layers] == [type(a).__name__ for a in theirs.layers]
    assert ours.count_params() == theirs.count_params()
    theirs.set_weights(weights)
    ours.set_weights(weights)
    expected, received = theirs(x), ours(x)
    pairs = zip(expected, received, strict=True) if name == "branched" else [(expected, received)]
    for a, b in pairs:
        np.testing.assert_allclose(np.asarray(b), np.asarray(a), rtol=1e-4, atol=1e-5)
    losses = [np.asarray(loss) for loss in theirs.losses]
    np.testing.assert_allclose([np.asarray(loss) for loss in ours.losses], losses, rtol=1e-5)


def test_summary_is_keras_summary():
    texts = []
    for lib in (keras, xl):
        lines: list[str] = []
        convolutional(lib).summary(print_fn=lambda line, lines=lines: lines.append(line))
        rows = "\n".join(lines).splitlines()
        cells = [row.strip("│").split("│") for row in rows if row.startswith("│")]
        counts = [[part.strip() for part in row[1:]] for row in cells]
        totals = [row.strip() for row in rows if "params:" in row]
        texts.append(([row for row in counts if any(row)], totals))
    assert texts[0] == texts[1]
