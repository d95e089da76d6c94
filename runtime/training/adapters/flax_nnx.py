"""Flax NNX modules as models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx  # pyright: ignore[reportMissingImports]

from xlathe.runtime.training.adapters.adapter import Adapter
from xlathe.runtime.training.adapters.calling import accepted


class NNXModel(Adapter):
    """A Flax NNX module that is trained in place.

    `nnx.Param`s are trained; batch statistics and streams of random numbers change as the module
    changes them. It is called after `train()` in training and after `eval()` otherwise.

    Args:
        module: the module.
        loss_fn: `(module, x, y)` to a loss; or `None`.
        trainable: an NNX filter of the variables that are trained.
        seed: what `key` is made from, if `loss_fn` takes one.
    """

    def __init__(
        self,
        module: nnx.Module,
        loss_fn: Callable[..., Any] | None = None,
        trainable: Any = None,
        seed: int | None = None,
    ) -> None:
        self._module = module
        self._filter = nnx.Param if trainable is None else trainable
        self._definition, trained, others = nnx.split(module, self._filter, ...)
        super().__init__(type(module).__name__, trained, others, loss_fn, seed)

    def run(self, function: Callable[..., Any] | None, inputs: Any, training: bool) -> Any:
        trained = self._trained.read()
        before = jax.tree.leaves(trained)
        module = nnx.merge(self._definition, trained, self._others.read())
        module.train() if training else module.eval()
        called: Any = module if function is None else function
        first = () if function is None else (module,)
        result = called(*first, *inputs, **accepted(called, self.offers(training)))
        nnx.pop(module, nnx.Intermediate)
        _, after, others = nnx.split(module, self._filter, ...)
        if any(new is not old for new, old in zip(jax.tree.leaves(after), before, strict=False)):
            raise ValueError(
                f"{type(module).__name__} assigns to a variable that is trained, in its call. Use "
                "a variable of another kind than `nnx.Param` for what a call changes."
            )
        self._others.write(others)
        return result

    def unwrap(self) -> Any:
        """Return the module, updated in place."""
        nnx.update(self._module, self._trained.snapshot(), self._others.snapshot())
        return self._module
