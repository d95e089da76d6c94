"""Functional models as plain data: which layers they call on what, and the calls made again."""

from typing import TYPE_CHECKING, Any

import jax

from xlathe.tracer.layers import serialization
from xlathe.tracer.layers.symbolic import Node, SymbolicTensor, symbolic_leaves

if TYPE_CHECKING:
    from xlathe.tracer.layers.layer import Layer
    from xlathe.tracer.models.functional import LayerGraph

_TENSOR, _TUPLE = "__tensor__", "__tuple__"


def functional_config(model: "Layer", graph: "LayerGraph") -> dict[str, Any]:
    """Return the config of a functional model.

    A call of a layer is its arguments, in which `{"__tensor__": [layer, call, output]}` stands for
    a tensor.
    """
    calls: dict[int, list[Node]] = {}
    for node in graph.nodes:
        calls.setdefault(id(node.layer), []).append(node)
    places = {
        id(tensor): [node.layer.name, number, index]
        for nodes in calls.values()
        for number, node in enumerate(nodes)
        for index, tensor in enumerate(symbolic_leaves(node.outputs))
    }
    for tensor in graph.input_tensors:
        name = tensor.node.layer.name if tensor.node is not None else tensor.name
        places[id(tensor)] = [name, 0, 0]

    def write(value: Any) -> Any:
        if isinstance(value, SymbolicTensor):
            return {_TENSOR: places[id(value)]}
        if isinstance(value, tuple):
            return {_TUPLE: [write(item) for item in value]}
        if isinstance(value, list):
            return [write(item) for item in value]
        if isinstance(value, dict):
            return {key: write(item) for key, item in value.items()}
        return serialization.serialize(value)

    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": [
            {
                **serialization.serialize(layer),
                "name": layer.name,
                "calls": [
                    {"args": write(list(node.args)), "kwargs": write(node.kwargs)}
                    for node in calls.get(id(layer), [])
                ],
            }
            for layer in graph.layers
        ],
        "order": [[node.layer.name, calls[id(node.layer)].index(node)] for node in graph.nodes],
        "input_layers": write(graph.inputs),
        "output_layers": write(graph.outputs),
    }


def rebuild(config: dict[str, Any], custom_objects: Any) -> tuple[Any, Any]:
    """Return the symbolic inputs and outputs of a model with this config, its layers new."""
    layers: dict[str, Layer] = {}
    calls: dict[str, list[dict[str, Any]]] = {}
    made: dict[tuple[str, int, int], SymbolicTensor] = {}
    for entry in config["layers"]:
        plain = {key: value for key, value in entry.items() if key not in ("name", "calls")}
        layer = serialization.deserialize(plain, custom_objects)
        # A `get_config` of the user's may leave the name out.
        name = layer.name = entry.get("name", layer.name)
        layers[name], calls[name] = layer, entry["calls"]
        if not entry["calls"]:
            made[name, 0, 0] = layer.output

    def read(value: Any) -> Any:
        if isinstance(value, dict) and set(value) == {_TENSOR}:
            name, number, index = value[_TENSOR]
            return made[name, number, index]
        if isinstance(value, dict) and set(value) == {_TUPLE}:
            return tuple(read(item) for item in value[_TUPLE])
        if isinstance(value, dict) and "class_name" in value:
            return serialization.deserialize(value, custom_objects)
        if isinstance(value, dict):
            return {key: read(item) for key, item in value.items()}
        return [read(item) for item in value] if isinstance(value, list) else value

    for name, number in config["order"]:
        call = calls[name][number]
        outputs = layers[name](*read(call["args"]), **read(call["kwargs"]))
        for index, tensor in enumerate(jax.tree.leaves(outputs)):
            made[name, number, index] = tensor
    return read(config["input_layers"]), read(config["output_layers"])
