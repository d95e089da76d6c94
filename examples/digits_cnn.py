"""A convolutional network that reads handwritten digits: augmentation and early stopping.

Each image is turned a little, another way in each epoch, before it is learnt from; training ends
when the validation loss no longer falls, and the best weights are kept. The baseline is a logistic
regression on the pixels.

python examples/digits_cnn.py
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import xlathe as xl
from xlathe import layers

EPOCHS = 60


def build_model():
    """Return convolutions and pooling with a classifier on top."""
    return xl.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Rescaling(1 / 16),
            layers.RandomRotation(0.05, fill_mode="constant"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.2),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(10, activation="softmax"),
        ]
    )


def main(epochs=EPOCHS):
    """Train, and return the accuracy on images not seen, and that of the baseline."""
    xl.utils.set_random_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 8, 8, 1)
    x, x_test, y, y_test = train_test_split(images, labels, random_state=0)

    model = build_model()
    model.summary()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    stop = xl.callbacks.EarlyStopping(patience=8, restore_best_weights=True, verbose=1)
    model.fit(x, y, epochs=epochs, validation_split=0.1, callbacks=[stop], verbose=2)

    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    logistic = LogisticRegression(max_iter=2000).fit(np.reshape(x, (-1, 64)) / 16, y)
    baseline = logistic.score(np.reshape(x_test, (-1, 64)) / 16, y_test)
    print(f"\naccuracy {accuracy:.1%} on {len(x_test)} digits not seen")
    print(f"logistic regression {baseline:.1%}")

    digits = model.predict(x_test, verbose=0).argmax(-1)
    for i in (digits != y_test).nonzero()[0][:5]:
        print(f"image {i}: taken for a {digits[i]}, labelled {y_test[i]}")
    return accuracy, baseline


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    main(**vars(parser.parse_args()))
