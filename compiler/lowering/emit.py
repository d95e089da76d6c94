"""Printing a graph as a Python module over `jax`, `jax.numpy` and `jax.lax`.

One function a graph, loop bodies and branches before the program that uses them. Each operation
says in its table entry how it is written; what has no entry is applied by `bind`.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.compiler.ir import Array, Graph, Node, Origin, is_effectful, unwrap
from xlathe.compiler.ir.literals import NoTextForm, array_literal, float_literal, literal
from xlathe.compiler.ir.rewrite import users
from xlathe.compiler.ir.text import Names, identifier, line_comment
from xlathe.compiler.lowering import control
from xlathe.compiler.lowering.layout import Line, wrapped
from xlathe.compiler.lowering.signature import Signature, flat_signature, pack, tuple_text
from xlathe.compiler.ops.arrays import adds_leading_axes
from xlathe.compiler.ops.elementwise import filled_scalar
from xlathe.compiler.ops.primitives import primitive_of, public_name
from xlathe.compiler.ops.table import COMPARE, UNARY, Expression, lookup

_RESERVED = frozenset("jax jnp lax np partial primitives complex splash_kernel splash_mask".split())
_SPLASH_IMPORT = """\
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_kernel as splash_kernel,
)
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_mask as splash_mask,
)"""
_MAX_INLINE_WIDTH = 60
_MAX_RETURN_WIDTH = 84
_NUMPY_SCALARS = {
    "bool": "bool_",
    **{
        name: name
        for bits in (8, 16, 32, 64)
        for name in (f"int{bits}", f"uint{bits}", f"float{bits}")
        if name != "float8"
    },
}
_TRANSFORMS = frozenset(["jvp", "transpose", "vmap", "checkpoint", "rematted_computation"])
# Cheap to read where they are used, whatever line they come from.
_READ_THROUGH = frozenset(["broadcast_in_dim", "convert_element_type", "neg", "transpose"])


class ModuleEmitter:
    """Collects the functions of a module, and the objects that it refers to but cannot write."""

    def __init__(self) -> None:
        self.names = Names(_RESERVED)
        self.objects: dict[str, Any] = {}
        self.functions: list[str] = []
        self.files: dict[str, None] = {}
        self.rules_being_written: dict[Any, str] = {}
        self.shared: set[str] = set()
        self.local: set[str] = set()
        self._object_names: dict[Any, str] = {}
        self._function_names: dict[Any, str] = {}

    def program(self, graph: Graph, signature: Signature, name: str) -> str:
        """Write the graph that no other function refers to, and return the function's name."""
        known = self.names.unique(name)
        self.functions.append(FunctionEmitter(self, graph, signature).write(known))
        return known

    def function(self, graph: Graph, signature: Signature, name: str = "") -> str:
        """Write a graph as a function of this signature, once, and return the function's name."""
        key = (graph, signature)
        known = self._function_names.get(key)
        if known is None:
            known = self._function_names[key] = self._unique(name or graph.name)
            self.functions.append(FunctionEmitter(self, graph, signature).write(known))
        return known

    def decorated(self, decorator: str, graph: Graph, name: str) -> None:
        """Write a graph as a function of this name, which is taken already, with a decorator."""
        signature = flat_signature(len(graph.parameters))
        text = FunctionEmitter(self, graph, signature).write(name)
        self.functions.append(f"@{decorator}\n{text}")

    def once(self, key: Any, name: str) -> tuple[str, bool]:
        """The name under this key, and whether it is new and has yet to be written."""
        known = self._function_names.get(key)
        if known is not None:
            return known, False
        self._function_names[key] = known = self._unique(name)
        return known, True

    def refer(self, value: Any) -> str:
        """Name an object that has no text form; whoever loads the module supplies it."""
        known = self._object_names.get(value)
        if known is None:
            inner = unwrap(value)
            kind = getattr(inner, "__name__", None) or type(inner).__name__
            known = self._object_names[value] = self._unique(f"object_{identifier(kind)}")
            self.objects[known] = inner
        return known

    def _unique(self, wanted: str) -> str:
        """A name that functions may refer to: none of them has a variable of this name."""
        name = self.names.unique(wanted)
        while name in self.local:
            name = self.names.unique(wanted)
        self.shared.add(name)
        return name

    def source(self, heading: str) -> str:
        """The module's text."""
        body = "\n\n\n".join(self.functions)
        imports = [
            line
            for line, word in (
                ("from functools import partial\n", "partial("),
                ("import jax", "jax."),
                ("import jax.numpy as jnp", "jnp."),
                ("import numpy as np", "np."),
                ("from jax import lax", "lax."),
                ("from jax.extend.core import primitives", "primitives."),
                (_SPLASH_IMPORT, "splash_kernel."),
            )
            if line == "import jax" or (word in body and re.search(rf"\b{re.escape(word)}", body))
        ]
        return f'"""{heading}"""\n\n' + "\n".join(imports) + f"\n\n\n{body}\n"


