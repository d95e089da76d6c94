"""Which loss and which metrics belong to which output of a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xlathe.runtime.training.losses import catalogue as losses_module
from xlathe.runtime.training.losses.catalogue import Loss
from xlathe.runtime.training.losses.reduction import weights_of_mask
from xlathe.runtime.training.metrics import catalogue as metrics_module
from xlathe.runtime.training.metrics.means import Mean, MeanMetricWrapper
from xlathe.runtime.training.metrics.metric import Metric
from xlathe.runtime.training.names import check_keys
from xlathe.tracer.layers.naming import snake_case
from xlathe.tracer.layers.scope import get_mask, set_mask
from xlathe.tracer.layers.variable import Variable

Array = jax.Array
_ACCURACY = ("accuracy", "acc")
_ENTROPY = ("crossentropy", "ce")


def flatten(tree: Any, names: Sequence[str] | None = None) -> list[Any]:
    """Return the outputs or targets of a structure in order; dicts in the order of `names`."""
    if isinstance(tree, Mapping):
        order = names if names and set(names) == set(tree) else sorted(tree)
        return [leaf for name in order for leaf in flatten(tree[name])]
    if isinstance(tree, list | tuple):
        return [leaf for item in tree for leaf in flatten(item)]
    return [tree]


def names_of(y_pred: Any, names: Sequence[str] | None) -> list[str | None]:
    """Return a name for each output: keys of a dict, or the names that the model has for them."""
    if isinstance(y_pred, Mapping):
        return list(names) if names and set(names) == set(y_pred) else sorted(y_pred)
    count = len(flatten(y_pred))
    return list(names) if names and len(names) == count else [None] * count


def targets_of(y_true: Any, names: Sequence[str | None], wanted: Sequence[bool]) -> list[Any]:
    """Return a target for each output: those given, in order, for the outputs that want one.

    Args:
        y_true: targets; for all outputs, or for those alone that a loss or a metric is for.
        names: the outputs' names.
        wanted: whether there is a loss or a metric for each output.

    Returns:
        A list with an entry for each output, `None` where there is no target; or the targets as
        they are, if they fit neither way.
    """
    if isinstance(y_true, Mapping) and set(y_true) <= set(names):
        return [y_true.get(name) for name in names]
    targets = flatten(y_true)
    if len(targets) == len(names) or len(targets) != sum(wanted):
        return targets
    remaining = iter(targets)
    return [next(remaining) if want else None for want in wanted]


def spread(what: str, given: Any, names: Sequence[str | None], y_pred: Any) -> list[Any]:
    """Return what belongs to each output of what a user gave for all.

    Args:
        what: the argument's name, for messages.
        given: one for every output, a list of one for each, or a dict by output.
        names: the outputs' names.
        y_pred: the outputs.

    Returns:
        A list with an entry for each output, `None` where nothing was given.

    Raises:
        ValueError: lengths or names don't fit.
    """
    count = len(names)
    if isinstance(given, Mapping):
        check_keys(f"`{what}`", given, [name for name in names if name is not None])
        return [given.get(name) for name in names]
    if isinstance(given, list | tuple):
        if len(given) != count:
            raise ValueError(
                f"`{what}` must have one entry for each of the {count} outputs of the model. "
                f"Received: {what}={given}"
            )
        return list(given)
    return [given] * count


def _pick(y_true: Any, y_pred: Any, choices: Sequence[Any]) -> Any:
    """The binary, the sparse or the one-hot form, by the shapes of targets and predictions."""
    true_shape, pred_shape = jnp.shape(y_true), jnp.shape(y_pred)
    binary, sparse, one_hot = choices
    if pred_shape and pred_shape[-1] == 1:
        return binary
    few = len(true_shape) < len(pred_shape)
    return sparse if few or (true_shape[-1] == 1 and pred_shape[-1] > 1) else one_hot


def _loss_for(identifier: Any, y_true: Any, y_pred: Any) -> Loss:
    if isinstance(identifier, str) and identifier.lower() in _ENTROPY:
        choices = (
            losses_module.binary_crossentropy,
            losses_module.sparse_categorical_crossentropy,
            losses_module.categorical_crossentropy,
        )
        identifier = _pick(y_true, y_pred, choices)
    return losses_module.as_loss(identifier)


class OutputLosses:
    """The loss of a model: a weighted sum of a loss for each output that has one.

    Args:
        loss: as given to `compile`.
        loss_weights: as given to `compile`.
        names: the names of the model's outputs.
    """

    def __init__(self, loss: Any, loss_weights: Any, names: Sequence[str] | None) -> None:
        self.given = loss
        self.weights_given = loss_weights
        self.names = names
        self.built = False
        self.losses: list[Loss | None] = []
        self.weights: list[Any] = []
        self.trackers: list[Mean | None] = []
        self.output_names: Sequence[str | None] = []
        self.wanted: list[bool] = []
        for leaf in flatten(loss):
            if isinstance(leaf, str) and leaf.lower() not in _ENTROPY:
                losses_module.get(leaf)

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Find the loss of each output, given arrays or their shapes."""
        if self.built:
            return
        names = names_of(y_pred, self.names)
        outputs = flatten(y_pred, self.names)
        given = spread("loss", self.given, names, y_pred)
        self.output_names, self.wanted = names, [item is not None for item in given]
        targets = self.targets(y_true)
        self.losses = [
            None if item is None or target is None else _loss_for(item, target, output)
            for item, target, output in zip(given, targets, outputs, strict=True)
        ]
        weights = self.weights_given
        if isinstance(weights, int | float):
            weights = [weights] * len(outputs)
        self.weights = (
            [1.0] * len(outputs)
            if weights is None
            else spread("loss_weights", weights, names, y_pred)
        )
        several = len([loss for loss in self.losses if loss is not None]) > 1
        self.trackers = [
            Mean(name=f"{name or loss.name}_loss") if several and loss is not None else None
            for name, loss in zip(names, self.losses, strict=True)
        ]
        self.built = True

    def targets(self, y_true: Any) -> list[Any]:
        """Return a target for each output, `None` for those that have no loss and no target.

        Raises:
            ValueError: there are more or fewer.
        """
        found = targets_of(y_true, self.output_names, self.wanted)
        if len(found) != len(self.wanted):
            raise ValueError(
                f"The model has {len(self.wanted)} outputs, and there are {len(found)} targets. "
                "Give one target for each output."
            )
        return found

    @property
    def metrics(self) -> list[Metric]:
        """A mean of each output's loss, if there are several."""
        return [tracker for tracker in self.trackers if tracker is not None]

    @property
    def by_row(self) -> bool:
        """Whether each sample's loss depends on that sample alone."""
        return all(
            loss is None or (loss.by_row and loss.reduction in ("sum_over_batch_size", "mean"))
            for loss in self.losses
        )

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any, rows: Any = None) -> Array:
        """Return the total loss of a batch.

        Args:
            y_true: targets.
            y_pred: predictions.
            sample_weight: weights for all outputs, or a structure of one for each; or `None`.
            rows: true for the rows that count; or `None` for all.

        Returns:
            A number.
        """
        self.build(y_true, y_pred)
        total: Any = jnp.zeros((), jnp.float32)
        weights = weights_of_outputs(sample_weight, y_pred, self.names)
        triples = zip(
            self.losses,
            self.weights,
            self.trackers,
            self.targets(y_true),
            flatten(y_pred, self.names),
            weights,
            strict=True,
        )
        for loss, factor, tracker, target, output, weight in triples:
            if loss is None:
                continue
            mask = joined_mask(get_mask(output), rows)
            # A `__call__` of the user's may be Keras's, which has no mask.
            own = "mask" not in inspect.signature(type(loss).__call__).parameters
            value = loss(target, output, weight, **({} if own else {"mask": mask}))
            if tracker is not None:
                count = jnp.shape(output)[0] if rows is None else rows.sum()
                tracker.update_state(jax.lax.stop_gradient(value), sample_weight=count)
            total = total + value * (1.0 if factor is None else factor)
        return total.sum() if total.ndim else total


