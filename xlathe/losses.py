"""Losses, by Keras's names."""

from xlathe.runtime.training.losses import *  # noqa: F403
