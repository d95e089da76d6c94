"""The backward of an attention, found in a program that holds both directions.

JAX derives a backward from the forward's own operations. So the backward of an attention that was
recognised needs no pattern: JAX derives it once more, from the forward alone; over the cotangent
that stands in the program it gives the very nodes that the program holds, since nodes are interned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import jax.numpy as jnp

from xlathe.compiler.attention.dropout import Path
from xlathe.compiler.attention.read import Attention, below, products_of
from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.ir.rewrite import instantiate
from xlathe.compiler.ops.build import make
from xlathe.compiler.passes.fold_constants import fold_node
from xlathe.compiler.passes.simplify import SIMPLIFICATIONS

Derive = Callable[[Graph], Graph | None]
"""From a graph of one result to its pullback: a graph of the same parameters and a cotangent, whose
results are the cotangents of the parameters that are floating point numbers, in order."""


@dataclass(frozen=True)
class Gradient:
    """Cotangents of an attention's leaves, as they stand in the program.

    Attributes:
        cotangent: that of the attention's result.
        wanted: which of the leaves they belong to.
        body: the pullback, as a graph over the leaves and the cotangent, whose results are those of
            its cotangents that the program has a use for.
        found: for each of these, its node in the program,
        permutations: and the order of the axes that makes the node of it.
        nodes: the nodes between leaves, cotangent and found nodes.
    """

    cotangent: Node
    wanted: tuple[int, ...]
    body: Graph
    found: tuple[Node, ...]
    permutations: tuple[tuple[int, ...], ...]
    nodes: AbstractSet[Node]


def gradients_of(
    attention: Attention,
    readers: Mapping[Node, Sequence[Node]],
    present: AbstractSet[Node],
    derive: Derive,
) -> tuple[list[Gradient], AbstractSet[Node]]:
    """The gradients of an attention that stand in a program, and all that JAX derives of it.

    Args:
        attention: the attention.
        readers: who reads each node of the program.
        present: the program's nodes.
        derive: gives the pullback of a graph.
    """
    found: list[Gradient] = []
    derived: set[Node] = set()
    for cotangent in _cotangents(attention, readers):
        pullback = derive(attention.body)
        if pullback is None:
            break
        sources = (*attention.leaves, cotangent)
        mapping = dict(zip(pullback.parameters, sources, strict=True))
        results, _, _ = instantiate(pullback, mapping, change=simplified)
        for result in results:
            derived.update(below(result, sources))
        gradient = _look_up(attention, cotangent, pullback, results, present)
        if gradient is not None:
            found.append(gradient)
    return found, derived


def _cotangents(attention: Attention, readers: Mapping[Node, Sequence[Node]]) -> list[Node]:
    """What stands where the result's cotangent would: beside the values, and the weights."""
    found: dict[Node, None] = {}
    result = attention.result
    products = [(reader, attention.value) for reader in readers.get(attention.value, ())]
    products += [(item, path[-1]) for item, path in products_of(attention.weights, readers)]
    for product, operand in products:
        if product.operation != "dot_general" or product is result:
            continue
        left, right = product.inputs
        other = right if left is operand else left
        if other.type.shape == result.type.shape and other.type.dtype == result.type.dtype:
            found[other] = None
    return list(found)


def forgotten_product(
    weights: Node, readers: Mapping[Node, Sequence[Node]]
) -> tuple[Node, Path] | None:
    """The product of weights and values where only its backward is left, as in a checkpoint.

    The cotangent of the result meets the weights, which gives that of the values, and the values,
    which gives that of the weights. From these two products the forward's is put together.

    Args:
        weights: the softmax.
        readers: who reads each node of the program.

    Returns:
        The product, which is no part of the program, and the path from the weights to it.
    """
    for product, path in products_of(weights, readers):
        moved = path[-1]
        left, right = product.inputs
        cotangent = right if left is moved else left
        for other in readers.get(cotangent, ()):
            if other.operation != "dot_general" or other is product:
                continue
            found = _put_together(product, other, cotangent, moved)
            if found is not None:
                return found, path
    return None


def _put_together(
    with_weights: Node, with_values: Node, cotangent: Node, weights: Node
) -> Node | None:
    sides = (with_weights.inputs.index(cotangent), with_values.inputs.index(cotangent))
    pairs: list[dict[int, int]] = []
    for product, side in zip((with_weights, with_values), sides, strict=True):
        contracted, batch = product["dimension_numbers"]
        pairs.append(dict(zip(batch[side], batch[1 - side], strict=True)))
        pairs.append(dict(zip(contracted[side], contracted[1 - side], strict=True)))
    of_weights, rows, of_values, depth = pairs
    values = with_values.inputs[1 - sides[1]]
    shared = list(of_weights)
    axes = range(cotangent.type.rank)
    if shared != list(range(len(shared))) or list(of_values) != shared or len(depth) != 1:
        return None
    if {*shared, *rows, *depth} != set(axes) or values.type.rank != len(shared) + 2:
        return None
    keys = [
        axis
        for axis in range(weights.type.rank)
        if axis not in of_weights.values() and axis not in rows.values()
    ]
    taken = (*of_values.values(), *depth.values())
    value_keys = [axis for axis in range(values.type.rank) if axis not in taken]
    operands = [weights, values]
    contracted = [tuple(keys), tuple(value_keys)]
    batch = [tuple(of_weights[axis] for axis in shared), tuple(of_values[axis] for axis in shared)]
    if len(shared) in depth:
        operands, contracted, batch = operands[::-1], contracted[::-1], batch[::-1]
    if len(keys) != 1 or any(size.type.dtype != values.type.dtype for size in operands):
        return None
    numbers = (tuple(contracted), tuple(batch))
    made = make(
        "dot_general", *operands, **{**with_weights.attributes, "dimension_numbers": numbers}
    )
    return made if made.type is cotangent.type else None


def _look_up(
    attention: Attention,
    cotangent: Node,
    pullback: Graph,
    results: Sequence[Node],
    present: AbstractSet[Node],
) -> Gradient | None:
    sources = (*attention.leaves, cotangent)
    real = [
        index
        for index, leaf in enumerate(attention.leaves)
        if jnp.issubdtype(leaf.type.dtype, jnp.floating)
    ]
    wanted, kept, found, permutations = [], [], [], []
    for index, inside, result in zip(real, pullback.results, results, strict=True):
        hit = _standing(result, present)
        if hit is not None and inside.type.shape == result.type.shape:
            wanted.append(index)
            kept.append(inside)
            found.append(hit[0])
            permutations.append(hit[1])
    if not found:
        return None
    nodes: set[Node] = set()
    for item in found:
        nodes.update(below(item, sources))
    body = Graph(pullback.parameters, kept, name="attention_grad", origins=pullback.origins)
    return Gradient(cotangent, tuple(wanted), body, tuple(found), tuple(permutations), nodes)


def _standing(result: Node, present: AbstractSet[Node]) -> tuple[Node, tuple[int, ...]] | None:
    """The node that stands in the program, and the order of axes that makes it of the result."""
    order = tuple(range(result.type.rank))
    while result not in present:
        if result.operation != "transpose":
            return None
        # result = transpose(inner, p), so that inner = transpose(result, inverse of p)
        inverse = sorted(range(len(order)), key=result["permutation"].__getitem__)
        order = tuple(order[axis] for axis in inverse)
        result = result.inputs[0]
    return None if result.operation == "parameter" else (result, order)


def simplified(item: Node) -> Node | None:
    """What the exact passes make of a node whose inputs they have been over; None if it stays."""
    folded = fold_node(item)
    return folded if folded is not None else SIMPLIFICATIONS(item)
