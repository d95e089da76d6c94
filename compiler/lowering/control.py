"""Writing the operations that hold graphs: calls, loops, branches, custom derivative rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.compiler.ir import Graph, Node, Type, unwrap
from xlathe.compiler.lowering.attention import write_attention, write_attention_grad
from xlathe.compiler.lowering.signature import (
    Group,
    Signature,
    flat_signature,
    pack,
    tuple_text,
    whole_group,
)

if TYPE_CHECKING:
    from xlathe.compiler.lowering.emit import FunctionEmitter

Written = tuple[str, str]
"""An expression, and how its results are packed: `bare` (a value or a tuple), `list`, or the
number of results in the first of two groups; `with name` where the expression also returns what
has this name; `tuple` where it returns one for each operand, of which some are wanted."""


def _apply(function: str, arguments: list[str]) -> str:
    return f"{function}({', '.join(arguments)})"


def _with_consts(function: str, consts: list[str]) -> str:
    return _apply("partial", [function, *consts]) if consts else function


def _plain(emitter: FunctionEmitter, graph: Graph, name: str = "") -> str:
    return emitter.module.function(graph, flat_signature(len(graph.parameters)), name)


def _write_call(emitter: FunctionEmitter, item: Node) -> Written:
    function = _plain(emitter, item["body"], item["name"])
    return _apply(function, emitter.arguments(emitter.inputs(item))), "bare"


def _write_body(emitter: FunctionEmitter, item: Node) -> Written:
    function = _plain(emitter, item["body"], item.operation)
    return _apply(function, emitter.arguments(item.inputs)), "bare"


def _write_composite(emitter: FunctionEmitter, item: Node) -> Written:
    """The call of a composite; of its `jax.vjp`, where its gradient stands in the same function."""
    name: str = item["name"]
    operands = emitter.arguments(item.inputs)
    keywords = [f"{key}={_keyword(emitter, value)}" for key, value in item["keywords"]]
    function = name if "." in name else _plain(emitter, item["body"], name)
    readers = emitter.readers.get(item, ())
    if not any(reader.operation == "composite_grad" for reader in readers):
        return _apply(function, [*operands, *keywords]), "bare"
    pullback = emitter.names.unique(f"{item['body'].name}_vjp")
    emitter.pullbacks[item] = pullback
    function = _apply("partial", [function, *keywords]) if keywords else function
    return _apply("jax.vjp", [function, *operands]), f"with {pullback}"


def _write_composite_grad(emitter: FunctionEmitter, item: Node) -> Written:
    """The call of the pullback that `jax.vjp` returned beside the composite's result."""
    composite, cotangent = item.inputs
    return _apply(emitter.pullbacks[composite], emitter.arguments([cotangent])), "tuple"


def _keyword(emitter: FunctionEmitter, value: Any) -> str:
    return emitter.dtype(value) if isinstance(value, np.dtype) else emitter.literal(value)


def _write_scan(emitter: FunctionEmitter, item: Node) -> Written:
    body: Graph = item["body"]
    consts, carry = item["consts"], item["carry"]
    operands = emitter.operands(emitter.inputs(item))
    signature = Signature(
        consts,
        (
            whole_group("carry", carry),
            whole_group("xs", len(operands) - consts - carry),
        ),
        results=(
            whole_group("carry", carry),
            whole_group("ys", len(body.results) - carry),
        ),
    )
    function = emitter.module.function(body, signature)
    xs = operands[consts + carry :]
    arguments = [
        _with_consts(function, emitter.arguments(item.inputs[:consts])),
        pack(operands[consts : consts + carry]),
        pack(xs, empty="None"),
    ]
    if not xs:
        arguments.append(f"length={item['length']}")
    if item["reverse"]:
        arguments.append("reverse=True")
    if item["unroll"] != 1:
        arguments.append(f"unroll={item['unroll']}")
    if "split_transpose" in item.attributes:
        arguments.append("_split_transpose=True")
    return _apply("lax.scan", arguments), str(carry)


def _write_while(emitter: FunctionEmitter, item: Node) -> Written:
    first, second = item["condition_consts"], item["body_consts"]
    operands = emitter.operands(emitter.inputs(item))
    carry = operands[first + second :]
    group = whole_group("carry", len(carry))
    condition = emitter.module.function(item["condition"], Signature(first, (group,)), "condition")
    body = emitter.module.function(item["body"], Signature(second, (group,)))
    return _apply(
        "lax.while_loop",
        [
            _with_consts(condition, emitter.arguments(item.inputs[:first])),
            _with_consts(body, emitter.arguments(item.inputs[first : first + second])),
            pack(carry),
        ],
    ), "bare"


