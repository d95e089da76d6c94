"""xlathe: a graph compiler for JAX.

`compile` is a drop-in for `jax.jit`; `optimize` is the same transformation without jit.
"""

from xlathe.compiler.precision.policy import PrecisionWarning as PrecisionWarning
from xlathe.runtime.program import NotOptimized as NotOptimized
from xlathe.runtime.program import compile as compile
from xlathe.runtime.program import optimize as optimize
from xlathe.runtime.traced import Compiled as Compiled
from xlathe.runtime.traced import Traced as Traced
from xlathe.tracer.assume import FalseAssumption as FalseAssumption
from xlathe.tracer.assume import assume as assume

__version__ = "0.1.0.dev0"
