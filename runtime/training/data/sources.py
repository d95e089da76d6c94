"""What a user gives as data, as batches: arrays, frames, generators, sequences, any iterable."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from xlathe.runtime.training.data.dataset import PyDataset, items_of

Tree = Any


class Batch(NamedTuple):
    """Inputs, targets and weights of some samples; what there is none of is `None`."""

    x: Tree
    y: Tree = None
    weights: Tree = None

    @property
    def rows(self) -> int:
        """How many samples there are."""
        return rows_of(self)


def leaves(tree: Tree) -> list[Any]:
    """Return the arrays of a structure."""
    return jax.tree.leaves(tree)


def rows_of(tree: Tree) -> int:
    """Return the length of the first axis of the first array."""
    found = leaves(tree)
    return int(found[0].shape[0]) if found and np.ndim(found[0]) else 0


def unpack(data: Any) -> tuple[Any, Any, Any]:
    """Return inputs, targets and sample weights of `x`, `(x,)`, `(x, y)` or `(x, y, weights)`.

    Raises:
        ValueError: there are more than three.
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if 1 <= len(data) <= 3:
        return (*data, None, None)[:3]  # pyright: ignore[reportReturnType]
    raise ValueError(
        "Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`. "
        f"Received a tuple of {len(data)}."
    )