def _write_cond(emitter: FunctionEmitter, item: Node) -> Written:
    branches = [_plain(emitter, branch, "branch") for branch in item["branches"]]
    index, *operands = emitter.inputs(item)
    rest = emitter.operands(operands)
    if len(branches) == 2 and index.operation == "convert_element_type":
        predicate = index.inputs[0]
        if predicate.type.dtype == np.bool_:
            return _apply(
                "lax.cond", [emitter.operand(predicate), branches[1], branches[0], *rest]
            ), "bare"
    chosen = emitter.operand(_before_clamp(index, len(branches)))
    return _apply("lax.switch", [chosen, f"[{', '.join(branches)}]", *rest]), "bare"


def _before_clamp(index: Node, count: int) -> Node:
    """The index as the user gave it: `lax.switch` clamps it again."""
    if index.operation != "clamp":
        return index
    low, inner, high = index.inputs
    known = low.is_constant and high.is_constant
    return inner if known and int(low.value) == 0 and int(high.value) == count - 1 else index


def _policy_text(emitter: FunctionEmitter, policy: Any) -> str:
    for name in dir(jax.checkpoint_policies):
        if getattr(jax.checkpoint_policies, name) is unwrap(policy):
            return f"jax.checkpoint_policies.{name}"
    return emitter.literal(policy)


def _write_checkpoint(emitter: FunctionEmitter, item: Node) -> Written:
    function = _plain(emitter, item["body"], "checkpointed")
    operands = emitter.arguments(emitter.inputs(item))
    prevent_cse = item["prevent_cse"]
    if not item["differentiated"]:
        options = [f"prevent_cse={prevent_cse}"] if prevent_cse is not True else []
        if item["policy"] is not None:
            options.append(f"policy={_policy_text(emitter, item['policy'])}")
        checkpointed = _apply("jax.checkpoint", [function, *options])
        return _apply(checkpointed, operands), "bare"
    # The backward half of a checkpoint: the barrier keeps XLA from sharing it with the forward.
    barred = prevent_cse if isinstance(prevent_cse, tuple) else (prevent_cse,) * len(operands)
    if not any(barred):
        return _apply(function, operands), "bare"
    if all(barred):
        barrier = f"lax.optimization_barrier({tuple_text(operands)})"
        return _apply(function, [f"*{barrier}"]), "bare"
    arguments = [
        f"lax.optimization_barrier({operand})" if bar else operand
        for operand, bar in zip(operands, barred, strict=True)
    ]
    return _apply(function, arguments), "bare"


def _inexact(types: tuple[Type, ...]) -> tuple[bool, ...]:
    return tuple(
        isinstance(type_.dtype, np.dtype) and bool(jnp.issubdtype(type_.dtype, jnp.inexact))
        for type_ in types
    )


def _float0_texts(types: tuple[Type, ...], inexact: tuple[bool, ...]) -> tuple[str, ...]:
    return tuple(
        f"np.zeros({type_.shape}, jax.dtypes.float0)"
        for type_, real in zip(types, inexact, strict=True)
        if not real
    )


def _custom_name(emitter: FunctionEmitter, item: Node) -> tuple[str, bool]:
    """The name of a function with a rule of its own, and whether it has yet to be written.

    A call in the rule itself carries no rule: it means the function whose rule is being written.
    """
    module = emitter.module
    function = (item.operation, item["body"], item["name"])
    if "recursive" in item.attributes:
        return module.rules_being_written[function], False
    rule = item.attributes.get("rule") or item["backward"]
    name, is_new = module.once((*function, rule), item["name"] or "custom")
    if is_new:
        module.rules_being_written[function] = name
    return name, is_new


