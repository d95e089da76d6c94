"""Helpers, by Keras's names."""

from xlathe.runtime.training.data.arrays import normalize, pad_sequences, to_categorical
from xlathe.runtime.training.data.dataset import PyDataset
from xlathe.runtime.training.data.sources import pack as pack_x_y_sample_weight
from xlathe.runtime.training.data.sources import unpack as unpack_x_y_sample_weight
from xlathe.tracer.layers.naming import clear_session
from xlathe.tracer.layers.random import set_random_seed
from xlathe.tracer.layers.serialization import get_custom_objects, register_keras_serializable
from xlathe.tracer.models.pictures import model_to_dot, plot_model

__all__ = [
    "PyDataset",
    "clear_session",
    "get_custom_objects",
    "model_to_dot",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "plot_model",
    "register_keras_serializable",
    "set_random_seed",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
