"""Helpers, by Keras's names."""

from xlathe.runtime.training.compiling import deserialize as deserialize_keras_object
from xlathe.runtime.training.compiling import serialize as serialize_keras_object
from xlathe.runtime.training.data.arrays import normalize, pad_sequences, to_categorical
from xlathe.runtime.training.data.dataset import PyDataset
from xlathe.runtime.training.data.series import timeseries_dataset_from_array
from xlathe.runtime.training.data.sources import pack as pack_x_y_sample_weight
from xlathe.runtime.training.data.sources import unpack as unpack_x_y_sample_weight
from xlathe.tracer.absent import reporter
from xlathe.tracer.layers.naming import clear_session
from xlathe.tracer.layers.random import set_random_seed
from xlathe.tracer.layers.serialization import (
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from xlathe.tracer.layers.symbolic import is_symbolic as is_keras_tensor
from xlathe.tracer.models.pictures import model_to_dot, plot_model

Sequence = PyDataset
CustomObjectScope = custom_object_scope

__all__ = [
    "CustomObjectScope",
    "PyDataset",
    "Sequence",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "is_keras_tensor",
    "model_to_dot",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "plot_model",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
]

__getattr__ = reporter("utils", globals())