class _LocalNames(Names):
    """The names inside one function, which hide none that functions refer to."""

    def __init__(self, module: ModuleEmitter) -> None:
        super().__init__(_RESERVED)
        self._module = module

    def unique(self, wanted: str) -> str:
        name = super().unique(wanted)
        while name in self._module.shared:
            name = super().unique(wanted)
        self._module.local.add(name)
        return name


class FunctionEmitter:
    """Writes one graph as one function."""

    def __init__(self, module: ModuleEmitter, graph: Graph, signature: Signature) -> None:
        self.module = module
        self.graph = graph
        self.signature = signature
        self.names = _LocalNames(module)
        self.local: dict[Node, str] = {}
        self.inlined: dict[Node, Expression] = {}
        self.readers = users(graph)
        self.results: dict[Node, dict[int, Node]] = {}
        self.pullbacks: dict[Node, str] = {}
        self.lines: list[tuple[str, Line]] = []

    def write(self, name: str) -> str:
        """The text of the function."""
        graph = self.graph
        wanted = [graph.origin(p).name or f"x{i}" for i, p in enumerate(graph.parameters)]
        for item, label in zip(graph.parameters, wanted, strict=True):
            self.local[item] = self.names.unique(label)
        arguments, unpacking = self.signature.parameters(
            [self.local[item] for item in graph.parameters], self.names
        )
        for item in graph.nodes:
            if item.operation == "get":
                self.results.setdefault(item.inputs[0], {})[item["index"]] = item
        for item in graph.nodes:
            if item.operation not in ("get", "constant", "token"):
                self._statement(item)
        values = [self.operand(item) for item in graph.results]
        self.lines.append(("", Line("return ", self.signature.returned(values), "")))
        text = [wrapped("", f"def {name}({', '.join(arguments)})", ":", "")]
        text += [wrapped("", line, "", "    ") for line in unpacking]
        return "\n".join([*text, *self._scoped()])

    def operand(self, item: Node, level: int = COMPARE) -> str:
        """The text of an input: its name, its expression, or its value."""
        known = self.local.get(item)
        if known is not None:
            return known
        if item.is_constant:
            return self.constant(item)
        text, own_level = self.inlined[item]
        return f"({text})" if own_level < level else text

    def scalar_operand(self, item: Node, beside: Node, level: int = COMPARE) -> str:
        """The text of an input of an operator; a scalar constant there needs no dtype."""
        other = beside.type
        if item.is_constant and not item.type.shape and not beside.is_constant:
            if (item.type.weak or not other.weak) and item.type.dtype == other.dtype:
                text = _bare_number(item)
                if text is not None:
                    return f"({text})" if text.startswith("-") and level > UNARY else text
        # One side only may leave its leading axes out: from the other, the result has them.
        if self._may_lead(item) and not self._may_lead(beside) and other.rank == item.type.rank:
            return self.operand(item.inputs[0], level)
        return self.operand(item, level)

    def _may_lead(self, item: Node) -> bool:
        return item not in self.local and adds_leading_axes(item)

    def is_inlined(self, item: Node) -> bool:
        """Whether an input stands inside this expression only, and so may change its form."""
        return item in self.inlined and len(self.readers.get(item, ())) == 1

    def literal(self, value: Any) -> str:
        """The text of a static value; an object without one is referred to by name."""
        return literal(value, self.module.refer)

    def dtype(self, value: Any) -> str:
        """The text of a dtype as an argument: `jnp.float32`."""
        name = getattr(value, "name", "")
        if isinstance(value, np.dtype) and hasattr(jnp, name) and name != "bool":
            return f"jnp.{name}"
        return self.literal(value)

    def constant(self, item: Node) -> str:
        """The text of a constant, with its dtype."""
        value = item.value
        dtype = self.dtype(value.dtype)
        if item.type.weak:
            return self._weak_constant(item, self.literal(value.dtype))
        if not value.shape and value.dtype.name in _NUMPY_SCALARS:
            with contextlib.suppress(NoTextForm):
                return f"np.{_NUMPY_SCALARS[value.dtype.name]}({array_literal(value)})"
        return _array_text(value, dtype)

    def _weak_constant(self, item: Node, dtype: str) -> str:
        number = _bare_number(item)
        if number is not None and item.type.dtype == jax.eval_shape(type(item.value.item())).dtype:
            return number
        if number is None:
            number = _array_text(item.value, dtype)
        return (
            f"lax.convert_element_type_p.bind({number}, new_dtype={dtype}, weak_type=True, "
            "sharding=None)"
        )

    def inputs(self, item: Node) -> list[Node]:
        """The inputs that are values, without the token."""
        return list(item.inputs[:-1] if is_effectful(item) else item.inputs)

    def operands(self, items: Sequence[Node]) -> list[str]:
        """The texts of several inputs, for use as arguments."""
        return [self.operand(item) for item in items]

    def arguments(self, items: Sequence[Node]) -> list[str]:
        """The same for a function of the program's own, which takes arrays, no Python numbers."""
        texts = self.operands(items)
        for place, item in enumerate(items):
            if item.is_constant and item.type.weak and _bare_number(item) == texts[place]:
                texts[place] = f"jnp.asarray({texts[place]})"
        return texts

    def _statement(self, item: Node) -> None:
        origin = self.graph.origin(item)
        if origin.file:
            self.module.files[origin.file] = None
        writer = control.WRITERS.get(item.operation)
        written = writer(self, item) if writer is not None else None
        if written is not None:
            text = Expression(written[0])
            is_value = item.operation == "composite" and written[1] == "bare"
            if is_value and self._may_inline(item, text, origin):
                self.inlined[item] = text
            else:
                self._assign_results(item, *written, origin)
            return
        write = lookup(item.operation).write
        expression = write(item, self) if write and not is_effectful(item) else None
        if expression is None:
            text, many = self._bind(item)
            if many:
                self._assign_results(item, text, "list", origin)
                return
            expression = Expression(text)
        if self._may_inline(item, expression, origin):
            self.inlined[item] = expression
            return
        self._assign_results(item, expression.text, "bare", origin)

    def _bind(self, item: Node) -> tuple[str, bool]:
        primitive = primitive_of(item)
        if primitive is None:
            raise NotImplementedError(
                f"{item.operation} is neither a JAX primitive nor an operation with a way to be "
                "written: give it one in compiler/ops or compiler/lowering/control.py."
            )
        name = public_name(item.operation) if "primitive" not in item.attributes else None
        name = name or self.module.refer(item["primitive"])
        arguments = self.operands(self.inputs(item))
        for key, value in item.attributes.items():
            if key not in ("primitive", "draw"):
                arguments.append(f"{key}={self.literal(value)}")
        return f"{name}.bind({', '.join(arguments)})", bool(primitive.multiple_results)

    def _assign_results(self, item: Node, text: str, packed: str, origin: Origin) -> None:
        """Assign what an expression returns, packed as `control.Written` says."""
        count = len(item.types) - is_effectful(item)
        found = self.results.get(item, {})
        targets = []
        for index in range(count):
            value = item if len(item.types) == 1 else found.get(index)
            if value is None:
                targets.append("_")
                continue
            wanted = self.graph.origin(value).name or f"v{len(self.local)}"
            targets.append(self.names.unique(wanted))
            self.local[value] = targets[-1]
        comment = line_comment(origin.file, origin.line)
        end = f"  # {comment}" if comment else ""
        if not packed.startswith("with ") and all(target == "_" for target in targets):
            left = ""
        elif packed == "bare":
            left = f"{pack(targets)} = "
        elif packed.startswith("with "):
            left = f"{targets[0]}, {packed.removeprefix('with ')} = "
        elif packed == "tuple":
            known = dict(zip(item["wanted"], targets, strict=True))
            places = range(len(item.inputs[0].inputs))
            left = f"{tuple_text([known.get(place, '_') for place in places])} = "
        elif packed == "list":
            left = f"[{', '.join(targets)}] = "
        else:
            split = int(packed)
            left = f"{pack(targets[:split])}, {pack(targets[split:], empty='_')} = "
        self.lines.append((_visible_scope(origin.scope), Line(left, text, end)))

    def _may_inline(self, item: Node, expression: Expression, origin: Origin) -> bool:
        readers = self.readers.get(item, [])
        if is_effectful(item):
            return False
        if item.operation == "broadcast_in_dim" and len(expression.text) <= _MAX_INLINE_WIDTH:
            # Adding axes costs nothing; operators that broadcast leave it out altogether.
            source = item.inputs[0]
            adds_axes = item.type.size == source.type.size and source in self.local
            if filled_scalar(item) is not None or (adds_axes and readers[0] is not item):
                return True
        if len(readers) != 1 or origin.name:
            return False
        if readers[0] is item:
            return len(self.graph.outputs) == 1 and len(expression.text) <= _MAX_RETURN_WIDTH
        if len(expression.text) > _MAX_INLINE_WIDTH:
            return False
        reader = self.graph.origin(readers[0])
        if reader.scope != origin.scope:
            return False
        same_line = (reader.file, reader.line) == (origin.file, origin.line)
        return same_line or item.operation in _READ_THROUGH

    def _scoped(self) -> list[str]:
        """The statements, indented under the name scopes that they belong to."""
        text = []
        current = ""
        for scope, line in self.lines:
            if scope != current and scope:
                text.append(f"    with jax.named_scope({scope!r}):")
            current = scope
            text.append(wrapped(*line, indent="        " if scope else "    "))
        return text


