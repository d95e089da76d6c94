"""Helpers, by Keras's names."""

from xlathe.runtime.training.data.dataset import PyDataset as PyDataset
from xlathe.tracer.layers.random import set_random_seed as set_random_seed
