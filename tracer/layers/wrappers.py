"""Layers around a layer: in both directions of time, and over every time step."""

from typing import Any

import jax
import jax.numpy as jnp

from xlathe.tracer.layers import serialization
from xlathe.tracer.layers.layer import Layer


class Wrapper(Layer):
    """A layer around another, `layer`."""

    def __init__(self, layer: Layer, **kwargs: Any):
        if not isinstance(layer, Layer):
            raise ValueError(
                f"Please initialize `{type(self).__name__}` with a `layers.Layer` instance. "
                f"Received: {layer}"
            )
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Any = None) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)


class TimeDistributed(Wrapper):
    """A layer applied to every time step, all steps in one call: time joins the batch."""

    def __init__(self, layer: Layer, **kwargs: Any):
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any = None) -> None:
        if not isinstance(input_shape, list | tuple) or len(input_shape) < 3:
            raise ValueError(
                "`TimeDistributed` Layer should be passed an `input_shape` with at least 3 "
                f"dimensions, received: {input_shape}"
            )
        super().build((input_shape[0], *input_shape[2:]))

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        batch, time = inputs.shape[:2]
        kwargs = {}
        if mask is not None:
            if tuple(mask.shape[:2]) != (batch, time):
                raise ValueError(
                    "The `mask` passed to the `TimeDistributed` layer has a shape "
                    f"{tuple(mask.shape)} that is incompatible with the input shape "
                    f"{tuple(inputs.shape)}. The first two dimensions must match."
                )
            if "mask" in self.layer._call_signature.parameters:
                kwargs["mask"] = mask.reshape(batch * time, *mask.shape[2:])
        outputs = self.layer(inputs.reshape(batch * time, *inputs.shape[2:]), **kwargs)
        return jax.tree.map(lambda y: y.reshape(batch, time, *y.shape[1:]), outputs)


class Bidirectional(Layer):
    """A recurrent layer in both directions of time.

    Arguments:
        layer: the layer for the forward direction; a copy of it is used.
        merge_mode: how outputs are combined: "concat", "sum", "mul", "ave", or None for a pair.
        weights: initial weights, forward ones first.
        backward_layer: the layer for the other direction; a copy of the first unless given.
    """

    def __init__(
        self,
        layer: Layer,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Layer | None = None,
        **kwargs: Any,
    ):
        if not isinstance(layer, Layer):
            raise ValueError(
                "Please initialize `Bidirectional` layer with a `layers.Layer` instance. "
                f"Received: {layer}"
            )
        if merge_mode not in ("sum", "mul", "ave", "concat", None):
            raise ValueError(
                f"Invalid merge mode. Received: {merge_mode}. Merge mode should be one of "
                '{"sum", "mul", "ave", "concat", None}'
            )
        super().__init__(**kwargs)
        self.forward_layer: Any = _copy(layer, "forward")
        self.backward_layer: Any = backward_layer or _copy(layer, "backward", go_backwards=True)
        self._check()
        for each in (self.forward_layer, self.backward_layer):
            if hasattr(each, "zero_output_for_mask"):
                each.zero_output_for_mask = each.return_sequences
        self.merge_mode = merge_mode
        self.return_sequences = self.forward_layer.return_sequences
        self.return_state = self.forward_layer.return_state
        self.stateful = self.forward_layer.stateful
        self.supports_masking = True
        self._given = weights

    def _check(self) -> None:
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise ValueError(
                "Forward layer and backward layer should have different `go_backwards` value. "
                f"Received: {forward.go_backwards} and {backward.go_backwards}"
            )
        for name in ("stateful", "return_sequences", "return_state"):
            if getattr(forward, name) != getattr(backward, name):
                raise ValueError(
                    "Forward layer and backward layer are expected to have the same value for "
                    f'attribute "{name}", got "{getattr(forward, name)}" and '
                    f'"{getattr(backward, name)}"'
                )

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(sequences_shape)
        if self._given is not None:
            self.set_weights(self._given)

    def reset_state(self) -> None:
        """Set the states that stateful layers carry to zero."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state

    def compute_mask(self, sequences: Any, mask: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        mask = mask[0] if isinstance(mask, list | tuple) else mask
        own = mask if self.return_sequences else None
        outputs = [own, own] if self.merge_mode is None else [own]
        if not self.return_state:
            return outputs if len(outputs) > 1 else own
        states = jax.tree.leaves(self.forward_layer.cell.state_size)
        return [*outputs, *[None] * (2 * len(states))]

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None
    ) -> Any:
        first = second = None
        if initial_state is not None:
            half = len(initial_state) // 2
            first, second = initial_state[:half], initial_state[half:]
        y = self.forward_layer(sequences, initial_state=first, mask=mask)
        z = self.backward_layer(sequences, initial_state=second, mask=mask)
        states: tuple[Any, ...] = ()
        if self.return_state:
            states = (*y[1:], *z[1:])
            y, z = y[0], z[0]
        if self.return_sequences:
            z = jnp.flip(z, axis=1)
        if self.merge_mode is None:
            return (y, z, *states)
        merged = _merge(self.merge_mode, y, z)
        return (merged, *states) if self.return_state else merged


def _merge(mode: str, y: Any, z: Any) -> Any:
    if mode == "concat":
        return jnp.concatenate([y, z], axis=-1)
    if mode == "mul":
        return y * z
    return y + z if mode == "sum" else (y + z) / 2


def _copy(layer: Layer, prefix: str, **changes: Any) -> Any:
    """Return a new layer with the config of another, with changes."""
    config = {**layer.get_config(), **changes}
    config["name"] = f"{prefix}_{layer.name.removeprefix(prefix + '_')}"
    return serialization.deserialize({"class_name": type(layer).__name__, "config": config})


__all__ = ["Bidirectional", "TimeDistributed", "Wrapper"]
