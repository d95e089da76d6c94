"""From a user's function to a graph: the one place that reads a jaxpr.

JAX traces the function; the reader then turns each equation into a node. Everything that depends
on the JAX version, how a loop's parameters are called, what a custom rule looks like, is met here
and turned into one form, so that the rest of xlathe never sees a jaxpr.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.core
import jax.extend.source_info_util as source_info_util
import numpy as np
from jax.extend.core import Literal

from xlathe.compiler.ir import (
    TOKEN,
    Array,
    Graph,
    Node,
    Opaque,
    Origin,
    Type,
    get,
    make_type,
    node,
    parameter,
    start_token,
)
from xlathe.compiler.ir.text import shortest_names
from xlathe.compiler.ops.indexing import SCATTERS
from xlathe.compiler.ops.primitives import operation_name, public_primitive
from xlathe.tracer import equations, names
from xlathe.tracer.equations import ReadGraph

# Equations are the user's, whatever wrapper of ours JAX saw on the way.
for _module in (__file__, equations.__file__):
    source_info_util.register_exclusion(str(_module))

MAX_INLINE_CONSTANT = 16
"""Closed-over arrays of up to this many elements become constants; larger ones, parameters."""


class UnsupportedProgram(Exception):
    """The program can be traced by JAX but not be held in a graph; the message says why."""


@dataclass(frozen=True)
class Captured:
    """A traced function.

    Attributes:
        graph: the program; its parameters are the flat arguments, then the closed-over arrays.
        constants: the values of the closed-over arrays; outer tracers may be among them.
        constant_names: the user's variables that hold them.
        result_tree: the structure of the function's result.
        jaxpr: what JAX traced, to fall back on.
    """

    graph: Graph
    constants: tuple[Any, ...]
    result_tree: Any
    jaxpr: Any = field(repr=False)

    @property
    def constant_count(self) -> int:
        """How many of the graph's last parameters are closed-over arrays."""
        return len(self.constants)

    def evaluate(self, *arguments: Any) -> list[Any]:
        """Run the program as JAX traced it, on the flat arguments."""
        return jax.core.eval_jaxpr(self.jaxpr.jaxpr, self.jaxpr.consts, *arguments)


@dataclass(frozen=True)
class Traced:
    """What JAX made of a function, before xlathe has looked at it."""

    function: Callable[..., Any]
    jaxpr: Any
    result_tree: Any
    argument_paths: list[str]
    result_paths: list[str]


