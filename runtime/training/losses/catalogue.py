"""The losses as objects, by Keras's names, and `get`, which makes one of what a user gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xlathe.runtime.training.losses import functions
from xlathe.runtime.training.losses.functions import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    categorical_hinge,
    circle,
    cosine_similarity,
    ctc,
    dice,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
    tversky,
)
from xlathe.runtime.training.losses.reduction import check_reduction, reduce_weighted, same_rank
from xlathe.runtime.training.names import resolve
from xlathe.tracer.layers.naming import snake_case

Array = jax.Array

__all__ = [
    "CTC",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "CosineSimilarity",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "LossFunctionWrapper",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "circle",
    "cosine_similarity",
    "ctc",
    "dice",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]


class Loss:
    """A loss: subclass it and write `call(y_true, y_pred)`, which returns a loss a sample.

    Args:
        name: the name that logs show.
        reduction: how the samples' losses become one number: `"sum_over_batch_size"`, `"mean"`,
            `"sum"`, `"mean_with_sample_weight"`, or `None`.
        dtype: the type to compute in; by default float32, or the predictions' own if wider.

    Source: Keras 3's `keras.losses.Loss`.
    """

    by_row = False
    """Whether a sample's loss is known to depend on that sample alone."""
    casts_targets = True
    """Whether targets are cast to the predictions' type first."""

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        self.name = name or snake_case(type(self).__name__)
        self.reduction = check_reduction(reduction)
        self.dtype = dtype

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None
    ) -> Array:
        """Return the reduced loss.

        Args:
            y_true: targets.
            y_pred: predictions.
            sample_weight: weights of samples or positions.
            mask: true where a position counts.

        Returns:
            A number, or a loss a sample if there is no reduction.
        """
        dtype = self.dtype or _float_type(y_pred)
        y_pred = jax.tree.map(lambda x: jnp.asarray(x).astype(dtype), y_pred)
        if self.casts_targets:
            y_true = jax.tree.map(lambda x: jnp.asarray(x).astype(dtype), y_true)
        losses = self.call(y_true, y_pred)
        mask = self.mask(y_true, losses, mask)
        return reduce_weighted(losses, sample_weight, mask, self.reduction, dtype)

    def call(self, y_true: Any, y_pred: Any) -> Array:
        """Return a loss a sample."""
        raise NotImplementedError

    def mask(self, y_true: Any, losses: Array, mask: Any) -> Any:
        """Return which losses count, given the mask that the predictions came with."""
        return mask

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this loss again."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """Make a loss of what `get_config` returned."""
        return cls(**config)


def _float_type(y_pred: Any) -> Any:
    types = [jnp.result_type(leaf) for leaf in jax.tree.leaves(y_pred)]
    return jnp.float64 if any(kind == jnp.float64 for kind in types) else jnp.float32


class LossFunctionWrapper(Loss):
    """A loss made of a function of targets and predictions.

    Args:
        fn: the function; it returns a loss a sample.
        reduction: as for `Loss`.
        name: as for `Loss`; the function's own name by default.
        dtype: as for `Loss`.
        **kwargs: further arguments of the function.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name or getattr(fn, "__name__", None), reduction, dtype)
        self.fn = fn
        self.arguments = kwargs
        self.by_row = fn in _FUNCTIONS_BY_ROW and kwargs.get("axis", -1) != 0
        self.casts_targets = fn not in _WITH_LABELS

    def call(self, y_true: Any, y_pred: Any) -> Array:
        if all(isinstance(item, jax.Array) for item in (y_true, y_pred)):
            y_true, y_pred = same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self.arguments)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.arguments}


_WITH_LABELS = {
    sparse_categorical_crossentropy,
    categorical_generalized_cross_entropy,
    circle,
    ctc,
}
_FUNCTIONS_BY_ROW = {
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    categorical_hinge,
    cosine_similarity,
    ctc,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
}


def _plain(class_name: str, function: Callable[..., Array], name: str) -> Any:
    """A loss class of a function without arguments of its own."""

    def __init__(
        self: LossFunctionWrapper,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = name,
        dtype: Any = None,
    ) -> None:
        LossFunctionWrapper.__init__(self, function, reduction, name, dtype)

    return type(
        class_name,
        (LossFunctionWrapper,),
        {"__init__": __init__, "__doc__": function.__doc__, "__module__": __name__},
    )


