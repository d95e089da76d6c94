"""What an entry of the operation table is, and the samples that its inputs are made from.

An entry names a function and shows one call of it. Samples, numpy arrays and `weak` scalars among
the arguments become traced inputs; all else (axes, shapes, dtypes, functions) is static.
"""

import importlib
import inspect
import types
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Sample:
    """An array to be made: shape, dtype, the range of its values, and what is done to them."""

    shape: tuple[int, ...]
    dtype: Any
    low: float = -0.9
    high: float = 0.9
    form: Callable[[np.ndarray], np.ndarray] | None = None

    def make(self, rng: np.random.Generator) -> Any:
        """The array; random, but always the same for the same generator."""
        if self.dtype is bool:
            return rng.random(self.shape) < 0.5
        if jnp.issubdtype(self.dtype, jnp.integer):
            values = rng.integers(int(self.low), int(self.high) + 1, self.shape)
        else:
            values = rng.uniform(self.low, self.high, self.shape)
        if jnp.issubdtype(self.dtype, jnp.complexfloating):
            values = values + 1j * rng.uniform(self.low, self.high, self.shape)
        if self.form is not None:
            values = self.form(values)
        with np.errstate(invalid="ignore"):
            return np.asarray(values).astype(self.dtype)


@dataclass(frozen=True)
class Weak:
    """A Python scalar that is a traced input, and so has a weak type."""

    value: complex

    def make(self, rng: np.random.Generator) -> Any:
        """The scalar itself."""
        return self.value


@dataclass(frozen=True)
class Key:
    """A random key: typed, or the raw `uint32` words that came before typed keys."""

    seed: int = 0
    typed: bool = True
    shape: tuple[int, ...] = ()
    impl: str = "threefry2x32"

    def make(self, rng: np.random.Generator) -> Any:
        """The key or, when a shape is asked for, an array of keys."""
        make = jax.random.key if self.typed else jax.random.PRNGKey
        key = make(self.seed, impl=self.impl)
        return jax.random.split(key, self.shape) if self.shape else key


HAS_NEXTAFTER_GRADIENT = jax.__version_info__ >= (0, 12)
"""JAX 0.12 differentiates `nextafter`, and refused to before."""

weak = Weak
key = Key


def f32(*shape: int, low: float = -0.9, high: float = 0.9) -> Sample:
    """Single precision, by default within the domain of every bounded function."""
    return Sample(shape, jnp.float32, low, high)


def positive(*shape: int, low: float = 0.2, high: float = 2.0) -> Sample:
    """Single precision, away from zero."""
    return Sample(shape, jnp.float32, low, high)


def unit(*shape: int) -> Sample:
    """Single precision, well inside (0, 1)."""
    return Sample(shape, jnp.float32, 0.1, 0.9)


def bf16(*shape: int) -> Sample:
    """Values of bfloat16."""
    return Sample(shape, jnp.bfloat16)


def f16(*shape: int) -> Sample:
    """Half precision."""
    return Sample(shape, jnp.float16)


def f64(*shape: int) -> Sample:
    """Double precision: the entry runs with 64-bit types enabled."""
    return Sample(shape, jnp.float64)


def c64(*shape: int) -> Sample:
    """Complex numbers in single precision."""
    return Sample(shape, jnp.complex64)


def i32(*shape: int, low: int = -3, high: int = 3) -> Sample:
    """Small integers of either sign."""
    return Sample(shape, jnp.int32, low, high)


def index(*shape: int, size: int) -> Sample:
    """Indices into an axis of `size` elements."""
    return Sample(shape, jnp.int32, 0, size - 1)


def u8(*shape: int, low: int = 1, high: int = 9) -> Sample:
    """Small positive bytes."""
    return Sample(shape, jnp.uint8, low, high)


def boolean(*shape: int) -> Sample:
    """Truth values."""
    return Sample(shape, bool)


def edges() -> Sample:
    """The floats on which careless algebra fails: signed zeros, infinities, NaN, a subnormal."""
    values = [-0.0, 0.0, 1.0, -1.0, 2.5, np.inf, -np.inf, np.nan, 1e-30]
    return Sample((len(values),), jnp.float32, form=lambda _: np.array(values))


def spd(size: int, *batch: int, dtype: Any = jnp.float32) -> Sample:
    """A well-conditioned symmetric (or Hermitian) positive definite matrix."""

    def form(a: np.ndarray) -> np.ndarray:
        return a @ np.conj(np.swapaxes(a, -1, -2)) + size * np.diag(np.arange(1.0, size + 1))

    return Sample((*batch, size, size), dtype, form=form)


def invertible(size: int, *batch: int, dtype: Any = jnp.float32) -> Sample:
    """A matrix with a dominant diagonal, no two entries of which are alike."""

    def form(a: np.ndarray) -> np.ndarray:
        return a + size * np.diag(np.arange(1.0, size + 1))

    return Sample((*batch, size, size), dtype, form=form)


def ordered(*shape: int) -> Sample:
    """Single precision, ascending along the last axis."""
    return Sample(shape, jnp.float32, form=lambda a: np.sort(a, axis=-1))


def simplex(*shape: int) -> Sample:
    """Single precision, positive, summing to one along the last axis."""
    return Sample(shape, jnp.float32, 0.2, 1.0, lambda a: a / a.sum(-1, keepdims=True))