def joined_mask(mask: Any, rows: Any) -> Any:
    """Return a mask of positions and one of rows as one."""
    if rows is None or mask is None:
        return rows if mask is None else mask
    return mask & rows.reshape(rows.shape + (1,) * (mask.ndim - 1))


def weights_of_outputs(weights: Any, y_pred: Any, names: Sequence[str] | None) -> list[Any]:
    """Return sample weights for each output."""
    count = len(flatten(y_pred, names))
    if weights is None:
        return [None] * count
    if isinstance(weights, Mapping):
        known = names_of(y_pred, names)
        return [weights.get(name) for name in known]
    flat = flatten(weights, names)
    return flat * count if len(flat) == 1 else flat


class OutputMetrics(Metric):
    """The metrics of a model's outputs, some of them weighted, as one metric, as in Keras.

    Args:
        metrics: as given to `compile`.
        weighted_metrics: as given to `compile`.
        names: the names of the model's outputs.
    """

    def __init__(self, metrics: Any, weighted_metrics: Any, names: Sequence[str] | None) -> None:
        super().__init__(name="compile_metrics")
        for what, given in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if given and not isinstance(given, list | tuple | dict):
                raise ValueError(
                    f"Expected `{what}` argument to be a list, tuple, or dict. Received instead: "
                    f"{what}={given} of type {type(given)}"
                )
            for leaf in flatten(given) if given else []:
                if isinstance(leaf, str) and leaf.lower() not in _ACCURACY + _ENTROPY:
                    metrics_module.get(leaf)
        self.given = metrics
        self.weighted_given = weighted_metrics
        self.names = names
        self.built = False
        self.entries: list[tuple[str, int, Metric, bool]] = []
        self.output_names: Sequence[str | None] = []
        self.wanted: list[bool] = []

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Make the metrics of each output, given arrays or their shapes."""
        if self.built:
            return
        names = names_of(y_pred, self.names)
        outputs = flatten(y_pred, self.names)
        plain = self._by_output("metrics", self.given, names, y_pred)
        weighing = self._by_output("weighted_metrics", self.weighted_given, names, y_pred)
        self.output_names = names
        self.wanted = [bool(a or b) for a, b in zip(plain, weighing, strict=True)]
        targets = targets_of(y_true, self.output_names, self.wanted)
        taken: set[str] = set()
        for by_output, weighted in ((plain, False), (weighing, True)):
            for index, wanted in enumerate(by_output):
                for item in wanted:
                    metric = _metric_for(item, targets[index], outputs[index])
                    metric.build(targets[index], outputs[index])
                    prefix = f"{names[index]}_" if len(outputs) > 1 and names[index] else ""
                    name = _free(prefix, metric.name, weighted, taken)
                    self.entries.append((name, index, metric, weighted))
        self.built = True

    @staticmethod
    def _by_output(
        what: str, given: Any, names: Sequence[str | None], y_pred: Any
    ) -> list[list[Any]]:
        if not given:
            return [[] for _ in names]
        if len(names) == 1:
            return [flatten(given)]
        return [flatten(item) if item else [] for item in spread(what, given, names, y_pred)]

    @property
    def metrics(self) -> list[Metric]:
        """The metrics, in order."""
        return [metric for _, _, metric, _ in self.entries]

    @property
    def variables(self) -> list[Variable]:
        """The variables of all of them."""
        return [variable for metric in self.metrics for variable in metric.variables]

    def reset_state(self) -> None:
        for metric in self.metrics:
            metric.reset_state()

    @property
    def by_row(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether samples of weight zero change nothing in any of the metrics."""
        return all(metric.by_row for metric in self.metrics)

    def update_state(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, rows: Any = None
    ) -> None:
        """Take a batch in; the arguments are those of `OutputLosses`."""
        self.build(y_true, y_pred)
        outputs = flatten(y_pred, self.names)
        targets = targets_of(y_true, self.output_names, self.wanted)
        weights = weights_of_outputs(sample_weight, y_pred, self.names)
        for _, index, metric, weighted in self.entries:
            weight = weights[index] if weighted else None
            if rows is not None:
                weight = weights_of_mask(rows, weight, jnp.float32, "sum")
            metric.update_state(targets[index], outputs[index], sample_weight=weight)

    def result(self) -> dict[str, Any]:
        """Return the metrics' values by name."""
        return {name: metric.result() for name, _, metric, _ in self.entries}