MeanSquaredError = _plain("MeanSquaredError", mean_squared_error, "mean_squared_error")
MeanAbsoluteError = _plain("MeanAbsoluteError", mean_absolute_error, "mean_absolute_error")
MeanAbsolutePercentageError = _plain(
    "MeanAbsolutePercentageError",
    mean_absolute_percentage_error,
    "mean_absolute_percentage_error",
)
MeanSquaredLogarithmicError = _plain(
    "MeanSquaredLogarithmicError",
    mean_squared_logarithmic_error,
    "mean_squared_logarithmic_error",
)
LogCosh = _plain("LogCosh", log_cosh, "log_cosh")
Hinge = _plain("Hinge", hinge, "hinge")
SquaredHinge = _plain("SquaredHinge", squared_hinge, "squared_hinge")
CategoricalHinge = _plain("CategoricalHinge", categorical_hinge, "categorical_hinge")
KLDivergence = _plain("KLDivergence", kl_divergence, "kl_divergence")
Poisson = _plain("Poisson", poisson, "poisson")
CTC = _plain("CTC", ctc, "ctc")


class CosineSimilarity(LossFunctionWrapper):
    """Negated cosine similarity along an axis."""

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        super().__init__(cosine_similarity, reduction, name, dtype, axis=axis)


class Huber(LossFunctionWrapper):
    """Squared error up to `delta`, linear beyond."""

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(huber, reduction, name, dtype, delta=delta)


class BinaryCrossentropy(LossFunctionWrapper):
    """Cross-entropy of yes-no labels."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            binary_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class BinaryFocalCrossentropy(LossFunctionWrapper):
    """Binary cross-entropy that weighs samples by how wrong they are."""

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            binary_focal_crossentropy,
            reduction,
            name,
            dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalCrossentropy(LossFunctionWrapper):
    """Cross-entropy of one-hot targets."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalFocalCrossentropy(LossFunctionWrapper):
    """Categorical cross-entropy that weighs samples by how wrong they are."""

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            categorical_focal_crossentropy,
            reduction,
            name,
            dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(LossFunctionWrapper):
    """Cross-entropy of integer class labels."""

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            sparse_categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )
        self.ignore_class = ignore_class

    def mask(self, y_true: Any, losses: Array, mask: Any) -> Any:
        if self.ignore_class is None:
            return mask
        kept = (jnp.asarray(y_true) != self.ignore_class).reshape(losses.shape)
        if mask is None:
            return kept
        mask = jnp.asarray(mask).astype(bool)
        return kept & mask.reshape(mask.shape + (1,) * (kept.ndim - mask.ndim))


class Dice(LossFunctionWrapper):
    """One minus the Dice coefficient."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "dice",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(dice, reduction, name, dtype, axis=axis)


class Tversky(LossFunctionWrapper):
    """One minus the Tversky index."""

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "tversky",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)


class Circle(LossFunctionWrapper):
    """Circle loss of embeddings."""

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            circle,
            reduction,
            name,
            dtype,
            gamma=gamma,
            margin=margin,
            remove_diagonal=remove_diagonal,
        )

    def mask(self, y_true: Any, losses: Array, mask: Any) -> Any:
        return losses > 0 if mask is None else (losses > 0) & jnp.asarray(mask).astype(bool)


class CategoricalGeneralizedCrossEntropy(LossFunctionWrapper):
    """Cross-entropy that is robust to wrong labels."""

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        if not 0 < q < 1:
            raise ValueError(f"q must be in the interval (0, 1). Received: q={q}")
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)


_CLASSES = [
    item
    for item in list(globals().values())
    if isinstance(item, type) and issubclass(item, Loss) and item.__module__ == __name__
]
_FUNCTIONS = {
    name: item
    for name, item in vars(functions).items()
    if inspect.isfunction(item) and item.__module__ == functions.__name__ and name[0] != "_"
}
_SHORT = {
    "bce": binary_crossentropy,
    "kld": kl_divergence,
    "mae": mean_absolute_error,
    "mse": mean_squared_error,
    "mape": mean_absolute_percentage_error,
    "msle": mean_squared_logarithmic_error,
}
NAMED: dict[str, Any] = {
    **{item.__name__: item for item in _CLASSES if item not in (Loss, LossFunctionWrapper)},
    **_FUNCTIONS,
    **_SHORT,
    **{name.upper(): item for name, item in _SHORT.items()},
}


def get(identifier: Any) -> Any:
    """Return a loss of what a user gives: a name, a class, an object or a function.

    Args:
        identifier: the above, or `None`.

    Returns:
        A loss object or a function of targets and predictions, or `None`.

    Raises:
        ValueError: the name is not known; the message names the nearest.
    """
    expected = "a losses.Loss, or a function of y_true and y_pred"
    return resolve("loss", identifier, NAMED, expected)


def as_loss(identifier: Any) -> Loss:
    """Return `get(identifier)` as an object that reduces."""
    found = get(identifier)
    return found if isinstance(found, Loss) else LossFunctionWrapper(found)
