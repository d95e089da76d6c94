"""Recurrent cells: one step of a recurrent layer."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from xlathe.tracer.layers import activations, options
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.random import SeedGenerator


class Cell(Layer):
    """What the cells have in common: a kernel, a recurrent kernel, a bias, dropout.

    A call takes the inputs of one time step and a list of states, and returns the output and the
    new states.

    Arguments:
        units: the size of the state.
        activation: of the candidate state.
        use_bias: whether a bias is added.
        dropout, recurrent_dropout: the fraction of inputs, and of states, that is dropped.
        seed: an integer, to draw the same again.
    """

    gates: ClassVar[int] = 1
    bias_initializer: Any
    dropout: float
    recurrent_dropout: float

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        self.implementation = kwargs.pop("implementation", 2)
        super().__init__(**kwargs)
        self.units = options.positive("units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        options.keep(
            self,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
        )
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        if self.recurrent_dropout:
            self.implementation = 1
        self.seed = seed
        self.seed_generator = SeedGenerator(seed, self.name)
        self.state_size: Any = units
        self.output_size = units
        self._input_masks: list[Any] | None = None
        self._state_masks: list[Any] | None = None

    def build(self, input_shape: Any) -> None:
        size, units = options.known(self, input_shape, -1), self.units
        self.kernel = options.add(self, "kernel", (size, units * self.gates))
        self.recurrent_kernel = options.add(
            self, "recurrent_kernel", (units, units * self.gates), prefix="recurrent"
        )
        self.bias = self._add_bias() if self.use_bias else None

    def _add_bias(self) -> Any:
        return options.add(self, "bias", (self.units * self.gates,))

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """Return the states before the first step: zeros."""
        sizes = self.state_size if isinstance(self.state_size, list) else [self.state_size]
        return [jnp.zeros((batch_size, size), self.compute_dtype) for size in sizes]

    def draw_masks(self, inputs: Any, states: Any, training: Any) -> None:
        """Draw what is dropped in all the steps to come."""
        if not training:
            return
        count = self.gates if self.implementation == 1 else 1
        self._input_masks = self._draw(self.dropout, inputs, count)
        self._state_masks = self._draw(self.recurrent_dropout, states[0], count)

    def _draw(self, rate: float, like: Any, count: int) -> list[Any] | None:
        if not 0 < rate < 1:
            return None
        kept = 1.0 - rate
        keys = [self.seed_generator.next_key() for _ in range(count)]
        return [jax.random.bernoulli(k, kept, like.shape).astype(like.dtype) / kept for k in keys]

    def forget_masks(self) -> None:
        """Drop nothing from now on."""
        self._input_masks = self._state_masks = None

    def _project_inputs(self, inputs: Any) -> Any:
        return _project(inputs, self.kernel.value, self._input_masks)

    def _project_state(self, state: Any) -> Any:
        return _project(state, self.recurrent_kernel.value, self._state_masks)


def _project(x: Any, kernel: Any, masks: list[Any] | None) -> Any:
    """Return `x @ kernel`, with what is dropped of `x` for all gates or for each by itself."""
    if masks is None:
        return x @ kernel
    parts = jnp.split(kernel, len(masks), axis=1)
    return jnp.concatenate([(x * m) @ k for m, k in zip(masks, parts, strict=True)], axis=-1)


class SimpleRNNCell(Cell):
    """`activation(x @ kernel + bias + h @ recurrent_kernel)`."""

    def call(self, inputs: Any, states: Any, training: Any = False) -> Any:
        x = self._project_inputs(inputs)
        if self.bias is not None:
            x = x + self.bias.value
        h = self.activation(x + self._project_state(states[0]))
        return h, [h]


class _GatedCell(Cell):
    """A cell with gates, whose activation is `recurrent_activation`."""

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        **kwargs: Any,
    ):
        super().__init__(units, activation, use_bias, **kwargs)
        self.recurrent_activation = activations.get(recurrent_activation)


class LSTMCell(_GatedCell):
    """A long short-term memory cell: states `h` and `c`, gates input, forget, cell, output.

    Arguments:
        units: the size of each state.
        activation, recurrent_activation: of the candidate state, and of the gates.
        unit_forget_bias: whether the forget gate's bias starts at one.
        kwargs: those of `SimpleRNNCell`.
    """

    gates = 4

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *,
        unit_forget_bias: bool = True,
        **kwargs: Any,
    ):
        super().__init__(units, activation, recurrent_activation, use_bias, **kwargs)
        self.unit_forget_bias = unit_forget_bias
        self.state_size = [units, units]

    def _add_bias(self) -> Any:
        if not self.unit_forget_bias:
            return super()._add_bias()
        units, start = self.units, self.bias_initializer

        def with_ones(shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
            parts = [start((units,), dtype), jnp.ones(units, dtype), start((2 * units,), dtype)]
            return jnp.concatenate(parts)

        return options.add(self, "bias", (units * 4,), initializer=with_ones)

    def call(self, inputs: Any, states: Any, training: Any = False) -> Any:
        h, c = states
        z = self._project_inputs(inputs) + self._project_state(h)
        if self.bias is not None:
            z = z + self.bias.value
        into, forget, candidate, out = jnp.split(z, 4, axis=-1)
        kept = self.recurrent_activation(forget) * c
        c = kept + self.recurrent_activation(into) * self.activation(candidate)
        h = self.recurrent_activation(out) * self.activation(c)
        return h, [h, c]


class GRUCell(_GatedCell):
    """A gated recurrent unit: gates update and reset, and a candidate state.

    Arguments:
        units: the size of the state.
        activation, recurrent_activation: of the candidate state, and of the gates.
        reset_after: whether the reset gate is applied after the product with the recurrent kernel.
        kwargs: those of `SimpleRNNCell`.
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *,
        reset_after: bool = True,
        **kwargs: Any,
    ):
        super().__init__(units, activation, recurrent_activation, use_bias, **kwargs)
        self.reset_after = reset_after

    def _add_bias(self) -> Any:
        size = 3 * self.units
        return options.add(self, "bias", (2, size) if self.reset_after else (size,))

    def call(self, inputs: Any, states: Any, training: Any = False) -> Any:
        h = states[0]
        x = self._project_inputs(inputs)
        bias = None if self.bias is None else self.bias.value
        if bias is not None:
            x = x + (bias[0] if self.reset_after else bias)
        x_update, x_reset, x_candidate = jnp.split(x, 3, axis=-1)
        if self.reset_after:
            inner = self._project_state(h)
            if bias is not None:
                inner = inner + bias[1]
            h_update, h_reset, h_candidate = jnp.split(inner, 3, axis=-1)
            update = self.recurrent_activation(x_update + h_update)
            reset = self.recurrent_activation(x_reset + h_reset)
            candidate = self.activation(x_candidate + reset * h_candidate)
        else:
            kernel, masks = self.recurrent_kernel.value, self._state_masks
            gates = _project(h, kernel[:, : 2 * self.units], None if masks is None else masks[:2])
            h_update, h_reset = jnp.split(gates, 2, axis=-1)
            update = self.recurrent_activation(x_update + h_update)
            reset = self.recurrent_activation(x_reset + h_reset)
            inner = reset * h if masks is None else reset * h * masks[2]
            candidate = self.activation(x_candidate + inner @ kernel[:, 2 * self.units :])
        h = update * h + (1 - update) * candidate
        return h, [h]


