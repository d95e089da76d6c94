"""Random arrays, by Keras's names."""

from xlathe.tracer.absent import reporter
from xlathe.tracer.layers.random import SeedGenerator as SeedGenerator
from xlathe.tracer.random import beta as beta
from xlathe.tracer.random import binomial as binomial
from xlathe.tracer.random import categorical as categorical
from xlathe.tracer.random import dropout as dropout
from xlathe.tracer.random import gamma as gamma
from xlathe.tracer.random import normal as normal
from xlathe.tracer.random import randint as randint
from xlathe.tracer.random import shuffle as shuffle
from xlathe.tracer.random import truncated_normal as truncated_normal
from xlathe.tracer.random import uniform as uniform

__getattr__ = reporter("random", globals())
