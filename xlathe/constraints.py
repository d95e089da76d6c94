"""Constraints, by Keras's names."""

from xlathe.tracer.absent import reporter
from xlathe.tracer.layers.constraints import Constraint as Constraint
from xlathe.tracer.layers.constraints import MaxNorm as MaxNorm
from xlathe.tracer.layers.constraints import MinMaxNorm as MinMaxNorm
from xlathe.tracer.layers.constraints import NonNeg as NonNeg
from xlathe.tracer.layers.constraints import UnitNorm as UnitNorm
from xlathe.tracer.layers.constraints import get as get
from xlathe.tracer.layers.serialization import deserialize as deserialize
from xlathe.tracer.layers.serialization import serialize as serialize

max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm

__getattr__ = reporter("constraints", globals())
