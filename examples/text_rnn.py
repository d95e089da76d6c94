"""A recurrent network that learns to write sentences of Python's manual, word by word.

Sentences have different lengths: they are padded with zeros, which `mask_zero` leaves out of the
network, the loss and the metrics. The measure is perplexity: among how many equally likely words
the model still hesitates. The baseline knows the frequency of each word and of each pair.

python examples/text_rnn.py
"""

import argparse
import re
from collections import Counter
from pydoc_data.topics import topics

import numpy as np

import xlathe as xl
from xlathe import layers

EPOCHS = 20
VOCABULARY = 1000
LENGTH = 32
START, UNKNOWN = "<start>", "<unknown>"


def load():
    """Return the sentences, as lists of words, each once."""
    paragraphs = [part for text in topics.values() for part in re.split(r"\n\s*\n", text)]
    prose = [part.strip() for part in paragraphs if re.match(r"\s*[A-Z][a-z]* ", part)]
    sentences = [text for part in prose for text in re.split(r"(?<=[.?!:])\s+(?=[A-Z])", part)]
    words = {tuple(re.findall(r"\w+|[.,:;()]", sentence.lower())) for sentence in sentences}
    return sorted(sentence for sentence in words if 4 <= len(sentence) < LENGTH)


def as_numbers(sentences, vocabulary):
    """Return an array of words' numbers, a sentence a row, padded with zeros."""
    numbers = {word: number for number, word in enumerate(vocabulary)}
    rows = np.zeros((len(sentences), LENGTH), np.int32)
    for row, sentence in zip(rows, sentences, strict=True):
        row[: len(sentence) + 1] = [numbers.get(w, numbers[UNKNOWN]) for w in (START, *sentence)]
    return rows


def perplexity_of_pairs(train, test, size):
    """Return the perplexity of a model that counts words and pairs of words."""
    words = np.bincount(train[train > 0], minlength=size) + 1.0
    pairs = Counter(zip(train[:, :-1].ravel(), train[:, 1:].ravel(), strict=True))
    logs = []
    for before, after in zip(test[:, :-1].ravel(), test[:, 1:].ravel(), strict=True):
        if after:
            share = pairs[before, after] / max(words[before], 1.0)
            logs.append(np.log(0.6 * share + 0.4 * words[after] / words.sum()))
    return float(np.exp(-np.mean(logs)))


def write(model, vocabulary, prompt, rng):
    """Return a sentence that begins with the prompt, each word drawn from the model."""
    row = as_numbers([prompt.split()], vocabulary)
    for place in range(len(prompt.split()), LENGTH - 1):
        probabilities = model.predict(row[:, :-1], verbose=0)[0, place] ** 1.5
        probabilities[[0, vocabulary.index(START), vocabulary.index(UNKNOWN)]] = 0
        row[0, place + 1] = rng.choice(len(vocabulary), p=probabilities / probabilities.sum())
        if vocabulary[row[0, place + 1]] in ".:":
            break
    return " ".join(vocabulary[number] for number in row[0, 1:] if number)


def main(epochs=EPOCHS, vocabulary_size=VOCABULARY):
    """Train and write samples. Return the perplexity on other sentences, and the baseline's."""
    xl.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    sentences = load()
    rng.shuffle(sentences)
    counts = Counter(word for sentence in sentences for word in sentence)
    most_common = [word for word, _ in counts.most_common(vocabulary_size - 3)]
    vocabulary = ["", START, UNKNOWN, *most_common]
    rows = as_numbers(sentences, vocabulary)
    train, test = rows[: -len(rows) // 10], rows[-len(rows) // 10 :]
    print(f"{len(train)} sentences to learn from, for example: {' '.join(sentences[0])}")

    model = xl.Sequential(
        [
            layers.Input((LENGTH - 1,), dtype="int32"),
            layers.Embedding(len(vocabulary), 64, mask_zero=True),
            layers.Dropout(0.3),
            layers.LSTM(96, return_sequences=True),
            layers.Dropout(0.4),
            layers.Dense(len(vocabulary), activation="softmax"),
        ]
    )
    model.compile(optimizer=xl.optimizers.Adam(5e-3), loss="sparse_categorical_crossentropy")
    stop = xl.callbacks.EarlyStopping(patience=3, restore_best_weights=True)
    data = train[:, :-1], train[:, 1:]
    model.fit(*data, epochs=epochs, validation_split=0.1, callbacks=[stop], verbose=2)

    perplexity = float(np.exp(model.evaluate(test[:, :-1], test[:, 1:], verbose=0)))
    baseline = perplexity_of_pairs(train, test, len(vocabulary))
    print(
        f"\nperplexity {perplexity:.0f} on {len(test)} sentences not seen; pairs {baseline:.0f}\n"
    )
    for prompt in ("the", "if the", "a class", "this method"):
        print(write(model, vocabulary, prompt, rng))
    return perplexity, baseline


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    main(**vars(parser.parse_args()))
