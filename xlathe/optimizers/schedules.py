"""Learning-rate schedules, by Keras's names."""

from xlathe.runtime.training.schedules import CosineDecay as CosineDecay
from xlathe.runtime.training.schedules import CosineDecayRestarts as CosineDecayRestarts
from xlathe.runtime.training.schedules import ExponentialDecay as ExponentialDecay
from xlathe.runtime.training.schedules import InverseTimeDecay as InverseTimeDecay
from xlathe.runtime.training.schedules import LearningRateSchedule as LearningRateSchedule
from xlathe.runtime.training.schedules import PiecewiseConstantDecay as PiecewiseConstantDecay
from xlathe.runtime.training.schedules import PolynomialDecay as PolynomialDecay
