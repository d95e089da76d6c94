"""Graphs of layer calls between symbolic inputs and outputs: what a functional model runs."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.tracer.layers import scope
from xlathe.tracer.layers.core import InputLayer
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.symbolic import Node, SymbolicTensor, symbolic_leaves


class LayerGraph:
    """The calls that lead from `inputs` to `outputs`, in an order in which they can be run.

    Arguments:
        inputs: a symbolic tensor, or a structure of them.
        outputs: likewise.

    Raises:
        ValueError: when an output needs an input that isn't among `inputs`.
    """

    def __init__(self, inputs: Any, outputs: Any):
        self.inputs = inputs
        self.outputs = outputs
        self.input_tensors = _tensors("inputs", inputs)
        self.output_tensors = _tensors("outputs", outputs)
        self.nodes, found = self._sort()
        self.layers = self._by_depth(found)

    def _sort(self) -> tuple[list[Node], list[Layer]]:
        """Return the nodes needed, each after those it depends on, and layers as they are found.

        Layers are found from the outputs on, each before those it depends on.
        """
        given = {id(tensor) for tensor in self.input_tensors}
        order: list[Node] = []
        found: dict[int, Layer] = {}
        done: set[int] = set()
        pending: list[tuple[Node, str]] = []

        def need(tensor: SymbolicTensor) -> None:
            if id(tensor) in given:
                if tensor.node is not None:
                    pending.append((tensor.node, "start"))
                return
            if tensor.node is not None and id(tensor.node) in done:
                return
            if tensor.node is None or isinstance(tensor.node.layer, InputLayer):
                raise ValueError(
                    f"Output is not connected to `inputs`: it needs {tensor}, which is not among "
                    f"the inputs {[t.name for t in self.input_tensors]} of the model."
                )
            pending.append((tensor.node, "new"))

        for output in self.output_tensors:
            need(output)
            while pending:
                node, state = pending.pop()
                found.setdefault(id(node.layer), node.layer)
                if state == "start" or id(node) in done:
                    continue
                if state == "ready":
                    done.add(id(node))
                    order.append(node)
                    continue
                pending.append((node, "ready"))
                for tensor in reversed(node.inputs):
                    need(tensor)
        return order, list(found.values())

    def _by_depth(self, found: list[Layer]) -> list[Layer]:
        """Return the layers in Keras's order: those farthest from the outputs first.

        Those equally far are in the order of `found`. A layer that is called several times is as
        far as its farthest call.
        """
        depths: dict[int, int] = {}
        of_layers: dict[int, int] = {}
        for node in reversed(self.nodes):
            depth = max(depths.get(id(node), 0), of_layers.get(id(node.layer), 0))
            depths[id(node)] = of_layers[id(node.layer)] = depth
            for tensor in node.inputs:
                if tensor.node is not None:
                    depths[id(tensor.node)] = max(depth + 1, depths.get(id(tensor.node), 0))
        starts = [t.node for t in self.input_tensors if t.node is not None]
        for node in starts:
            depth = max(depths.get(id(node), 0), of_layers.get(id(node.layer), 0))
            of_layers[id(node.layer)] = depth
        known = {id(layer) for layer in found}
        unused = [node.layer for node in starts if id(node.layer) not in known]
        return sorted([*unused, *found], key=lambda layer: -of_layers[id(layer)])

    def run(self, inputs: Any, masks: Any = None) -> Any:
        """Return the outputs for arrays in the place of the inputs."""
        values = self._bind(inputs)
        if masks is not None:
            for tensor, mask in zip(self.input_tensors, jax.tree.leaves(masks), strict=False):
                scope.set_mask(values[id(tensor)], mask)
        return self._replay(values, lambda layer: layer)

    def replay(self, starts: list[Any], make: Callable[[Layer], Callable[..., Any]]) -> Any:
        """Return the outputs of the same calls, of other layers, on other tensors.

        Arguments:
            starts: what stands for each of `input_tensors`.
            make: what returns the layer or function that is called in the place of a layer.
        """
        pairs = zip(self.input_tensors, starts, strict=True)
        return self._replay({id(tensor): start for tensor, start in pairs}, make)

    def _replay(self, values: dict[int, Any], make: Callable[[Layer], Callable[..., Any]]) -> Any:
        def fill(leaf: Any) -> Any:
            return values[id(leaf)] if isinstance(leaf, SymbolicTensor) else leaf

        for node in self.nodes:
            args, kwargs = jax.tree.map(fill, (node.args, node.kwargs))
            results = make(node.layer)(*args, **kwargs)
            for tensor, value in zip(
                symbolic_leaves(node.outputs), jax.tree.leaves(results), strict=True
            ):
                values[id(tensor)] = value
        return jax.tree.map(fill, self.outputs)

    def _bind(self, inputs: Any) -> dict[int, Any]:
        """Return the array given for each input, with the input's element type."""
        arrays = self._arrange(inputs)
        if len(arrays) != len(self.input_tensors):
            raise ValueError(
                f"The model expects {len(self.input_tensors)} input(s) "
                f"({[t.name for t in self.input_tensors]}), but it received {len(arrays)}."
            )
        return {
            id(tensor): _fit(array, tensor)
            for tensor, array in zip(self.input_tensors, arrays, strict=True)
        }

    def _arrange(self, inputs: Any) -> list[Any]:
        """Return the arrays in the order of the inputs: a dict may go by their names."""
        if isinstance(inputs, dict) and not isinstance(self.inputs, dict):
            names = [tensor.name for tensor in self.input_tensors]
            missing = [name for name in names if name not in inputs]
            if missing:
                raise ValueError(
                    f"Missing data for input {missing}. You passed a data dictionary with keys "
                    f"{list(inputs)}. Expected the following keys: {names}"
                )
            return [inputs[name] for name in names]
        if isinstance(inputs, dict):
            missing = [name for name in self.inputs if name not in inputs]
            if missing:
                raise ValueError(
                    f"Missing data for input {missing}. You passed a data dictionary with keys "
                    f"{list(inputs)}. Expected the following keys: {list(self.inputs)}"
                )
            inputs = {name: inputs[name] for name in self.inputs}
        return jax.tree.leaves(inputs)


