"""The text form of graphs: printed for people, parsed back to the same graph.

The text is Python's syntax, one line a node with its type, user's names and source lines as
comments, and one function a graph, innermost first:

    def predict(x: f32[8, 4], w: f32[4, 2]):
        h: f32[8, 2] = dot_general(x, w, dimension_numbers=(((1,), (0,)), ((), ())))  # model.py:7
        return h
"""

from __future__ import annotations

import ast
import functools
import keyword
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from xlathe.compiler.ir.graph import Graph, Origin, nested
from xlathe.compiler.ir.literals import NoTextForm, array_literal, literal
from xlathe.compiler.ir.node import Array, Node, get, node, parameter, start_token
from xlathe.compiler.ir.types import TOKEN, Type, dtype_named, key_dtype, make_type, type_text

_MAX_TEXT_ELEMENTS = 64


class Names:
    """Gives each thing a name of its own that Python takes for an identifier.

    Args:
        reserved: names that are taken already.
    """

    def __init__(self, reserved: frozenset[str] = frozenset()) -> None:
        self._used: dict[str, int] = dict.fromkeys(reserved, 1)

    def unique(self, wanted: str) -> str:
        """Return `wanted`, or the first of `wanted_1`, `wanted_2`, … that is free."""
        base = identifier(wanted)
        count = self._used.get(base, 0)
        name = base
        while name in self._used:
            name = f"{base}_{count or 1}"
            count = (count or 1) + 1
        self._used[base] = count
        self._used.setdefault(name, 0)
        return name


@functools.lru_cache(maxsize=4096)
def identifier(text: str) -> str:
    """Turn any text into a Python identifier that is no keyword."""
    name = text if text.isascii() else _as_python_reads(text)
    name = re.sub(r"\W+", "_", name).strip("_") or "v"
    if not name.isidentifier() and not keyword.iskeyword(name):
        name = f"v{name}"
    return f"{name}_" if keyword.iskeyword(name) else name


def _as_python_reads(text: str) -> str:
    """The characters that Python's parser makes of a name: `x²` is read as `x2`."""
    normal = unicodedata.normalize("NFKC", text)
    return "".join(c if f"v{c}".isidentifier() else "_" for c in normal)


def shortest_names(paths: list[str]) -> list[str]:
    """Name each path by its last parts, as few of them as tell it from the others.

    `params['dense']['w']` is `w` where no other path ends so, else `dense_w`, and so on.
    """
    parts = [re.findall(r"\w+", path) or ["v"] for path in paths]
    length = [1] * len(parts)
    chosen = [""] * len(parts)
    open_ = list(range(len(parts)))
    while open_:
        for index in open_:
            tail = parts[index][-length[index] :]
            while tail[0].isdigit() and length[index] < len(parts[index]):
                length[index] += 1
                tail = parts[index][-length[index] :]
            chosen[index] = identifier("_".join(tail))
        groups: dict[str, list[int]] = {}
        for index, name in enumerate(chosen):
            groups.setdefault(name, []).append(index)
        open_ = []
        for group in groups.values():
            if len(group) > 1:
                longer = [index for index in group if length[index] < len(parts[index])]
                for index in longer:
                    length[index] += 1
                open_.extend(longer)
    return chosen


def origin_comment(origin: Origin) -> str:
    """Where a line comes from: `model.py:12 encoder/attention`."""
    return " ".join(part for part in (line_comment(origin.file, origin.line), origin.scope) if part)


@functools.lru_cache(maxsize=4096)
def line_comment(file: str, line: int) -> str:
    """A line of a file as comments show it: `model.py:12`; empty where it is not known."""
    return f"{os.path.basename(file)}:{line}" if file else ""


