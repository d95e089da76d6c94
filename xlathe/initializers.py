"""Initializers, by Keras's names."""

from xlathe.tracer.absent import reporter
from xlathe.tracer.layers.initializers import Constant as Constant
from xlathe.tracer.layers.initializers import GlorotNormal as GlorotNormal
from xlathe.tracer.layers.initializers import GlorotUniform as GlorotUniform
from xlathe.tracer.layers.initializers import HeNormal as HeNormal
from xlathe.tracer.layers.initializers import HeUniform as HeUniform
from xlathe.tracer.layers.initializers import Identity as Identity
from xlathe.tracer.layers.initializers import Initializer as Initializer
from xlathe.tracer.layers.initializers import LecunNormal as LecunNormal
from xlathe.tracer.layers.initializers import LecunUniform as LecunUniform
from xlathe.tracer.layers.initializers import Ones as Ones
from xlathe.tracer.layers.initializers import Orthogonal as Orthogonal
from xlathe.tracer.layers.initializers import RandomNormal as RandomNormal
from xlathe.tracer.layers.initializers import RandomUniform as RandomUniform
from xlathe.tracer.layers.initializers import TruncatedNormal as TruncatedNormal
from xlathe.tracer.layers.initializers import VarianceScaling as VarianceScaling
from xlathe.tracer.layers.initializers import Zeros as Zeros
from xlathe.tracer.layers.initializers import get as get
from xlathe.tracer.layers.serialization import deserialize as deserialize
from xlathe.tracer.layers.serialization import serialize as serialize

constant, zeros, ones, identity, orthogonal = Constant, Zeros, Ones, Identity, Orthogonal
glorot_normal, glorot_uniform = GlorotNormal, GlorotUniform
he_normal, he_uniform = HeNormal, HeUniform
lecun_normal, lecun_uniform = LecunNormal, LecunUniform
random_normal, random_uniform = RandomNormal, RandomUniform
truncated_normal, variance_scaling = TruncatedNormal, VarianceScaling

__getattr__ = reporter("initializers", globals())