def _tensors(name: str, structure: Any) -> list[SymbolicTensor]:
    leaves = jax.tree.leaves(structure)
    for leaf in leaves:
        if not isinstance(leaf, SymbolicTensor):
            raise ValueError(
                f"All `{name}` values must be symbolic tensors, made by `Input` or by calling "
                f"layers on it. Received: {leaf!r} (of type {type(leaf)})"
            )
    if not leaves:
        raise ValueError(f"`{name}` must hold at least one symbolic tensor. Received: {structure}")
    return leaves


def _fit(array: Any, tensor: SymbolicTensor) -> jax.Array:
    """Return the array with the input's element type and rank.

    Raises:
        ValueError: when its shape is not that of the input.
    """
    value = array
    if not isinstance(value, jax.Array) or value.dtype != tensor.dtype:
        value = jnp.asarray(value, tensor.dtype)
        if (mask := scope.get_mask(array)) is not None:
            scope.set_mask(value, mask)
    expected = tensor.shape
    if value.ndim == len(expected) - 1 and expected[-1] == 1:
        value = value[..., None]
    elif value.ndim == len(expected) + 1 and value.shape[-1] == 1:
        value = value[..., 0]
    if value.ndim != len(expected) or any(
        wanted not in (None, size) for wanted, size in zip(expected, value.shape, strict=True)
    ):
        raise ValueError(
            f"Invalid input shape for input '{tensor.name}'. Expected shape {expected}, but input "
            f"has incompatible shape {tuple(np.shape(array))}"
        )
    return value
