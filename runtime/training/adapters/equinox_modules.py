"""Equinox modules as models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx  # pyright: ignore[reportMissingImports]
import jax

from xlathe.runtime.training.adapters.adapter import Adapter
from xlathe.runtime.training.adapters.calling import accepted, parameters_of, without_state


class EquinoxModel(Adapter):
    """An Equinox module, written for one sample, as a model of batches.

    Its floating-point arrays are trained. In training it is called as it is, and otherwise in
    inference mode (`equinox.nn.inference_mode`).

    Args:
        module: the module.
        state: its `equinox.nn.State`, if it has one.
        loss_fn: `(module, x, y)` to a loss; or `None`.
        trainable: a function of a leaf, or a tree of booleans, that says what is trained.
        batched: whether the module takes a whole batch, and needs no `jax.vmap`.
        seed: what `key` is made from, if the call takes one.
    """

    def __init__(
        self,
        module: Any,
        state: Any = None,
        loss_fn: Callable[..., Any] | None = None,
        trainable: Any = None,
        batched: bool = False,
        seed: int | None = None,
    ) -> None:
        chosen = eqx.is_inexact_array if trainable is None else trainable
        trained, rest = eqx.partition(module, chosen)
        arrays, self._fixed = eqx.partition(rest, eqx.is_array)
        self._batched = batched
        self._has_state = state is not None
        self._call_takes = parameters_of(module)
        if "state" in self._call_takes and state is None and loss_fn is None:
            raise ValueError(
                f"{type(module).__name__} takes a `state`. Make both by "
                "`module, state = equinox.nn.make_with_state(Module)(...)` and pass `state=state`."
            )
        axes = {
            item.axis_name
            for item in jax.tree.leaves(module, is_leaf=_is_batch_norm)
            if _is_batch_norm(item)
        }
        if len(axes) > 1 and not batched:
            raise ValueError(
                "The module's BatchNorms have several axis names: "
                f"{sorted(map(str, axes))}. Give them one, or pass `batched=True` and call "
                "`jax.vmap` inside."
            )
        self._axis_name = next(iter(axes), None)
        self.works_by_row = not (batched or self._has_state)
        super().__init__(type(module).__name__, trained, (arrays, state), loss_fn, seed)

    def run(self, function: Callable[..., Any] | None, inputs: Any, training: bool) -> Any:
        arrays, state = self._others.read()
        module = eqx.combine(self._trained.read(), arrays, self._fixed)
        if not training:
            module = eqx.nn.inference_mode(module)
        offered = self.offers(training)
        if self._has_state:
            offered["state"] = lambda: state
        if function is not None:
            result = function(module, *inputs, **accepted(function, offered))
            used = parameters_of(function)
        else:
            result = self._call_batch(module, inputs, offered)
            used = self._call_takes
        if not self._has_state or "state" not in used:
            return result
        result, state = without_state(result)
        self._others.write((arrays, state))
        return result

    def _call_batch(self, module: Any, inputs: Any, offered: dict[str, Callable[[], Any]]) -> Any:
        """Call the module on a batch: on each sample with a key of its own, with one state."""
        given = accepted(module, offered)
        if self._batched:
            return module(*inputs, **given)
        each = {}
        if "key" in given:
            rows = jax.tree.leaves(inputs)[0].shape[0]
            each["key"] = jax.random.split(given.pop("key"), rows)
        with_state = "state" in given

        def one(sample: Any, keys: Any) -> Any:
            return module(*sample, **keys, **given)

        mapped = jax.vmap(one, out_axes=(0, None) if with_state else 0, axis_name=self._axis_name)
        return mapped(inputs, each)

    def unwrap(self) -> Any:
        """Return a new module; and its state, if there was one."""
        arrays, state = self._others.snapshot()
        module = eqx.combine(self._trained.snapshot(), arrays, self._fixed)
        return (module, state) if self._has_state else module


def _is_batch_norm(value: Any) -> bool:
    return isinstance(value, eqx.nn.BatchNorm)
