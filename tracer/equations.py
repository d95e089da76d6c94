"""Equations that hold code: calls, loops, branches, custom derivative rules.

Each is given one form, whatever the JAX version calls its parameters. An equation that holds code
in a way not known here is kept whole: it is evaluated just as JAX would evaluate it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import jax
import numpy as np

from xlathe.compiler.ir import Graph, Node, Opaque, Type
from xlathe.compiler.ir.rewrite import permute_parameters


@dataclass
class ReadGraph:
    """A graph, and the closed-over arrays that its last parameters stand for."""

    graph: Graph
    lifted: list[Any]


class Reader(Protocol):
    """What reading an equation asks of the reader of the program around it."""

    rules_being_read: set[Any]
    rules_recurring: set[Any]
    rules_read: dict[Any, dict[str, Any]]

    def type(self, aval: Any) -> Type:
        """The type of an abstract value."""
        ...

    def nested(self, jaxpr: Any, name: str = "") -> ReadGraph:
        """Read a nested jaxpr, once."""
        ...

    def lift(self, scope: Any, inner: ReadGraph) -> list[Node]:
        """Operands in this scope for the arrays that a nested graph closes over."""
        ...

    def emit(
        self,
        scope: Any,
        equation: Any,
        operation: str,
        inputs: Sequence[Node],
        attributes: dict[str, Any],
        effects: bool,
    ) -> None:
        """Add the node of an equation and bind its variables."""
        ...


_JAX_FOLDER = os.path.dirname(os.path.abspath(jax.__file__))
_JAX_INTERNALS = tuple(
    os.path.join(_JAX_FOLDER, "_src", name)
    for name in ("core", "custom_derivatives", "linear_util", "interpreters", "api_util", "util")
)
# A rule may hold calls with rules of their own, and so on for ever: derivatives of derivatives.
_MAX_RULE_DEPTH = 3
_LIBRARY_FUNCTIONS = {"relu": "jax.nn.relu", "relu6": "jax.nn.relu6"}


def evaluate_equation(equation: Any, *arguments: Any) -> list[Any]:
    """Apply an equation's primitive to values, as JAX does when it evaluates a jaxpr."""
    found = equation.primitive.get_bind_params(equation.params)
    functions, parameters = found if isinstance(found, tuple) else ((), found)
    with equation.ctx.manager:
        result = equation.primitive.bind(*functions, *arguments, **parameters)
    return list(result) if equation.primitive.multiple_results else [result]


def _setting(name: str) -> Any:
    return getattr(jax.config, name)


def has_own_context(equation: Any) -> bool:
    """Whether an equation was traced under a setting that evaluating it elsewhere would lose."""
    context = equation.ctx
    return (
        getattr(context, "compute_type", None) is not None
        or bool(getattr(context, "xla_metadata", None))
        or getattr(context, "threefry_partitionable", None)
        not in (None, _setting("jax_threefry_partitionable"))
    )


ATOMS = frozenset([bool, int, float, complex, str, bytes, type(None)])
"""The classes of values that hold nothing but themselves."""


def holds_code(value: Any) -> bool:
    """Whether a parameter is a jaxpr, or a tuple with one in it."""
    if type(value) in ATOMS:
        return False
    if hasattr(value, "eqns"):
        return True
    return isinstance(value, tuple | list) and any(holds_code(item) for item in value)


def read_whole(reader: Reader, scope: Any, equation: Any, inputs: Sequence[Node]) -> None:
    """Keep an equation as it is."""
    attributes = {
        "function": Opaque(partial(evaluate_equation, equation)),
        "name": equation.primitive.name,
    }
    reader.emit(scope, equation, "equation", inputs, attributes, bool(equation.effects))


def is_standard_scatter(name: str, parameters: dict[str, Any]) -> bool:
    """Whether a scatter combines as its name says, not by a function of the user's."""
    jaxpr = parameters.get("update_jaxpr")
    if parameters.get("update_consts"):
        return False
    if name != "scatter" or jaxpr is None:
        return True
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    return not jaxpr.eqns and jaxpr.outvars[0] is jaxpr.invars[1]


def _read_jit(reader: Reader, scope: Any, equation: Any, inputs: Sequence[Node]) -> bool:
    parameters = equation.params
    specified = any(
        type(value).__name__ != "UnspecifiedValue"
        for key in ("in_shardings", "out_shardings")
        for value in parameters[key]
    ) or any(
        value is not None for key in ("in_layouts", "out_layouts") for value in parameters[key]
    )
    if specified or any(parameters["donated_invars"]) or parameters["compiler_options_kvs"]:
        read_whole(reader, scope, equation, inputs)
        return True
    _read_call(reader, scope, equation, inputs, parameters["jaxpr"], parameters["name"])
    return True


