"""Small models on CPU, whose predictions are computed in the thread that asks for them.

JAX on CPU hands all but the smallest programs to another thread, so that the caller can go on. Who
waits for one row's outputs gains nothing by it, and the two threads wake each other, which takes
longer than a small network does. Whether it does so is a property of the client that a program is
compiled for: here is a second one, which does not, and copies of the weights for it.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

_MAX_BYTES = 1 << 20
_CALLS_A_COPY = 50
_COPIES_AT_FIRST = 4


@functools.cache
def inline_device() -> Any:
    """The device of a client that runs programs in the caller's thread; `None` if there is none.

    Source: `jax._src.xla_bridge.make_cpu_client`, which reads `jax_cpu_enable_async_dispatch`.
    """
    if jax.default_backend() != "cpu" or jax.process_count() > 1:
        return None
    try:
        # JAX does not promise to keep it: where it has gone, predictions take longer.
        from jaxlib import xla_client

        client: Any = xla_client.make_cpu_client(asynchronous=False, num_devices=1)
        return client.local_devices()[0]
    except (ImportError, AttributeError, TypeError, RuntimeError):
        return None


class Inline:
    """A jitted function of weights and inputs, run where the caller is.

    Args:
        run: the function; of two lists of weights and of an array.

    Attributes:
        off: whether it is not, or no longer, worth it: weights are many, or change too often for
            their copies to pay.
    """

    def __init__(self, run: Callable[..., Any]) -> None:
        self.off = False
        self._run = run
        self._held: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        self._calls = 0
        self._copied = 0

    def __call__(self, trainable: Sequence[Any], others: Sequence[Any], x: np.ndarray) -> Any:
        """Return what the function does, or `None` if it is to be called without this."""
        self._calls += 1
        values, held = [*trainable, *others], self._held
        if len(values) != len(held[0]) or not all(map(operator.is_, values, held[0])):
            self._copied += 1
            often = self._calls < _CALLS_A_COPY * (self._copied - _COPIES_AT_FIRST)
            if often or not _fit(values) or inline_device() is None:
                self.off = True
                self._held = ([], [], [])
                return None
            # Of what training will overwrite, NumPy's copy is one that nobody else holds.
            copies = jax.device_put([np.array(value) for value in values], inline_device())
            held = self._held = values, copies[: len(trainable)], copies[len(trainable) :]
        return self._run(held[1], held[2], x)


def _fit(values: Sequence[Any]) -> bool:
    """Whether weights are few enough to have copies, and lie where JAX put them by itself."""
    plain = all(isinstance(value, jax.Array) and not value.committed for value in values)
    usual = jax.config.jax_default_device is None  # pyright: ignore[reportAttributeAccessIssue]
    return plain and usual and sum(value.nbytes for value in values) <= _MAX_BYTES
