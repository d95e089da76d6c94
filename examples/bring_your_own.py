"""One training loop for models of every kind: Flax NNX, Equinox, plain functions, steps.

Run it with `python examples/bring_your_own.py`; it takes a few seconds, and needs flax and equinox.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from flax import nnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import xlathe as xl

ENTROPY = xl.losses.SparseCategoricalCrossentropy(from_logits=True)


class Flax(nnx.Module):
    """A Flax NNX module; its batch statistics and dropout keys change as it is trained."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.hidden = nnx.Linear(64, 64, rngs=rngs)
        self.norm = nnx.BatchNorm(64, rngs=rngs)
        self.drop = nnx.Dropout(0.2, rngs=rngs)
        self.out = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits for a batch."""
        return self.out(self.drop(nnx.relu(self.norm(self.hidden(x)))))


def apply(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """A network of one hidden layer as a function of its parameters."""
    return jax.nn.relu(x @ params["hidden"]) @ params["out"]


def main(epochs: int = 10) -> dict[str, float]:
    """Train each kind on scikit-learn's digits; return their accuracies on digits not seen."""
    xl.set_random_seed(0)
    images, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(images / 16, labels, random_state=0)
    x_test = jnp.asarray(x_test, jnp.float32)
    keys = jax.random.split(jax.random.key(0))
    params = {
        "hidden": jax.random.normal(keys[0], (64, 64)) / 8,
        "out": jax.random.normal(keys[1], (64, 10)) / 8,
    }
    transformation = optax.adam(1e-3)
    options = {"optimizer": transformation, "loss": ENTROPY, "metrics": ["accuracy"]}
    options |= {"epochs": epochs, "verbose": 0}
    logits = {}

    module = Flax(nnx.Rngs(0))
    xl.fit(module, x, y, validation_split=0.1, **options)  # trained in place
    module.eval()
    logits["Flax NNX"] = module(x_test)

    mlp = eqx.nn.MLP(64, 10, 64, 1, key=jax.random.key(0))
    mlp, history = xl.fit(mlp, x, y, **options)  # one sample's module, mapped over batches
    logits["Equinox"] = history.model.predict(x_test, verbose=0)

    trained, _ = xl.fit(apply, x, y, params=params, **options)
    logits["function"] = apply(trained, x_test)

    def step(state, batch):
        weights, moments = state
        x, y = batch

        def loss_of(weights):
            return optax.softmax_cross_entropy_with_integer_labels(apply(weights, x), y).mean()

        loss, grads = jax.value_and_grad(loss_of)(weights)
        updates, moments = transformation.update(grads, moments, weights)
        return (optax.apply_updates(weights, updates), moments), {"loss": loss}

    state, _ = xl.fit(
        step, x, y, state=(params, transformation.init(params)), epochs=epochs, verbose=0
    )
    logits["step"] = apply(state[0], x_test)

    accuracies = {
        kind: float((found.argmax(-1) == y_test).mean()) for kind, found in logits.items()
    }
    for kind, accuracy in accuracies.items():
        print(f"{kind:>10}: {accuracy:.3f} of the digits not seen are right")
    return accuracies


if __name__ == "__main__":
    main()