def _read_plain_call(reader: Reader, scope: Any, equation: Any, inputs: Sequence[Node]) -> bool:
    _read_call(reader, scope, equation, inputs, equation.params["call_jaxpr"], "")
    return True


def _read_call(
    reader: Reader, scope: Any, equation: Any, inputs: Sequence[Node], jaxpr: Any, name: str
) -> None:
    body = reader.nested(jaxpr, name)
    attributes = {"body": body.graph, "name": "" if _is_library(jaxpr) else name}
    operands = [*inputs, *reader.lift(scope, body)]
    reader.emit(scope, equation, "call", operands, attributes, body.graph.has_effects)


def _source(jaxpr: Any) -> tuple[str, str]:
    """The name and file of the function that a jaxpr was traced from."""
    info = getattr(getattr(jaxpr, "jaxpr", jaxpr), "debug_info", None)
    text = getattr(info, "func_src_info", None) or ""
    name, _, place = text.partition(" at ")
    return name, place.rpartition(":")[0]


def _is_library(jaxpr: Any) -> bool:
    return _source(jaxpr)[1].startswith(_JAX_FOLDER)


def _lifted_first(inner: ReadGraph) -> Graph:
    """The graph with the parameters for closed-over arrays in front, where loops want constants."""
    count = len(inner.graph.parameters)
    lifted = len(inner.lifted)
    if not lifted:
        return inner.graph
    order = [*range(count - lifted, count), *range(count - lifted)]
    return permute_parameters(inner.graph, order)


def _read_scan(reader: Reader, scope: Any, equation: Any, inputs: Sequence[Node]) -> bool:
    parameters = equation.params
    if "num_carry" in parameters:
        consts, carry = parameters["num_consts"], parameters["num_carry"]
    else:
        groups = parameters["ft_in"].unpack()
        consts, carry = len(groups[0]), len(groups[1])
    body = reader.nested(parameters["jaxpr"])
    lifted = reader.lift(scope, body)
    attributes = {
        "body": _lifted_first(body),
        "consts": consts + len(lifted),
        "carry": carry,
        "length": parameters["length"],
        "reverse": parameters["reverse"],
        "unroll": parameters["unroll"],
    }
    if parameters.get("_split_transpose"):
        attributes["split_transpose"] = True
    reader.emit(scope, equation, "scan", [*lifted, *inputs], attributes, body.graph.has_effects)
    return True


def _read_while(reader: Reader, scope: Any, equation: Any, inputs: Sequence[Node]) -> bool:
    parameters = equation.params
    condition = reader.nested(parameters["cond_jaxpr"])
    body = reader.nested(parameters["body_jaxpr"])
    # A condition on a whole batch, as vmap makes it, is more than lax.while_loop takes.
    if condition.graph.has_effects or condition.graph.result_types[0].shape:
        read_whole(reader, scope, equation, inputs)
        return True
    condition_consts, body_consts = parameters["cond_nconsts"], parameters["body_nconsts"]
    for_condition, for_body = reader.lift(scope, condition), reader.lift(scope, body)
    split = condition_consts + body_consts
    operands = [
        *for_condition,
        *inputs[:condition_consts],
        *for_body,
        *inputs[condition_consts:split],
        *inputs[split:],
    ]
    attributes = {
        "condition": _lifted_first(condition),
        "body": _lifted_first(body),
        "condition_consts": condition_consts + len(for_condition),
        "body_consts": body_consts + len(for_body),
    }
    reader.emit(scope, equation, "while", operands, attributes, body.graph.has_effects)
    return True


_TARGETS = frozenset(["cpu", "cuda", "gpu", "metal", "rocm", "tpu"])


def _names_a_target(platforms: tuple[tuple[str, ...] | None, ...]) -> bool:
    """Whether a choice by platform, the default last, is one between those that programs run on.

    JAX chooses by `mosaic`, too, the inside of a Pallas kernel.
    """
    return platforms[-1] is not None or any(
        group is None or not _TARGETS.isdisjoint(group) for group in platforms[:-1]
    )


def _read_cond(reader: Reader, scope: Any, equation: Any, inputs: Sequence[Node]) -> bool:
    platforms = equation.params.get("branches_platforms")
    if platforms is not None and not _names_a_target(platforms):
        _read_call(reader, scope, equation, inputs[1:], equation.params["branches"][-1], "")
        return True
    branches = [reader.nested(branch) for branch in equation.params["branches"]]
    # Only JAX knows to leave out the branches that are meant for other platforms.
    if platforms is not None or any(branch.lifted for branch in branches):
        read_whole(reader, scope, equation, inputs)
        return True
    graphs = tuple(branch.graph for branch in branches)
    effects = any(graph.has_effects for graph in graphs)
    reader.emit(scope, equation, "cond", inputs, {"branches": graphs}, effects)
    return True


