"""Variables: named arrays that layers own."""

import itertools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from xlathe.tracer.layers import scope
from xlathe.tracer.layers.arithmetic import Arithmetic

_numbers = itertools.count()


class Variable(Arithmetic):
    """A named array that can be assigned, as Keras's `Variable`.

    It works in arithmetic (`x @ v`, `v * 2`) and in `jnp.asarray(v)`; JAX's own functions take
    `v.value`. A value that comes from an initializer is computed when it is first read.

    Arguments:
        initializer: an array, or a function `(shape, dtype)`.
        shape: its shape; needed when `initializer` is a function.
        dtype: its element type, "float32" unless the array says otherwise.
        trainable: whether gradients are taken with respect to it.
        autocast: whether it is read in the compute dtype of the layer that is running.
        name: its name; "variable" unless given.
        regularizer: a function of the value that is added to the loss.
        constraint: a function from the value to an allowed one, applied after each update.
        path: its name after those of the layers around it.
        kind: "weight", "seed" for the state of a seed generator, or "carry" for what a stateful
            layer carries from call to call.
    """

    def __init__(
        self,
        initializer: Any,
        shape: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        name: str | None = None,
        *,
        path: str | None = None,
        regularizer: Callable | None = None,
        constraint: Callable | None = None,
        kind: str = "weight",
    ):
        self.number = next(_numbers)  # weights are in the order in which they were made
        self.name = name or "variable"
        self.path = path or self.name
        self._trainable = trainable
        self.autocast = autocast
        self.regularizer = regularizer
        self.constraint = constraint
        self.kind = kind
        if callable(initializer):
            if shape is None:
                raise ValueError(
                    "When creating a Variable from an initializer, the `shape` argument should be "
                    f"specified. Received: initializer={initializer} and shape={shape}"
                )
            self.initializer: Callable | None = initializer
            self.shape = tuple(int(size) for size in shape)
            self.dtype = jnp.dtype(dtype or "float32")
            self._value: jax.Array | None = None
        else:
            self.initializer = None
            array = jnp.asarray(initializer, dtype)
            self.shape, self.dtype, self._value = array.shape, array.dtype, array

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, trainable: bool) -> None:
        self._trainable = bool(trainable)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def value(self) -> Any:
        """The value in force: that of the innermost `StatelessScope`, or the stored one."""
        current = scope.current_scope()
        if current is not None and self in current.values:
            value = current.values[self]
        elif current is not None and current.abstract and self._value is None:
            value = jnp.zeros(self.shape, self.dtype)
        else:
            value = self.stored
        dtype = scope.compute_dtype()
        if dtype is None or not self.autocast or not jnp.issubdtype(self.dtype, jnp.floating):
            return value
        return value.astype(dtype)

    @property
    def stored(self) -> jax.Array:
        """The value held outside any scope."""
        if self._value is None:
            assert self.initializer is not None
            with jax.ensure_compile_time_eval():
                self._value = jnp.asarray(self.initializer(self.shape, self.dtype))
        return self._value

    def initial(self, key: jax.Array) -> jax.Array:
        """Return a fresh initial value drawn with `key`; the variable itself stays as it is."""
        if self.initializer is None:
            return self.stored
        if getattr(self.initializer, "takes_key", False):
            return self.initializer(self.shape, self.dtype, key=key)
        return jnp.asarray(self.initializer(self.shape, self.dtype))

    def assign(self, value: Any) -> Any:
        """Set the value, in the innermost `StatelessScope` if there is one."""
        if not (isinstance(value, jax.Array) and value.dtype == self.dtype) or value.weak_type:
            value = jnp.asarray(value, self.dtype)
        if value.shape != self.shape:
            raise ValueError(
                "The shape of the target variable and the shape of the target value in "
                f"`variable.assign(value)` must match. variable.shape={self.shape}, Received: "
                f"value.shape={value.shape}. Target variable: {self}"
            )
        current = scope.current_scope()
        if current is not None:
            current.values[self] = value  # pyright: ignore[reportArgumentType]
        elif isinstance(value, jax.core.Tracer):
            raise ValueError(
                f"The variable '{self.path}' cannot hold a traced value ({value.aval}): its layer "
                "was called inside a JAX transformation. Use `layer.apply` or "
                "`layer.stateless_call` there, which return the new values."
            )
        else:
            self._value = value
        return value

    def assign_add(self, value: Any) -> Any:
        return self.assign(self.value + jnp.asarray(value, self.dtype))

    def assign_sub(self, value: Any) -> Any:
        return self.assign(self.value - jnp.asarray(value, self.dtype))

    def numpy(self) -> np.ndarray:
        """Return a copy of the value, to be changed at will."""
        return np.array(self.value)

    def astype(self, dtype: Any) -> Any:
        return self.value.astype(dtype)

    def _operate(self, name: str, *operands: Any) -> Any:
        values = (o.value if isinstance(o, Variable) else o for o in operands)
        return getattr(operator, name)(*values)

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __bool__(self) -> bool:
        raise TypeError(f"A Variable cannot be used as a boolean: take the value of {self}.")

    def __jax_array__(self) -> Any:
        return self.value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.value, dtype) if copy else np.asarray(self.value, dtype)

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype.name}>"


def value_of(item: Any) -> Any:
    """Return the value of a variable, and anything else as it is."""
    return item.value if isinstance(item, Variable) else item
