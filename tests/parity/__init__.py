"""Layers and functions against Keras 3 on JAX."""

import os

os.environ["KERAS_BACKEND"] = "jax"
