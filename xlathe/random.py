"""Random numbers, by Keras's names."""

from xlathe.tracer.layers.random import SeedGenerator as SeedGenerator
from xlathe.tracer.random import categorical as categorical
from xlathe.tracer.random import normal as normal
from xlathe.tracer.random import randint as randint
from xlathe.tracer.random import shuffle as shuffle
from xlathe.tracer.random import truncated_normal as truncated_normal
from xlathe.tracer.random import uniform as uniform
