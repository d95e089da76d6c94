"""From a graph to a program: `jax.numpy` source, and the function that it defines."""

from xlathe.compiler.lowering.program import Program as Program
from xlathe.compiler.lowering.program import lower as lower
