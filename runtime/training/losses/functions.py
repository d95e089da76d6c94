"""The losses as functions, by Keras's names: targets and predictions in, a loss a sample out.

Each takes `y_true` and `y_pred`, and reduces the last axis (or `axis`). The formulas are optax's
where it has them, with Keras's arguments, defaults and epsilons.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from xlathe.runtime.training.losses.reduction import EPSILON, same_rank
from xlathe.tracer.layers.scope import normalised_axis

Array = jax.Array


def _pair(y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    y_pred = jnp.asarray(y_pred)
    if not jnp.issubdtype(y_pred.dtype, jnp.floating):
        y_pred = y_pred.astype(jnp.float32)
    return same_rank(jnp.asarray(y_true).astype(y_pred.dtype), y_pred)


def _check_shapes(y_true: Array, y_pred: Array) -> None:
    if y_true.shape != y_pred.shape:
        raise ValueError(
            "Targets and predictions must have the same shape. "
            f"Received: y_true.shape={y_true.shape}, y_pred.shape={y_pred.shape}. For integer "
            "class labels use a sparse categorical loss."
        )


def mean_squared_error(y_true: Any, y_pred: Any) -> Array:
    """Mean of squared differences."""
    y_true, y_pred = _pair(y_true, y_pred)
    return jnp.square(y_true - y_pred).mean(-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Array:
    """Mean of absolute differences."""
    y_true, y_pred = _pair(y_true, y_pred)
    return jnp.abs(y_true - y_pred).mean(-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Array:
    """Mean of absolute differences in percent of the target."""
    y_true, y_pred = _pair(y_true, y_pred)
    return 100.0 * jnp.abs((y_true - y_pred) / jnp.maximum(jnp.abs(y_true), EPSILON)).mean(-1)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Array:
    """Mean of squared differences of `log(1 + value)`."""
    y_true, y_pred = _pair(y_true, y_pred)
    first = jnp.log(jnp.maximum(y_pred, EPSILON) + 1.0)
    second = jnp.log(jnp.maximum(y_true, EPSILON) + 1.0)
    return jnp.square(first - second).mean(-1)


def _unit(values: Array, axis: int) -> Array:
    squared = jnp.square(values).sum(axis, keepdims=True)
    return values * jax.lax.rsqrt(jnp.maximum(squared, EPSILON**2))


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Array:
    """Negated cosine of the angle between targets and predictions: -1 where they agree."""
    y_true, y_pred = _pair(y_true, y_pred)
    return -(_unit(y_true, axis) * _unit(y_pred, axis)).sum(axis)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Array:
    """Squared error up to `delta`, linear beyond."""
    y_true, y_pred = _pair(y_true, y_pred)
    return optax.huber_loss(y_pred, y_true, delta=delta).mean(-1)


def log_cosh(y_true: Any, y_pred: Any) -> Array:
    """Mean of the logarithm of the hyperbolic cosine of the error."""
    y_true, y_pred = _pair(y_true, y_pred)
    return optax.log_cosh(y_pred, y_true).mean(-1)


def _signs(y_true: Array) -> Array:
    """Labels of 0 and 1 as -1 and 1; others as they are."""
    is_binary = jnp.all((y_true == 0) | (y_true == 1))
    return jnp.where(is_binary, 2.0 * y_true - 1.0, y_true)


def hinge(y_true: Any, y_pred: Any) -> Array:
    """Mean of `max(1 - y_true * y_pred, 0)`; labels are -1 and 1, or 0 and 1."""
    y_true, y_pred = _pair(y_true, y_pred)
    return optax.hinge_loss(y_pred, _signs(y_true)).mean(-1)


def squared_hinge(y_true: Any, y_pred: Any) -> Array:
    """Mean of the squares of `max(1 - y_true * y_pred, 0)`."""
    y_true, y_pred = _pair(y_true, y_pred)
    return jnp.square(optax.hinge_loss(y_pred, _signs(y_true))).mean(-1)


def categorical_hinge(y_true: Any, y_pred: Any) -> Array:
    """Hinge of the best wrong class against the right one; one-hot targets."""
    y_true, y_pred = _pair(y_true, y_pred)
    right = (y_true * y_pred).sum(-1)
    wrong = ((1.0 - y_true) * y_pred).max(-1)
    return jnp.maximum(wrong - right + 1.0, 0.0)


def kl_divergence(y_true: Any, y_pred: Any) -> Array:
    """Kullback-Leibler divergence of predicted from true probabilities."""
    y_true, y_pred = _pair(y_true, y_pred)
    y_true, y_pred = jnp.clip(y_true, EPSILON, 1), jnp.clip(y_pred, EPSILON, 1)
    return (y_true * jnp.log(y_true / y_pred)).sum(-1)


def poisson(y_true: Any, y_pred: Any) -> Array:
    """Negative log-likelihood of counts under predicted Poisson rates, constants left out."""
    y_true, y_pred = _pair(y_true, y_pred)
    return (y_pred - y_true * jnp.log(y_pred + EPSILON)).mean(-1)


def _clipped(probabilities: Array) -> Array:
    return jnp.clip(probabilities, EPSILON, 1.0 - EPSILON)


def _bernoulli_entropy(y_true: Array, y_pred: Array, from_logits: bool) -> Array:
    _check_shapes(y_true, y_pred)
    if from_logits:
        return optax.sigmoid_binary_cross_entropy(y_pred, y_true)
    y_pred = _clipped(y_pred)
    return -(y_true * jnp.log(y_pred) + (1.0 - y_true) * jnp.log(1.0 - y_pred))


def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """Cross-entropy of independent yes-no labels.

    Args:
        y_true: labels of 0 and 1.
        y_pred: probabilities, or logits.
        from_logits: whether predictions are logits.
        label_smoothing: how far labels are moved towards one half.
        axis: the axis that the mean is taken over.

    Returns:
        A loss a sample.
    """
    y_true, y_pred = _pair(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return _bernoulli_entropy(y_true, y_pred, from_logits).mean(axis)


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """Binary cross-entropy that weighs samples by how wrong they are.

    Args:
        y_true: labels of 0 and 1.
        y_pred: probabilities, or logits.
        apply_class_balancing: whether the classes are weighed by `alpha`.
        alpha: the weight of class 1; class 0 has `1 - alpha`.
        gamma: the power of the weight.
        from_logits: whether predictions are logits.
        label_smoothing: how far labels are moved towards one half.
        axis: the axis that the mean is taken over.

    Returns:
        A loss a sample.
    """
    y_true, y_pred = _pair(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        y_pred = jax.nn.sigmoid(y_pred)
    entropy = _bernoulli_entropy(y_true, y_pred, from_logits=False)
    right = y_true * y_pred + (1 - y_true) * (1 - y_pred)
    focal = jnp.power(1.0 - right, gamma) * entropy
    if apply_class_balancing:
        focal = (y_true * alpha + (1 - y_true) * (1 - alpha)) * focal
    return focal.mean(axis)


def _smooth(y_true: Array, label_smoothing: float) -> Array:
    if not label_smoothing:
        return y_true
    return y_true * (1.0 - label_smoothing) + label_smoothing / y_true.shape[-1]


def _class_entropy(y_true: Array, y_pred: Array, from_logits: bool, axis: int) -> Array:
    if from_logits:
        return optax.softmax_cross_entropy(y_pred, y_true, axis=axis)
    if not _sums_to_one(y_pred, axis):
        y_pred = y_pred / y_pred.sum(axis, keepdims=True)
    return -(y_true * jnp.log(_clipped(y_pred))).sum(axis)


def _sums_to_one(probabilities: Array, axis: int) -> bool:
    """Whether dividing by the sum would change nothing but the last digit: after a softmax."""
    known = normalised_axis(probabilities) == axis % probabilities.ndim
    return known and probabilities.dtype.itemsize >= 4


def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """Cross-entropy of one-hot targets.

    Args:
        y_true: one-hot targets, or probabilities.
        y_pred: probabilities, or logits.
        from_logits: whether predictions are logits.
        label_smoothing: how far targets are moved towards the uniform distribution.
        axis: the axis of the classes.

    Returns:
        A loss a sample.

    Raises:
        ValueError: the shapes differ.
    """
    y_true, y_pred = _pair(y_true, y_pred)
    _check_shapes(y_true, y_pred)
    return _class_entropy(_smooth(y_true, label_smoothing), y_pred, from_logits, axis)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """Categorical cross-entropy that weighs samples by how wrong they are.

    Args:
        y_true: one-hot targets.
        y_pred: probabilities, or logits.
        alpha: the weight of all classes.
        gamma: the power of the weight.
        from_logits: whether predictions are logits.
        label_smoothing: how far targets are moved towards the uniform distribution.
        axis: the axis of the classes.

    Returns:
        A loss a sample.
    """
    y_true, y_pred = _pair(y_true, y_pred)
    _check_shapes(y_true, y_pred)
    y_true = _smooth(y_true, label_smoothing)
    if from_logits:
        y_pred = jax.nn.softmax(y_pred, axis=axis)
    probabilities = _clipped(y_pred / y_pred.sum(axis, keepdims=True))
    entropy = -y_true * jnp.log(probabilities)
    return (alpha * jnp.power(1.0 - probabilities, gamma) * entropy).sum(axis)


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Array:
    """Cross-entropy of integer class labels.

    Args:
        y_true: labels, of the predictions' shape without the axis of the classes.
        y_pred: probabilities, or logits.
        from_logits: whether predictions are logits.
        ignore_class: a label whose positions have no loss.
        axis: the axis of the classes.

    Returns:
        A loss a sample; zero where the label is ignored.

    Raises:
        ValueError: the shapes don't fit.
    """
    y_true, y_pred = jnp.asarray(y_true), jnp.asarray(y_pred)
    if y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1:
        y_true = y_true.squeeze(axis)
    expected = tuple(n for i, n in enumerate(y_pred.shape) if i != axis % y_pred.ndim)
    if y_true.shape != expected:
        raise ValueError(
            f"Labels must have the shape {expected}: that of the predictions {y_pred.shape} "
            f"without the axis of the classes. Received: y_true.shape={y_true.shape}. For one-hot "
            "targets use categorical_crossentropy."
        )
    labels = y_true.astype(jnp.int32)
    if ignore_class is None:
        targets = jax.nn.one_hot(labels, y_pred.shape[axis], axis=axis, dtype=y_pred.dtype)
        return _class_entropy(targets, y_pred, from_logits, axis)
    kept = labels != ignore_class
    y_pred = jnp.where(jnp.expand_dims(kept, axis), y_pred, 0)
    targets = jax.nn.one_hot(
        jnp.where(kept, labels, 0), y_pred.shape[axis], axis=axis, dtype=y_pred.dtype
    )
    return jnp.where(kept, _class_entropy(targets, y_pred, from_logits, axis), 0.0)


def ctc(y_true: Any, y_pred: Any) -> Array:
    """Connectionist temporal classification; label 0 is the blank and the padding.

    Args:
        y_true: labels `(batch, length)`.
        y_pred: logits `(batch, time, classes)`.

    Returns:
        A loss a sample.

    Raises:
        ValueError: the shapes don't fit.
    """
    y_true, y_pred = jnp.asarray(y_true).astype(jnp.int32), jnp.asarray(y_pred)
    if y_true.ndim != 2:
        raise ValueError(
            "Targets `y_true` are expected to be a tensor of shape `(batch_size, max_length)` in "
            f"integer format. Received: y_true.shape={y_true.shape}"
        )
    if y_pred.ndim != 3:
        raise ValueError(
            "Logits `y_pred` are expected to be a tensor of shape `(batch_size, max_length, "
            f"num_classes)`. Received: y_pred.shape={y_pred.shape}"
        )
    lengths = (y_true != 0).sum(-1, keepdims=True)
    padded = (jnp.arange(y_true.shape[1]) >= lengths).astype(y_pred.dtype)
    return optax.ctc_loss(y_pred, jnp.zeros(y_pred.shape[:2], y_pred.dtype), y_true, padded)


def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Array:
    """One minus the Dice coefficient, over all axes or those given."""
    y_true, y_pred = _pair(y_true, y_pred)
    shared = (y_true * y_pred).sum(axis)
    return 1 - 2.0 * shared / (y_true.sum(axis) + y_pred.sum(axis) + EPSILON)


def tversky(
    y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None
) -> Array:
    """One minus the Tversky index: Dice with weights for the two kinds of errors.

    Args:
        y_true: targets.
        y_pred: predictions.
        alpha: the weight of what is in the targets and not in the predictions.
        beta: the weight of what is in the predictions and not in the targets.
        axis: the axes that are summed over; all by default.

    Returns:
        A loss.
    """
    y_true, y_pred = _pair(y_true, y_pred)
    shared = (y_true * y_pred).sum(axis)
    missed = ((1 - y_pred) * y_true).sum(axis)
    added = (y_pred * (1 - y_true)).sum(axis)
    return 1 - shared / (shared + missed * alpha + added * beta + EPSILON)


def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Array:
    """Circle loss of embeddings: near those of the same label, far from the others.

    Args:
        y_true: a label for each sample.
        y_pred: an embedding of length 1 for each sample.
        ref_labels: labels to compare with; the batch's own by default.
        ref_embeddings: embeddings to compare with; the batch's own by default.
        remove_diagonal: whether a sample is not compared with itself.
        gamma: the scale.
        margin: how far apart the classes are held.

    Returns:
        A loss a sample.
    """
    y_pred, labels = jnp.asarray(y_pred), jnp.asarray(y_true).astype(jnp.int32).reshape(-1)
    others = y_pred if ref_embeddings is None else jnp.asarray(ref_embeddings)
    other_labels = labels
    if ref_labels is not None:
        other_labels = jnp.asarray(ref_labels).astype(jnp.int32).reshape(-1)
    distances = jnp.maximum(1 - y_pred @ others.T, 0.0)
    alike = labels[:, None] == other_labels[None, :]
    unlike = ~alike
    if remove_diagonal:
        alike &= ~jnp.eye(*alike.shape, dtype=bool)
    near = -gamma * jnp.maximum(margin + distances, 0.0) * (margin - distances)
    far = gamma * jnp.maximum(1 + margin - distances, 0.0) * (1 - margin - distances)
    pull = jax.nn.logsumexp(jnp.where(alike, near, -jnp.inf), axis=1)
    push = jax.nn.logsumexp(jnp.where(unlike, far, -jnp.inf), axis=1)
    return jax.nn.softplus(pull + push)


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float = 0.5) -> Array:
    """Cross-entropy that is robust to wrong labels: `(1 - p**q) / q` of integer labels."""
    y_pred = jnp.asarray(y_pred)
    labels = jnp.asarray(y_true).astype(jnp.int32)
    if labels.ndim == y_pred.ndim and labels.shape[-1] == 1:
        labels = labels[..., 0]
    targets = jax.nn.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype)
    return (1 - jnp.power((y_pred * targets).sum(-1), q)) / q