def _metric_for(identifier: Any, y_true: Any, y_pred: Any) -> Metric:
    found = identifier
    if isinstance(identifier, str) and identifier.lower() in _ACCURACY:
        found = _pick(
            y_true,
            y_pred,
            (
                metrics_module.BinaryAccuracy,
                metrics_module.SparseCategoricalAccuracy,
                metrics_module.CategoricalAccuracy,
            ),
        )
    elif isinstance(identifier, str) and identifier.lower() in _ENTROPY:
        found = _pick(
            y_true,
            y_pred,
            (
                metrics_module.BinaryCrossentropy,
                metrics_module.SparseCategoricalCrossentropy,
                metrics_module.CategoricalCrossentropy,
            ),
        )
    metric: Any = metrics_module.get(found)
    if not isinstance(metric, Metric):
        function: Callable[..., Any] = metric
        name = getattr(function, "name", None) or getattr(function, "__name__", None)
        metric = MeanMetricWrapper(function, name or snake_case(type(function).__name__))
    if isinstance(identifier, str):
        metric.name = identifier
    return metric


def _free(prefix: str, name: str, weighted: bool, taken: set[str]) -> str:
    full = prefix + name
    if full in taken and weighted:
        full = f"{prefix}weighted_{name}"
    number = 1
    candidate = full
    while candidate in taken:
        candidate = f"{full}_{number}"
        number += 1
    taken.add(candidate)
    return candidate


def carry_mask(array: Any, mask: Any) -> Any:
    """Return an array with a mask attached, if there is one."""
    if mask is not None:
        set_mask(array, mask)
    return array
