"""Nodes: one operation applied to its inputs, immutable and interned.

Building a node twice gives the same object (hash-consing; Ershov 1958, Filliâtre and Conchon
2006), so common subexpressions do not exist and equality of expressions is identity.
"""

from __future__ import annotations

import functools
import operator
import threading
import weakref
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from xlathe.compiler.ir.types import TOKEN, Type, array_type

Types = Type | tuple[Type, ...]
_Class = TypeVar("_Class", bound=type)


class Opaque:
    """An attribute compared by identity: an object that has no hash, or no meaning to xlathe."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)

    def __repr__(self) -> str:
        return f"Opaque({type(self.value).__name__})"


class Array:
    """The value of a constant node, compared by its bytes, so that -0.0 and NaN keep their bits.

    Attributes:
        value: the array.
        number: its one element as a Python number; None where it has none or several.
    """

    __slots__ = ("_key", "number", "value")

    def __init__(self, value: np.ndarray) -> None:
        value = np.array(value, order="C", copy=True)
        value.setflags(write=False)
        self.value = value
        self.number = value.item() if value.size == 1 and value.dtype.names is None else None
        self._key = (value.dtype, value.shape, value.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Array({self.value!r})"


class Node:
    """One operation applied to its inputs.

    A node with several results has a tuple as its type, and `get` nodes pick its results out.

    Attributes:
        operation: the operation's name; a JAX primitive's own name, or a composite's.
        inputs: the nodes whose values it takes.
        attributes: its static arguments, by name; never changed.
        type: the type of its value, or the tuple of types of its values.
        holds_graphs: whether graphs are nested in its attributes.
        attribute_key: the attributes as the table of nodes compares them.
    """

    __slots__ = (
        "__weakref__",
        "attribute_key",
        "attributes",
        "holds_graphs",
        "inputs",
        "operation",
        "type",
    )

    attribute_key: tuple[Any, ...]
    operation: str
    inputs: tuple[Node, ...]
    attributes: Mapping[str, Any]
    type: Any
    holds_graphs: bool

    def __getitem__(self, attribute: str) -> Any:
        return self.attributes[attribute]

    def __repr__(self) -> str:
        return f"<{self.operation}: {self.type}>"

    @property
    def types(self) -> tuple[Type, ...]:
        """The types of all its values."""
        return self.type if isinstance(self.type, tuple) else (self.type,)

    @property
    def is_constant(self) -> bool:
        """Whether its value is known."""
        return self.operation == "constant"

    @property
    def value(self) -> np.ndarray:
        """The value of a constant node."""
        return self.attributes["value"].value


class _Reference(weakref.ref[Node]):
    """A weak reference that knows under which key the table holds it."""

    __slots__ = ("key",)

    key: tuple[Any, ...]


def _forget(reference: Any) -> None:
    with _lock:
        # A new node may have taken the place of the dead one.
        if _table.get(reference.key) is reference:
            del _table[reference.key]


_table: dict[tuple[Any, ...], _Reference] = {}
_GRAPH_CLASSES: set[type] = set()
_lock = threading.RLock()
_NO_ATTRIBUTES: Mapping[str, Any] = {}


def node(
    operation: str,
    inputs: tuple[Node, ...],
    type_: Types,
    attributes: Mapping[str, Any] = _NO_ATTRIBUTES,
) -> Node:
    """Return the one node of this operation, inputs, type and attributes.

    Every attribute must have a hash; wrap one that has none in `Opaque`.
    """
    attribute_key = _attribute_key(attributes) if attributes else ()
    return _intern(operation, inputs, type_, attributes, attribute_key)


def with_other_inputs(item: Node, inputs: tuple[Node, ...]) -> Node:
    """Return the node that applies the same operation to other inputs of the same types."""
    return _intern(item.operation, inputs, item.type, item.attributes, item.attribute_key)


def _intern(
    operation: str,
    inputs: tuple[Node, ...],
    type_: Types,
    attributes: Mapping[str, Any],
    attribute_key: tuple[Any, ...],
) -> Node:
    key = (operation, inputs, type_, attribute_key)
    reference = _table.get(key)
    if reference is not None:
        found = reference()
        if found is not None:
            return found
    made = Node()
    made.operation = operation
    made.inputs = inputs
    made.attributes = attributes
    made.attribute_key = attribute_key
    made.type = type_
    made.holds_graphs = bool(attributes) and _holds_graphs(attributes)
    reference = _Reference(made, _forget)
    reference.key = key
    with _lock:
        # Another thread may have been first.
        standing = _table.setdefault(key, reference)
        if standing is not reference:
            found = standing()
            if found is not None:
                return found
            _table[key] = reference
    return made


def mark_graph_class(class_: _Class) -> _Class:
    """Decorate the class of graphs, which this module cannot import."""
    _GRAPH_CLASSES.add(class_)
    return class_


def _holds_graphs(attributes: Mapping[str, Any]) -> bool:
    for value in attributes.values():
        kind = type(value)
        if kind in _GRAPH_CLASSES:
            return True
        if kind is tuple and any(type(item) in _GRAPH_CLASSES for item in value):
            return True
    return False


def _attribute_key(attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    if len(attributes) == 1:
        key = tuple(attributes.items())
    else:
        key = tuple(sorted(attributes.items(), key=_attribute_name))
    return tuple(map(_by_digits, key)) if float in map(type, attributes.values()) else key


def _by_digits(item: tuple[str, Any]) -> tuple[Any, ...]:
    """The key of an attribute that is a float: 0.0 equals -0.0 and NaN no NaN, but not here."""
    return (item[0], float, repr(item[1])) if type(item[1]) is float else item


_attribute_name = operator.itemgetter(0)


@functools.lru_cache(maxsize=4096)
def parameter(index: int, type_: Type) -> Node:
    """The graph parameter at this position. Graphs are closed, so all of them share these nodes."""
    return node("parameter", (), type_, {"index": index})


def constant(value: Any, weak: bool = False) -> Node:
    """A node of a known value, taken from anything NumPy takes for an array."""
    array = Array(np.asarray(value))
    return node(
        "constant", (), array_type(array.value.shape, array.value.dtype, weak), {"value": array}
    )


def get(source: Node, index: int) -> Node:
    """The result at this position of a node with several."""
    return node("get", (source,), source.type[index], {"index": index})


def start_token() -> Node:
    """The token from which a graph's side effects begin."""
    return node("token", (), TOKEN)