def _write_custom_jvp(emitter: FunctionEmitter, item: Node) -> Written:
    operands = emitter.arguments(item.inputs)
    library = item.attributes.get("library")
    if library is not None:
        return _apply(library, operands), "bare"
    module = emitter.module
    body = item["body"]
    name, is_new = _custom_name(emitter, item)
    if is_new:
        rule = item["rule"]
        types = tuple(source.type for source in item.inputs)
        module.decorated("jax.custom_jvp", body, name)
        real_inputs, real_results = _inexact(types), _inexact(item.types)
        signature = Signature(
            0,
            (
                Group("primals", (True,) * len(types), always_tuple=True),
                Group("tangents", real_inputs, always_tuple=True),
            ),
            results=(
                Group("values", (True,) * len(item.types)),
                Group("derivatives", real_results, absent=_float0_texts(item.types, real_results)),
            ),
        )
        derivative = module.function(rule, signature, f"{name}_jvp")
        module.functions.append(f"{name}.defjvp({derivative})")
    return _apply(name, operands), "bare"


def _write_custom_vjp(emitter: FunctionEmitter, item: Node) -> Written:
    module = emitter.module
    body = item["body"]
    name, is_new = _custom_name(emitter, item)
    if is_new:
        forward, backward = item["forward"], item["backward"]
        types = tuple(source.type for source in item.inputs)
        values = len(item.types)
        residuals = len(forward.results) - values
        real_inputs, real_results = _inexact(types), _inexact(item.types)
        module.decorated("jax.custom_vjp", body, name)
        forward_signature = Signature(
            len(types),
            results=(
                whole_group("values", values),
                Group("residuals", (True,) * residuals, always_tuple=True),
            ),
        )
        backward_signature = Signature(
            0,
            (
                Group("residuals", (True,) * residuals, always_tuple=True),
                Group("cotangents", real_results),
            ),
            results=(
                Group(
                    "cotangents",
                    real_inputs,
                    always_tuple=True,
                    absent=("None",) * (len(types) - sum(real_inputs)),
                ),
            ),
        )
        first = module.function(forward, forward_signature, f"{name}_forward")
        second = module.function(backward, backward_signature, f"{name}_backward")
        module.functions.append(f"{name}.defvjp({first}, {second})")
    return _apply(name, emitter.arguments(item.inputs)), "bare"


def _write_linear_solve(emitter: FunctionEmitter, item: Node) -> Written:
    operands = emitter.arguments(item.inputs)
    consts = []
    for length in item["const_lengths"]:
        consts.append(operands[:length])
        operands = operands[length:]
    group = whole_group("b", len(operands))

    def function(key: str, own: list[str]) -> str:
        return emitter.module.function(item[key], Signature(len(own), (group,)), key)

    # lax hands the solvers the product as well, which they have no use for.
    solvers = [
        f"lambda _, b: {_apply(function(key, own), [*own, 'b'])}"
        for key, own in (("solve", consts[2]), ("transpose_solve", consts[3]))
    ]
    matvec = _with_consts(function("matvec", consts[0]), consts[0])
    arguments = [matvec, pack(operands), *solvers]
    if item["matvec"] == item["vecmat"] and consts[0] == consts[1]:
        arguments.append("symmetric=True")
    return _apply("lax.custom_linear_solve", arguments), "bare"


def _write_equation(emitter: FunctionEmitter, item: Node) -> Written:
    function = emitter.module.refer(item["function"])
    return _apply(function, emitter.operands(emitter.inputs(item))), "list"


def _write_debug_print(emitter: FunctionEmitter, item: Node) -> Written | None:
    attributes = item.attributes
    positional = unwrap(attributes["in_tree"]) == jax.tree.structure(
        ((None,) * len(emitter.inputs(item)), {}), is_leaf=lambda leaf: leaf is None
    )
    if not positional or attributes["static_args"] or attributes["partitioned"]:
        return None
    arguments = [repr(attributes["fmt"]), *emitter.operands(emitter.inputs(item))]
    if attributes["ordered"]:
        arguments.append("ordered=True")
    return _apply("jax.debug.print", arguments), "bare"


WRITERS: dict[str, Callable[[Any, Node], Written | None]] = {
    "attention": _write_body,
    "attention_grad": _write_body,
    "attention_kernel": write_attention,
    "attention_kernel_grad": write_attention_grad,
    "call": _write_call,
    "composite": _write_composite,
    "composite_grad": _write_composite_grad,
    "scan": _write_scan,
    "while": _write_while,
    "cond": _write_cond,
    "checkpoint": _write_checkpoint,
    "custom_jvp": _write_custom_jvp,
    "custom_vjp": _write_custom_vjp,
    "linear_solve": _write_linear_solve,
    "equation": _write_equation,
    "debug_print": _write_debug_print,
}
"""How operations that hold a graph, or do more than compute, are written; None means `bind`."""
