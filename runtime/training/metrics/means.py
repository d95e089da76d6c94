"""Metrics that are means of a value a sample, and the functions that give the value."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xlathe.runtime.training.losses import functions as losses
from xlathe.runtime.training.losses.reduction import (
    EPSILON,
    divide_no_nan,
    same_rank,
    weights_of_mask,
)
from xlathe.runtime.training.metrics.metric import AdditiveMetric
from xlathe.tracer.layers.scope import get_mask

Array = jax.Array


def _samplewise(
    values: Any, weights: Any, dtype: Any, reduce: Callable[..., Array]
) -> tuple[Array, Any]:
    """Weighted values and weights, one a sample; weights may be of leading axes only."""
    mask = get_mask(values)
    values = jnp.asarray(values).astype(dtype)
    if weights is not None:
        weights = jnp.asarray(weights).astype(dtype)
        if mask is not None:
            weights = weights_of_mask(mask, weights, dtype, "sum")
        values, weights = same_rank(values, weights)
        if values.ndim > weights.ndim:
            values = reduce(values, axis=tuple(range(weights.ndim, values.ndim)))
        rank = weights.ndim
        weights = jnp.broadcast_to(weights, values.shape)
        values = values * weights
        if rank > 1:
            weights = reduce(weights, axis=tuple(range(1, rank)))
    if values.ndim > 1:
        values = reduce(values, axis=tuple(range(1, values.ndim)))
    return values, weights


class Sum(AdditiveMetric):
    """The weighted sum of what it is given."""

    def __init__(self, name: str = "sum", dtype: Any = None) -> None:
        super().__init__(dtype=dtype, name=name)
        self.total = self.add_variable(name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        values, _ = _samplewise(values, sample_weight, self.dtype, jnp.sum)
        self.total.assign(self.total.value + values.sum())

    def compute(self, state: Sequence[Array]) -> Array:
        return state[0]


class Mean(AdditiveMetric):
    """The weighted mean of what it is given."""

    def __init__(self, name: str = "mean", dtype: Any = None) -> None:
        super().__init__(dtype=dtype, name=name)
        self.total = self.add_variable(name="total")
        self.count = self.add_variable(name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        values, weights = _samplewise(values, sample_weight, self.dtype, jnp.mean)
        self.total.assign(self.total.value + values.sum())
        if weights is not None:
            self.count.assign(self.count.value + weights.sum())
        else:
            self.count.assign(self.count.value + (values.shape[0] if values.ndim else 1))

    def compute(self, state: Sequence[Array]) -> Array:
        return divide_no_nan(state[0], state[1])


class MeanMetricWrapper(Mean):
    """The mean of a function of targets and predictions.

    Args:
        fn: the function; it returns a value a sample.
        name: the name that logs show.
        dtype: the type of the state.
        **kwargs: further arguments of the function.
    """

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name or getattr(fn, "__name__", "mean"), dtype=dtype)
        self.fn = fn
        self.arguments = kwargs
        known = getattr(fn, "__module__", "") in (__name__, losses.__name__)
        self.by_row = known and kwargs.get("axis", -1) not in (0, None)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        mask = get_mask(y_pred)
        values = self.fn(y_true, y_pred, **self.arguments)
        if mask is not None:
            sample_weight = weights_of_mask(mask, sample_weight, self.dtype, "sum")
        super().update_state(values, sample_weight)


def accuracy(y_true: Any, y_pred: Any) -> Array:
    """Return 1 where predictions equal targets."""
    y_pred = jnp.asarray(y_pred)
    y_true, y_pred = same_rank(jnp.asarray(y_true).astype(y_pred.dtype), y_pred)
    return (y_true == y_pred).astype(jnp.float32)


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Array:
    """Return 1 where a probability is on its label's side of the threshold."""
    y_true, y_pred = same_rank(jnp.asarray(y_true), jnp.asarray(y_pred))
    return (y_true == (y_pred > threshold).astype(y_true.dtype)).astype(jnp.float32)