class StackedRNNCells(Layer):
    """Several cells as one: each takes the output of the one before."""

    def __init__(self, cells: Any, **kwargs: Any):
        super().__init__(**kwargs)
        for cell in cells:
            if not hasattr(cell, "call") or not hasattr(cell, "state_size"):
                raise ValueError(
                    "All cells must have a `call` method and a `state_size` attribute. "
                    f"Received: {cell}"
                )
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:
        return _output_size(self.cells[-1])

    def build(self, input_shape: Any) -> None:
        for cell in self.cells:
            if not cell.built:
                cell.build(input_shape)
            input_shape = (input_shape[0], _output_size(cell))

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """Return the states of all cells before the first step."""
        return [initial_state(cell, batch_size) for cell in self.cells]

    def draw_masks(self, inputs: Any, states: Any, training: Any) -> None:
        """Draw what the cells drop in all the steps to come."""
        for cell, state in zip(self.cells, states, strict=True):
            if hasattr(cell, "draw_masks"):
                cell.draw_masks(inputs, state, training)
            inputs = jnp.zeros((inputs.shape[0], _output_size(cell)), inputs.dtype)

    def forget_masks(self) -> None:
        """Drop nothing from now on."""
        for cell in self.cells:
            if hasattr(cell, "forget_masks"):
                cell.forget_masks()

    def call(self, inputs: Any, states: Any, training: Any = False) -> Any:
        new = []
        for cell, state in zip(self.cells, states, strict=True):
            inputs, state = cell(inputs, state)
            new.append(state if isinstance(state, list | tuple) else [state])
        return inputs, new


def _output_size(cell: Any) -> int:
    size = getattr(cell, "output_size", None)
    if size is not None:
        return size
    return cell.state_size[0] if isinstance(cell.state_size, list | tuple) else cell.state_size


def initial_state(cell: Any, batch_size: int) -> list[Any]:
    """Return a list of the states of a cell before the first step."""
    if hasattr(cell, "get_initial_state"):
        found = cell.get_initial_state(batch_size=batch_size)
        return list(found) if isinstance(found, list | tuple) else [found]
    sizes = cell.state_size if isinstance(cell.state_size, list | tuple) else [cell.state_size]
    return [jnp.zeros((batch_size, size), cell.compute_dtype) for size in sizes]


__all__ = ["GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"]
