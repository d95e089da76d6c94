"""The layer that stands for a function of symbolic tensors: `x + y`, `x[:, 0]`, `ops.mean(x)`."""

from typing import Any

import jax

from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.operations import NAMED, OPERATORS
from xlathe.tracer.layers.serialization import suggestion
from xlathe.tracer.layers.variable import value_of

# What Keras calls the operators of Python.
_NAMES = {
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "pow": "power",
    "neg": "negative",
    "abs": "absolute",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
    "getitem": "get_item",
    "invert": "logical_not",
    "and_": "logical_and",
    "or_": "logical_or",
    "xor": "logical_xor",
}


class Operator(Layer):
    """An operator of Python or a function of `ops`, applied to tensors and constants.

    Arguments:
        operation: its name in the module `operator`, "getitem", or in `ops`, "mean".
    """

    is_function = True

    def __init__(self, operation: str, **kwargs: Any):
        kwargs.setdefault("name", None)
        super().__init__(**kwargs)
        function = OPERATORS.get(operation) or NAMED.get(operation)
        if function is None:
            known = [*OPERATORS, *NAMED]
            raise ValueError(f"Unknown operation: {operation!r}.{suggestion(operation, known)}")
        self.operation = operation
        self._function = function
        self.autocast = False
        self.supports_masking = True
        self.built = True

    def default_name(self) -> str:
        operation: str = self._arguments["operation"]
        return _NAMES.get(operation, operation).rpartition(".")[2]

    @property
    def type_name(self) -> str:
        """What a summary calls it: the name of Keras's class."""
        return "".join(part.capitalize() for part in self.default_name().split("_"))

    def call(self, *operands: Any, **options: Any) -> Any:
        values, named = jax.tree.map(value_of, (operands, options))
        return self._function(*values, **named)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return nothing: as in Keras, a function's result has no mask, and nobody is warned."""
        return None