class _Printer:
    """Prints a graph and those nested in it, and collects the objects that have no text form."""

    def __init__(self) -> None:
        self.graph_names: dict[Graph, str] = {}
        self.objects: dict[Any, str] = {}
        self._function_names = Names()

    def graph(self, graph: Graph) -> Iterator[str]:
        for inner in graph.subgraphs():
            if inner not in self.graph_names:
                yield from self.graph(inner)
                yield ""
        self.graph_names[graph] = self._function_names.unique(graph.name)
        yield from self._function(graph)

    def _function(self, graph: Graph) -> Iterator[str]:
        names = Names()
        local: dict[Node, str] = {}
        wanted = [graph.origin(p).name or f"p{i}" for i, p in enumerate(graph.parameters)]
        written = []
        for item, name in zip(graph.parameters, wanted, strict=True):
            local[item] = names.unique(name)
            written.append(f"{local[item]}: {self._type(item.type)}")
        yield f"def {self.graph_names[graph]}({', '.join(written)}):"
        for index, item in enumerate(graph.nodes):
            origin = graph.origin(item)
            local[item] = names.unique(origin.name or f"v{index}")
            comment = origin_comment(origin)
            line = f"    {local[item]}: {self._types(item)} = {self._expression(item, local)}"
            yield f"{line}  # {comment}" if comment else line
        outputs = ", ".join(local[item] for item in graph.outputs)
        paths = ", ".join(graph.result_names)
        yield f"    return ({outputs}{',' if len(graph.outputs) == 1 else ''})" + (
            f"  # {paths}" if paths else ""
        )

    def _expression(self, item: Node, local: Mapping[Node, str]) -> str:
        if item.is_constant:
            return f"constant({self._constant(item['value'])})"
        arguments = [local[source] for source in item.inputs]
        for name, value in item.attributes.items():
            arguments.append(f"{name}={literal(value, self._refer)}")
        return f"{identifier(item.operation)}({', '.join(arguments)})"

    def _constant(self, array: Array) -> str:
        try:
            if array.value.size > _MAX_TEXT_ELEMENTS:
                return self._refer(array)
            return array_literal(array.value)
        except (NoTextForm, TypeError):
            return self._refer(array)

    def _refer(self, value: Any) -> str:
        if isinstance(value, Graph):
            return self.graph_names[value]
        known = self.objects.get(value)
        if known is None:
            # A function of the user's may have such a name.
            known = self._function_names.unique(f"object_{len(self.objects)}")
            self.objects[value] = known
        return known

    def _types(self, item: Node) -> str:
        if isinstance(item.type, tuple):
            inner = ", ".join(self._type(type_) for type_ in item.type)
            return f"({inner}{',' if len(item.type) == 1 else ''})"
        return self._type(item.type)

    def _type(self, type_: Type) -> str:
        return type_text(type_) if type_.extra is None else self._refer(type_)


def to_text(graph: Graph) -> str:
    """Print a graph and the graphs nested in it; `parse` reads it back."""
    return "\n".join(_Printer().graph(graph)) + "\n"


def collect_objects(graph: Graph) -> dict[str, Any]:
    """The objects that the text of this graph refers to by name."""
    printer = _Printer()
    for _ in printer.graph(graph):
        pass
    return {name: value for value, name in printer.objects.items()}


class ParseError(ValueError):
    """The text is not a graph's; the message says where and why."""


def parse(text: str, objects: Mapping[str, Any] | None = None) -> Graph:
    """Read a graph back from its text.

    Args:
        text: what `to_text` printed.
        objects: what its `object_0`, `object_1`, … stand for: the printed graph's `objects()`.

    Returns:
        The last function's graph, equal to the one that was printed.

    Raises:
        ParseError: the text is not of the form that `to_text` prints.
    """
    try:
        module = ast.parse(text)
    except SyntaxError as error:
        raise ParseError(f"Line {error.lineno}: {error.msg}.") from None
    parser = _Parser(dict(objects or {}))
    graph = None
    for statement in module.body:
        if not isinstance(statement, ast.FunctionDef):
            raise ParseError(f"Line {statement.lineno}: expected `def name(...):`.")
        graph = parser.function(statement)
    if graph is None:
        raise ParseError("The text holds no graph: expected at least one `def name(...):`.")
    return graph