@functools.lru_cache(maxsize=1024)
def _visible_scope(scope: str) -> str:
    """A name scope without the parts that only say which transformation was at work."""
    words = identifier(scope).split("_") if scope else []
    return scope if any(word and word not in _TRANSFORMS for word in words) else ""


def _array_text(value: np.ndarray, dtype: str) -> str:
    """An array as NumPy's own functions make it, to the bit."""
    if value.size == 0:
        return f"np.zeros({value.shape}, {dtype})"
    try:
        return f"np.array({array_literal(value)}, {dtype})"
    except NoTextForm:
        return f"np.frombuffer({value.tobytes()!r}, {dtype}).reshape({value.shape})"


def _bare_number(item: Node) -> str | None:
    """A scalar constant as a Python number, where that is read back as the same value."""
    return None if item.type.shape else _number_text(item["value"])


@functools.lru_cache(maxsize=1024)
def _number_text(scalar: Array) -> str | None:
    value = scalar.value
    if jnp.issubdtype(value.dtype, jnp.integer):
        number = int(value)
        return repr(number) if -(2**31) <= number < 2**31 else None
    if value.dtype.kind == "c" or value.dtype == np.bool_:
        return None
    try:
        text = array_literal(value)
    except NoTextForm:
        return None
    if text in ("jnp.nan", "jnp.inf", "-jnp.inf"):
        return text
    return float_literal(float(text))
