"""`to_keras`: a model made again in Keras 3."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from xlathe.runtime.keras.common import (
    Converter,
    compiling,
    copy_weights,
    naming,
    refuse,
    require_keras,
)
from xlathe.runtime.keras.optimizers import state_pairs
from xlathe.runtime.training.compiling import compile_config
from xlathe.tracer.layers.core import InputLayer
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.operations import OPERATORS
from xlathe.tracer.layers.operator import Operator
from xlathe.tracer.layers.symbolic import SymbolicTensor
from xlathe.tracer.models.model import Model
from xlathe.tracer.models.sequential import Sequential

# Arguments that say what other parts of the model say already, or that only this side has.
_LEFT_OUT = {"input_shape", "input_dim", "input_length"}


def to_keras(model: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return a model of xlathe as a model of Keras 3, with its weights.

    Sequential and functional models are converted, with shared layers, several inputs and outputs,
    functions of `xl.ops`, and models inside. What the model was compiled with comes along if all
    of it has a name, and the optimizer's state with it.

    Args:
        model: the model.
        custom_objects: your own layers for Keras, by the names of the classes that stand in the
            model.

    Returns:
        The model, a `keras.Sequential` or a functional `keras.Model`.

    Raises:
        ImportError: Keras isn't installed.
        TypeError: it is no model of xlathe.
        ValueError: a layer cannot be converted; the message names it and says what to do.
    """
    keras = require_keras()
    if not isinstance(model, Model):
        raise TypeError(
            "`to_keras` takes an xlathe.Model: Sequential, or functional. Received: "
            f"{model!r} (of type {type(model).__name__})"
        )
    writer = _Writer(keras, custom_objects or {}, keras.Model)
    theirs = writer.convert(model)
    copy_weights(writer.pairs, lambda weight: weight.numpy())
    if getattr(model, "compiled", False):
        _compile(model, theirs, writer)
    return theirs


def _compile(model: Any, theirs: Any, writer: _Writer) -> None:
    with compiling(model):
        config = compile_config(model)
        for option in model.fit_state.options:
            config.pop(option)
        theirs.compile(**{name: writer.object(item, name) for name, item in config.items()})
    if theirs.compiled and model.optimizer is not None and model.optimizer.built:
        theirs.optimizer.build(theirs.trainable_variables)
        for variable, ours in state_pairs(model, theirs.optimizer, model.optimizer):
            variable.assign(ours.numpy())


