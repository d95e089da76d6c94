"""Metrics that count right and wrong predictions by threshold: precision, recall, AUC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.runtime.training.losses.reduction import EPSILON, divide_no_nan, same_rank
from xlathe.runtime.training.metrics.metric import AdditiveMetric

Array = jax.Array
_BELOW_ALL = -1e10


def _count(
    y_true: Any,
    y_pred: Any,
    weights: Any,
    thresholds: Sequence[float],
    *,
    top_k: int | None = None,
    class_id: int | None = None,
    label_weights: Any = None,
    by_label: bool = False,
) -> dict[str, Array]:
    """Weighted counts by threshold: `"tp"`, `"fp"`, `"tn"` and `"fn"`.

    Args:
        y_true: labels of 0 and 1.
        y_pred: what is compared with the thresholds.
        weights: sample weights, or `None`.
        thresholds: a prediction counts as positive above each.
        top_k: take all but the largest `top_k` predictions of a sample for negative.
        class_id: the only class that counts.
        label_weights: a weight for each label.
        by_label: whether each label is counted for itself, in a last axis.

    Returns:
        Arrays of a number for each threshold.
    """
    y_pred = jnp.asarray(y_pred).astype(jnp.float32)
    y_pred, y_true = same_rank(y_pred, jnp.asarray(y_true).astype(jnp.float32))
    scale = jnp.ones(y_pred.shape, jnp.float32)
    if weights is not None:
        weights = jnp.asarray(weights).astype(jnp.float32)
        if weights.ndim == y_pred.ndim + 1 and weights.shape[-1] == 1:
            weights = weights[..., 0]
        while weights.ndim < y_pred.ndim:
            weights = weights[..., None]
        scale = scale * weights
    if label_weights is not None:
        scale = scale * jnp.asarray(label_weights, jnp.float32)
    if top_k is not None:
        places = jax.lax.top_k(y_pred, top_k)[1]
        kept = jax.nn.one_hot(places, y_pred.shape[-1]).sum(-2)
        y_pred = jnp.where(kept > 0, y_pred, _BELOW_ALL)
    if class_id is not None:
        if y_pred.ndim == 1:
            raise ValueError(
                "When class_id is provided, y_pred must be a 2D array with shape (num_samples, "
                f"num_classes), found shape: {y_pred.shape}"
            )
        y_true, y_pred, scale = (x[..., class_id] for x in (y_true, y_pred, scale))
    if not by_label:
        y_true, y_pred, scale = (x.reshape(-1) for x in (y_true, y_pred, scale))
    cuts = jnp.asarray(thresholds, jnp.float32)
    positive = y_pred > cuts.reshape(-1, *([1] * y_pred.ndim))
    label = (y_true != 0) & jnp.ones_like(positive)
    counts = {"tp": label & positive, "fp": ~label & positive}
    counts |= {"tn": ~label & ~positive, "fn": label & ~positive}
    return {name: jnp.where(hits, scale, 0).sum(1) for name, hits in counts.items()}


def _check_thresholds(thresholds: Any, default: float = 0.5) -> list[float]:
    if thresholds is None:
        return [default]
    values = list(thresholds) if isinstance(thresholds, list | tuple | np.ndarray) else [thresholds]
    wrong = [item for item in values if item is None or item < 0 or item > 1]
    if wrong:
        raise ValueError(f"Threshold values must be in [0, 1]. Received: {wrong}")
    return [float(item) for item in values]


class _Counts(AdditiveMetric):
    """A metric of some of the four counts at fixed thresholds."""

    kinds: tuple[str, ...] = ()
    names: dict[str, str] = {  # noqa: RUF012
        "tp": "true_positives",
        "fp": "false_positives",
        "tn": "true_negatives",
        "fn": "false_negatives",
    }

    def __init__(
        self,
        thresholds: Sequence[float],
        name: str | None,
        dtype: Any,
        top_k: int | None = None,
        class_id: int | None = None,
    ) -> None:
        super().__init__(dtype=dtype, name=name)
        self.thresholds = list(thresholds)
        self.top_k = top_k
        self.class_id = class_id
        for kind in self.kinds:
            self.add_variable((len(self.thresholds),), name=self.names[kind])

    def add_up(self, y_true: Any, y_pred: Any, weights: Any) -> tuple[Array, ...]:
        counts = _count(
            y_true, y_pred, weights, self.thresholds, top_k=self.top_k, class_id=self.class_id
        )
        return tuple(counts[kind] for kind in self.kinds)

    def _first_if_one(self, values: Array) -> Array:
        return values[0] if len(self.thresholds) == 1 else values


class _OneCount(_Counts):
    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(_check_thresholds(thresholds), name, dtype)

    def compute(self, state: Sequence[Array]) -> Array:
        return self._first_if_one(state[0])


class TruePositives(_OneCount):
    """How many positive labels were predicted positive."""

    kinds = ("tp",)


class FalsePositives(_OneCount):
    """How many negative labels were predicted positive."""

    kinds = ("fp",)


class TrueNegatives(_OneCount):
    """How many negative labels were predicted negative."""

    kinds = ("tn",)


class FalseNegatives(_OneCount):
    """How many positive labels were predicted negative."""

    kinds = ("fn",)


class _Rate(_Counts):
    direction = "up"

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        default = 0.5 if top_k is None else _BELOW_ALL
        super().__init__(_check_thresholds(thresholds, default), name, dtype, top_k, class_id)

    def compute(self, state: Sequence[Array]) -> Array:
        right, wrong = state
        return self._first_if_one(divide_no_nan(right, right + wrong))


class Precision(_Rate):
    """The share of positive predictions that are right."""

    kinds = ("tp", "fp")


class Recall(_Rate):
    """The share of positive labels that are found."""

    kinds = ("tp", "fn")


class _AtRate(_Counts):
    """The best of one rate where another is at least a given value."""

    kinds = ("tp", "fp", "tn", "fn")
    direction = "up"
    bound_name = ""

    def __init__(
        self,
        value: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        if value < 0 or value > 1:
            raise ValueError(
                f"Argument `{self.bound_name}` must be in the range [0, 1]. "
                f"Received: {self.bound_name}={value}"
            )
        if num_thresholds <= 0:
            raise ValueError(
                "Argument `num_thresholds` must be an integer > 0. "
                f"Received: num_thresholds={num_thresholds}"
            )
        cuts = [0.5] if num_thresholds == 1 else np.linspace(0.0, 1.0, num_thresholds).tolist()
        super().__init__(cuts, name, dtype, class_id=class_id)
        self.value = value
        self.num_thresholds = num_thresholds

    @staticmethod
    def rates(tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[Array, Array]:
        """The rate that is bounded, and the one that is returned."""
        raise NotImplementedError

    def compute(self, state: Sequence[Array]) -> Array:
        bounded, returned = self.rates(*state)
        return jnp.max(jnp.where(bounded >= self.value, returned, 0), initial=0)


def _rate(hits: Array, misses: Array) -> Array:
    return divide_no_nan(hits, hits + misses)


class SensitivityAtSpecificity(_AtRate):
    """The best sensitivity where the specificity is at least the given one."""

    bound_name = "specificity"

    def __init__(self, specificity: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(specificity, *args, **kwargs)
        self.specificity = specificity

    @staticmethod
    def rates(tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[Array, Array]:
        return _rate(tn, fp), _rate(tp, fn)


class SpecificityAtSensitivity(_AtRate):
    """The best specificity where the sensitivity is at least the given one."""

    bound_name = "sensitivity"

    def __init__(self, sensitivity: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(sensitivity, *args, **kwargs)
        self.sensitivity = sensitivity

    @staticmethod
    def rates(tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[Array, Array]:
        return _rate(tp, fn), _rate(tn, fp)


class PrecisionAtRecall(_AtRate):
    """The best precision where the recall is at least the given one."""

    bound_name = "recall"

    def __init__(self, recall: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(recall, *args, **kwargs)
        self.recall = recall

    @staticmethod
    def rates(tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[Array, Array]:
        return _rate(tp, fn), _rate(tp, fp)


class RecallAtPrecision(_AtRate):
    """The best recall where the precision is at least the given one."""

    bound_name = "precision"

    def __init__(self, precision: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(precision, *args, **kwargs)
        self.precision = precision

    @staticmethod
    def rates(tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[Array, Array]:
        return _rate(tp, fp), _rate(tp, fn)


def _one_of(argument: str, value: Any, allowed: Sequence[str]) -> str:
    if not isinstance(value, str) or value.lower() not in (item.lower() for item in allowed):
        raise ValueError(f"Invalid {argument} value: {value!r}. Expected one of {list(allowed)}")
    return value.lower()


class AUC(AdditiveMetric):
    """The area under a curve of rates over thresholds.

    Args:
        num_thresholds: how many thresholds the curve has.
        curve: `"ROC"`, `"PR"` or `"PRGAIN"`.
        summation_method: `"interpolation"`, `"minoring"` or `"majoring"`.
        name: the name that logs show.
        dtype: the type of the state.
        thresholds: thresholds of one's own, between 0 and 1.
        multi_label: whether the area is computed for each label, and averaged.
        num_labels: how many labels there are, if `multi_label`.
        label_weights: a weight for each label.
        from_logits: whether predictions are logits.
    """

    direction = "up"

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(dtype=dtype, name=name)
        if thresholds is None and num_thresholds <= 1:
            raise ValueError(
                "Argument `num_thresholds` must be an integer > 1. "
                f"Received: num_thresholds={num_thresholds}"
            )
        if num_labels and not multi_label:
            raise ValueError("`num_labels` is needed only when `multi_label` is True.")
        inner = (
            np.linspace(0, 1, num_thresholds)[1:-1].tolist()
            if thresholds is None
            else sorted(_check_thresholds(thresholds))
        )
        self.thresholds = [-EPSILON, *inner, 1.0 + EPSILON]
        self.num_thresholds = len(self.thresholds)
        self.curve = _one_of("AUC curve", curve, ["PR", "ROC", "PRGAIN"])
        self.summation_method = _one_of(
            "AUC summation method", summation_method, ["interpolation", "majoring", "minoring"]
        )
        self.multi_label = multi_label
        self.label_weights = label_weights
        self.from_logits = from_logits
        if not multi_label:
            self._make_variables(())
        elif num_labels:
            self._make_variables((num_labels,))

    def _make_variables(self, labels: tuple[int, ...]) -> None:
        for name in _Counts.names.values():
            self.add_variable((self.num_thresholds, *labels), name=name)

    def build(self, y_true: Any, y_pred: Any) -> None:
        if self._variables:
            return
        shape = jnp.shape(y_pred)
        if len(shape) != 2:
            raise ValueError(
                f"`y_pred` must have rank 2 when `multi_label=True`. Found rank {len(shape)}. "
                f"Full shape received for `y_pred`: {shape}"
            )
        self._make_variables((shape[1],))

    def add_up(self, y_true: Any, y_pred: Any, weights: Any) -> tuple[Array, ...]:
        if self.from_logits:
            y_pred = jax.nn.sigmoid(jnp.asarray(y_pred))
        counts = _count(
            y_true,
            y_pred,
            weights,
            self.thresholds,
            label_weights=None if self.multi_label else self.label_weights,
            by_label=self.multi_label,
        )
        return tuple(counts[kind] for kind in ("tp", "fp", "tn", "fn"))

    def compute(self, state: Sequence[Array]) -> Array:
        tp, fp, tn, fn = state
        if self.curve == "pr" and self.summation_method == "interpolation":
            return self._mean_over_labels(_interpolated_precision(tp, fp, fn))
        if self.curve == "roc":
            x, y = _rate(fp, tn), _rate(tp, fn)
        elif self.curve == "pr":
            x, y = _rate(tp, fn), _rate(tp, fp)
        else:
            x, y = _gains(tp, fp, tn, fn)
        heights = {
            "interpolation": (y[:-1] + y[1:]) / 2.0,
            "minoring": jnp.minimum(y[:-1], y[1:]),
            "majoring": jnp.maximum(y[:-1], y[1:]),
        }[self.summation_method]
        return self._mean_over_labels((x[:-1] - x[1:]) * heights)

    def _mean_over_labels(self, areas: Array) -> Array:
        total = areas.sum(0)
        if not self.multi_label:
            return total
        if self.label_weights is None:
            return total.mean()
        weights = jnp.asarray(self.label_weights, total.dtype)
        return divide_no_nan((total * weights).sum(), weights.sum())


def _interpolated_precision(tp: Array, fp: Array, fn: Array) -> Array:
    """Areas under the precision-recall curve, interpolated as Davis and Goadrich (2006) do."""
    positive = tp + fp
    more_right = tp[:-1] - tp[1:]
    slope = divide_no_nan(more_right, jnp.maximum(positive[:-1] - positive[1:], 0))
    intercept = tp[1:] - slope * positive[1:]
    ratio = jnp.where(
        (positive[:-1] > 0) & (positive[1:] > 0),
        divide_no_nan(positive[:-1], jnp.maximum(positive[1:], 0)),
        1.0,
    )
    areas = slope * (more_right + intercept * jnp.log(ratio))
    return divide_no_nan(areas, jnp.maximum(tp[1:] + fn[1:], 0))


def _gains(tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[Array, Array]:
    """Recall gain and precision gain."""
    scale = divide_no_nan(tp + fn, tn + fp)
    recall = jnp.where(tp == 0, 0.0, 1.0 - scale * divide_no_nan(fn, tp))
    precision = jnp.where(tp == 0, 1.0, 1.0 - scale * divide_no_nan(fp, tp))
    return jnp.maximum(recall, 0.0), precision
