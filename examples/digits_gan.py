"""A generative adversarial network: digits drawn by one network to deceive another.

The step is written out: two losses, two gradients, two optimizers. `call` draws and judges, so
everything random is in the model's state. The measure is how often a digit's nearest neighbour,
among real and drawn ones, is of its own kind: 50 % if they can't be told apart. The baseline draws
from a normal distribution with the digits' mean and covariance. Writes a picture of drawn digits.

python examples/digits_gan.py --out digits_gan.png
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors

import xlathe as xl
from xlathe import layers

EPOCHS = 300
SIZE = 32  # how many random numbers a digit is drawn from


class GAN(xl.Model):
    """A generator and a discriminator, trained against each other."""

    def __init__(self):
        super().__init__()
        self.generator = xl.Sequential(
            [
                layers.Input((SIZE,)),
                layers.Dense(128, activation="relu"),
                layers.Dense(256, activation="relu"),
                layers.Dense(64, activation="sigmoid"),
            ]
        )
        self.discriminator = xl.Sequential(
            [
                layers.Input((64,)),
                layers.Dense(256),
                layers.LeakyReLU(0.2),
                layers.Dropout(0.3),
                layers.Dense(128),
                layers.LeakyReLU(0.2),
                layers.Dropout(0.3),
                layers.Dense(1),
            ]
        )
        self.seeds = xl.random.SeedGenerator(0)

    def compile(self, generator_optimizer, discriminator_optimizer):  # pyright: ignore
        """Take one optimizer for each network."""
        super().compile(optimizer=generator_optimizer)
        self.discriminator_optimizer = discriminator_optimizer
        self.optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def call(self, images, training=False):
        """Return what the discriminator thinks of these images, and of as many drawn ones."""
        count = images.shape[0]
        noise = xl.random.normal((count, SIZE), seed=self.seeds)
        both = jnp.concatenate([images, self.generator(noise)])
        verdicts = self.discriminator(both, training=training)
        return verdicts[:count], verdicts[count:]

    def train_step(self, state, data):
        """Improve both networks by one batch."""
        trainable, others, optimizers, metrics = state
        images = data[0] if isinstance(data, tuple) else data
        count = len(self.generator.trainable_variables)
        generator, discriminator = trainable[:count], trainable[count:]

        def losses(generator, discriminator):
            (real, drawn), after = self.stateless_call(
                generator + discriminator, others, images, training=True
            )
            deceived = jax.nn.softplus(-drawn).mean()
            mistaken = jax.nn.softplus(-real).mean() + jax.nn.softplus(drawn).mean()
            return deceived, mistaken, after

        deceived, mistaken, after = losses(generator, discriminator)
        g_grads = jax.grad(lambda weights: losses(weights, discriminator)[0])(generator)
        d_grads = jax.grad(lambda weights: losses(generator, weights)[1])(discriminator)

        count = len(self.optimizer.variables)
        generator, g_state = self.optimizer.stateless_apply(optimizers[:count], g_grads, generator)
        discriminator, d_state = self.discriminator_optimizer.stateless_apply(
            optimizers[count:], d_grads, discriminator
        )
        logs = {"generator_loss": deceived, "discriminator_loss": mistaken}
        return logs, (generator + discriminator, after, g_state + d_state, metrics)


def told_apart(real, drawn):
    """Return how often the nearest neighbour of an image is of the same kind."""
    images = np.concatenate([real, drawn])
    is_real = np.arange(len(images)) < len(real)
    nearest = NearestNeighbors(n_neighbors=2).fit(images).kneighbors(images)[1][:, 1]
    return float(np.mean(is_real == is_real[nearest]))


def save_picture(images, path):
    """Write images as a PNG, sixteen a row, each pixel eight times as large."""
    digits = np.pad(images.reshape(-1, 16, 8, 8), [(0, 0), (0, 0), (1, 1), (1, 1)])
    pixels = digits.transpose(0, 2, 1, 3).reshape(-1, 160).repeat(8, 0).repeat(8, 1)
    Image.fromarray((pixels * 255).astype(np.uint8)).save(path)


def main(epochs=EPOCHS, out="digits_gan.png"):
    """Train and draw. Return how often drawn digits are told from real ones, and the baseline's."""
    xl.utils.set_random_seed(0)
    images = (load_digits(return_X_y=True)[0] / 16).astype(np.float32)
    gan = GAN()
    gan.compile(
        generator_optimizer=xl.optimizers.Adam(1e-3, beta_1=0.5),
        discriminator_optimizer=xl.optimizers.Adam(1e-3, beta_1=0.5),
    )
    gan.fit(images, batch_size=64, epochs=epochs, verbose=2)

    rng = np.random.default_rng(0)
    drawn = gan.generator.predict(rng.normal(size=(len(images), SIZE)), verbose=0)
    normal = rng.multivariate_normal(images.mean(0), np.cov(images.T), len(images)).clip(0, 1)
    share, baseline = told_apart(images, drawn), told_apart(images, normal)
    print(f"\ntold from real digits in {share:.0%} of cases, where 50 % would be perfect")
    print(f"draws from a normal distribution {baseline:.0%}")
    save_picture(drawn[:64], out)
    print(f"the picture is {out}")
    return share, baseline


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--out", default="digits_gan.png")
    main(**vars(parser.parse_args()))
