"""Keyword spotting: which of eight words is spoken, by a network that sees the spectrogram.

The words are synthesised: syllables of vowels, which are two resonances (formants) of a buzzing
voice that may glide, and hissing consonants. Pitch, tempo, loudness, beginning and noise differ
from one speaking to the next. The spectrogram is a layer, so the model takes the sound itself.

python examples/keyword_spotting.py
"""

import argparse

import jax.numpy as jnp
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import xlathe as xl
from xlathe import layers

EPOCHS = 8
SPEAKINGS = 200
RATE, LENGTH = 8000, 6000  # samples a second, and samples in all
FORMANTS = {"a": (750, 1200), "e": (450, 1900), "i": (300, 2300), "o": (500, 900), "u": (320, 700)}
WORDS = ["a", "ai", "ia", "sa", "so", "asu", "iso", "oe"]


def voice(vowels, seconds, pitch, rng):
    """Return the sound of a vowel, or of one that glides into the next."""
    time = np.arange(int(seconds * RATE))[:, None] / RATE
    glide = np.linspace(0, 1, len(time))[:, None]
    formants = (1 - glide) * FORMANTS[vowels[0]] + glide * np.array(FORMANTS[vowels[-1]])
    tones = pitch * np.arange(1, int(3000 / pitch))
    loudness = sum(np.exp(-(((tones - f[:, None]) / 130) ** 2)) for f in formants.T)
    waves = np.sin(2 * np.pi * (tones * time + rng.uniform(0, 1, len(tones))))
    return ((loudness + 0.02) * waves).sum(1) * np.hanning(len(time))


def hiss(seconds, rng):
    """Return a consonant: noise without its low frequencies."""
    noise = np.diff(rng.normal(size=int(seconds * RATE) + 1))
    return 0.8 * noise * np.hanning(len(noise))


def speak(word, rng):
    """Return a word, spoken in one way of many, among noise."""
    pitch, tempo = rng.uniform(90, 220), rng.uniform(0.75, 1.25)
    sounds = [
        hiss(0.1 * tempo, rng) if part == "s" else voice(part, 0.2 * tempo, pitch, rng)
        for part in word.replace("s", " s ").split()
    ]
    sound = np.concatenate(sounds)
    sound *= rng.uniform(0.3, 1) / np.abs(sound).max()
    heard = rng.normal(0, rng.uniform(0.02, 0.15), LENGTH)
    start = rng.integers(LENGTH - len(sound))
    heard[start : start + len(sound)] += sound
    return heard.astype(np.float32)


def load(speakings):
    """Return sounds and the numbers of their words, in random order."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(len(WORDS)), speakings))
    return np.stack([speak(WORDS[label], rng) for label in labels]), labels


class Spectrogram(layers.Layer):
    """How loud each frequency is at each time, on a scale of decades."""

    def __init__(self, size=256, step=128, **kwargs):
        super().__init__(**kwargs)
        self.size, self.step = size, step

    def call(self, sounds):
        starts = jnp.arange(0, sounds.shape[-1] - self.size + 1, self.step)
        frames = sounds[:, starts[:, None] + jnp.arange(self.size)] * jnp.hanning(self.size)
        power = jnp.abs(jnp.fft.rfft(frames)) ** 2
        return jnp.log10(power + 1e-3)[..., None]


def build_model():
    """Return the spectrogram, convolutions over time and frequency, and a classifier."""
    return xl.Sequential(
        [
            layers.Input((LENGTH,)),
            Spectrogram(),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(len(WORDS), activation="softmax"),
        ]
    )


def main(epochs=EPOCHS, speakings=SPEAKINGS):
    """Train, and return the accuracy on other speakings, and that of the baseline."""
    xl.utils.set_random_seed(0)
    sounds, labels = load(speakings)
    train = len(sounds) * 4 // 5
    x, y, x_test, y_test = sounds[:train], labels[:train], sounds[train:], labels[train:]

    model = build_model()
    model.summary()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=epochs, validation_split=0.1, verbose=2)
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)

    spectra = np.asarray(Spectrogram()(sounds)).mean(axis=(1, 3))
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(
        spectra[:train], y
    )
    baseline = logistic.score(spectra[train:], y_test)
    print(f"\naccuracy {accuracy:.1%} on {len(x_test)} speakings not heard")
    print(f"logistic regression on the mean spectrum {baseline:.1%}\n")

    heard = model.predict(x_test, verbose=0).argmax(-1)
    for spoken, word in enumerate(WORDS):
        counts = np.bincount(heard[y_test == spoken], minlength=len(WORDS))
        print(
            f"{word:3} heard as {', '.join(f'{WORDS[i]} {counts[i]}' for i in counts.nonzero()[0])}"
        )
    return accuracy, baseline


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    main(**vars(parser.parse_args()))
