"""Metrics, by Keras's names."""

from xlathe.runtime.training.metrics import *  # noqa: F403
