"""A variational autoencoder: digits squeezed into a few numbers each, and digits drawn from them.

The encoder gives a mean and a variance for each number; a layer draws from them and adds what the
draw costs to the loss (`add_loss`). Writes a picture: pairs of digits not seen and what the decoder
makes of them, and below digits that it makes of random numbers.

python examples/digits_vae.py --out digits_vae.png
"""

import argparse

import jax.numpy as jnp
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

import xlathe as xl
from xlathe import layers

EPOCHS = 100
SIZE = 8  # how many numbers a digit becomes


class Sampling(layers.Layer):
    """A draw from normal distributions, whose distance from the standard one is a loss."""

    def __init__(self, weight, **kwargs):
        super().__init__(**kwargs)
        self.weight = weight
        self.seeds = xl.random.SeedGenerator(0)

    def call(self, inputs):
        mean, log_variance = inputs
        distance = 0.5 * (jnp.exp(log_variance) + mean**2 - 1 - log_variance).sum(axis=-1)
        self.add_loss(self.weight * distance.mean())
        noise = xl.random.normal(mean.shape, seed=self.seeds)
        return mean + jnp.exp(0.5 * log_variance) * noise


def build_models():
    """Return encoder, decoder, and both in one."""
    image = xl.Input((64,))
    x = layers.Dense(256, activation="relu")(image)
    x = layers.Dense(128, activation="relu")(x)
    mean, log_variance = layers.Dense(SIZE)(x), layers.Dense(SIZE)(x)
    encoder = xl.Model(image, [mean, log_variance], name="encoder")

    decoder = xl.Sequential(
        [
            layers.Input((SIZE,)),
            layers.Dense(128, activation="relu"),
            layers.Dense(256, activation="relu"),
            layers.Dense(64, activation="sigmoid"),
        ],
        name="decoder",
    )
    code = Sampling(weight=0.3 / 64)([mean, log_variance])
    return encoder, decoder, xl.Model(image, decoder(code))


def save_picture(rows, path):
    """Write rows of digits as a PNG, each pixel eight times as large."""
    digits = np.reshape(rows, (len(rows), -1, 8, 8))
    pixels = np.pad(digits, [(0, 0), (0, 0), (1, 1), (1, 1)]).transpose(0, 2, 1, 3)
    pixels = pixels.reshape(len(rows) * 10, -1).repeat(8, 0).repeat(8, 1)
    Image.fromarray((pixels * 255).astype(np.uint8)).save(path)


def main(epochs=EPOCHS, out="digits_vae.png"):
    """Train and draw. Return the error of digits not seen, and that of as many components."""
    xl.utils.set_random_seed(0)
    images = (load_digits(return_X_y=True)[0] / 16).astype(np.float32)
    x, x_test = train_test_split(images, random_state=0)

    encoder, decoder, model = build_models()
    model.compile(optimizer=xl.optimizers.Adam(2e-3), loss="binary_crossentropy")
    model.fit(x, x, batch_size=64, epochs=epochs, verbose=2)

    mean, _ = encoder.predict(x_test, verbose=0)
    restored = decoder.predict(mean, verbose=0)
    components = PCA(SIZE).fit(x)
    by_pca = components.inverse_transform(components.transform(x_test))
    error, baseline = (float(np.mean((each - x_test) ** 2)) for each in (restored, by_pca))
    print(f"\nsquared error {error:.4f} a pixel from {SIZE} numbers a digit, on digits not seen")
    print(f"{SIZE} principal components {baseline:.4f}")

    rng = np.random.default_rng(0)
    drawn = decoder.predict(rng.normal(size=(48, SIZE)), verbose=0)
    save_picture([x_test[:16], restored[:16], *drawn.reshape(3, 16, 64)], out)
    print(f"the picture is {out}: digits, the same restored, and three rows of new ones")
    return error, baseline


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--out", default="digits_vae.png")
    main(**vars(parser.parse_args()))
