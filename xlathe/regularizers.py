"""Regularizers, by Keras's names."""

from xlathe.tracer.absent import reporter
from xlathe.tracer.layers.regularizers import L1 as L1
from xlathe.tracer.layers.regularizers import L1L2 as L1L2
from xlathe.tracer.layers.regularizers import L2 as L2
from xlathe.tracer.layers.regularizers import OrthogonalRegularizer as OrthogonalRegularizer
from xlathe.tracer.layers.regularizers import Regularizer as Regularizer
from xlathe.tracer.layers.regularizers import get as get
from xlathe.tracer.layers.regularizers import l1 as l1
from xlathe.tracer.layers.regularizers import l1_l2 as l1_l2
from xlathe.tracer.layers.regularizers import l2 as l2
from xlathe.tracer.layers.serialization import deserialize as deserialize
from xlathe.tracer.layers.serialization import serialize as serialize

orthogonal_regularizer = OrthogonalRegularizer

__getattr__ = reporter("regularizers", globals())
