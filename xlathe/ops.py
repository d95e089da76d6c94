"""Functions of arrays, variables and symbolic tensors, by the names of Keras's `ops`."""

from typing import Any

from xlathe.tracer import ops


def __getattr__(name: str) -> Any:
    return ops.find(name)


def __dir__() -> list[str]:
    return ops.names()