class _Parser:
    def __init__(self, known: dict[str, Any]) -> None:
        self.known = known

    def function(self, function: ast.FunctionDef) -> Graph:
        local: dict[str, Node] = {}
        origins: dict[Node, Origin] = {}
        parameters = []
        for index, argument in enumerate(function.args.args):
            if argument.annotation is None:
                raise ParseError(f"Line {argument.lineno}: parameter {argument.arg} has no type.")
            item = parameter(index, self._type(argument.annotation))
            parameters.append(item)
            local[argument.arg] = item
            origins[item] = Origin(name=argument.arg)
        for order, statement in enumerate(function.body):
            if isinstance(statement, ast.Return):
                outputs = [self._local(name, local) for name in _elements(statement.value)]
                effect = outputs.pop() if outputs and outputs[-1].type is TOKEN else None
                graph = Graph(parameters, outputs, effect, name=function.name, origins=origins)
                self.known[function.name] = graph
                return graph
            if not isinstance(statement, ast.AnnAssign) or not isinstance(
                statement.target, ast.Name
            ):
                raise ParseError(f"Line {statement.lineno}: expected `name: type = operation(…)`.")
            item = self._node(statement, local)
            local[statement.target.id] = item
            origins.setdefault(item, Origin(order=(order,), name=statement.target.id))
        raise ParseError(f"Line {function.lineno}: {function.name} has no return.")

    def _node(self, statement: ast.AnnAssign, local: Mapping[str, Node]) -> Node:
        call = statement.value
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ParseError(f"Line {statement.lineno}: expected `name: type = operation(…)`.")
        types = tuple(self._type(item) for item in _elements(statement.annotation))
        type_ = types if isinstance(statement.annotation, ast.Tuple) else types[0]
        operation = call.func.id
        if keyword.iskeyword(operation[:-1]) and operation.endswith("_"):
            operation = operation[:-1]
        if operation == "token":
            return start_token()
        if operation == "constant":
            return node("constant", (), type_, {"value": self._array(call.args[0], types[0])})
        inputs = tuple(self._local(item, local) for item in call.args)
        attributes = {str(item.arg): self._value(item.value) for item in call.keywords}
        if operation == "get":
            return get(inputs[0], attributes["index"])
        return node(operation, inputs, type_, attributes)

    def _local(self, expression: ast.expr, local: Mapping[str, Node]) -> Node:
        if isinstance(expression, ast.Name) and expression.id in local:
            return local[expression.id]
        raise ParseError(
            f"Line {expression.lineno}: {ast.unparse(expression)} is not the name of a node above."
        )

    def _array(self, expression: ast.expr, type_: Type) -> Array:
        if isinstance(expression, ast.Name) and expression.id in self.known:
            return self.known[expression.id]
        return Array(np.array(self._value(expression), type_.dtype).reshape(type_.shape))

    def _type(self, expression: ast.expr) -> Type:
        weak = isinstance(expression, ast.UnaryOp)
        inner = expression.operand if isinstance(expression, ast.UnaryOp) else expression
        if isinstance(inner, ast.Name) and inner.id == "token":
            return TOKEN
        if isinstance(inner, ast.Name) and isinstance(self.known.get(inner.id), Type):
            return self.known[inner.id]
        shape: tuple[int, ...] = ()
        if isinstance(inner, ast.Subscript):
            shape = tuple(self._value(item) for item in _elements(inner.slice))
            inner = inner.value
        try:
            if isinstance(inner, ast.Attribute):
                dtype = key_dtype(inner.attr)
            else:
                dtype = dtype_named(ast.unparse(inner))
        except ValueError as error:
            raise ParseError(
                f"Line {expression.lineno}: expected a type such as `f32[3, 4]`: {error}"
            ) from None
        return make_type(shape, dtype, weak)

    def _known(self, expression: ast.Name) -> Any:
        if expression.id not in self.known:
            raise ParseError(
                f"Line {expression.lineno}: {expression.id} is not known. Give parse the objects "
                "of the graph that was printed: parse(text, graph.objects())."
            )
        return self.known[expression.id]

    def _value(self, expression: ast.expr) -> Any:
        """Evaluate a literal: numbers, strings, tuples, and what jax.lax names."""
        match expression:
            case ast.Constant():
                return expression.value
            case ast.Tuple():
                return tuple(self._value(item) for item in expression.elts)
            case ast.List():
                return [self._value(item) for item in expression.elts]
            case ast.UnaryOp(op=ast.USub()):
                return -self._value(expression.operand)
            case ast.Name():
                return self._known(expression)
            case ast.Attribute() | ast.Call():
                return self._named(expression)
        raise ParseError(f"Line {expression.lineno}: cannot read {ast.unparse(expression)}.")

    def _named(self, expression: ast.Attribute | ast.Call) -> Any:
        if isinstance(expression, ast.Attribute):
            modules = {"jax": jax, "jnp": jnp, "lax": lax}
            match expression.value:
                case ast.Name(id=name) if name in modules:
                    return getattr(modules[name], expression.attr)
                case ast.Attribute():
                    return getattr(self._named(expression.value), expression.attr)
        elif isinstance(expression.func, ast.Name) and expression.func.id == "complex":
            return complex(*(self._value(item) for item in expression.args))
        elif isinstance(expression.func, ast.Attribute):
            constructor = self._named(expression.func)
            if constructor is jnp.dtype or hasattr(constructor, "_fields"):
                return constructor(
                    *(self._value(item) for item in expression.args),
                    **{str(item.arg): self._value(item.value) for item in expression.keywords},
                )
        raise ParseError(f"Line {expression.lineno}: cannot read {ast.unparse(expression)}.")


def _elements(expression: ast.expr | None) -> list[ast.expr]:
    if expression is None:
        return []
    return list(expression.elts) if isinstance(expression, ast.Tuple) else [expression]


__all__ = [
    "Names",
    "ParseError",
    "collect_objects",
    "identifier",
    "line_comment",
    "nested",
    "origin_comment",
    "parse",
    "shortest_names",
    "to_text",
]
