"""Recurrent layers: a cell repeated over time."""

import inspect
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from xlathe.tracer.layers import cells, naming, scope
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.variable import Variable


class RNN(Layer):
    """A cell repeated over the second axis, by `lax.scan`.

    Arguments:
        cell: a layer with `state_size` whose call takes `(inputs, states)` and returns the output
            and the new states; or a list of them, to be stacked.
        return_sequences: whether the outputs of all steps are returned, not the last alone.
        return_state: whether the last states are returned as well.
        go_backwards: whether the sequence is read from its end.
        stateful: whether a call goes on from the states that the one before ended in.
        unroll: whether the loop is written out.
        zero_output_for_mask: whether the output of a masked step is zero, not the last one's.
    """

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if isinstance(cell, list | tuple):
            cell = cells.StackedRNNCells(cell)
        if not hasattr(cell, "call") or not hasattr(cell, "state_size"):
            raise ValueError(
                "Argument `cell` should have a `call` method and a `state_size` attribute (an "
                f"integer or a list of integers, one for each state). Received: cell={cell}"
            )
        self.cell = cell
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful, self.unroll = go_backwards, stateful, unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.supports_masking = True
        self.states: Any = None

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not self.cell.built:
            self.cell.build((sequences_shape[0], *sequences_shape[2:]))
        if self.stateful and self.states is None:
            if sequences_shape[0] is None:
                raise ValueError(
                    "When using `stateful=True` in a RNN, the batch size must be static. Found "
                    f"dynamic batch size: sequence.shape={tuple(sequences_shape)}. Pass "
                    "`batch_size` to `Input`."
                )
            with jax.ensure_compile_time_eval():
                start = self.get_initial_state(sequences_shape[0])
                self.states = jax.tree.map(self._carried, start)

    def _carried(self, start: Any) -> Variable:
        path = f"{self.path}/rnn_state"
        return Variable(start, trainable=False, name="rnn_state", path=path, kind="carry")

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """Return the states before the first step, as a list."""
        return cells.initial_state(self.cell, batch_size)

    def reset_state(self) -> None:
        """Set the states that a stateful layer carries to zero."""
        for variable in jax.tree.leaves(self.states):
            variable.assign(jnp.zeros(variable.shape, variable.dtype))

    reset_states = reset_state

    def compute_mask(self, sequences: Any, mask: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        mask = mask[0] if isinstance(mask, list | tuple) else mask
        own = mask if self.return_sequences else None
        if not self.return_state:
            return own
        states = jax.tree.leaves(self.cell.state_size)
        return [own, *[None] * len(states)]

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = False
    ) -> Any:
        states = self._start(sequences, initial_state)
        if hasattr(self.cell, "draw_masks"):
            self.cell.draw_masks(sequences[:, 0], states, training)
        try:
            states, outputs = self._loop(sequences, states, mask)
        finally:
            if hasattr(self.cell, "forget_masks"):
                self.cell.forget_masks()
        if self.stateful:
            for variable, value in zip(
                jax.tree.leaves(self.states), jax.tree.leaves(states), strict=True
            ):
                variable.assign(value)
        outputs = outputs.astype(self.compute_dtype)
        result = jnp.swapaxes(outputs, 0, 1) if self.return_sequences else outputs[-1]
        return (result, *states) if self.return_state else result

    def _start(self, sequences: Any, initial_state: Any) -> Any:
        """Return the states before the first step: as given, as carried, or the cell's own."""
        batch = sequences.shape[0]
        if initial_state is None and self.stateful:
            expected = jax.tree.leaves(self.states)[0].shape[0]
            if expected != batch:
                raise ValueError(
                    "If an RNN is stateful, the batch size of the input sequences must be the same "
                    f"as the batch size of the initial state. \n- Expected batch size: {expected}\n"
                    f"- Received batch size: {batch}"
                )
            initial_state = jax.tree.map(lambda variable: variable.value, self.states)
        if initial_state is None:
            initial_state = self.get_initial_state(batch)
        if not isinstance(initial_state, list | tuple):
            initial_state = [initial_state]
        dtype = self.cell.compute_dtype
        return jax.tree.map(lambda state: jnp.asarray(state, dtype), list(initial_state))

    def _loop(self, sequences: Any, states: Any, mask: Any) -> Any:
        """Return the last states, and the outputs of all steps with time first."""
        outer = scope.current_scope()

        def step(states: Any, inputs: Any) -> Any:
            x, keep = inputs
            # What a cell assigns inside the loop must not leave it.
            with outer.inner() if outer is not None else scope.StatelessScope():
                output, new = self.cell(x, states)
            new = list(new) if isinstance(new, list | tuple) else [new]
            if keep is None:
                return new, output
            new = jax.tree.map(lambda n, s: jnp.where(_wide(keep, n), n, s), new, states)
            last = states[-1][0] if isinstance(states[0], list) else states[0]
            other = jnp.zeros_like(output) if self.zero_output_for_mask else last
            return new, jnp.where(_wide(keep, output), output, other)

        if mask is not None:
            mask = jnp.swapaxes(jnp.asarray(mask, bool).reshape(sequences.shape[:2]), 0, 1)
        states, outputs = lax.scan(
            step,
            states,
            (jnp.swapaxes(sequences, 0, 1), mask),
            reverse=self.go_backwards,
            unroll=bool(self.unroll) or 1,
        )
        return states, jnp.flip(outputs, 0) if self.go_backwards else outputs


def _wide(mask: Any, like: Any) -> Any:
    return mask.reshape(mask.shape + (1,) * (like.ndim - mask.ndim))


class _OfCell(RNN):
    """A recurrent layer of one kind of cell: its arguments are the cell's, and those of `RNN`."""

    cell_type: ClassVar[type[cells.Cell]]

    def __init__(self, units: int, **kwargs: Any):
        kwargs.pop("use_cudnn", None)
        taken = {
            name
            for kind in self.cell_type.__mro__
            if issubclass(kind, cells.Cell)
            for name in inspect.signature(kind.__init__).parameters
        }
        taken = (taken | {"implementation"}) - {"self", "kwargs"}
        own = {name: kwargs.pop(name) for name in list(kwargs) if name in taken}
        shared = {name: kwargs[name] for name in ("dtype", "trainable") if name in kwargs}
        name = naming.snake_case(self.cell_type.__name__)
        cell = self.cell_type(units, **own, **shared, name=name)
        super().__init__(cell, **kwargs)

    @property
    def units(self) -> int:
        return self.cell.units


class SimpleRNN(_OfCell):
    """A fully connected recurrent layer. Arguments: those of `SimpleRNNCell` and of `RNN`."""

    cell_type = cells.SimpleRNNCell

    def __init__(self, units: int, activation: Any = "tanh", use_bias: bool = True, **kwargs: Any):
        super().__init__(units, activation=activation, use_bias=use_bias, **kwargs)


class _OfGatedCell(_OfCell):
    """A recurrent layer of a cell with gates."""

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        **kwargs: Any,
    ):
        kwargs |= {"recurrent_activation": recurrent_activation, "use_bias": use_bias}
        super().__init__(units, activation=activation, **kwargs)


class LSTM(_OfGatedCell):
    """A long short-term memory. Arguments: those of `LSTMCell` and of `RNN`."""

    cell_type = cells.LSTMCell


class GRU(_OfGatedCell):
    """A layer of gated recurrent units. Arguments: those of `GRUCell` and of `RNN`."""

    cell_type = cells.GRUCell


__all__ = ["GRU", "LSTM", "RNN", "SimpleRNN"]
