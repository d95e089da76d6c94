"""xlathe: a graph compiler for JAX.

`compile` is a drop-in for `jax.jit`; `optimize` is the same transformation without jit.
"""

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
from xlathe.tracer.assume import FalseAssumption as FalseAssumption
from xlathe.tracer.assume import assume as assume
from xlathe.tracer.layers.core import Input as Input
from xlathe.tracer.layers.layer import Layer as Layer
from xlathe.tracer.layers.random import set_random_seed as set_random_seed
from xlathe.tracer.layers.variable import Variable as Variable
from xlathe.tracer.models.model import Model as Model
from xlathe.tracer.models.sequential import Sequential as Sequential

__version__ = "0.1.0.dev0"