def pack(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """Return `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`: what there is none of is left out.

    Args:
        x: inputs.
        y: targets.
        sample_weight: weights of the samples.
    """
    if sample_weight is not None:
        return x, y, sample_weight
    if y is not None:
        return x, y
    return (x,) if isinstance(x, list | tuple) else x


_AS_THEY_ARE = frozenset(np.dtype(name) for name in ("float32", "int32", "uint8", "bool"))
_NARROW = {np.dtype("float64"): "float32", np.dtype("int64"): "int32", np.dtype("uint64"): "uint32"}


def _is_usable(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype in _AS_THEY_ARE
    return isinstance(value, jax.Array)


def as_array(value: Any) -> Any:
    """Return a NumPy array of an array, a frame, a series or a tensor, in types that JAX has."""
    if _is_usable(value):
        return value
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    array = value.to_numpy() if hasattr(value, "to_numpy") else np.asarray(value)
    if array.dtype == object:
        try:
            array = array.astype(np.float32)
        except (TypeError, ValueError):
            raise ValueError(
                "Data must be numbers in arrays of one shape. Received an array of Python objects, "
                f"the first of which is {array.reshape(-1)[:1]!r}."
            ) from None
    if array.dtype.kind in "USM":
        raise ValueError(
            f"Data must be numbers. Received an array of type {array.dtype}. Turn text into "
            "integers first, and dates into numbers."
        )
    if jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        return array
    return array.astype(_NARROW[array.dtype]) if array.dtype in _NARROW else array


def as_arrays(tree: Any) -> Tree:
    """Return a structure of arrays; a list of numbers is an array, a list of arrays is several."""
    if tree is None or isinstance(tree, np.ndarray):
        return None if tree is None else as_array(tree)
    if isinstance(tree, Mapping):
        return {key: as_arrays(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple) and any(getattr(item, "shape", ()) for item in tree):
        return type(tree)(as_arrays(item) for item in tree)
    if isinstance(tree, tuple | list) and any(isinstance(item, Mapping) for item in tree):
        return type(tree)(as_arrays(item) for item in tree)
    return as_array(tree)


def is_array_like(value: Any) -> bool:
    """Whether a value is arrays rather than a source of batches."""
    if isinstance(value, Mapping):
        return all(is_array_like(item) for item in value.values())
    if isinstance(value, list | tuple):
        return not _are_batches(value)
    return hasattr(value, "shape") or hasattr(value, "to_numpy")


def _are_batches(items: Sequence[Any]) -> bool:
    """Whether the items of a list are `(x, y)` pairs of arrays rather than rows or inputs."""
    return (
        isinstance(items, list)
        and bool(items)
        and all(isinstance(item, tuple) and any(map(np.ndim, leaves(item))) for item in items)
    )


def weights_of_classes(y: Any, class_weight: Mapping[int, float]) -> np.ndarray:
    """Return the weight of each sample's class, 1 for classes that have none.

    Args:
        y: integer labels, or one-hot targets.
        class_weight: weights by class.

    Returns:
        A weight a sample.

    Raises:
        ValueError: there is not one array of targets.
    """
    if y is None or not hasattr(y, "shape"):
        raise ValueError(
            "`class_weight` is only supported for models with a single output. "
            f"Received targets of type {type(y).__name__}."
        )
    labels = np.asarray(y)
    if labels.ndim > 1:
        labels = labels.argmax(-1) if labels.shape[-1] != 1 else labels[..., 0]
    labels = np.round(labels).astype(np.int64)
    weights = np.ones(labels.shape, np.float32)
    for label, weight in class_weight.items():
        if not isinstance(label, int | np.integer):
            raise ValueError(
                "The keys of `class_weight` are the numbers of classes. Received: "
                f"class_weight={dict(class_weight)!r}"
            )
        weights[labels == int(label)] = weight
    return weights


def check_counts(**counts: Any) -> None:
    """Raise `ValueError` if a number of steps, epochs or samples is not a whole number above 0.

    Args:
        **counts: the arguments by name; `None` where they aren't given.
    """
    for name, count in counts.items():
        if count is None:
            continue
        try:
            whole = operator.index(count)
        except TypeError:
            whole = 0
        if whole < 1:
            raise ValueError(
                f"`{name}` must be an integer of at least 1. Received: {name}={count!r}"
            )


class ArrayData:
    """Arrays in memory, cut into batches.

    Args:
        x: inputs.
        y: targets, or `None`.
        weights: sample weights, or `None`.
        batch_size: how many samples a batch has; 32 by default.
        shuffle: whether batches are drawn in a new order in each epoch.
        class_weight: weights by class, which become sample weights.

    Raises:
        ValueError: lengths differ, or there are no samples.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        weights: Any = None,
        batch_size: int | None = None,
        shuffle: bool | str = False,
        class_weight: Mapping[int, float] | None = None,
    ) -> None:
        check_counts(batch_size=batch_size)
        batch = batch_of(x, y, weights, class_weight)
        if not isinstance(shuffle, bool) and shuffle != "batch":
            raise ValueError(
                f'`shuffle` must be True, False or "batch". Received: shuffle={shuffle!r}'
            )
        self.batch = batch
        self.rows = batch.rows
        self.batch_size = min(batch_size or 32, self.rows)
        self.shuffle = shuffle

    @property
    def steps(self) -> int:
        """How many batches an epoch has, a smaller last one included."""
        return -(-self.rows // self.batch_size)

    @property
    def nbytes(self) -> int:
        """How much memory the arrays take."""
        return sum(leaf.nbytes for leaf in leaves(self.batch))

    def order(self, random: np.random.Generator) -> np.ndarray | None:
        """Return the order of the samples in an epoch; `None` if it is that of the arrays."""
        if not self.shuffle:
            return None
        if self.shuffle == "batch":
            # Whole batches change places; the samples that fill none stay last.
            whole = self.rows // self.batch_size
            blocks = random.permutation(whole)[:, None] * self.batch_size
            inside = (blocks + np.arange(self.batch_size)).reshape(-1)
            return np.concatenate([inside, np.arange(whole * self.batch_size, self.rows)])
        return random.permutation(self.rows)

    def batches(self, random: np.random.Generator) -> Iterator[Batch]:
        """Yield the batches of an epoch."""
        order = self.order(random)
        for start in range(0, self.rows, self.batch_size):
            stop = min(start + self.batch_size, self.rows)
            rows = slice(start, stop) if order is None else order[start:stop]
            yield jax.tree.map(lambda leaf, rows=rows: leaf[rows], self.batch)

    def first(self) -> Batch:
        """Return the first batch, for its shapes."""
        return jax.tree.map(lambda leaf: leaf[: self.batch_size], self.batch)

    def end_epoch(self) -> None:
        """Do nothing: arrays need no telling."""


def batch_of(
    x: Any, y: Any = None, weights: Any = None, class_weight: Mapping[int, float] | None = None
) -> Batch:
    """Return a batch of what a user gives, as arrays.

    Args:
        x: inputs.
        y: targets, or `None`.
        weights: sample weights, or `None`.
        class_weight: weights by class, which become sample weights.

    Raises:
        ValueError: lengths differ, there are no samples, or weights of both kinds.
    """
    batch = Batch(as_arrays(x), as_arrays(y), as_arrays(weights))
    if class_weight is not None:
        batch = with_class_weights(batch, class_weight)
    _check_lengths(batch)
    return batch


def _check_lengths(batch: Batch) -> None:
    sizes: dict[str, list[int]] = {}
    for name, tree in batch._asdict().items():
        found = leaves(tree)
        scalars = [leaf for leaf in found if np.ndim(leaf) == 0]
        if scalars:
            raise ValueError(
                f"`{name}` must be arrays with one row for each sample. Received a scalar."
            )
        if found:
            sizes[name] = [int(leaf.shape[0]) for leaf in found]
    if len({size for several in sizes.values() for size in several}) > 1:
        listed = "\n".join(
            f"'{name.replace('weights', 'sample_weight')}' sizes: {', '.join(map(str, several))}"
            for name, several in sizes.items()
        )
        raise ValueError(
            "Data cardinality is ambiguous. Make sure all arrays contain the same number of "
            f"samples.\n{listed}"
        )
    if not sizes or not next(iter(sizes.values()))[0]:
        raise ValueError("There is no data: `x` has no samples.")


def with_class_weights(batch: Batch, class_weight: Mapping[int, float]) -> Batch:
    """Return a batch with its classes' weights as sample weights.

    Raises:
        ValueError: there are sample weights already.
    """
    if batch.weights is not None:
        raise ValueError(
            "Arguments `sample_weight` and `class_weight` cannot be specified at the same time. "
            "Multiply the sample weights by those of the classes."
        )
    return batch._replace(weights=weights_of_classes(batch.y, class_weight))


class StreamData:
    """Batches from a user's source: a generator, a `PyDataset`, or any iterable.

    Args:
        source: yields `x`, `(x, y)` or `(x, y, sample_weight)`.
        class_weight: weights by class, which become sample weights.
        shuffle: whether a `PyDataset`'s batches are drawn in a new order in each epoch.
    """

    def __init__(
        self, source: Any, class_weight: Mapping[int, float] | None = None, shuffle: bool = False
    ) -> None:
        self.source = source
        self.class_weight = class_weight
        self.shuffle = bool(shuffle)
        self.is_iterator = isinstance(source, Iterator)
        self._ahead: list[Batch] = []
        self._iterator: Iterator[Any] | None = None

    @property
    def steps(self) -> int | None:
        """How many batches an epoch has, if the source knows."""
        if self.is_iterator:
            return None
        if isinstance(self.source, PyDataset) and self.source.num_batches is None:
            return None
        try:
            return len(self.source)
        except TypeError:
            return None

    def first(self) -> Batch:
        """Return the first batch, which is kept for the epoch.

        Raises:
            ValueError: there is none.
        """
        if not self._ahead:
            batch = next(self._raw(None), None)
            if batch is None:
                raise ValueError("There is no data: the dataset yielded no batch.")
            self._ahead.append(batch)
        return self._ahead[0]

    def batches(self, random: np.random.Generator | None) -> Iterator[Batch]:
        """Yield the batches of an epoch; an iterator goes on where it stopped."""
        while self._ahead:
            yield self._ahead.pop(0)
        yield from self._raw(random)

    def _raw(self, random: np.random.Generator | None) -> Iterator[Batch]:
        if self._iterator is None:
            shuffled = random if self.shuffle else None
            self._iterator = iter(items_of(self.source, shuffled))
        for item in self._iterator:
            yield self._convert(item)
        if not self.is_iterator:
            self._iterator = None

    def _convert(self, item: Any) -> Batch:
        x, y, weights = unpack(item)
        return batch_of(x, y, weights, self.class_weight)

    def end_epoch(self) -> None:
        """Tell the source that an epoch ended, and start anew if it can."""
        if self.is_iterator:
            return
        if self._iterator is not None and hasattr(self._iterator, "close"):
            self._iterator.close()  # pyright: ignore[reportAttributeAccessIssue]
        self._iterator = None
        if hasattr(self.source, "on_epoch_end"):
            self.source.on_epoch_end()


def make_data(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    batch_size: int | None = None,
    shuffle: bool | str = False,
    class_weight: Mapping[int, float] | None = None,
) -> ArrayData | StreamData:
    """Return what a user gave to `fit`, `evaluate` or `predict` as a source of batches.

    Args:
        x: arrays, a dict or list of arrays, a frame, or a source of batches.
        y: targets, for arrays only.
        sample_weight: weights, for arrays only.
        batch_size: how many samples a batch has, for arrays only.
        shuffle: whether the order changes from epoch to epoch.
        class_weight: weights by class.

    Returns:
        A source of batches.

    Raises:
        ValueError: the arguments don't go together, or there is no data.
    """
    if x is None:
        raise ValueError("There is no data: `x` is None.")
    if is_array_like(x):
        return ArrayData(x, y, sample_weight, batch_size, shuffle, class_weight)
    if callable(x) and not isinstance(x, Iterable) and not hasattr(x, "__getitem__"):
        raise ValueError(
            f"`x` must be arrays or yield batches. Received a function ({x!r}): call it first."
        )
    if not isinstance(x, Iterable) and not hasattr(x, "__getitem__"):
        raise ValueError(
            "`x` must be arrays, a frame, or yield batches. "
            f"Received: {x!r} (of type {type(x).__name__})"
        )
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(
                f"When `x` yields batches, `{name}` must not be given: each batch is a tuple "
                f"(inputs, targets, sample_weights). Received: {name} of type "
                f"{type(value).__name__}"
            )
    return StreamData(x, class_weight, shuffle=bool(shuffle))


def split_arrays(arrays: Sequence[Any], share: float) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Cut the last share of samples off for validation.

    Args:
        arrays: inputs, targets and weights.
        share: which share to cut off, between 0 and 1.

    Returns:
        The first part and the last part.

    Raises:
        ValueError: these aren't arrays, or one part would be empty.
    """
    if not 0 < share < 1:
        raise ValueError(
            f"`validation_split` must be between 0 and 1. Received: validation_split={share}"
        )
    if not is_array_like(arrays[0]):
        raise ValueError(
            "`validation_split` is only supported for arrays. Give `validation_data` instead. "
            f"Received: x of type {type(arrays[0]).__name__}"
        )
    trees = [as_arrays(item) for item in arrays]
    _check_lengths(Batch(*trees))
    rows = rows_of(trees)
    cut = int(np.floor(rows * (1.0 - share)))
    if cut in (0, rows):
        raise ValueError(
            f"Training data contains {rows} samples, which is not sufficient to split it into a "
            f"validation and training set as specified by `validation_split={share}`. Either "
            "provide more data, or a different value for the `validation_split` argument."
        )

    def part(rows: slice) -> tuple[Any, ...]:
        cut_off: Callable[[Any], Any] = lambda leaf: leaf[rows]  # noqa: E731
        return tuple(jax.tree.map(cut_off, tree) for tree in trees)

    return part(slice(0, cut)), part(slice(cut, rows))
