"""Optimizers, by Keras's names."""

from xlathe.optimizers import schedules as schedules
from xlathe.runtime.training.optimizers import SGD as SGD
from xlathe.runtime.training.optimizers import Adadelta as Adadelta
from xlathe.runtime.training.optimizers import Adafactor as Adafactor
from xlathe.runtime.training.optimizers import Adagrad as Adagrad
from xlathe.runtime.training.optimizers import Adam as Adam
from xlathe.runtime.training.optimizers import Adamax as Adamax
from xlathe.runtime.training.optimizers import AdamW as AdamW
from xlathe.runtime.training.optimizers import Ftrl as Ftrl
from xlathe.runtime.training.optimizers import Lamb as Lamb
from xlathe.runtime.training.optimizers import Lion as Lion
from xlathe.runtime.training.optimizers import LossScaleOptimizer as LossScaleOptimizer
from xlathe.runtime.training.optimizers import Nadam as Nadam
from xlathe.runtime.training.optimizers import Optax as Optax
from xlathe.runtime.training.optimizers import Optimizer as Optimizer
from xlathe.runtime.training.optimizers import RMSprop as RMSprop
from xlathe.runtime.training.optimizers import get as get