def categorical_accuracy(y_true: Any, y_pred: Any) -> Array:
    """Return 1 where the largest prediction is at the place of a one-hot target."""
    y_true, y_pred = jnp.asarray(y_true), jnp.asarray(y_pred)
    return (y_true.argmax(-1) == y_pred.argmax(-1)).astype(jnp.float32)


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Array:
    """Return 1 where the largest prediction is at the place that an integer label names."""
    y_true, y_pred = jnp.asarray(y_true), jnp.asarray(y_pred)
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = y_true[..., 0]
    matches = (y_true == y_pred.argmax(-1).astype(y_true.dtype)).astype(jnp.float32)
    return matches[..., 0] if matches.ndim > 1 and matches.shape[-1] == 1 else matches


def _among_largest(labels: Array, y_pred: Array, k: int) -> Array:
    at_label = jnp.take_along_axis(y_pred, labels[..., None].astype(jnp.int32), axis=-1)
    at_label = jnp.where(jnp.isnan(at_label), -jnp.inf, at_label)
    return ((y_pred > at_label).sum(-1) < k).astype(jnp.float32)


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Array:
    """Return 1 where a one-hot target's class is among the `k` largest predictions."""
    return _among_largest(jnp.asarray(y_true).argmax(-1), jnp.asarray(y_pred), k)


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Array:
    """Return 1 where an integer label is among the `k` largest predictions.

    Args:
        y_true: labels.
        y_pred: a prediction for each class, or the classes sorted by prediction.
        k: how many may be larger, less one.
        from_sorted_ids: whether predictions are sorted classes.

    Returns:
        A value a sample.
    """
    y_true, y_pred = jnp.asarray(y_true), jnp.asarray(y_pred)
    if from_sorted_ids:
        found = y_true[..., None].astype(y_pred.dtype) == y_pred[..., :k]
        return found.any(-1).astype(jnp.float32)
    return _among_largest(y_true, y_pred, k)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Array:
    """Return the cosine of the angle between targets and predictions."""
    return -losses.cosine_similarity(y_true, y_pred, axis)


def _centred(values: Array, axis: Any) -> Array:
    return values - values.mean(axis, keepdims=True)


def pearson_correlation(y_true: Any, y_pred: Any, axis: Any = -1) -> Array:
    """Return the correlation of targets and predictions along an axis."""
    y_pred = jnp.asarray(y_pred)
    y_true, y_pred = same_rank(jnp.asarray(y_true).astype(y_pred.dtype), y_pred)
    y_true, y_pred = _centred(y_true, axis), _centred(y_pred, axis)
    y_true = y_true / y_true.std(axis, keepdims=True)
    y_pred = y_pred / y_pred.std(axis, keepdims=True)
    return (y_true * y_pred).mean(axis)


def concordance_correlation(y_true: Any, y_pred: Any, axis: Any = -1) -> Array:
    """Return the concordance correlation of targets and predictions along an axis."""
    y_pred = jnp.asarray(y_pred)
    y_true, y_pred = same_rank(jnp.asarray(y_true).astype(y_pred.dtype), y_pred)
    true_mean = y_true.mean(axis, keepdims=True)
    pred_mean = y_pred.mean(axis, keepdims=True)
    spread = y_true.var(axis, keepdims=True) + y_pred.var(axis, keepdims=True)
    shared = (y_true - pred_mean) * (y_pred - pred_mean)
    return (2 * shared / (spread + jnp.square(true_mean - pred_mean) + EPSILON)).mean(axis)


def _of(
    class_name: str,
    function: Callable[..., Array],
    name: str,
    direction: str,
    order: tuple[str, ...] = (),
    **defaults: Any,
) -> Any:
    """A metric class of a function, with Keras's order of arguments and the defaults given."""
    defaults = {"name": name, "dtype": None, **defaults}
    order = order or tuple(defaults)

    def __init__(self: MeanMetricWrapper, *args: Any, **kwargs: Any) -> None:
        given = {**dict(zip(order, args, strict=False)), **kwargs}
        if len(args) > len(order) or any(key not in defaults for key in kwargs):
            raise TypeError(
                f"{class_name} takes the arguments {', '.join(order)}. Received: {[*args, *kwargs]}"
            )
        arguments = {**defaults, **given}
        MeanMetricWrapper.__init__(self, function, **arguments)
        for key in arguments.keys() - {"name", "dtype"}:
            setattr(self, key, arguments[key])

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    named: Any = __init__
    named.__signature__ = inspect.Signature(
        [
            inspect.Parameter("self", kind),
            *(inspect.Parameter(key, kind, default=defaults[key]) for key in order),
            *(
                inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=value)
                for key, value in defaults.items()
                if key not in order
            ),
        ]
    )
    body = {
        "__init__": __init__,
        "__doc__": f"The mean of `{function.__name__}`.",
        "__module__": __name__,
        "direction": direction,
    }
    return type(class_name, (MeanMetricWrapper,), body)


