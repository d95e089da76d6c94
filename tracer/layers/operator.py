"""The layer that stands for an operator on symbolic tensors: `x + y`, `x[:, 0]`."""

import operator
from typing import Any

from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.variable import Variable


class Operator(Layer):
    """An operator of Python, applied to tensors and constants.

    Arguments:
        operation: its name in the module `operator`: "add", "getitem", …
    """

    def __init__(self, operation: str, **kwargs: Any):
        kwargs.setdefault("name", None)
        super().__init__(**kwargs)
        self.operation = operation
        self.autocast = False
        self.built = True

    def default_name(self) -> str:
        return self._arguments["operation"]

    def call(self, *operands: Any) -> Any:
        values = (v.value if isinstance(v, Variable) else v for v in operands)
        return getattr(operator, self.operation)(*values)
