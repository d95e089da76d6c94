"""Saving and loading, by Keras's names."""

from xlathe.runtime.training.saving import load_model as load_model
from xlathe.runtime.training.saving import save_model as save_model
from xlathe.tracer.layers.serialization import get_custom_objects as get_custom_objects
from xlathe.tracer.layers.serialization import (
    register_keras_serializable as register_keras_serializable,
)
