"""Metrics of whole tables: F scores, intersection over union, the coefficient of determination."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xlathe.runtime.training.losses.reduction import EPSILON, same_rank
from xlathe.runtime.training.metrics.metric import AdditiveMetric

Array = jax.Array


def _check_table(what: str, y_true: Any, y_pred: Any) -> int:
    true_shape, pred_shape = jnp.shape(y_true), jnp.shape(y_pred)
    if len(pred_shape) != 2 or len(true_shape) != 2:
        raise ValueError(
            f"{what} expects 2D inputs with shape (batch_size, output_dim). Received input "
            f"shapes: y_pred.shape={pred_shape} and y_true.shape={true_shape}."
        )
    return pred_shape[-1]


class FBetaScore(AdditiveMetric):
    """The weighted harmonic mean of precision and recall.

    Args:
        average: `None` for a score a class, `"micro"`, `"macro"` or `"weighted"`.
        beta: how much recall counts against precision.
        threshold: what counts as a positive prediction; the largest one if `None`.
        name: the name that logs show.
        dtype: the type of the state.
    """

    direction = "up"

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype=dtype, name=name)
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(
                "Invalid `average` argument value. Expected one of: {None, 'micro', 'macro', "
                f"'weighted'}}. Received: average={average}"
            )
        if not isinstance(beta, float) or beta <= 0.0:
            raise ValueError(
                f"Invalid `beta` argument value. Expected a float > 0. Received: beta={beta!r}"
            )
        if threshold is not None and not (isinstance(threshold, float) and 0 < threshold <= 1):
            raise ValueError(
                "Invalid `threshold` argument value. Expected a float with 0 < threshold <= 1. "
                f"Received: threshold={threshold!r}"
            )
        self.average = average
        self.beta = beta
        self.threshold = threshold

    def build(self, y_true: Any, y_pred: Any) -> None:
        classes = _check_table(type(self).__name__, y_true, y_pred)
        if self._variables:
            return
        shape = () if self.average == "micro" else (classes,)
        for name in ("true_positives", "false_positives", "false_negatives", "weights"):
            self.add_variable(shape, name=name)

    def add_up(self, y_true: Any, y_pred: Any, weights: Any) -> tuple[Array, ...]:
        y_true = jnp.asarray(y_true).astype(self.dtype)
        y_pred = jnp.asarray(y_pred).astype(self.dtype)
        if self.threshold is None:
            largest = y_pred.max(-1, keepdims=True)
            chosen = (y_pred >= largest) & (jnp.abs(y_pred) > 1e-9)
        else:
            chosen = y_pred > self.threshold
        chosen = chosen.astype(self.dtype)
        scale = 1.0 if weights is None else jnp.asarray(weights).astype(self.dtype).reshape(-1, 1)
        axis = None if self.average == "micro" else 0
        values = (chosen * y_true, chosen * (1 - y_true), (1 - chosen) * y_true, y_true)
        return tuple((value * scale).sum(axis) for value in values)

    def compute(self, state: Sequence[Array]) -> Array:
        right, added, missed, weights = state
        precision = right / (right + added + EPSILON)
        recall = right / (right + missed + EPSILON)
        mean = precision * recall / (self.beta**2 * precision + recall + EPSILON)
        score = mean * (1 + self.beta**2)
        if self.average == "weighted":
            return (score * weights / (weights.sum() + EPSILON)).sum()
        return score if self.average is None else score.mean()


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall."""

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)


