"""Handwritten digits, learnt in a few lines: Keras's way to write it, compiled by xlathe.

Run it with `python examples/digits_mlp.py`; it takes a few seconds.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import xlathe as xl
from xlathe import layers


def main(epochs: int = 20) -> float:
    """Train a small network on scikit-learn's digits; return its accuracy on digits not seen."""
    xl.set_random_seed(0)
    images, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(images / 16, labels, random_state=0)

    model = xl.Sequential(
        [
            layers.Input((64,)),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    stop = xl.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    model.fit(x, y, epochs=epochs, validation_split=0.1, callbacks=[stop], verbose=2)

    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"\nloss {loss:.3f}, accuracy {accuracy:.3f} on {len(x_test)} digits not seen")
    digits = model.predict(x_test[:10], verbose=0).argmax(-1)
    print(f"predicted {digits.tolist()}, true {list(map(int, y_test[:10]))}")
    return accuracy


if __name__ == "__main__":
    main()