def trace(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Traced:
    """Let JAX trace a function. Errors in the function are the user's, and pass through as such."""

    # A new object each time: JAX would else answer from its cache, with the closed-over values of
    # the first call.
    def fresh(*positional: Any, **named: Any) -> Any:
        return function(*positional, **named)

    names.stand_for(fresh, function)
    jaxpr, shapes = jax.make_jaxpr(fresh, return_shape=True)(*arguments, **keywords)
    with_paths, result_tree = jax.tree_util.tree_flatten_with_path(shapes)
    return Traced(
        function,
        jaxpr,
        result_tree,
        names.argument_paths(function, arguments, keywords),
        [f"result{jax.tree_util.keystr(path)}" for path, _ in with_paths],
    )


def capture(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Captured:
    """Trace a function and return its graph, before any pass.

    Args:
        function: any function that JAX can trace.
        *arguments: arrays, tracers or `jax.ShapeDtypeStruct`s, in any pytrees.
        **keywords: the same, by name.

    Raises:
        UnsupportedProgram: JAX traces the function, but the graph cannot hold it.
    """
    return read(trace(function, *arguments, **keywords))


def read(traced: Traced) -> Captured:
    """Turn what JAX traced into a graph.

    Raises:
        UnsupportedProgram: the graph cannot hold it.
    """
    reader = Reader()
    jaxpr = traced.jaxpr
    result = reader.graph(
        jaxpr.jaxpr,
        jaxpr.consts,
        name=names.function_name(traced.function),
        parameter_names=shortest_names(traced.argument_paths),
        result_names=tuple(traced.result_paths),
        constant_name=names.closure_names(traced.function),
    )
    return Captured(result.graph, tuple(result.lifted), traced.result_tree, jaxpr)


class _Scope:
    """The state of reading one jaxpr: what its variables stand for, and its effects so far."""

    def __init__(self, parameter_count: int) -> None:
        self.environment: dict[Any, Node] = {}
        self.origins: dict[Node, Origin] = {}
        self.token: Node | None = None
        self.parameter_count = parameter_count
        self.lifted: list[Any] = []
        self.lifted_nodes: dict[int, Node] = {}
        self.named: Node | None = None

    def name(self, item: Node, origin: Origin) -> None:
        """Record where a node comes from; of those that one assignment makes, the last is named."""
        if origin.name and self.named is not None:
            last = self.origins[self.named]
            if (last.file, last.line) == (origin.file, origin.line):
                self.origins[self.named] = last._replace(name="")
        self.origins[item] = origin
        self.named = item if origin.name else None

    def take_token(self) -> Node:
        return start_token() if self.token is None else self.token


class Reader:
    """Turns jaxprs into graphs; one reader a program, so that shared jaxprs are read once."""

    def __init__(self) -> None:
        self._types: dict[Any, Type] = {}
        self._graphs: dict[int, tuple[Any, ReadGraph]] = {}
        self._sources: dict[Any, tuple[str, str, int, str]] = {}
        self._plain_context: Any = None
        self.rules_being_read: set[Any] = set()
        self.rules_recurring: set[Any] = set()
        self.rules_read: dict[Any, dict[str, Any]] = {}
        self._order = 0

    def type(self, aval: Any) -> Type:
        """The type of an abstract value."""
        try:
            found = self._types.get(aval)
        except TypeError:
            raise UnsupportedProgram(f"The type {aval} has no hash.") from None
        if found is None:
            found = self._types[aval] = type_of_aval(aval)
            if _is_wide(found) and not jax.config.read("jax_enable_x64"):
                raise UnsupportedProgram(
                    f"The function turns 64-bit numbers on for a part of it, which has a {found}."
                )
        return found

    def nested(self, jaxpr: Any, name: str = "") -> ReadGraph:
        """Read a nested jaxpr, closed or not; the same object is read once."""
        known = self._graphs.get(id(jaxpr))
        if known is None:
            closed = jaxpr if hasattr(jaxpr, "consts") else None
            consts = closed.consts if closed is not None else ()
            read = self.graph(getattr(jaxpr, "jaxpr", jaxpr), consts, name or "body")
            # The jaxpr is kept alive, so that its id stays its own.
            known = self._graphs[id(jaxpr)] = (jaxpr, read)
        return known[1]

    def graph(
        self,
        jaxpr: Any,
        consts: Sequence[Any],
        name: str,
        parameter_names: Sequence[str] = (),
        result_names: tuple[str, ...] = (),
        constant_name: Callable[[Any], str] = lambda value: "",
    ) -> ReadGraph:
        """Read an open jaxpr with its constants."""
        scope = _Scope(len(jaxpr.invars))
        parameters = []
        for index, variable in enumerate(jaxpr.invars):
            item = parameter(index, self.type(variable.aval))
            parameters.append(item)
            scope.environment[variable] = item
            if index < len(parameter_names):
                scope.origins[item] = Origin(name=parameter_names[index])
        for variable, value in zip(jaxpr.constvars, consts, strict=True):
            scope.environment[variable] = self.constant(
                scope, value, self.type(variable.aval), constant_name(value)
            )
        for equation in jaxpr.eqns:
            self._equation(scope, equation)
        results = [self.read(scope, variable) for variable in jaxpr.outvars]
        parameters.extend(scope.lifted_nodes.values())
        graph = Graph(
            parameters,
            results,
            scope.token,
            name=name,
            origins=scope.origins,
            result_names=result_names,
        )
        return ReadGraph(graph, scope.lifted)

    def read(self, scope: _Scope, variable: Any) -> Node:
        """The node of a variable or literal."""
        if isinstance(variable, Literal):
            return self.constant(scope, variable.val, self.type(variable.aval))
        return scope.environment[variable]

    def constant(self, scope: _Scope, value: Any, type_: Type, name: str = "") -> Node:
        """A node for a concrete value: a constant if small, else one more parameter."""
        if _is_small(value, type_):
            array = np.asarray(value).astype(type_.dtype).reshape(type_.shape)
            return node("constant", (), type_, {"value": Array(array)})
        found = scope.lifted_nodes.get(id(value))
        if found is None:
            found = parameter(scope.parameter_count + len(scope.lifted), type_)
            scope.lifted.append(value)
            scope.lifted_nodes[id(value)] = found
            scope.origins[found] = Origin(name=name or f"constant_{len(scope.lifted)}")
        return found

    def lift(self, scope: _Scope, inner: ReadGraph) -> list[Node]:
        """Operands in this scope for the arrays that a nested graph closes over."""
        types = inner.graph.parameter_types[len(inner.graph.parameters) - len(inner.lifted) :]
        return [
            self.constant(scope, value, type_)
            for value, type_ in zip(inner.lifted, types, strict=True)
        ]

    def emit(
        self,
        scope: _Scope,
        equation: Any,
        operation: str,
        inputs: Sequence[Node],
        attributes: dict[str, Any],
        effects: bool,
    ) -> None:
        """Add the node of an equation and bind its variables."""
        types = [self.type(variable.aval) for variable in equation.outvars]
        inputs = tuple(inputs)
        if effects:
            inputs = (*inputs, scope.take_token())
            types.append(TOKEN)
        item = node(operation, inputs, types[0] if len(types) == 1 else tuple(types), attributes)
        origin = self._origin(equation)
        values = [item] if len(types) == 1 else [get(item, index) for index in range(len(types))]
        if effects:
            scope.token = values[-1]
        for variable, value in zip(equation.outvars, values, strict=False):
            scope.environment[variable] = value
        if len(values) > 1:
            for value in (item, *values):
                scope.origins.setdefault(value, origin._replace(name=""))
        elif item not in scope.origins:
            scope.name(item, origin)

    def _equation(self, scope: _Scope, equation: Any) -> None:
        primitive = equation.primitive
        name = operation_name(primitive)
        inputs = [self.read(scope, variable) for variable in equation.invars]
        # One context serves nearly all equations.
        if equation.ctx is not self._plain_context:
            if equations.has_own_context(equation):
                equations.read_whole(self, scope, equation, inputs)
                return
            self._plain_context = equation.ctx
        special = equations.READERS.get(name)
        if special is not None and special(self, scope, equation, inputs):
            return
        attributes: dict[str, Any] = {}
        if public_primitive(name) is not primitive:
            attributes["primitive"] = Opaque(primitive)
        parameters = equation.params
        if name in SCATTERS and equations.is_standard_scatter(name, parameters):
            combiner = ("update_jaxpr", "update_consts")
            parameters = {key: parameters[key] for key in parameters if key not in combiner}
        for key, value in parameters.items():
            if equations.holds_code(value):
                equations.read_whole(self, scope, equation, inputs)
                return
            attributes[key] = freeze(value)
        if name == "rng_uniform":
            # Each call draws anew, so two calls are never one node.
            attributes["draw"] = self._order
        self.emit(scope, equation, name, inputs, attributes, bool(equation.effects))

    def _origin(self, equation: Any) -> Origin:
        self._order += 1
        info = equation.source_info
        # Tracebacks are equal where their frames are: in each turn of a loop over a model's layers.
        key = (info.traceback, info.name_stack)
        found = self._sources.get(key)
        if found is None:
            file, line, column = names.source(source_info_util.summarize(info))
            scope = str(info.name_stack)
            name = names.assigned_names(file).get((line, column), "") if file else ""
            if "transpose(" in scope:
                # The cotangent of a variable is not the variable.
                name = f"d_{name}" if name else ""
            found = self._sources[key] = (name, file, line, scope)
        return Origin((self._order,), *found)


def type_of_aval(aval: Any) -> Type:
    """The type of an abstract value; what shape, dtype and weakness leave out is kept whole."""
    shape = getattr(aval, "shape", None)
    dtype = getattr(aval, "dtype", None)
    if shape is None or dtype is None:
        return make_type((), None, False, aval)
    if any(not isinstance(dimension, int) for dimension in shape):
        raise UnsupportedProgram(f"The type {aval} has a symbolic dimension.")
    plain = jax.core.ShapedArray(shape, dtype, weak_type=bool(getattr(aval, "weak_type", False)))
    extra = None if plain == aval else aval
    return make_type(tuple(shape), dtype, plain.weak_type, extra)


def _is_wide(type_: Type) -> bool:
    return type_.is_plain and type_.dtype.name in ("int64", "uint64", "float64", "complex128")


def freeze(value: Any) -> Any:
    """Make an attribute of a parameter: as it is if it has a hash, else by identity."""
    if type(value) in equations.ATOMS:
        return value
    if isinstance(value, np.ndarray | jax.Array):
        return Opaque(value)
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return value.item()
    if type(value) is tuple:
        return tuple([freeze(item) for item in value])
    if hasattr(value, "_fields"):
        return type(value)(*(freeze(item) for item in value))
    try:
        hash(value)
    except TypeError:
        return Opaque(value)
    return value


def _is_small(value: Any, type_: Type) -> bool:
    if isinstance(value, jax.core.Tracer) or not type_.is_plain or type_.dtype.names is not None:
        return False
    if type_.size > (MAX_INLINE_CONSTANT if type_.shape else 1):
        return False
    if isinstance(value, jax.Array):
        return value.is_fully_addressable and len(value.devices()) == 1
    return True
