"""Transfer learning: what was learnt on the digits 0 to 4 helps to learn 5 to 9 from a few images.

A network is trained on many images of 0 to 4. Its convolutions are then frozen
(`trainable = False`) and get a new head, which is trained on ten images of each of 5 to 9. Last,
everything is trained a little further (fine-tuning). The baseline is the same network trained on
these fifty images alone, from scratch.

python examples/transfer_learning.py
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits

import xlathe as xl
from xlathe import layers

EPOCHS = 10
FEW = 10  # images of each digit from 5 to 9


def build_features():
    """Return the layers that are carried over."""
    return xl.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Flatten(),
        ],
        name="features",
    )


def with_head(features):
    """Return a classifier of five digits on top of the features."""
    return xl.Sequential([features, layers.Dropout(0.3), layers.Dense(5, activation="softmax")])


def train(model, data, epochs, rate=1e-3, **options):
    """Compile the model, which is due whenever `trainable` was changed, and train it."""
    model.compile(
        optimizer=xl.optimizers.Adam(rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(*data, epochs=epochs, **options)


def load():
    """Return images and labels of 0 to 4, few of 5 to 9, and the others of 5 to 9."""
    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 8, 8, 1) / 16
    first, rest = labels < 5, labels >= 5
    images_rest, labels_rest = images[rest], labels[rest] - 5
    order = np.random.default_rng(0).permutation(len(labels_rest))
    few = np.concatenate([order[labels_rest[order] == digit][:FEW] for digit in range(5)])
    others = np.setdiff1d(order, few)
    return [
        (images[first], labels[first]),
        (images_rest[few], labels_rest[few]),
        (images_rest[others], labels_rest[others]),
    ]


def main(epochs=EPOCHS):
    """Train. Return the accuracy on 5 to 9 with frozen layers, fine-tuned, and from scratch."""
    xl.utils.set_random_seed(0)
    many, few, others = load()

    features = build_features()
    train(with_head(features), many, epochs, validation_split=0.1, verbose=2)
    learnt = features.get_weights()

    features.trainable = False
    model = with_head(features)
    train(model, few, 10 * epochs, batch_size=10, verbose=0)
    model.summary()
    unchanged = all(map(np.array_equal, learnt, features.get_weights()))
    print(f"the frozen weights are {'unchanged' if unchanged else 'CHANGED'}")
    _, frozen = model.evaluate(*others, verbose=0)

    features.trainable = True
    train(model, few, 5 * epochs, rate=2e-4, batch_size=10, verbose=0)
    _, tuned = model.evaluate(*others, verbose=0)

    scratch = with_head(build_features())
    train(scratch, few, 15 * epochs, batch_size=10, verbose=0)
    _, baseline = scratch.evaluate(*others, verbose=0)

    print(f"\n{len(few[0])} images to learn 5 to 9 from, {len(others[0])} to test on")
    print(f"accuracy {frozen:.1%} with frozen features from 0 to 4, {tuned:.1%} fine-tuned")
    print(f"the same network from scratch {baseline:.1%}")
    return frozen, tuned, baseline


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    main(**vars(parser.parse_args()))
