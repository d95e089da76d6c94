"""`Model` and `Sequential`: the models of the tracer, trainable."""

from __future__ import annotations

from xlathe.runtime.training.trainer import Trainer
from xlathe.tracer.models import model as untrained
from xlathe.tracer.models import sequential


class Model(Trainer, untrained.Model):
    """Layers made into one, functionally or by subclassing, that can be trained.

    Args:
        inputs: a symbolic tensor from `Input`, or a list or dict of them.
        outputs: what layers called on the inputs gave.
        name: a name.
    """


class Sequential(sequential.Sequential, Model):
    """Layers one after another, that can be trained.

    Args:
        layers: the layers.
        trainable: whether the weights are trained.
        name: a name.
    """