Accuracy = _of("Accuracy", accuracy, "accuracy", "up")
BinaryAccuracy = _of("BinaryAccuracy", binary_accuracy, "binary_accuracy", "up", threshold=0.5)
CategoricalAccuracy = _of("CategoricalAccuracy", categorical_accuracy, "categorical_accuracy", "up")
SparseCategoricalAccuracy = _of(
    "SparseCategoricalAccuracy", sparse_categorical_accuracy, "sparse_categorical_accuracy", "up"
)
TopKCategoricalAccuracy = _of(
    "TopKCategoricalAccuracy",
    top_k_categorical_accuracy,
    "top_k_categorical_accuracy",
    "up",
    ("k", "name", "dtype"),
    k=5,
)
SparseTopKCategoricalAccuracy = _of(
    "SparseTopKCategoricalAccuracy",
    sparse_top_k_categorical_accuracy,
    "sparse_top_k_categorical_accuracy",
    "up",
    ("k", "name", "dtype", "from_sorted_ids"),
    k=5,
    from_sorted_ids=False,
)
MeanSquaredError = _of("MeanSquaredError", losses.mean_squared_error, "mean_squared_error", "down")
MeanAbsoluteError = _of(
    "MeanAbsoluteError", losses.mean_absolute_error, "mean_absolute_error", "down"
)
MeanAbsolutePercentageError = _of(
    "MeanAbsolutePercentageError",
    losses.mean_absolute_percentage_error,
    "mean_absolute_percentage_error",
    "down",
)
MeanSquaredLogarithmicError = _of(
    "MeanSquaredLogarithmicError",
    losses.mean_squared_logarithmic_error,
    "mean_squared_logarithmic_error",
    "down",
)
CosineSimilarity = _of("CosineSimilarity", cosine_similarity, "cosine_similarity", "up", axis=-1)
LogCoshError = _of("LogCoshError", losses.log_cosh, "logcosh", "down")
Hinge = _of("Hinge", losses.hinge, "hinge", "down")
SquaredHinge = _of("SquaredHinge", losses.squared_hinge, "squared_hinge", "down")
CategoricalHinge = _of("CategoricalHinge", losses.categorical_hinge, "categorical_hinge", "down")
KLDivergence = _of("KLDivergence", losses.kl_divergence, "kl_divergence", "down")
Poisson = _of("Poisson", losses.poisson, "poisson", "down")
PearsonCorrelation = _of(
    "PearsonCorrelation", pearson_correlation, "pearson_correlation", "up", axis=-1
)
ConcordanceCorrelation = _of(
    "ConcordanceCorrelation", concordance_correlation, "concordance_correlation", "up", axis=-1
)


class BinaryCrossentropy(MeanMetricWrapper):
    """The mean of binary cross-entropy."""

    direction = "down"

    def __init__(
        self,
        name: str = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        super().__init__(
            losses.binary_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
        )


class CategoricalCrossentropy(MeanMetricWrapper):
    """The mean of categorical cross-entropy of one-hot targets."""

    direction = "down"

    def __init__(
        self,
        name: str = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        super().__init__(
            losses.categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(MeanMetricWrapper):
    """The mean of categorical cross-entropy of integer labels."""

    direction = "down"

    def __init__(
        self,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(
            losses.sparse_categorical_crossentropy, name, dtype, from_logits=from_logits, axis=axis
        )


class RootMeanSquaredError(Mean):
    """The root of the mean of squared differences."""

    direction = "down"

    def __init__(self, name: str = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        y_true, y_pred = same_rank(
            jnp.asarray(y_true).astype(self.dtype), jnp.asarray(y_pred).astype(self.dtype)
        )
        super().update_state(jnp.square(y_pred - y_true), sample_weight)

    def compute(self, state: Sequence[Array]) -> Array:
        return jnp.sqrt(super().compute(state))
