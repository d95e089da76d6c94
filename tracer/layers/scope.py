"""What is in force while layers are called: bound values, training, the mask of an array.

Layers read and write `Variable`s. Inside a `StatelessScope` a read gives the value that is bound
there and a write stays there, so that a call of a layer becomes a pure function of the bindings.
All of it is held in context variables: nothing outlives the `with` block.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import jax

if TYPE_CHECKING:
    from xlathe.tracer.layers.layer import Layer
    from xlathe.tracer.layers.variable import Variable


class StatelessScope:
    """Bind values to variables for a while.

    Arguments:
        values: the value of each bound variable. Others are read from where they are stored.
        key: a key for what is drawn in the scope; it replaces the layers' own seeds.
        explicit_keys: refuse to draw without a key, instead of using the layers' own seeds.
        abstract: only shapes are wanted: an unset variable reads as zeros.
    """

    def __init__(
        self,
        values: dict["Variable", Any] | None = None,
        *,
        key: jax.Array | None = None,
        explicit_keys: bool = False,
        abstract: bool = False,
    ):
        self.values = dict(values or {})
        self.key = key
        self.explicit_keys = explicit_keys or key is not None
        self.abstract = abstract
        self.losses: list[jax.Array] = []
        self._draws = 0

    def next_key(self, drawer: str) -> jax.Array:
        """Return a key that no other draw of this scope is given."""
        if self.key is None:
            raise ValueError(
                f"'{drawer}' draws random numbers in this call, and no key was given. "
                "Pass `key=jax.random.key(...)`, or `training=False`."
            )
        self._draws += 1
        return jax.random.fold_in(self.key, self._draws)

    def inner(self) -> "StatelessScope":
        """Return a scope with the same bindings, for code that a loop repeats."""
        key = None if self.key is None else self.next_key("loop")
        return StatelessScope(
            self.values, key=key, explicit_keys=self.explicit_keys, abstract=self.abstract
        )

    def __enter__(self) -> Self:
        self._token = _scope.set(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _scope.reset(self._token)


@dataclass
class CallContext:
    """What the layers inside a call inherit."""

    training: Any = None


_scope: ContextVar[StatelessScope | None] = ContextVar("scope", default=None)
_call: ContextVar[CallContext | None] = ContextVar("call", default=None)
_layers: ContextVar[tuple["Layer", ...]] = ContextVar("layers", default=())
_compute_dtype: ContextVar[str | None] = ContextVar("compute_dtype", default=None)
_masks: dict[int, tuple[weakref.ref, Any]] = {}
_normalised: dict[int, tuple[weakref.ref, Any]] = {}


def current_scope() -> StatelessScope | None:
    """Return the innermost scope, if there is one."""
    return _scope.get()


def current_call() -> CallContext | None:
    """Return the context of the layer calls under way, if there are any."""
    return _call.get()


@contextmanager
def calling(training: Any) -> Iterator[CallContext]:
    """Enter a call of a layer, whose inner layers inherit `training`."""
    context = CallContext(training)
    token = _call.set(context)
    try:
        yield context
    finally:
        _call.reset(token)


@contextmanager
def inside(layer: "Layer") -> Iterator[tuple["Layer", ...]]:
    """Enter `layer`, once, for the names of what is built inside; yield the layers around."""
    outer = _layers.get()
    layers = outer if outer and outer[-1] is layer else (*outer, layer)
    token = _layers.set(layers)
    try:
        yield layers
    finally:
        _layers.reset(token)


@contextmanager
def computing_in(dtype: str | None) -> Iterator[None]:
    """Read floating-point variables in `dtype` inside the block; None reads them as they are."""
    token = _compute_dtype.set(dtype)
    try:
        yield
    finally:
        _compute_dtype.reset(token)


def compute_dtype() -> str | None:
    """Return the dtype in which variables are read now, None for their own."""
    return _compute_dtype.get()


def get_mask(array: Any) -> Any:
    """Return the mask that a layer attached to `array`, or None."""
    return _noted(_masks, array)


def set_mask(array: Any, mask: Any) -> None:
    """Attach `mask` to `array` for as long as `array` lives."""
    _note(_masks, array, mask)


def normalised_axis(array: Any) -> int | None:
    """Return the axis along which `array` is known to sum to one, or None."""
    return _noted(_normalised, array)


def set_normalised(array: Any, axis: int) -> None:
    """Note that `array` sums to one along an axis, as the outputs of a softmax do."""
    if array.ndim:
        _note(_normalised, array, axis % array.ndim)


def _noted(notes: dict[int, tuple[weakref.ref, Any]], array: Any) -> Any:
    entry = notes.get(id(array))
    return entry[1] if entry is not None and entry[0]() is array else None


def _note(notes: dict[int, tuple[weakref.ref, Any]], array: Any, value: Any) -> None:
    identity = id(array)

    def forget(reference: weakref.ref) -> None:
        entry = notes.get(identity)
        if entry is not None and entry[0] is reference:
            del notes[identity]

    notes[identity] = (weakref.ref(array, forget), value)