INPUTS = (Sample, Weak, Key, np.ndarray)


@dataclass(frozen=True)
class Operation:
    """One call of one public function.

    `via` calls the function where a plain call will not do. `differentiable=False` says that JAX
    itself refuses the gradient, which the test confirms; a tuple gives the only inputs (by their
    position among the traced ones) with respect to which it does not. `executes=False` says that
    it can be traced anywhere, but not be compiled for a CPU. `tolerance` is in units of what is
    allowed by default.
    """

    namespace: str
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    via: Callable[..., Any] | None = None
    differentiable: bool | tuple[int, ...] = True
    x64: bool = False
    executes: bool = True
    tolerance: float = 1.0

    @property
    def present(self) -> bool:
        """Whether the installed JAX has the function."""
        return _exists(self.namespace, self.name)

    @property
    def target(self) -> Callable[..., Any]:
        """The function itself."""
        module, name = _locate(self.namespace, self.name)
        return vars(module)[name]

    @cached_property
    def _leaves(self) -> tuple[list[Any], Any]:
        return jax.tree.flatten((self.args, self.kwargs))

    @property
    def wide(self) -> bool:
        """Whether an input has a 64-bit dtype, which JAX must be told to allow."""
        return self.x64 or any(
            isinstance(leaf, Sample | np.ndarray) and leaf.dtype in (jnp.float64, jnp.complex128)
            for leaf in self._leaves[0]
        )

    def inputs(self) -> list[Any]:
        """The traced inputs, in the order in which they stand in the call."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        return [
            leaf if isinstance(leaf, np.ndarray) else leaf.make(rng)
            for leaf in self._leaves[0]
            if isinstance(leaf, INPUTS)
        ]

    def function(self) -> Callable[..., Any]:
        """The call as a function of its traced inputs alone."""
        leaves, structure = self._leaves
        target, via = self.target, self.via

        def call(*inputs: Any) -> Any:
            given = iter(inputs)
            filled = [next(given) if isinstance(leaf, INPUTS) else leaf for leaf in leaves]
            args, kwargs = jax.tree.unflatten(structure, filled)
            return target(*args, **kwargs) if via is None else via(target, *args, **kwargs)

        call.__name__ = self.name.replace(".", "_")
        return call

    def cast(self, dtype: Any) -> "Operation | None":
        """The entry with its float32 samples in another dtype; None if it has none."""
        leaves, structure = self._leaves
        if not any(isinstance(leaf, Sample) and leaf.dtype is jnp.float32 for leaf in leaves):
            return None
        changed = [
            replace(leaf, dtype=dtype)
            if isinstance(leaf, Sample) and leaf.dtype is jnp.float32
            else leaf
            for leaf in leaves
        ]
        args, kwargs = jax.tree.unflatten(structure, changed)
        return replace(self, args=args, kwargs=kwargs)


@dataclass(frozen=True)
class Table:
    """The entries of one namespace, and the functions it leaves out, each with the reason.

    `modules` are the submodules whose functions belong to the table too, under dotted names.
    `some_versions` names what only some of the supported versions of JAX have.
    """

    namespace: str
    entries: list[Operation]
    missing: dict[str, str]
    modules: tuple[str, ...] = ()
    some_versions: frozenset[str] = field(default_factory=frozenset)

    def public(self) -> set[str]:
        """Every public function of the namespace, found by looking."""
        names = set(_functions(self.namespace))
        for module in self.modules:
            names |= {f"{module}.{name}" for name in _functions(f"{self.namespace}.{module}")}
        return names

    def absent(self) -> set[str]:
        """What the table speaks of and the installed JAX does not have."""
        names = {entry.name for entry in self.entries} | self.missing.keys()
        return {name for name in names if not _exists(self.namespace, name)}


def _locate(namespace: str, name: str) -> tuple[types.ModuleType, str]:
    module, _, last = f"{namespace}.{name}".rpartition(".")
    return importlib.import_module(module), last


def _exists(namespace: str, name: str) -> bool:
    module, last = _locate(namespace, name)
    return last in vars(module)


def _functions(namespace: str) -> list[str]:
    return [
        name
        for name, value in vars(importlib.import_module(namespace)).items()
        if not name.startswith("_")
        and callable(value)
        and not isinstance(value, types.ModuleType)
        and not inspect.isclass(value)
    ]


class Entries:
    """Makes the entries of one namespace: `Entries("jax.numpy")("add", f32(3), f32(3))`."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def __call__(
        self,
        name: str,
        *args: Any,
        via: Callable[..., Any] | None = None,
        differentiable: bool | tuple[int, ...] = True,
        x64: bool = False,
        executes: bool = True,
        tolerance: float = 1.0,
        **kwargs: Any,
    ) -> Operation:
        """One entry: a call of the function `name`."""
        return Operation(
            self.namespace, name, args, kwargs, via, differentiable, x64, executes, tolerance
        )

    def each(self, names: str, *calls: tuple[Any, ...], **options: Any) -> list[Operation]:
        """An entry for every name in a list separated by spaces, with each tuple of arguments."""
        return [self(name, *args, **options) for name in names.split() for args in calls]
