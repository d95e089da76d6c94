"""Helpers, by Keras's names."""

from xlathe.runtime.training.data.arrays import normalize as normalize
from xlathe.runtime.training.data.arrays import pad_sequences as pad_sequences
from xlathe.runtime.training.data.arrays import to_categorical as to_categorical
from xlathe.runtime.training.data.dataset import PyDataset as PyDataset
from xlathe.tracer.layers.naming import clear_session as clear_session
from xlathe.tracer.layers.random import set_random_seed as set_random_seed
from xlathe.tracer.models.pictures import model_to_dot as model_to_dot
from xlathe.tracer.models.pictures import plot_model as plot_model
from xlathe.tracer.layers.serialization import get_custom_objects as get_custom_objects
from xlathe.tracer.layers.serialization import (
    register_keras_serializable as register_keras_serializable,
)
from xlathe.runtime.training.data.arrays import normalize, pad_sequences, to_categorical
from xlathe.runtime.training.data.dataset import PyDataset
from xlathe.runtime.training.data.sources import pack as pack_x_y_sample_weight
from xlathe.runtime.training.data.sources import unpack as unpack_x_y_sample_weight
from xlathe.tracer.layers.naming import clear_session
from xlathe.tracer.layers.random import set_random_seed
from xlathe.tracer.layers.serialization import get_custom_objects, register_keras_serializable

__all__ = [
    "PyDataset",
    "clear_session",
    "get_custom_objects",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "register_keras_serializable",
    "set_random_seed",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
