"""A pytree of anybody's as variables: its arrays trained and saved, everything else as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from xlathe.tracer.layers.variable import Variable


class VariableTree:
    """The arrays of a pytree as variables, and the way back.

    Keys of random numbers are kept as their bits, so that they can be written to a file; leaves
    that are neither arrays nor numbers (functions, names) stay as they are.

    Args:
        tree: the pytree.
        trainable: whether gradients are taken with respect to its arrays.
        where: what it is, for messages.
    """

    def __init__(self, tree: Any, trainable: bool, where: str) -> None:
        paths, self.structure = jax.tree_util.tree_flatten_with_path(tree)
        self.where = where
        self._fixed: list[Any] = []
        self._keys: list[Any] = []
        self._slots: list[Variable | None] = []
        for path, leaf in paths:
            held = is_number(leaf)
            key = jax.random.key_impl(leaf) if held and is_key(leaf) else None
            self._fixed.append(None if held else leaf)
            self._keys.append(key)
            self._slots.append(
                Variable(
                    # With its type said, a weakly typed value does not become another in a step.
                    jax.random.key_data(leaf) if key is not None else leaf,
                    dtype=None if key is not None else jnp.result_type(leaf),
                    trainable=trainable,
                    autocast=False,
                    name=path_name(path),
                    kind="weight" if key is None else "seed",
                )
                if held
                else None
            )
        self.variables = [slot for slot in self._slots if slot is not None]

    def read(self) -> Any:
        """Return the tree with the values that are in force."""
        return self._filled(lambda variable: variable.value)

    def snapshot(self) -> Any:
        """Return the tree with copies of the values, which further training leaves alone."""
        return self._filled(lambda variable: jnp.copy(variable.stored))

    def fill(self, values: Any) -> Any:
        """Return the tree with given values, one for each variable."""
        pairs = dict(zip(map(id, self.variables), values, strict=True))
        return self._filled(lambda variable: pairs[id(variable)])

    def _filled(self, value_of: Callable[[Variable], Any]) -> Any:
        leaves = []
        for fixed, key, slot in zip(self._fixed, self._keys, self._slots, strict=True):
            value = fixed if slot is None else value_of(slot)
            leaves.append(value if key is None else jax.random.wrap_key_data(value, impl=key))
        return jax.tree.unflatten(self.structure, leaves)

    def write(self, tree: Any) -> None:
        """Assign the arrays of a tree of the same form.

        Raises:
            ValueError: its structure, or a leaf's shape or type, is another.
        """
        leaves, structure = jax.tree.flatten(tree)
        if structure != self.structure:
            raise ValueError(
                f"The {self.where} must keep its structure from step to step. Expected "
                f"{self.structure}. Received: {structure}"
            )
        for key, slot, leaf in zip(self._keys, self._slots, leaves, strict=True):
            if slot is None:
                continue
            value = jax.random.key_data(leaf) if key is not None else jnp.asarray(leaf)
            if value.shape != slot.shape or value.dtype != slot.dtype:
                raise ValueError(
                    f"The {self.where} must keep its shapes and types from step to step. "
                    f"'{slot.name}' was {slot.dtype}{list(slot.shape)}. Received: "
                    f"{value.dtype}{list(value.shape)}"
                )
            slot.assign(value)


def is_key(leaf: Any) -> bool:
    """Whether a leaf is a key of random numbers."""
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def is_number(leaf: Any) -> bool:
    """Whether a leaf is an array or a number."""
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | bool | int | float | complex)


def is_inexact(leaf: Any) -> bool:
    """Whether a leaf is an array or a number that gradients can be taken with respect to."""
    return (
        is_number(leaf) and not is_key(leaf) and jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
    )


def path_name(path: Any) -> str:
    """Return the name of a place in a pytree: `"layers/0/kernel"`."""
    parts = [getattr(key, "name", getattr(key, "key", getattr(key, "idx", key))) for key in path]
    if len(parts) > 1 and parts[-1] == "value":
        parts.pop()  # NNX wraps each array in a variable
    return "/".join(map(str, parts)) or "value"


def on_tree(
    transformation: optax.GradientTransformation, tree: VariableTree
) -> optax.GradientTransformation:
    """Return a transformation of lists of leaves that sees them in their tree.

    Masks and labels of optax are written for the user's own structure.
    """

    def init(params: Any) -> Any:
        return transformation.init(tree.fill(params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        given = None if params is None else tree.fill(params)
        new, state = transformation.update(tree.fill(updates), state, given)
        return jax.tree.leaves(new), state

    return optax.GradientTransformation(init, update)
