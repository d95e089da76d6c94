"""Sequence to sequence: dates as people write them, "Wed 3rd of March 2021", into "2021-03-03".

An encoder reads the letters; a decoder writes the date, a character at a time, looking at the
letters through attention. In training it is given the true character before each (teacher forcing);
afterwards it goes on from its own (greedy decoding). A translation counts if it is right in full.

python examples/translate_dates.py
"""

import argparse
from datetime import date, timedelta

import numpy as np

import xlathe as xl
from xlathe import layers

EPOCHS = 4
SAMPLES = 10_000
WRITTEN, ISO = 32, 10  # characters at most of a date as written, and of one as translated
LETTERS = " ,./'abcdefghijklmnopqrstuvwxyz0123456789"
START, DIGITS = "<", "-0123456789<"


def as_written(day, rng):
    """Return a date in one of the ways that people write one."""
    month = day.strftime(rng.choice(["%B", "%b"]))
    weekday = day.strftime(rng.choice(["%A ", "%a, ", "", ""]))
    year = day.strftime(rng.choice(["%Y", "%Y", "'%y"]))
    ending = {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10 if day.day // 10 != 1 else 0, "th")
    forms = [
        f"{weekday}{day.day} {month} {year}",
        f"{weekday}{day.day}{ending} of {month} {year}",
        f"{weekday}{month} {day.day}, {year}",
        f"{day.day}.{day.month}.{year}",
        f"{day.month:02}/{day.day:02}/{year}",
    ]
    return str(rng.choice(forms)).lower()


def load(samples):
    """Return so many dates as written, no two alike, and their translations."""
    rng = np.random.default_rng(0)
    pairs = {}
    while len(pairs) < samples:
        day = date(1970, 1, 1) + timedelta(days=int(rng.integers(36_524)))  # until 2069
        pairs[as_written(day, rng)] = day.isoformat()
    return list(pairs), list(pairs.values())


def as_numbers(texts, alphabet, length):
    """Return the places of the characters in the alphabet, counted from 1, padded with zeros."""
    rows = np.zeros((len(texts), length), np.int32)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = [alphabet.index(character) + 1 for character in text]
    return rows


def build_model(units=64):
    """Return encoder, attention and decoder as one model of two inputs."""
    written = xl.Input((WRITTEN,), dtype="int32", name="written")
    before = xl.Input((ISO,), dtype="int32", name="before")
    x = layers.Embedding(len(LETTERS) + 1, 32, mask_zero=True)(written)
    encoded, memory = layers.GRU(units, return_sequences=True, return_state=True)(x)

    y = layers.Embedding(len(DIGITS) + 1, 32)(before)
    decoded = layers.GRU(units, return_sequences=True)(y, initial_state=memory)
    looked_at = layers.Attention(use_scale=True)([decoded, encoded])
    y = layers.Dense(units, activation="relu")(layers.Concatenate()([decoded, looked_at]))
    return xl.Model([written, before], layers.Dense(len(DIGITS) + 1)(y))


def translate(model, texts):
    """Return the model's translations: the likeliest character, ten times."""
    written = as_numbers(texts, LETTERS, WRITTEN)
    before = as_numbers([START] * len(texts), DIGITS, ISO + 1)
    for place in range(ISO):
        logits = model.predict([written, before[:, :ISO]], batch_size=256, verbose=0)
        before[:, place + 1] = logits[:, place, 1:].argmax(-1) + 1
    return ["".join(DIGITS[number - 1] for number in row[1:]) for row in before]


def main(epochs=EPOCHS, samples=SAMPLES):
    """Train. Return the share of other dates that come out right, and each epoch's accuracy."""
    xl.utils.set_random_seed(0)
    texts, dates = load(samples)
    train = samples - samples // 10
    written = as_numbers(texts, LETTERS, WRITTEN)
    before = as_numbers([START + day[:-1] for day in dates], DIGITS, ISO)
    after = as_numbers(dates, DIGITS, ISO)

    model = build_model()
    loss = xl.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=xl.optimizers.Adam(3e-3), loss=loss, metrics=["accuracy"])
    data = [written[:train], before[:train]], after[:train]
    history = model.fit(
        *data, batch_size=64, epochs=epochs, validation_split=0.1, verbose=2
    ).history

    translated = translate(model, texts[train:])
    right = np.mean([ours == true for ours, true in zip(translated, dates[train:], strict=True)])
    print(f"\n{right:.1%} of {len(translated)} dates not seen are right in full\n")
    for text, ours in zip(texts[train : train + 8], translated[:8], strict=True):
        print(f"{text:32} {ours}")
    return float(right), history["accuracy"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    main(**vars(parser.parse_args()))
