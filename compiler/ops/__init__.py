"""The operations: types, cost, traits, and how each is written in `jax.numpy`."""

from xlathe.compiler.ops import (
    arrays,
    attention,
    contractions,
    elementwise,
    indexing,
    random,
    reductions,
)
from xlathe.compiler.ops.build import make as make
from xlathe.compiler.ops.table import Expression as Expression
from xlathe.compiler.ops.table import Operation as Operation
from xlathe.compiler.ops.table import Writer as Writer
from xlathe.compiler.ops.table import known_operations as known_operations
from xlathe.compiler.ops.table import lookup as lookup
from xlathe.compiler.ops.table import register as register

_FAMILIES = (arrays, attention, contractions, elementwise, indexing, random, reductions)
