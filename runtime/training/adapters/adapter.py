"""What all adapters share: a model whose weights are the arrays of somebody else's object."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from xlathe.runtime.training.adapters.calling import grouped, parts_of
from xlathe.runtime.training.adapters.trees import VariableTree, on_tree
from xlathe.runtime.training.data.sources import rows_of
from xlathe.runtime.training.metrics.means import Mean
from xlathe.runtime.training.model import Model
from xlathe.runtime.training.optimizers.catalogue import Optax
from xlathe.runtime.training.preparation import Trace
from xlathe.tracer.layers.naming import snake_case, unique_name
from xlathe.tracer.layers.random import SeedGenerator
from xlathe.tracer.layers.scope import StatelessScope


class Adapter(Model):
    """A model made of a module of another library, or of functions and pytrees.

    Args:
        kind: what the model's name is made from.
        trained: a pytree of the arrays that are trained.
        others: a pytree of the other arrays, which a call may change.
        loss_fn: `(module, x, y)` to a loss, or to a loss and a dict of logs; or `None`.
        seed: what the keys of random numbers are made from.
    """

    works_by_row = False
    """Whether each row of the outputs depends on that row of the inputs alone."""

    def __init__(
        self,
        kind: str,
        trained: Any,
        others: Any,
        loss_fn: Callable[..., Any] | None,
        seed: int | None,
    ) -> None:
        super().__init__(name=unique_name(snake_case(kind)), autocast=False)
        self._trained = VariableTree(trained, True, "parameters")
        self._others = VariableTree(others, False, "state")
        self._weights_of_trees = self._trained.variables + self._others.variables
        self._random = SeedGenerator(seed)
        self._loss_fn = loss_fn
        self.log_means: list[Mean] = []
        self.built = True

    def run(self, function: Callable[..., Any] | None, inputs: Any, training: bool) -> Any:
        """Call the module, or a function of it, and write what changed into the variables.

        Args:
            function: takes the module first; `None` for the module's own call.
            inputs: the arguments.
            training: whether for training.

        Returns:
            What the call returned, without the state.
        """
        raise NotImplementedError

    def unwrap(self) -> Any:
        """Return what was given, with what training made of it."""
        raise NotImplementedError

    def offers(self, training: bool) -> dict[str, Callable[[], Any]]:
        """Return what a function may have a parameter for, by name."""
        return {
            "training": lambda: training,
            "train": lambda: training,
            "deterministic": lambda: not training,
            "key": self._random.next_key,
        }

    def call(self, x: Any, training: Any = None) -> Any:
        return self.run(None, x if isinstance(x, tuple) else (x,), bool(training))

    def compile(self, optimizer: Any = "rmsprop", *args: Any, **kwargs: Any) -> None:
        if isinstance(optimizer, optax.GradientTransformation):
            optimizer = Optax(on_tree(optimizer, self._trained))
        super().compile(optimizer, *args, **kwargs)
        if self._loss_fn is not None and (self.loss is not None or self.fit_state.metrics):
            raise ValueError(
                "`loss_fn` computes the loss from the module itself: `loss` and `metrics`, which "
                "compare outputs with targets, don't go with it. Return metrics from `loss_fn` as "
                "`loss, {'name': value}`."
            )

    @property
    def needs_outputs(self) -> bool:
        return self._loss_fn is None

    def has_default_loss(self) -> bool:
        return self._loss_fn is None

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        if self._loss_fn is None:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        loss, logs = self._loss_and_logs(parts_of(x, y, sample_weight), training)
        self._record(logs, rows_of(x))
        return loss

    def trace(self, batch: Any, training: bool) -> Trace:
        if self._loss_fn is None:
            return super().trace(batch, training)

        def compute(parts: Any) -> Any:
            with StatelessScope(abstract=True):
                return self._loss_and_logs(parts, training)

        jaxpr, (loss, logs) = jax.make_jaxpr(compute, return_shape=True)(parts_of(*batch))
        if loss.shape != () or not jnp.issubdtype(loss.dtype, jnp.floating):
            raise ValueError(
                "`loss_fn` must return a number, or a number and a dict of logs. Received: "
                f"{loss.dtype}{list(loss.shape)}"
            )
        self._expect_logs(logs)
        return Trace(jaxpr, None, True, True)

    def _loss_and_logs(self, parts: tuple[Any, ...], training: bool) -> tuple[Any, Any]:
        function: Any = self._loss_fn
        found = self.run(function, grouped(function, parts, self.offers(training)), training)
        loss, logs = found if isinstance(found, tuple) and len(found) == 2 else (found, {})
        return jnp.asarray(loss), logs

    def _expect_logs(self, logs: Any) -> None:
        """Make a mean for each number that a function logs, given their shapes."""
        if not isinstance(logs, Mapping) or any(jnp.shape(value) for value in logs.values()):
            raise ValueError(
                "Logs must be a dict of numbers, such as {'loss': loss}. Received: "
                f"{jax.tree.map(lambda leaf: f'{leaf.dtype}{list(leaf.shape)}', logs)}"
            )
        new = set(logs) - {mean.name for mean in self.log_means}
        if not new:
            return
        self.log_means += [Mean(name=str(name)) for name in logs if name in new]
        if self.compiled:
            self.fit_state.drop_programs()

    def _record(self, logs: Mapping[str, Any], rows: int) -> None:
        means = {mean.name: mean for mean in self.log_means}
        for name, value in logs.items():
            means[str(name)].update_state(jax.lax.stop_gradient(value), sample_weight=rows)

    def get_config(self) -> dict[str, Any]:
        raise TypeError(
            f"{type(self).__name__} holds an object of yours, which can't be written to a file as "
            "an architecture. Save its weights: `save_weights`, `ModelCheckpoint(..., "
            "save_weights_only=True)`, or the way its own library does."
        )

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        self.get_config()
