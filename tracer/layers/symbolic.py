"""Symbolic tensors: what `Input` gives, and layers called on it, before there is data.

Calling a layer on symbolic tensors records a `Node`; a model is the nodes between its inputs and
outputs. Shapes come from abstract evaluation of the call itself.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from xlathe.tracer.layers import scope
from xlathe.tracer.layers.arithmetic import Arithmetic

if TYPE_CHECKING:
    from xlathe.tracer.layers.layer import Layer

# A size of None is tried with both: what differs in the results has no fixed size either.
_TRIAL_SIZES = (83, 89)


class SymbolicTensor(Arithmetic):
    """The shape and element type of an array to come, and the call that will make it.

    Arguments:
        shape: its sizes; None for one that isn't fixed.
        dtype: its element type.
        name: its name.
    """

    def __init__(self, shape: Any, dtype: Any = "float32", name: str | None = None):
        self.shape: tuple[int | None, ...] = tuple(shape)
        self.dtype = jnp.dtype(dtype)
        self.name = name or "symbolic_tensor"
        self.node: Node | None = None
        self.index = 0

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def _operate(self, name: str, *operands: Any) -> Any:
        from xlathe.tracer.layers.operator import Operator

        return Operator(name)(*operands)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise ValueError(
            f"{self} has no value yet, so a JAX or NumPy function cannot take it. Use the one of "
            "`xlathe.ops`, or wrap it in a layer: `layers.Lambda(function)(x)`, or a Layer whose "
            "`call` does it."
        )

    def __iter__(self) -> Any:
        raise TypeError(f"{self} cannot be iterated over: take its parts by index.")

    def __bool__(self) -> bool:
        raise TypeError(f"{self} has no value yet: it cannot be a condition.")

    def __repr__(self) -> str:
        return f"<SymbolicTensor shape={self.shape}, dtype={self.dtype.name}, name={self.name}>"


class Node:
    """One call of a layer on symbolic tensors."""

    def __init__(self, layer: "Layer", args: Any, kwargs: Any, outputs: Any):
        self.layer = layer
        self.args = args
        self.kwargs = kwargs
        self.outputs = outputs
        self.index = len(layer._inbound_nodes)
        layer._inbound_nodes.append(self)  # pyright: ignore[reportArgumentType]
        for index, tensor in enumerate(symbolic_leaves(outputs)):
            if tensor.node is None:
                tensor.node, tensor.index = self, index

    @property
    def inputs(self) -> list[SymbolicTensor]:
        return symbolic_leaves((self.args, self.kwargs))


def is_symbolic(value: Any) -> bool:
    """Say whether `value` is a symbolic tensor."""
    return isinstance(value, SymbolicTensor)


def symbolic_leaves(tree: Any) -> list[SymbolicTensor]:
    """Return the symbolic tensors of a structure, in order."""
    return [leaf for leaf in jax.tree.leaves(tree) if is_symbolic(leaf)]


def infer(function: Callable, args: Any, kwargs: Any) -> Any:
    """Return what `function` gives for symbolic arguments: a structure of symbolic tensors.

    Masks that the arguments carry are seen by `function`, and those of its results are kept.

    Arguments:
        function: any function of arrays that JAX can trace.
        args: its positional arguments, arrays of which may be symbolic.
        kwargs: its keyword arguments, likewise.
    """
    leaves, structure = jax.tree.flatten((tuple(args), dict(kwargs)))
    places = [i for i, leaf in enumerate(leaves) if is_symbolic(leaf)]

    def run(*values: Any) -> Any:
        filled = list(leaves)
        for place, (value, mask) in zip(places, values, strict=True):
            filled[place] = value
            if mask is not None:
                scope.set_mask(value, mask)
        positional, named = jax.tree.unflatten(structure, filled)
        with scope.StatelessScope(abstract=True):
            outputs = function(*positional, **named)
        return outputs, [scope.get_mask(leaf) for leaf in jax.tree.leaves(outputs)]

    def spec(tensor: SymbolicTensor, size: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct([size if s is None else s for s in tensor.shape], tensor.dtype)

    def specs(size: int) -> Any:
        tensors = [leaves[place] for place in places]
        return jax.tree.map(
            lambda tensor: spec(tensor, size), [(t, scope.get_mask(t)) for t in tensors]
        )

    first = jax.eval_shape(run, *specs(_TRIAL_SIZES[0]))
    if all(None not in leaves[place].shape for place in places):
        second = first
    else:
        second = jax.eval_shape(run, *specs(_TRIAL_SIZES[1]))
    outputs, masks = jax.tree.map(_common, first, second)
    for tensor, mask in zip(jax.tree.leaves(outputs), masks, strict=True):
        if mask is not None:
            scope.set_mask(tensor, mask)
    return outputs


def _common(first: jax.ShapeDtypeStruct, second: jax.ShapeDtypeStruct) -> SymbolicTensor:
    sizes = (a if a == b else None for a, b in zip(first.shape, second.shape, strict=True))
    return SymbolicTensor(sizes, first.dtype)


def shape_of(tree: Any) -> Any:
    """Return the shapes of the arrays in a structure: one shape for one array."""
    if isinstance(tree, dict):
        return {key: shape_of(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(shape_of(value) for value in tree)
    return tuple(tree.shape) if hasattr(tree, "shape") else None


def tensors_of(shape: Any, dtype: Any) -> Any:
    """Return symbolic tensors of these shapes: the inverse of `shape_of`."""
    if isinstance(shape, dict):
        return {key: tensors_of(part, dtype) for key, part in shape.items()}
    if all(size is None or isinstance(size, int) for size in shape):
        return SymbolicTensor(shape, dtype)
    return type(shape)(tensors_of(part, dtype) for part in shape)