def _read_checkpoint(reader: Reader, scope: Any, equation: Any, inputs: Sequence[Node]) -> bool:
    parameters = equation.params
    body = reader.nested(parameters["jaxpr"])
    prevent_cse = parameters["prevent_cse"]
    if isinstance(prevent_cse, tuple):
        prevent_cse += (True,) * len(body.lifted)
    attributes = {
        "body": body.graph,
        "prevent_cse": prevent_cse,
        "differentiated": parameters["differentiated"],
        "policy": parameters["policy"],
    }
    operands = [*inputs, *reader.lift(scope, body)]
    reader.emit(scope, equation, "checkpoint", operands, attributes, body.graph.has_effects)
    return True


def _is_inexact(type_: Type) -> bool:
    return isinstance(type_.dtype, np.dtype) and jax.numpy.issubdtype(type_.dtype, np.inexact)


def _zero_tangent(type_: Type) -> np.ndarray:
    return np.zeros(type_.shape, jax.dtypes.float0)


def _structs(types: Sequence[Type]) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(t.shape, t.dtype, weak_type=t.weak) for t in types]


def _holds_exported(graph: Graph) -> bool:
    """Whether a graph calls an exported program, whose derivative is one more exported program."""
    return any(item.operation == "call_exported" for item in graph.nodes)


def _rule_parts(parameters: dict[str, Any]) -> tuple[Opaque, ...]:
    """What a custom rule consists of: the user's functions, and the static arguments given to them.

    Two calls with the same body and the same parts are calls of the same function.
    """
    found: dict[Opaque, None] = {}
    seen: set[int] = set()
    stack = [parameters.get(key) for key in ("jvp_jaxpr_fun", "fwd_jaxpr_thunk", "bwd")]
    while stack:
        item = stack.pop()
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        code = getattr(item, "__code__", None)
        if isinstance(item, tuple | list):
            stack.extend(item)
        elif type(item).__name__ in ("Unhashable", "Hashable"):
            # So JAX wraps a static argument.
            found[Opaque(item.val)] = None
        elif hasattr(item, "call_wrapped"):
            stack.append(item.f)
            stack.extend(arguments for _, arguments in item.transforms)
        elif code is not None and code.co_filename.startswith(_JAX_INTERNALS):
            stack.extend(cell.cell_contents for cell in item.__closure__ or ())
        elif callable(item):
            found[Opaque(item)] = None
    return tuple(found)


def _read_custom(
    reader: Reader,
    scope: Any,
    equation: Any,
    inputs: Sequence[Node],
    operation: str,
    trace_rule: Callable[[Any, list[Type], list[Type]], dict[str, Any]],
) -> bool:
    """Read a call that has its own derivative rule, with the rule traced beside it."""
    jaxpr = equation.params["call_jaxpr"]
    body = reader.nested(jaxpr)
    types = [item.type for item in inputs]
    results = [reader.type(variable.aval) for variable in equation.outvars]
    # What a rule closes over, or does with symbolic zeros, only JAX can carry.
    portable = (
        not body.lifted
        and not equation.effects
        and not equation.params.get("symbolic_zeros")
        and all(type_.extra is None for type_ in (*types, *results))
        and not any(_holds_exported(inner) for inner in body.graph.walk())
    )
    name, file = _source(jaxpr)
    attributes: dict[str, Any] = {"body": body.graph, "name": name}
    identity = (operation, body.graph, _rule_parts(equation.params))
    if portable and file.startswith(_JAX_FOLDER) and name in _LIBRARY_FUNCTIONS:
        attributes["library"] = _LIBRARY_FUNCTIONS[name]
    elif portable and identity in reader.rules_being_read:
        # A rule that calls its own function: in the emitted program it does the same by name.
        attributes["recursive"] = True
        reader.rules_recurring.add(identity)
    elif portable and identity in reader.rules_read:
        attributes |= reader.rules_read[identity]
    elif len(reader.rules_being_read) >= _MAX_RULE_DEPTH:
        portable = False
    elif portable:
        reader.rules_being_read.add(identity)
        try:
            traced = trace_rule(partial(evaluate_equation, equation), types, results)
        except Exception:
            # A rule may refuse: JAX raises its error if and when the user differentiates.
            portable = False
        else:
            for key, value in traced.items():
                read = reader.nested(value)
                portable = portable and not read.lifted and not read.graph.has_effects
                attributes[key] = read.graph
            reader.rules_recurring.discard(identity)
            # What calls a function whose rule is being read means nothing outside of that rule.
            if portable and not reader.rules_recurring:
                reader.rules_read[identity] = {key: attributes[key] for key in traced}
        finally:
            reader.rules_being_read.discard(identity)
            reader.rules_recurring.discard(identity)
    if not portable:
        read_whole(reader, scope, equation, inputs)
        return True
    reader.emit(scope, equation, operation, inputs, attributes, False)
    return True


