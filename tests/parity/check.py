"""What the parity tests share: the same layer in Keras and here, with the same weights and data."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

import xlathe as xl


@dataclass
class Case:
    """One configuration of a layer.

    Arguments:
        layer: its name.
        shapes: the shape of each input; a list of them when the layer takes a list.
        options: its arguments.
        integers: one more than the largest index, for inputs that are indices.
        training: whether it is called in training.
        call: keyword arguments of the call.
    """

    layer: str
    shapes: Any
    options: dict[str, Any] = field(default_factory=dict)
    integers: int | None = None
    training: bool = False
    call: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        options = ",".join(f"{name}={_short(value)}" for name, value in self.options.items())
        return f"{self.layer}({options}){'T' if self.training else ''}"


def _short(value: Any) -> str:
    return value.__name__ if hasattr(value, "__name__") else str(value).replace(" ", "")


def data(shapes: Any, integers: int | None = None, seed: int = 0) -> Any:
    """Return random inputs of these shapes: an array for a tuple, a list for a list."""
    if isinstance(shapes, list):
        return [data(shape, integers, seed + i) for i, shape in enumerate(shapes)]
    generator = np.random.default_rng(seed)
    if integers is not None:
        return generator.integers(0, integers, shapes).astype("int32")
    return generator.normal(size=shapes).astype("float32")


def randomise(weights: list[np.ndarray], seed: int = 7) -> list[np.ndarray]:
    """Return positive random weights of the same shapes, so that none is trivial."""
    generator = np.random.default_rng(seed)
    return [generator.uniform(0.1, 0.9, w.shape).astype(w.dtype) for w in weights]


def outputs_and_gradients(layer: Any, x: Any, call: dict[str, Any]) -> Any:
    """Return outputs, updated statistics, and gradients for weights and floating-point inputs."""
    trainable = [jnp.asarray(v.value) for v in layer.trainable_variables]
    others = [jnp.asarray(v.value) for v in layer.non_trainable_variables]
    leaves, structure = jax.tree.flatten(x)
    places = [i for i, leaf in enumerate(leaves) if leaf.dtype == np.float32]

    def total(trainable: Any, floats: Any) -> Any:
        filled = list(leaves)
        for place, value in zip(places, floats, strict=True):
            filled[place] = value
        inputs = jax.tree.unflatten(structure, filled)
        y, new = layer.stateless_call(trainable, others, inputs, **call)
        weighted = [
            jnp.sum(jnp.sin(jnp.arange(leaf.size, dtype="float32")).reshape(leaf.shape) * leaf)
            for leaf in jax.tree.leaves(y)
            if jnp.issubdtype(leaf.dtype, jnp.floating)
        ]
        return sum(weighted, jnp.zeros(())), (y, new)

    floats = [jnp.asarray(leaves[place]) for place in places]
    run = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))
    gradients, (y, new) = run(trainable, floats)
    statistics = [n for n, v in zip(new, layer.non_trainable_variables, strict=True) if n.ndim < 2]
    statistics = [s for s in statistics if s.dtype == jnp.float32]
    return {"outputs": y, "statistics": statistics, "gradients": gradients}


def symbolic(make: Any, x: Any, batch: bool) -> Any:
    """Return a structure of symbolic tensors like `x`, its batch fixed or not."""

    def like(leaf: np.ndarray) -> Any:
        first = leaf.shape[0] if batch else None
        return make((first, *leaf.shape[1:]), str(leaf.dtype))

    return jax.tree.map(like, x)


def compare(case: Case, tolerance: float = 2e-5) -> None:
    """Compare a layer of Keras with ours: shapes of weights, outputs, statistics, gradients."""
    x = data(case.shapes, case.integers)
    theirs = make(keras.layers, case)
    ours = make(xl.layers, case)
    fixed = case.options.get("stateful") or any(
        hasattr(leaf, "shape") for leaf in jax.tree.leaves(case.call)
    )
    theirs(symbolic(keras.KerasTensor, x, True), **case.call)
    inputs = symbolic(lambda s, d: xl.Input(batch_shape=s, dtype=d), x, bool(fixed))
    shapes = [tensor.shape for tensor in jax.tree.leaves(ours(inputs, **case.call))]
    weights = randomise([np.asarray(v.value) for v in theirs.weights])
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in weights]
    names = [weight.name for weight in theirs.weights]
    assert [weight.name for weight in ours.weights] == names
    theirs.set_weights(weights)
    ours.set_weights(weights)
    for layer in (theirs, ours):
        if case.options.get("stateful"):
            layer.reset_state()
    call = dict(case.call, training=True) if case.training else case.call
    expected = outputs_and_gradients(theirs, x, call)
    received = outputs_and_gradients(ours, x, call)
    for kind, value in expected.items():
        close(received[kind], value, f"{case}: {kind}", tolerance)
    for shape, output in zip(shapes, jax.tree.leaves(expected["outputs"]), strict=True):
        assert shape[1:] == output.shape[1:]
        assert shape[0] == (output.shape[0] if fixed else None)


def make(layers: Any, case: Case) -> Any:
    """Return the layer of a case, from Keras's layers or ours."""
    options = {
        name: make(layers, value) if isinstance(value, Case) else _made(layers, value)
        for name, value in case.options.items()
    }
    return getattr(layers, case.layer)(**options)


def _made(layers: Any, value: Any) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], Case):
        return [make(layers, item) for item in value]
    return value


def close(received: Any, expected: Any, what: str, tolerance: float) -> None:
    """Compare two structures of arrays, relative to their largest value."""
    ours, theirs = jax.tree.leaves(received), jax.tree.leaves(expected)
    assert len(ours) == len(theirs), what
    for a, b in zip(ours, theirs, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape, what
        assert a.dtype == b.dtype, what
        scale = max(1.0, float(np.max(np.abs(b), initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, err_msg=what)
