"""What can be known to be wrong with data before the first step."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.runtime.training.data.sources import ArrayData, Batch, StreamData, leaves
from xlathe.runtime.training.losses.catalogue import LossFunctionWrapper
from xlathe.runtime.training.losses.functions import sparse_categorical_crossentropy
from xlathe.runtime.training.outputs import flatten
from xlathe.tracer.layers.scope import StatelessScope


def check_targets(model: Any, y: Any, any_loss: bool) -> None:
    """Raise `ValueError` if there is a loss and no targets, or nothing to minimise at all."""
    state = model.fit_state
    if not model.has_default_steps(training=True):
        return
    if state.losses is None and not any_loss:
        raise ValueError(
            "No loss to compute. Provide a `loss` argument in `compile()`, add one by `add_loss`, "
            "or override `compute_loss`."
        )
    if y is not None or state.losses is None:
        return
    raise ValueError(
        "The model was compiled with a loss, and the data has no targets. Pass `y`, or yield "
        "`(x, y)` from the dataset. A loss without targets is added by `add_loss` or a "
        "`compute_loss` of your own, without `loss` in `compile()`."
    )


def check_fit(model: Any, y: Any, weights: Any) -> None:
    """Raise `ValueError` if the loss can't be computed of targets and weights of these shapes.

    Args:
        model: a model whose losses are built.
        y: the shapes of the targets.
        weights: those of the sample weights.
    """
    losses, y_pred = model.fit_state.losses, model.fit_state.outputs
    if losses is None or y is None or y_pred is None or not model.has_default_loss():
        return

    for what, tree in (("targets", y), ("outputs", y_pred)):
        if any(jnp.issubdtype(leaf.dtype, jnp.complexfloating) for leaf in leaves(tree)):
            raise ValueError(
                f"The {what} are complex, and a loss compares real numbers. Give real and "
                "imaginary parts as two channels, or override `compute_loss`."
            )

    def loss_of(y: Any, y_pred: Any, weights: Any) -> Any:
        with StatelessScope(abstract=True):
            return losses(y, y_pred, weights)

    try:
        jax.eval_shape(loss_of, y, y_pred, weights)
    except (TypeError, ValueError) as error:
        beside = "" if weights is None else f" and sample weights of shape {_shapes(weights)}"
        raise ValueError(
            f"Targets of shape {_shapes(y)}{beside} don't fit outputs of shape {_shapes(y_pred)}: "
            f"{error}"
        ) from error


def _shapes(tree: Any) -> str:
    return ", ".join(str(leaf.shape) for leaf in leaves(tree))


def check_values(model: Any, data: ArrayData | StreamData | Batch) -> None:
    """Raise or warn about values that can't be trained on, where they are at hand.

    Args:
        model: a prepared model.
        data: a batch or a source of batches: of arrays all is looked at, of others the first batch.

    Raises:
        ValueError: a class label is outside the range of the model's outputs.
    """
    batch = data.batch if isinstance(data, ArrayData) else data
    batch = batch.first() if isinstance(batch, StreamData) else batch
    for name, tree in (("x", batch.x), ("y", batch.y)):
        if any(_is_not_finite(leaf) for leaf in leaves(tree)):
            warnings.warn(
                f"`{name}` contains NaN or infinity: the loss will be NaN too, unless the model or "
                "the loss masks it. Remove these samples or fill them in, for instance with "
                "numpy.nan_to_num.",
                stacklevel=4,
            )
    losses = model.fit_state.losses
    if losses is None or batch.y is None or not losses.built:
        return
    targets = losses.targets(batch.y)
    outputs = flatten(model.fit_state.outputs, losses.names)
    for loss, labels, output in zip(losses.losses, targets, outputs, strict=True):
        if (
            isinstance(loss, LossFunctionWrapper)
            and loss.fn is sparse_categorical_crossentropy
            and isinstance(labels, np.ndarray)
        ):
            _check_labels(loss, labels, output.shape[loss.arguments.get("axis", -1)])


def _is_not_finite(leaf: Any) -> bool:
    if not isinstance(leaf, np.ndarray) or leaf.dtype.kind != "f":
        return False
    with np.errstate(all="ignore"):
        # A sum is not finite if any element isn't, and costs no array of booleans; BLAS has the
        # fastest one, that of squares.
        fast = leaf.dtype.itemsize >= 4 and leaf.flags.c_contiguous
        total = np.vdot(leaf, leaf) if fast else leaf.sum()
        return bool(not np.isfinite(total) and not np.isfinite(leaf).all())


def _check_labels(loss: LossFunctionWrapper, labels: np.ndarray, classes: int) -> None:
    ignored = loss.arguments.get("ignore_class")
    values = labels if ignored is None else labels[labels != ignored]
    if not values.size:
        return
    low, high = values.min(), values.max()
    if low < 0 or high >= classes:
        raise ValueError(
            f"Received a label value of {low if low < 0 else high} which is outside the valid "
            f"range of [0, {classes}). The model's output has {classes} values a sample: give it "
            "one for each class, and number the classes from 0."
        )
    if values.dtype.kind == "f" and (wrong := values[values != np.floor(values)]).size:
        raise ValueError(
            f"Received a label value of {wrong.flat[0]}, and labels are numbers of classes. For "
            "targets that are probabilities use categorical_crossentropy, and for numbers to "
            "predict a loss such as mean_squared_error."
        )
