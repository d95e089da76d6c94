"""Train a small convolutional network on handwritten digits, and look at what xlathe made of it.

python examples/quickstart.py
"""

import sys
import time
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import trange

import xlathe as xl

BATCH = 64
STEPS = 900
optimizer = optax.adamw(optax.cosine_decay_schedule(3e-3, STEPS), weight_decay=1e-3)


def init(key):
    """Make the parameters: two convolutions and a dense layer."""
    k1, k2, k3 = jax.random.split(key, 3)
    he = jax.nn.initializers.he_normal()
    return {
        "conv1": {"w": he(k1, (3, 3, 1, 16)), "b": jnp.zeros(16)},
        "conv2": {"w": he(k2, (3, 3, 16, 32)), "b": jnp.zeros(32)},
        "dense": {"w": he(k3, (2 * 2 * 32, 10)), "b": jnp.zeros(10)},
    }


def conv(layer, x):
    """Convolve 3x3, then halve the image by taking the largest of each 2x2 patch."""
    x = jax.lax.conv_general_dilated(
        x, layer["w"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    n, h, w, c = x.shape
    x = jax.nn.relu(x + layer["b"])
    return x.reshape(n, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))


def predict(params, images):
    """Return the ten logits of each image."""
    x = conv(params["conv1"], images)
    x = conv(params["conv2"], x)
    x = x.reshape(x.shape[0], -1)
    return x @ params["dense"]["w"] + params["dense"]["b"]


def loss_fn(params, images, labels):
    """Return the mean cross-entropy of a batch."""
    logits = predict(params, images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@xl.compile
def train_step(params, opt_state, images, labels):
    """Take one step of AdamW."""
    loss, grads = jax.value_and_grad(loss_fn)(params, images, labels)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, loss


@xl.compile
def accuracy(params, images, labels):
    """Return the share of images whose largest logit is that of their label."""
    return (predict(params, images).argmax(axis=-1) == labels).mean()


def load():
    """Return training images, test images, training labels and test labels."""
    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 8, 8, 1).astype(np.float32) / 16
    return train_test_split(
        images, labels.astype(np.int32), test_size=0.2, random_state=0, stratify=labels
    )


def fit(params, opt_state, images, labels, steps):
    """Train on random batches and return the parameters and the optimizer's state."""
    rng = np.random.default_rng(0)
    for step in (progress := trange(steps, desc="training", unit="step")):
        batch = rng.integers(len(images), size=BATCH)
        params, opt_state, loss = train_step(params, opt_state, images[batch], labels[batch])
        if step % 50 == 0:
            progress.set_postfix(loss=f"{loss:.4f}")
    return params, opt_state


def time_side_by_side(functions, args, rounds=100):
    """Return the median seconds a call of each function takes, the functions taking turns."""
    seconds = [[] for _ in functions]
    for _ in range(rounds):
        for function, record in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(function(*args))
            record.append(time.perf_counter() - start)
    return [median(record) for record in seconds]


def main(steps=STEPS):
    """Train, then show the program that ran. Return the accuracy on the test images."""
    train_images, test_images, train_labels, test_labels = load()
    params = init(jax.random.key(0))
    params, opt_state = fit(params, optimizer.init(params), train_images, train_labels, steps)
    test_accuracy = float(accuracy(params, test_images, test_labels))

    args = params, opt_state, train_images[:BATCH], train_labels[:BATCH]
    traced = train_step.trace(*args)
    print("\n== the train step as written ==\n", traced.as_text("captured"), sep="\n")
    print("\n== the train step improved ==\n", traced.as_text("ir"), sep="\n")
    print("\n== the program that ran ==\n", traced.as_text("python"), sep="\n")
    print("\n== what was done ==\n", traced.explain(), sep="\n")

    ours, plain = time_side_by_side([train_step, jax.jit(train_step.__wrapped__)], args)
    print(f"\ntest accuracy  {test_accuracy:.2%}")
    print(f"time per step  {ours * 1e3:.2f} ms with xl.compile, {plain * 1e3:.2f} ms with jax.jit")
    return test_accuracy


if __name__ == "__main__":
    if main() < 0.97:
        sys.exit("the test accuracy is below 97 %")
