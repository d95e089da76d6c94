"""Running steps: compiled programs, the state between them, and how many steps each runs.

One program runs any number of steps over arrays on the device: a loop whose bounds are arguments,
so that it is compiled once. On CPU, steps with large convolutions are some per cent slower in a
loop, and starting them is a small part of their time: they are run one batch at a time there.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.compiler.ops.contractions import convolution_flops
from xlathe.runtime.program import compile as compile_program
from xlathe.tracer.layers.variable import Variable

_SECONDS_A_DISPATCH = 0.2
_SMALL_CONVOLUTIONS = {"cpu": 1e7}

Step = Callable[..., tuple[Any, Any]]


def loops_well(jaxpr: Any) -> bool:
    """Whether steps with this forward pass run as fast inside a loop as outside."""
    most = _SMALL_CONVOLUTIONS.get(jax.default_backend())
    return most is None or sum(_convolution_flops(jaxpr)) <= most


def _convolution_flops(jaxpr: Any) -> Iterator[float]:
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            outputs_axis = equation.params["dimension_numbers"].rhs_spec[0]
            yield convolution_flops(equation.outvars[0].aval.size, kernel, outputs_axis)
        for value in equation.params.values():
            for item in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(item, "jaxpr", item)
                if hasattr(inner, "eqns"):
                    yield from _convolution_flops(inner)


class States:
    """The values of lists of variables, handed to a program and taken back.

    Programs overwrite their arguments' memory. What a user may hold (values not written here) is
    copied first.
    """

    def __init__(self, *groups: Sequence[Variable]) -> None:
        self.groups = [list(group) for group in groups]
        self._written: dict[int, Any] = {}

    def take(self) -> tuple[list[Any], ...]:
        """Return the variables' values, which may then be overwritten."""
        state = tuple([variable.stored for variable in group] for group in self.groups)
        written = self._written
        foreign = [
            (values, place)
            for group, values in zip(self.groups, state, strict=True)
            for place, variable in enumerate(group)
            if written.get(id(variable)) is not values[place]
        ]
        if foreign:
            copies = jax.device_put([values[place] for values, place in foreign], may_alias=False)
            for (values, place), copy in zip(foreign, copies, strict=True):
                values[place] = copy
        return state

    def put(self, state: Sequence[Sequence[Any]]) -> None:
        """Store values in the variables."""
        written = self._written
        for group, values in zip(self.groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable._value = value
                written[id(variable)] = value


class Pace:
    """How many steps a dispatch runs: a fixed number, or what takes a fifth of a second."""

    def __init__(self, fixed: int | None) -> None:
        self.fixed = fixed
        self.size = fixed or 1
        self._warm = False

    def took(self, steps: int, seconds: float) -> None:
        """Learn from a dispatch; the first one held compilation."""
        if self.fixed:
            return
        if not self._warm:
            self._warm = True
            return
        wanted = _SECONDS_A_DISPATCH / max(seconds / steps, 1e-9)
        self.size = int(max(1, min(wanted, self.size * 16)))


class Program:
    """A step, compiled for one batch at a time and for many in a loop.

    Args:
        step: `(state, batch, rows)` to logs and state; logs come of the state alone if `logs`.
        logs: the logs of a state; `None` if each step returns its own.
        options: of `xlathe.compile`.
        eager: whether to run without compiling.

    Attributes:
        paces: how many steps a dispatch runs, by what batches look like.
    """

    def __init__(
        self,
        step: Step,
        logs: Callable[[Any], Any] | None,
        options: dict[str, Any],
        eager: bool,
    ) -> None:
        self._step = step
        self._logs = logs
        self.eager = eager
        self._one = step if eager else compile_program(step, donate_argnums=0, **options)
        self._many: dict[tuple[int, bool], Any] = {}
        self._options = options
        self.paces: dict[Any, Pace] = {}

    def one(self, state: Any, batch: Any, rows: Any = None) -> tuple[Any, Any]:
        """Run one step."""
        return self._one(state, batch, rows)

    def many(
        self,
        state: Any,
        data: Any,
        rows: int | None,
        start: int,
        stop: int,
        batch_size: int,
    ) -> tuple[Any, Any]:
        """Run the steps from `start` to `stop` over arrays on the device.

        Args:
            state: the state before.
            data: arrays of whole batches.
            rows: how many rows count, from the first; `None` for all.
            start: the first step.
            stop: the step after the last.
            batch_size: how many samples a step takes.

        Returns:
            Logs and state after the last step.
        """
        key = (batch_size, rows is None)
        if key not in self._many:
            self._many[key] = self._loop(batch_size)
        counted = None if rows is None else np.int32(rows)
        return self._many[key](state, data, counted, np.int32(start), np.int32(stop))

    def _loop(self, batch_size: int) -> Any:
        def batch_at(data: Any, rows: Any, index: Any) -> tuple[Any, Any]:
            first = index * batch_size
            batch = jax.tree.map(
                lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, batch_size), data
            )
            return batch, None if rows is None else first + jnp.arange(batch_size) < rows

        def run(state: Any, data: Any, rows: Any, start: Any, stop: Any) -> tuple[Any, Any]:
            if self._logs is not None:

                def body(index: Any, state: Any) -> Any:
                    return self._step(state, *batch_at(data, rows, index))[1]

                state = jax.lax.fori_loop(start, stop, body, state)
                return self._logs(state), state
            shapes = jax.eval_shape(
                lambda state: self._step(state, *batch_at(data, rows, start)), state
            )
            logs = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes[0])
            return jax.lax.fori_loop(
                start,
                stop,
                lambda index, carry: self._step(carry[1], *batch_at(data, rows, index)),
                (logs, state),
            )

        run.__name__ = f"{getattr(self._step, '__name__', 'step')}s"
        return compile_program(run, donate_argnums=0, **self._options)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back inside the block: a state handed to a program must be taken back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    pending: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: pending.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pending:
            raise KeyboardInterrupt


def pad_rows(tree: Any, rows: int) -> Any:
    """Return arrays with their rows repeated up to a number: real rows, so that none makes NaN."""

    def pad(leaf: Any) -> Any:
        places = np.arange(rows) % leaf.shape[0]
        return leaf[places]

    return jax.tree.map(pad, tree)
