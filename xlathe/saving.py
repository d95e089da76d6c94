"""Saving and loading, by Keras's names."""

from xlathe.runtime.training.compiling import deserialize as deserialize_keras_object
from xlathe.runtime.training.compiling import serialize as serialize_keras_object
from xlathe.runtime.training.saving import load_model as load_model
from xlathe.runtime.training.saving import load_weights as load_weights
from xlathe.runtime.training.saving import save_model as save_model
from xlathe.runtime.training.saving import save_weights as save_weights
from xlathe.tracer.absent import reporter
from xlathe.tracer.layers.serialization import custom_object_scope as custom_object_scope
from xlathe.tracer.layers.serialization import get_custom_objects as get_custom_objects
from xlathe.tracer.layers.serialization import get_registered_name as get_registered_name
from xlathe.tracer.layers.serialization import get_registered_object as get_registered_object
from xlathe.tracer.layers.serialization import (
    register_keras_serializable as register_keras_serializable,
)

CustomObjectScope = custom_object_scope

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]

__getattr__ = reporter("saving", globals())
