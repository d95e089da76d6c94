"""Learning-rate schedules, by Keras's names."""

from xlathe.runtime.training.optimizers.schedules import CosineDecay as CosineDecay
from xlathe.runtime.training.optimizers.schedules import CosineDecayRestarts as CosineDecayRestarts
from xlathe.runtime.training.optimizers.schedules import ExponentialDecay as ExponentialDecay
from xlathe.runtime.training.optimizers.schedules import InverseTimeDecay as InverseTimeDecay
from xlathe.runtime.training.optimizers.schedules import (
    LearningRateSchedule as LearningRateSchedule,
)
from xlathe.runtime.training.optimizers.schedules import (
    PiecewiseConstantDecay as PiecewiseConstantDecay,
)
from xlathe.runtime.training.optimizers.schedules import PolynomialDecay as PolynomialDecay
