"""Helpers, by Keras's names."""

from xlathe.runtime.training.data.dataset import PyDataset as PyDataset
from xlathe.tracer.layers.random import set_random_seed as set_random_seed
from xlathe.tracer.models.pictures import model_to_dot as model_to_dot
from xlathe.tracer.models.pictures import plot_model as plot_model