class IoU(AdditiveMetric):
    """Intersection over union, averaged over some classes.

    Args:
        num_classes: how many classes there are.
        target_class_ids: the classes to average over.
        name: the name that logs show.
        dtype: the type of the state; integers by default.
        ignore_class: a label that doesn't count.
        sparse_y_true: whether targets are integers, not one-hot.
        sparse_y_pred: whether predictions are integers, not a value for each class.
        axis: the axis of the classes.
    """

    direction = "up"

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(dtype=dtype or "int32", name=name)
        if max(target_class_ids) >= num_classes:
            raise ValueError(
                f"Target class id {max(target_class_ids)} is out of range, which is "
                f"[0, {num_classes})."
            )
        self.num_classes = num_classes
        self.target_class_ids = list(target_class_ids)
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.add_variable((num_classes, num_classes), name="total_confusion_matrix")

    def add_up(self, y_true: Any, y_pred: Any, weights: Any) -> tuple[Array, ...]:
        y_true, y_pred = jnp.asarray(y_true), jnp.asarray(y_pred)
        if not self.sparse_y_true:
            y_true = y_true.argmax(self.axis)
        if not self.sparse_y_pred:
            y_pred = y_pred.argmax(self.axis)
        scale = jnp.ones((), self.dtype)
        if weights is not None:
            scale = jnp.asarray(weights).astype(self.dtype)
            scale = scale.reshape(scale.shape + (1,) * (y_true.ndim - scale.ndim))
        scale = jnp.broadcast_to(scale, y_true.shape).reshape(-1)
        y_true, y_pred = (x.astype(jnp.int32).reshape(-1) for x in (y_true, y_pred))
        inside = (y_true >= 0) & (y_true < self.num_classes)
        inside &= (y_pred >= 0) & (y_pred < self.num_classes)
        if self.ignore_class is not None:
            inside &= y_true != self.ignore_class
        table = jnp.zeros((self.num_classes, self.num_classes), self.dtype)
        rows, columns = jnp.where(inside, y_true, 0), jnp.where(inside, y_pred, 0)
        return (table.at[rows, columns].add(jnp.where(inside, scale, 0)),)

    def compute(self, state: Sequence[Array]) -> Array:
        table = state[0]
        chosen = jnp.asarray(self.target_class_ids)
        shared = jnp.diag(table)
        union = (table.sum(0) + table.sum(1) - shared)[chosen].astype(jnp.float32)
        shared = shared[chosen].astype(jnp.float32)
        valid = union > 1e-9
        ratio = jnp.where(valid, shared / (union + EPSILON), 0.0)
        return ratio.sum() / (valid.sum() + EPSILON)


class BinaryIoU(IoU):
    """Intersection over union of predictions cut at a threshold."""

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def add_up(self, y_true: Any, y_pred: Any, weights: Any) -> tuple[Array, ...]:
        return super().add_up(y_true, jnp.asarray(y_pred) >= self.threshold, weights)


class MeanIoU(IoU):
    """Intersection over union, averaged over all classes."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        classes = range(num_classes)
        super().__init__(
            num_classes, classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis
        )


class OneHotIoU(IoU):
    """Intersection over union of one-hot targets."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis
        )


class OneHotMeanIoU(MeanIoU):
    """Intersection over union of one-hot targets, averaged over all classes."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)


class R2Score(AdditiveMetric):
    """The coefficient of determination.

    Args:
        class_aggregation: `"uniform_average"`, `"variance_weighted_average"`, or `None` for a
            score an output.
        num_regressors: how many predictors there are, for the adjusted score; 0 for the plain one.
        name: the name that logs show.
        dtype: the type of the state.
    """

    by_row = False
    direction = "up"

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(dtype=dtype, name=name)
        valid = (None, "uniform_average", "variance_weighted_average")
        if class_aggregation not in valid:
            raise ValueError(
                "Invalid value for argument `class_aggregation`. "
                f"Expected one of {valid}. Received: class_aggregation={class_aggregation}"
            )
        if num_regressors < 0:
            raise ValueError(
                "Invalid value for argument `num_regressors`. "
                f"Expected a value >= 0. Received: num_regressors={num_regressors}"
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors

    def build(self, y_true: Any, y_pred: Any) -> None:
        outputs = _check_table(type(self).__name__, y_true, y_pred)
        if self._variables:
            return
        self.add_variable(name="num_samples")
        for name in ("squared_sum", "sum", "residual", "count"):
            self.add_variable((outputs,), name=name)

    def add_up(self, y_true: Any, y_pred: Any, weights: Any) -> tuple[Array, ...]:
        y_true, y_pred = same_rank(
            jnp.asarray(y_true).astype(self.dtype), jnp.asarray(y_pred).astype(self.dtype)
        )
        scale = jnp.ones((), self.dtype) if weights is None else jnp.asarray(weights, self.dtype)
        scale = scale[:, None] if scale.ndim == 1 else scale
        scale = jnp.broadcast_to(scale, y_true.shape)
        residual = jnp.square(y_true - y_pred) * scale
        sums = (y_true * y_true * scale, y_true * scale, residual, scale)
        return jnp.asarray(y_true.size, self.dtype), *(item.sum(0) for item in sums)

    def compute(self, state: Sequence[Array]) -> Array:
        samples, squares, total, residual, count = state
        spread = squares - total * total / count
        scores = 1 - residual / spread
        scores = jnp.where(jnp.isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            score = scores.mean()
        elif self.class_aggregation == "variance_weighted_average":
            score = (spread * scores).sum() / spread.sum()
        else:
            score = scores
        if not self.num_regressors:
            return score
        free = samples - self.num_regressors - 1
        return jnp.where(free > 0, 1 - (1 - score) * (samples - 1) / free, score)
