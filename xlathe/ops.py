"""Functions of arrays, variables and symbolic tensors, by the names of Keras's `ops`."""

from xlathe.tracer.ops import find as __getattr__  # noqa: F401
from xlathe.tracer.ops import names as __dir__  # noqa: F401