def _trace_jvp(
    function: Callable[..., list[Any]], types: list[Type], results: list[Type]
) -> dict[str, Any]:
    """Trace a rule as a function of the primals, then the tangents of the inexact ones."""
    inexact = [_is_inexact(type_) for type_ in types]

    def rule(primals: list[Any], tangents: list[Any]) -> list[Any]:
        given = iter(tangents)
        full = [
            next(given) if real else _zero_tangent(type_)
            for real, type_ in zip(inexact, types, strict=True)
        ]
        values, derivatives = jax.jvp(function, primals, full)
        kept = [d for d, type_ in zip(derivatives, results, strict=True) if _is_inexact(type_)]
        return [*values, *kept]

    tangents = _structs([type_ for type_ in types if _is_inexact(type_)])
    return {"rule": jax.make_jaxpr(rule)(_structs(types), tangents)}


def _trace_vjp(
    function: Callable[..., list[Any]], types: list[Type], results: list[Type]
) -> dict[str, Any]:
    """Trace a rule's two halves: primals to results and residuals, and those to cotangents."""
    trees = []
    real_results = [_is_inexact(type_) for type_ in results]

    def forward(*primals: Any) -> list[Any]:
        values, pullback = jax.vjp(function, *primals)
        residuals, tree = jax.tree.flatten(pullback)
        trees.append(tree)
        return [*values, *residuals]

    forward_jaxpr = jax.make_jaxpr(forward)(*_structs(types))
    residual_types = [variable.aval for variable in forward_jaxpr.jaxpr.outvars[len(results) :]]

    def backward(residuals: list[Any], cotangents: list[Any]) -> list[Any]:
        pullback = jax.tree.unflatten(trees[-1], residuals)
        given = iter(cotangents)
        full = [
            next(given) if real else _zero_tangent(type_)
            for real, type_ in zip(real_results, results, strict=True)
        ]
        found = pullback(full)
        return [value for value, t in zip(found, types, strict=True) if _is_inexact(t)]

    residuals = [
        jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)
        for aval in residual_types
    ]
    cotangents = _structs([type_ for type_ in results if _is_inexact(type_)])
    backward_jaxpr = jax.make_jaxpr(backward)(residuals, cotangents)
    return {"forward": forward_jaxpr, "backward": backward_jaxpr}


def _read_custom_jvp(reader: Reader, scope: Any, equation: Any, inputs: Sequence[Node]) -> bool:
    return _read_custom(reader, scope, equation, inputs, "custom_jvp", _trace_jvp)


def _read_custom_vjp(reader: Reader, scope: Any, equation: Any, inputs: Sequence[Node]) -> bool:
    return _read_custom(reader, scope, equation, inputs, "custom_vjp", _trace_vjp)


def _read_linear_solve(reader: Reader, scope: Any, equation: Any, inputs: Sequence[Node]) -> bool:
    jaxprs, lengths = equation.params["jaxprs"], equation.params["const_lengths"]
    if any(jaxpr is None for jaxpr in jaxprs) or equation.effects:
        return False
    # Which mesh axes a value varies over, lax.custom_linear_solve settles by rules of its own.
    if any(item.type.extra is not None for item in inputs):
        return False
    read = [reader.nested(jaxpr) for jaxpr in jaxprs]
    if any(item.lifted for item in read):
        return False
    attributes: dict[str, Any] = {"const_lengths": tuple(lengths)}
    for key, item in zip(("matvec", "vecmat", "solve", "transpose_solve"), read, strict=True):
        attributes[key] = item.graph
    reader.emit(scope, equation, "linear_solve", inputs, attributes, False)
    return True


READERS: dict[str, Callable[[Reader, Any, Any, Sequence[Node]], bool]] = {
    "jit": _read_jit,
    "pjit": _read_jit,
    "closed_call": _read_plain_call,
    "core_call": _read_plain_call,
    "call": _read_plain_call,
    "scan": _read_scan,
    "while": _read_while,
    "cond": _read_cond,
    "checkpoint": _read_checkpoint,
    "remat2": _read_checkpoint,
    "custom_jvp_call": _read_custom_jvp,
    "custom_vjp_call": _read_custom_vjp,
    "custom_vjp_call_jaxpr": _read_custom_vjp,
    "custom_linear_solve": _read_linear_solve,
}
"""The readers of equations with a form of their own; one that returns False declines."""