class _Writer(Converter):
    """Makes layers again in Keras."""

    def _make(self, layer: Any) -> Any:
        name = type(layer).__name__
        ours = type(layer).__module__.startswith("xlathe.")
        if name not in self.custom and isinstance(layer, Model) and ours:
            if isinstance(layer, Sequential):
                return self._sequential(layer)
            return self._functional(layer)
        cls = self.custom.get(name) or (self._class(name) if ours else None)
        if cls is None or (name == "Lambda" and name not in self.custom):
            raise refuse(layer, self._advice(layer, ours))
        with naming(layer):
            config = layer.get_config()
            for key in config:
                if isinstance(inner := getattr(layer, key, None), Layer):
                    config[key] = self.convert(inner)
            return self._call_class(cls, config, type(layer))

    @staticmethod
    def _advice(layer: Any, ours: bool) -> str:
        name = type(layer).__name__
        if name == "Lambda":
            return (
                "it holds a Python function. Put a layer of its own in its place, or give one for "
                "Keras: custom_objects={'Lambda': ...}."
            )
        if ours:
            return "Keras has no layer of this name."
        if isinstance(layer, Model):
            return (
                "it is a subclassed model, whose `call` is code. Change the imports of the file "
                "that defines it to Keras's, make and build it, and copy the weights: "
                "theirs.set_weights(model.get_weights())."
            )
        return (
            "its class is one of your own. Change the imports of the file that defines it to "
            f"Keras's, and pass the class: custom_objects={{'{name}': {name}}}."
        )

    def _call_class(
        self, cls: Any, config: Mapping[str, Any], source: Any = None, kind: str = ""
    ) -> Any:
        """Return `cls(**config)`, without what only this side has and isn't used."""
        accepted = _parameters(cls)
        known = {} if source is None else _parameters(source)
        arguments = {}
        for key, value in config.items():
            if key in accepted:
                arguments[key] = self.object(value, kind)
            elif value is not None and value != known.get(key) and key not in _LEFT_OUT:
                raise ValueError(f"Keras's takes no `{key}`. Received: {key}={value!r}")
        return cls(**arguments)

    def object(self, value: Any, kind: str = "") -> Any:
        """Return what a config stands for, made of Keras's classes."""
        if isinstance(value, list | tuple):
            return type(value)(self.object(item, kind) for item in value)
        if not isinstance(value, dict):
            return value
        if "class_name" not in value:
            return {key: self.object(item, kind) for key, item in value.items()}
        name, config = value["class_name"], value["config"]
        if name == "__array__":
            return np.asarray(config["value"], config["dtype"])
        if name == "function":
            return self._function(config, kind)
        found = self.custom.get(name) or self._class(name, kind)
        if found is None:
            raise ValueError(
                f"Keras has no {kind or 'class'} of the name '{name}'. Pass yours: "
                f"custom_objects={{'{name}': ...}}."
            )
        return self._call_class(found, config, kind=kind)

    def _class(self, name: str, kind: str = "") -> Any:
        """Return Keras's class of this name, also where it is exported under another one."""
        for module in self._modules(kind):
            named = {getattr(item, "__name__", ""): item for item in vars(module).values()}
            if (found := getattr(module, name, None) or named.get(name)) is not None:
                return found
        return None

    def _modules(self, kind: str) -> list[Any]:
        keras = self.keras
        if kind == "optimizer":
            return [keras.optimizers, keras.optimizers.schedules]
        if kind:
            return [keras.losses] if kind == "loss" else [keras.metrics, keras.losses]
        return [keras.layers, keras.initializers, keras.regularizers, keras.constraints]

    def _function(self, name: str, kind: str) -> Any:
        if name in self.custom:
            return self.custom[name]
        if not kind:
            return name
        for module in self._modules(kind):
            if hasattr(module, name):
                return getattr(module, name)
        raise ValueError(
            f"Keras has no function '{name}' for {kind}. Pass yours: "
            f"custom_objects={{'{name}': {name}}}."
        )

    def _input(self, tensor: SymbolicTensor) -> Any:
        layer = tensor.node.layer if tensor.node is not None else None
        name = layer.name if isinstance(layer, InputLayer) else None
        dtype = tensor.dtype.name
        return self.keras.Input(batch_shape=tensor.shape, dtype=dtype, name=name)

    def _sequential(self, model: Sequential) -> Any:
        layers = [self._pair(layer) for layer in model.layers]
        if model.inputs:
            layers.insert(0, self._input(model.inputs[0]))
        theirs = self.keras.Sequential(layers, name=model.name)
        return _trainable(theirs, model)

    def _functional(self, model: Model) -> Any:
        graph = model._graph
        if graph is None:
            raise refuse(model, "it has no inputs and outputs yet.")
        starts = [self._input(tensor) for tensor in graph.input_tensors]
        inputs = jax.tree.unflatten(jax.tree.structure(graph.inputs), starts)
        outputs = graph.replay(starts, self._function_of)
        return _trainable(self.keras.Model(inputs, outputs, name=model.name), model)

    def _function_of(self, layer: Any) -> Any:
        """Return what is called in Keras where `layer` was called."""
        if isinstance(layer, Operator):
            return self._operation(layer)
        theirs = self._pair(layer)

        def call(*args: Any, **kwargs: Any) -> Any:
            with naming(layer):
                return theirs(*args, **kwargs)

        return call

    def _operation(self, layer: Operator) -> Any:
        """Return the function of Keras's that ours stands for."""
        name = layer.operation
        if name in ("eq", "ne"):
            return {"eq": self.keras.ops.equal, "ne": self.keras.ops.not_equal}[name]
        if name in OPERATORS:
            return getattr(operator, name)
        found = getattr(self.keras.ops, name, None)
        if found is None:
            raise refuse(layer, f"Keras has no `ops.{name}`.")
        return found


def _parameters(cls: Any) -> dict[str, Any]:
    """Return the arguments a class takes with their defaults, its bases' if they are passed on."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if "__init__" not in base.__dict__:
            continue
        parameters = inspect.signature(base.__init__).parameters
        found = {**{name: item.default for name, item in parameters.items()}, **found}
        if all(item.kind is not item.VAR_KEYWORD for item in parameters.values()):
            break
    return found


def _trainable(theirs: Any, model: Any) -> Any:
    if not model._trainable:
        theirs.trainable = False
    return theirs
