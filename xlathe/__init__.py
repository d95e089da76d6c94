"""xlathe: a graph compiler for JAX.

`compile` is a drop-in for `jax.jit`; `optimize` is the same transformation without jit.
"""

import importlib
from typing import TYPE_CHECKING, Any

from xlathe import activations as activations
from xlathe import constraints as constraints
from xlathe import initializers as initializers
from xlathe import layers as layers
from xlathe import regularizers as regularizers
from xlathe.compiler.precision.policy import PrecisionWarning as PrecisionWarning
from xlathe.runtime.program import NotOptimized as NotOptimized
from xlathe.runtime.program import compile as compile
from xlathe.runtime.program import optimize as optimize
from xlathe.runtime.traced import Compiled as Compiled
from xlathe.runtime.traced import Traced as Traced
from xlathe.tracer.absent import reporter
from xlathe.tracer.assume import FalseAssumption as FalseAssumption
from xlathe.tracer.assume import assume as assume
from xlathe.tracer.layers.core import Input as Input
from xlathe.tracer.layers.dtypes import DTypePolicy as DTypePolicy
from xlathe.tracer.layers.initializers import Initializer as Initializer
from xlathe.tracer.layers.layer import Layer as Layer
from xlathe.tracer.layers.random import set_random_seed as set_random_seed
from xlathe.tracer.layers.regularizers import Regularizer as Regularizer
from xlathe.tracer.layers.specs import InputSpec as InputSpec
from xlathe.tracer.layers.symbolic import SymbolicTensor
from xlathe.tracer.layers.variable import Variable as Variable

if TYPE_CHECKING:
    from xlathe import backend as backend
    from xlathe import callbacks as callbacks
    from xlathe import config as config
    from xlathe import losses as losses
    from xlathe import metrics as metrics
    from xlathe import mixed_precision as mixed_precision
    from xlathe import models as models
    from xlathe import ops as ops
    from xlathe import optimizers as optimizers
    from xlathe import random as random
    from xlathe import saving as saving
    from xlathe import utils as utils
    from xlathe.runtime.keras.reading import from_keras as from_keras
    from xlathe.runtime.keras.writing import to_keras as to_keras
    from xlathe.runtime.training.bring_your_own import as_model as as_model
    from xlathe.runtime.training.bring_your_own import fit as fit
    from xlathe.runtime.training.losses.catalogue import Loss as Loss
    from xlathe.runtime.training.metrics.metric import Metric as Metric
    from xlathe.runtime.training.model import Model as Model
    from xlathe.runtime.training.model import Sequential as Sequential
    from xlathe.runtime.training.optimizers.optimizer import Optimizer as Optimizer
    from xlathe.runtime.training.saving import load_model as load_model

__version__ = "0.1.0.dev0"
KerasTensor = SymbolicTensor

# Training brings optax in, which takes longer to import than all of xlathe: not before it is used.
_LATER = {
    "Loss": "xlathe.runtime.training.losses.catalogue",
    "Metric": "xlathe.runtime.training.metrics.metric",
    "Model": "xlathe.runtime.training.model",
    "Optimizer": "xlathe.runtime.training.optimizers.optimizer",
    "Sequential": "xlathe.runtime.training.model",
    "as_model": "xlathe.runtime.training.bring_your_own",
    "fit": "xlathe.runtime.training.bring_your_own",
    "from_keras": "xlathe.runtime.keras.reading",
    "load_model": "xlathe.runtime.training.saving",
    "to_keras": "xlathe.runtime.keras.writing",
}
_MODULES = (
    "backend callbacks config losses metrics mixed_precision models ops optimizers random saving "
    "utils"
).split()
_absent = reporter("", [*globals(), *_LATER, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        found = importlib.import_module(f"xlathe.{name}")
    elif name in _LATER:
        found = getattr(importlib.import_module(_LATER[name]), name)
    else:
        return _absent(name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_MODULES})
