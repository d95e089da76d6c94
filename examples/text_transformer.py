"""A transformer that tells which of six topics of Python's manual a passage comes from.

The network is put together from layers: attention, normalisation, and an embedding of words and of
places, which is a layer of its own and masks the padding of shorter passages. The baseline is naive
Bayes on the same words, regardless of their order.

python examples/text_transformer.py
"""

import argparse
import re
from collections import Counter
from pydoc_data.topics import topics

import jax.numpy as jnp
import numpy as np
from sklearn.naive_bayes import MultinomialNB

import xlathe as xl
from xlathe import layers

EPOCHS = 5
VOCABULARY, WIDTH = 2000, 64
LENGTH, SECTION = 32, 160  # words in a passage at most, and in what is learnt or tested as a whole


TOPICS = ["specialnames", "compound", "types", "formatstrings", "string-methods", "debugger"]


class PositionalEmbedding(layers.Layer):
    """A vector for each word and one for its place, added; zeros are masked."""

    def __init__(self, vocabulary, length, width, **kwargs):
        super().__init__(**kwargs)
        self.words = layers.Embedding(vocabulary, width, mask_zero=True)
        self.places = layers.Embedding(length, width)

    def call(self, tokens):
        return self.words(tokens) + self.places(jnp.arange(tokens.shape[-1]))

    def compute_mask(self, inputs, previous_mask=None):
        return self.words.compute_mask(inputs)


def block(x, heads=4):
    """Return what comes in, with attention and then two dense layers added to it."""
    normal = layers.LayerNormalization()(x)
    attended = layers.MultiHeadAttention(heads, WIDTH // heads, dropout=0.1)(normal, normal)
    x = layers.Add()([x, layers.Dropout(0.2)(attended)])
    wide = layers.Dense(4 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
    return layers.Add()([x, layers.Dropout(0.2)(layers.Dense(WIDTH)(wide))])


def build_model():
    """Return embeddings, a block, and a classifier on the mean of what it gives."""
    tokens = xl.Input((LENGTH,), dtype="int32")
    x = layers.Dropout(0.4)(PositionalEmbedding(VOCABULARY, LENGTH, WIDTH)(tokens))
    x = layers.LayerNormalization()(block(x))
    x = layers.GlobalAveragePooling1D()(x)
    return xl.Model(tokens, layers.Dense(len(TOPICS), activation="softmax")(layers.Dropout(0.5)(x)))


def load():
    """Return passages and their topics' numbers, for training and for testing."""
    rng = np.random.default_rng(0)
    words_of = [re.findall(r"\w+|[^\w\s]", topics[name].lower()) for name in TOPICS]
    counts = Counter(word for words in words_of for word in words)
    numbers = {word: i for i, (word, _) in enumerate(counts.most_common(VOCABULARY - 2), start=2)}
    parts = {"train": ([], []), "test": ([], [])}
    for topic, words in enumerate(words_of):
        tokens = [numbers.get(word, 1) for word in words]
        for start in range(0, len(tokens) - SECTION, SECTION):
            part, stride = ("test", LENGTH) if rng.random() < 0.2 else ("train", LENGTH // 4)
            passages, labels = parts[part]
            for first in range(start, start + SECTION - LENGTH + 1, stride):
                passage = tokens[first : first + int(rng.integers(LENGTH // 2, LENGTH + 1))]
                passages.append(passage + [0] * (LENGTH - len(passage)))
                labels.append(topic)
    order = rng.permutation(len(parts["train"][0]))
    x, y, x_test, y_test = (np.array(rows, np.int32) for part in parts.values() for rows in part)
    return x[order], y[order], x_test, y_test


def main(epochs=EPOCHS, passages=None):
    """Train, and return the accuracy on other sections, and that of a bag of words."""
    xl.utils.set_random_seed(0)
    x, y, x_test, y_test = load()
    x, y = x[:passages], y[:passages]
    print(f"{len(x)} passages to learn from, {len(x_test)} to test on, {len(TOPICS)} topics")

    model = build_model()
    model.summary()
    model.compile(
        optimizer=xl.optimizers.AdamW(1e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=2)
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)

    bags, bags_test = (
        [np.bincount(row, minlength=VOCABULARY)[1:] for row in rows] for rows in (x, x_test)
    )
    baseline = MultinomialNB().fit(bags, y).score(bags_test, y_test)
    print(f"\naccuracy {accuracy:.1%} on passages of other sections, naive Bayes {baseline:.1%}\n")
    guesses = model.predict(x_test, verbose=0).argmax(-1)
    for topic, name in enumerate(TOPICS):
        print(
            f"{name:15} {np.mean(guesses[y_test == topic] == topic):.0%} of {sum(y_test == topic)}"
        )
    return accuracy, baseline


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    main(**vars(parser.parse_args()))
