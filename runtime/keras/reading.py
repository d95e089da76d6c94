"""`from_keras`: a model of Keras 3 made again."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from xlathe.runtime.keras.common import (
    Converter,
    compiling,
    copy_weights,
    naming,
    refuse,
    require_keras,
)
from xlathe.runtime.keras.configs import plain, used
from xlathe.runtime.keras.optimizers import state_pairs
from xlathe.runtime.training.compiling import compile_arguments
from xlathe.runtime.training.model import Model, Sequential
from xlathe.tracer.layers import serialization
from xlathe.tracer.layers.core import Input
from xlathe.tracer.layers.naming import snake_case
from xlathe.tracer.layers.operations import NAMED
from xlathe.tracer.layers.operator import Operator

_OPERATORS = {
    **{"Add": "add", "Subtract": "sub", "Multiply": "mul", "Divide": "truediv"},
    **{"TrueDivide": "truediv", "FloorDivide": "floordiv", "Mod": "mod", "Power": "pow"},
    **{"Matmul": "matmul", "Negative": "neg", "Absolute": "abs", "GetItem": "getitem"},
    **{"Less": "lt", "LessEqual": "le", "Greater": "gt", "GreaterEqual": "ge"},
    **{"Equal": "eq", "NotEqual": "ne"},
}


def from_keras(model: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return a model of Keras 3 as a model of xlathe, with its weights.

    Sequential and functional models are converted, with shared layers, several inputs and outputs,
    functions of `keras.ops`, and models inside. What the model was compiled with comes along if
    all of it has a name, and the optimizer's state with it.

    Args:
        model: the model, on any backend of Keras.
        custom_objects: your own layers for xlathe, losses and metrics, by the names of the classes
            that stand in the Keras model.

    Returns:
        The model.

    Raises:
        ImportError: Keras isn't installed.
        TypeError: it is no model of Keras.
        ValueError: a layer cannot be converted; the message names it and says what to do.
    """
    keras = require_keras()
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`from_keras` takes a keras.Model: Sequential, or functional. Received: "
            f"{model!r} (of type {type(model).__name__})"
        )
    reader = _Reader(keras, custom_objects or {}, Model)
    ours = reader.convert(model)
    copy_weights(reader.pairs, lambda weight: keras.ops.convert_to_numpy(weight.value))
    if model.compiled:
        _compile(model, ours, custom_objects)
    return ours


def _compile(model: Any, ours: Any, custom_objects: Mapping[str, Any] | None) -> None:
    with compiling(model):
        with warnings.catch_warnings():
            # What Keras has to say about saving a function that has no name is no news here.
            warnings.simplefilter("ignore")
            config = plain(model.get_compile_config())
        config.pop("jit_compile", None)
        ours.compile(**compile_arguments(config, custom_objects))
    if ours.compiled and model.optimizer is not None and model.optimizer.built:
        ours.optimizer.build(ours.trainable_variables)
        for theirs, variable in state_pairs(model, model.optimizer, ours.optimizer):
            variable.assign(theirs.numpy())


