"""Preprocessing of numbers and categories."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.tracer.layers.layer import Layer

_EPSILON = 1e-7


class Rescaling(Layer):
    """`x * scale + offset`."""

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.scale, self.offset = scale, offset
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        dtype = self.compute_dtype
        scale, offset = jnp.asarray(self.scale, dtype), jnp.asarray(self.offset, dtype)
        return inputs.astype(dtype) * scale + offset


class Normalization(Layer):
    """Subtract the mean of each feature, and divide by its standard deviation.

    Both are given, or come from data by `adapt`.

    Arguments:
        axis: the axes that keep statistics of their own; None for one mean of all.
        mean, variance: the statistics, if they are known.
        invert: whether normalised values are brought back instead.
    """

    def __init__(
        self,
        axis: Any = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if (mean is not None) != (variance is not None):
            raise ValueError(
                "When setting values directly, both `mean` and `variance` must be set. Received: "
                f"mean={mean} and variance={variance}"
            )
        if np.shape(mean) != np.shape(variance):
            raise ValueError(
                "When setting values directly, `mean` and `variance` must have the same shape. "
                f"Received: mean shape {np.shape(mean)} and variance shape {np.shape(variance)}"
            )
        self.axis = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        self.input_mean, self.input_variance, self.invert = mean, variance, invert
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        ndim = len(input_shape)
        if any(not -ndim <= axis < ndim for axis in self.axis):
            raise ValueError(
                "All `axis` values must be in the range [-ndim, ndim). Received inputs with "
                f"ndim={ndim}, while axis={self.axis}"
            )
        self._kept = tuple(sorted(axis % ndim for axis in self.axis))
        if any(input_shape[axis] is None for axis in self._kept):
            raise ValueError(
                "All `axis` values to be kept must have a known shape. Received "
                f"axis={self.axis}, inputs.shape={tuple(input_shape)}"
            )
        self._wide = [input_shape[i] if i in self._kept else 1 for i in range(ndim)]
        if self.input_mean is None:
            shape = [input_shape[axis] for axis in self._kept]
            self.adapt_mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
            self.adapt_variance = self.add_weight(shape, "ones", trainable=False, name="variance")
            self.count = self.add_weight((), "zeros", "int32", trainable=False, name="count")

    def adapt(self, data: Any) -> None:
        """Compute mean and variance of an array, or of an iterable of batches."""
        whole = isinstance(data, np.ndarray | jax.Array)
        total = mean = variance = 0
        for batch in [data] if whole else data:
            batch = np.asarray(batch[0] if isinstance(batch, tuple) else batch)
            if not self.built:
                self.build((None, *batch.shape[1:]))
            axes = tuple(i for i in range(batch.ndim) if i not in self._kept)
            count = math.prod(batch.shape[axis] for axis in axes)
            new_mean = batch.mean(axes, dtype="float64")
            shift = new_mean - mean
            total += count
            share = count / total
            spread = batch.var(axes, dtype="float64")
            variance = variance * (1 - share) + spread * share + shift**2 * share * (1 - share)
            mean = mean + shift * share
        if not total:
            raise ValueError("adapt() received no data. Pass an array or an iterable of batches.")
        self.adapt_mean.assign(mean)
        self.adapt_variance.assign(variance)

    def call(self, inputs: Any) -> Any:
        mean, variance = self._statistics(inputs.ndim)
        deviation = jnp.maximum(jnp.sqrt(variance), _EPSILON)
        x = inputs.astype(self.compute_dtype)
        return mean + x * deviation if self.invert else (x - mean) / deviation

    def _statistics(self, ndim: int) -> tuple[Any, Any]:
        if self.input_mean is None:
            values = (self.adapt_mean.value, self.adapt_variance.value)
            return values[0].reshape(self._wide), values[1].reshape(self._wide)
        result = []
        for value in (self.input_mean, self.input_variance):
            array = jnp.asarray(value, self.compute_dtype)
            shape = [1] * ndim
            for axis, size in zip(self._kept[::-1], array.shape[::-1], strict=False):
                shape[axis] = size
            result.append(array.reshape(shape))
        return result[0], result[1]


class CategoryEncoding(Layer):
    """Indices as vectors.

    Arguments:
        num_tokens: one more than the largest index.
        output_mode: "one_hot" for a vector each, "multi_hot" for one of all in an example, "count"
            for how often each occurs.
    """

    def __init__(
        self, num_tokens: int | None = None, output_mode: str = "multi_hot", **kwargs: Any
    ):
        super().__init__(**kwargs)
        output_mode = "multi_hot" if output_mode == "binary" else output_mode
        if output_mode not in ("count", "one_hot", "multi_hot"):
            raise ValueError(
                "Unknown arg for output_mode: expected one of 'count', 'one_hot', 'multi_hot'. "
                f"Received: {output_mode}"
            )
        if num_tokens is None or num_tokens < 1:
            raise ValueError(f"`num_tokens` must be >= 1. Received: num_tokens={num_tokens}.")
        self.num_tokens, self.output_mode = num_tokens, output_mode
        self.autocast = False
        self.built = True

    def call(self, inputs: Any, count_weights: Any = None) -> Any:
        if count_weights is not None and self.output_mode != "count":
            raise ValueError(
                "`count_weights` is not used when `output_mode` is not `'count'`. Received "
                f"`count_weights={count_weights}`."
            )
        return encode(inputs, self.output_mode, self.num_tokens, self.compute_dtype, count_weights)


class Discretization(Layer):
    """Numbers as the indices of the intervals they lie in.

    Arguments:
        bin_boundaries: where the intervals meet.
        num_bins: how many intervals, when `adapt` is to find them.
        epsilon: accepted as Keras's; the quantiles of the data are exact.
        output_mode: "int", "one_hot", "multi_hot" or "count".
    """

    def __init__(
        self,
        bin_boundaries: Any = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        dtype: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, dtype=dtype, **kwargs)
        if output_mode not in ("int", "one_hot", "multi_hot", "count"):
            raise ValueError(
                "Unknown value for argument `output_mode`: expected one of 'int', 'one_hot', "
                f"'multi_hot', 'count'. Received: {output_mode}"
            )
        if (num_bins is None) == (bin_boundaries is None):
            raise ValueError(
                "Set either `num_bins` or `bin_boundaries`. Received: "
                f"num_bins={num_bins} and bin_boundaries={bin_boundaries}"
            )
        if num_bins is not None and num_bins < 1:
            raise ValueError(f"`num_bins` must be at least 1. Received: num_bins={num_bins}")
        if sparse:
            raise ValueError("Discretization takes no `sparse=True`.")
        self.bin_boundaries = None if bin_boundaries is None else list(bin_boundaries)
        self.num_bins, self.epsilon, self.output_mode = num_bins, epsilon, output_mode
        self.built = True

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Put the boundaries at the quantiles of an array, or of an iterable of batches."""
        if self.num_bins is None:
            raise ValueError(
                "Cannot adapt a Discretization layer that has been initialized with "
                "`bin_boundaries`, use `num_bins` instead."
            )
        if not isinstance(data, np.ndarray | jax.Array):
            batches = [np.ravel(b) for i, b in enumerate(data) if steps is None or i < steps]
            data = np.concatenate(batches)
        shares = np.arange(1, self.num_bins) / self.num_bins
        found = np.quantile(np.ravel(data), shares)
        self.bin_boundaries = [float(boundary) for boundary in found]

    def call(self, inputs: Any) -> Any:
        if self.bin_boundaries is None:
            raise ValueError(
                "You need to either pass the `bin_boundaries` argument at construction time or "
                "call `adapt(dataset)` before you can start using the `Discretization` layer."
            )
        boundaries = jnp.asarray(self.bin_boundaries, self.compute_dtype)
        indices = jnp.searchsorted(boundaries, inputs, side="right")
        if self.output_mode == "int":
            return indices.astype("int32")
        return encode(indices, self.output_mode, len(boundaries) + 1, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if self.num_bins is not None and self.bin_boundaries is not None:
            config |= {"num_bins": None, "bin_boundaries": self.bin_boundaries}
        return config


def encode(indices: Any, mode: str, depth: int, dtype: Any, weights: Any = None) -> Any:
    """Return indices as one-hot vectors, or the largest or sum of those of each example."""
    indices = indices[None] if indices.ndim == 0 else indices
    if mode == "one_hot":
        if indices.ndim > 1 and indices.shape[-1] == 1:
            indices = indices[..., 0]
        return jax.nn.one_hot(indices.astype("int32"), depth, dtype=dtype)
    hot = jax.nn.one_hot(indices.astype("int32"), depth, dtype=dtype)
    axis = 1 if indices.ndim > 1 else 0
    if mode == "multi_hot":
        return jnp.max(hot, axis=axis)
    if weights is not None:
        hot = hot * jnp.asarray(weights, dtype)[..., None]
    return jnp.sum(hot, axis=axis)


__all__ = ["CategoryEncoding", "Discretization", "Normalization", "Rescaling"]
