"""Optimizers, by Keras's names."""

from xlathe.optimizers import schedules as schedules
from xlathe.runtime.training.compiling import deserialize_optimizer
from xlathe.runtime.training.compiling import serialize as serialize
from xlathe.runtime.training.optimizers.catalogue import SGD as SGD
from xlathe.runtime.training.optimizers.catalogue import Adadelta as Adadelta
from xlathe.runtime.training.optimizers.catalogue import Adafactor as Adafactor
from xlathe.runtime.training.optimizers.catalogue import Adagrad as Adagrad
from xlathe.runtime.training.optimizers.catalogue import Adam as Adam
from xlathe.runtime.training.optimizers.catalogue import Adamax as Adamax
from xlathe.runtime.training.optimizers.catalogue import AdamW as AdamW
from xlathe.runtime.training.optimizers.catalogue import Ftrl as Ftrl
from xlathe.runtime.training.optimizers.catalogue import Lamb as Lamb
from xlathe.runtime.training.optimizers.catalogue import Lion as Lion
from xlathe.runtime.training.optimizers.catalogue import LossScaleOptimizer as LossScaleOptimizer
from xlathe.runtime.training.optimizers.catalogue import Nadam as Nadam
from xlathe.runtime.training.optimizers.catalogue import Optax as Optax
from xlathe.runtime.training.optimizers.catalogue import Optimizer as Optimizer
from xlathe.runtime.training.optimizers.catalogue import RMSprop as RMSprop
from xlathe.runtime.training.optimizers.catalogue import get as get
from xlathe.tracer.absent import reporter

deserialize = deserialize_optimizer
__getattr__ = reporter("optimizers", globals())