class _Reader(Converter):
    """Makes layers of Keras again here."""

    def _make(self, layer: Any) -> Any:
        name = type(layer).__name__
        if name not in self.custom and type(layer).__module__.startswith("keras."):
            if name == "Sequential":
                return self._sequential(layer)
            if name == "Functional":
                return self._functional(layer)
            if name == "Lambda":
                raise refuse(
                    layer,
                    "it holds a Python function. Put a layer of its own in its place, or give one "
                    "for xlathe: custom_objects={'Lambda': ...}.",
                )
        elif name not in self.custom:
            raise refuse(layer, self._advice(layer))
        with naming(layer):
            config = used(plain(layer.get_config()))
            for key in config:
                inner = getattr(layer, key, None)
                if isinstance(inner, self.keras.layers.Layer):
                    config[key] = self.convert(inner)
            # Some configs of Keras leave this argument out.
            taken = "activity_regularizer" in inspect.signature(type(layer).__init__).parameters
            if taken and layer.activity_regularizer is not None:
                penalty = self.keras.regularizers.serialize(layer.activity_regularizer)
                config["activity_regularizer"] = plain(penalty)
            return serialization.deserialize({"class_name": name, "config": config}, self.custom)

    def _advice(self, layer: Any) -> str:
        name = type(layer).__name__
        if isinstance(layer, self.keras.Model):
            return (
                "it is a subclassed model, whose `call` is code. Change the imports of the file "
                "that defines it to xlathe's, make and build it, and copy the weights: "
                "ours.set_weights(model.get_weights())."
            )
        return (
            "its class is not one of Keras's own. Change the imports of the file that defines it "
            f"to xlathe's, and pass the class: custom_objects={{'{name}': {name}}}."
        )

    def _sequential(self, model: Any) -> Any:
        config = model.get_config()
        layers = [self._pair(layer) for layer in model.layers]
        start = next((e for e in config["layers"] if e["class_name"] == "InputLayer"), None)
        if start is not None:
            shape, stateful = start["config"]["batch_shape"], _stateful(model)
            # Keras notes the size of the first batch it sees, and takes others all the same.
            shape = tuple(shape) if stateful else (None, *shape[1:])
            with naming(model):
                options: Any = used(plain(start["config"])) | {"batch_shape": shape}
                layers.insert(0, Input(**options))
        return _trainable(Sequential(layers, name=model.name), config)

    def _functional(self, model: Any) -> Any:
        config = model.get_config()
        live = {operation.name: operation for operation in model.operations}
        tensors: dict[tuple[str, int, int], Any] = {}
        pending: list[tuple[Any, int, Any]] = []
        for entry in config["layers"]:
            operation = live[entry["name"]]
            if entry["class_name"] == "InputLayer":
                with naming(operation):
                    tensors[entry["name"], 0, 0] = Input(**used(plain(entry["config"])))
                self.made.setdefault(id(operation), tensors[entry["name"], 0, 0].node.layer)
                continue
            for number, call in enumerate(entry["inbound_nodes"]):
                pending.append((operation, number, call))
        while pending:
            waiting = [item for item in pending if not self._call(*item, tensors)]
            if len(waiting) == len(pending):
                raise refuse(waiting[0][0], "its inputs are not those of any layer of the model.")
            pending = waiting
        inputs, outputs = (_structure(config[f"{which}_layers"], tensors) for which in _ENDS)
        return _trainable(Model(inputs, outputs, name=model.name), config)

    def _call(self, operation: Any, number: int, call: Any, tensors: dict[Any, Any]) -> bool:
        """Make a call of a layer again, if the tensors it takes are there; say whether."""
        if any(place not in tensors for place in _places((call["args"], call["kwargs"]))):
            return False
        args, kwargs = _fill((call["args"], call["kwargs"]), tensors)
        if isinstance(operation, self.keras.layers.Layer):
            # In Keras a model's `training` goes before that of the calls inside it.
            kwargs = {key: v for key, v in kwargs.items() if v is not None and key != "training"}
            ours = self._pair(operation)
            with naming(operation):
                outputs = ours(*args, **kwargs)
        else:
            outputs = self._operate(operation, args, kwargs)
        for index, tensor in enumerate(jax.tree.leaves(outputs)):
            tensors[operation.name, number, index] = tensor
        return True

    def _operate(self, operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Call the function that an operation of Keras stands for."""
        name = type(operation).__name__
        options = {k: plain(v) for k, v in operation.get_config().items() if k != "name"}
        with naming(operation):
            if name in _OPERATORS:
                if name == "GetItem" and isinstance(args[1], list):
                    args = [args[0], tuple(args[1])]
                return Operator(_OPERATORS[name], name=operation.name)(*args)
            function = snake_case(name)
            theirs = getattr(self.keras.ops, function, None)
            if function not in NAMED or theirs is None:
                raise ValueError(
                    f"the function `ops.{function}` is not available here. Put it in a layer of "
                    "your own."
                )
            bound = inspect.signature(theirs).bind(*args, **{**options, **kwargs})
            args, kwargs = _spread(bound, inspect.signature(NAMED[function]))
            return Operator(function, name=operation.name)(*args, **kwargs)


_ENDS = ("input", "output")


def _spread(bound: inspect.BoundArguments, ours: inspect.Signature) -> tuple[Any, Any]:
    """Return arguments by position as far as names differ, and by name from there on."""
    arguments = dict(bound.arguments)
    for name, parameter in bound.signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            arguments.update(arguments.pop(name, {}))
    names = list(arguments)
    foreign = [index for index, name in enumerate(names) if name not in ours.parameters]
    count = max(foreign, default=-1) + 1
    args: list[Any] = []
    for name in names[:count]:
        several = bound.signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        args.extend(arguments[name] if several else [arguments[name]])
    return args, {name: arguments[name] for name in names[count:]}


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def _places(value: Any) -> Iterator[tuple[str, int, int]]:
    """Yield where the tensors of a call's config come from."""
    if _is_tensor(value):
        yield tuple(value["config"]["keras_history"])
    elif isinstance(value, dict):
        for item in value.values():
            yield from _places(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _places(item)


def _fill(value: Any, tensors: dict[Any, Any]) -> Any:
    """Return a call's config with tensors in their places."""
    if _is_tensor(value):
        return tensors[tuple(value["config"]["keras_history"])]
    if isinstance(value, dict) and "class_name" not in value:
        return {key: _fill(item, tensors) for key, item in value.items()}
    if isinstance(value, dict) and value["class_name"] == "__tuple__":
        return tuple(_fill(item, tensors) for item in value["items"])
    if isinstance(value, dict):
        return serialization.deserialize(plain(value))
    if isinstance(value, list | tuple):
        return type(value)(_fill(item, tensors) for item in value)
    return value


def _structure(value: Any, tensors: dict[Any, Any]) -> Any:
    """Return a structure of `[layer, call, output]` with tensors in their places."""
    if isinstance(value, dict):
        return {key: _structure(item, tensors) for key, item in value.items()}
    if isinstance(value[0], str):
        return tensors[tuple(value)]
    return [_structure(item, tensors) for item in value]


def _stateful(model: Any) -> bool:
    return any(getattr(layer, "stateful", False) for layer in model._flatten_layers())


def _trainable(model: Any, config: Mapping[str, Any]) -> Any:
    model._trainable = config.get("trainable", True)
    return model
