"""Nodes as short formulas in the user's names, for `explain()`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from xlathe.compiler.ir import Node, Origin
from xlathe.compiler.ir.graph import NO_ORIGIN
from xlathe.compiler.ops.build import transposed
from xlathe.compiler.ops.elementwise import filled_scalar
from xlathe.compiler.ops.table import ADD, ATOM, COMPARE, MULTIPLY, UNARY, Expression
from xlathe.compiler.structure.systems import is_inverse, system_of

_INFIX = {"add": ("+", ADD), "sub": ("-", ADD), "mul": ("*", MULTIPLY), "div": ("/", MULTIPLY)}
_MAX_DEPTH = 12


def formula(
    item: Node, origins: Mapping[Node, Origin], leaves: Collection[Node] = frozenset()
) -> str:
    """Write a node as a formula.

    Args:
        item: the node.
        origins: where nodes come from; a node that has a name is written by it.
        leaves: nodes at which the formula ends; where any are given, names between do not end it.
    """
    return _Formula(origins, leaves).expression(item, 0, is_root=True).text


class _Formula:
    def __init__(self, origins: Mapping[Node, Origin], leaves: Collection[Node]) -> None:
        self.origins = origins
        self.leaves = leaves
        self.known: dict[tuple[Node, int], Expression] = {}

    def operand(self, item: Node, depth: int, level: int) -> str:
        text, own = self.expression(item, depth)
        return f"({text})" if own < level else text

    def expression(self, item: Node, depth: int, is_root: bool = False) -> Expression:
        name = self.origins.get(item, NO_ORIGIN).name
        is_end = item in self.leaves or not self.leaves
        if name and ((is_end and not is_root) or not item.inputs):
            return Expression(name)
        if item.operation == "parameter":
            return Expression(f"x{item['index']}")
        scalar = item if item.is_constant else filled_scalar(item)
        if scalar is not None and scalar.is_constant and not scalar.type.shape:
            return Expression(f"{scalar.value.item():.4g}")
        if depth > _MAX_DEPTH or (item in self.leaves and not is_root):
            return Expression("…" if depth > _MAX_DEPTH else f"{item.operation}(…)")
        found = self.known.get((item, depth))
        if found is None:
            found = self.known[item, depth] = self.written(item, depth + 1)
        return found

    def written(self, item: Node, depth: int) -> Expression:
        inputs = item.inputs
        if item.operation in _INFIX:
            sign, level = _INFIX[item.operation]
            left, right = inputs
            # Neither a - (b - c) nor a / (b / c) may lose its parentheses.
            return Expression(
                f"{self.operand(left, depth, level)} {sign} "
                f"{self.operand(right, depth, level + 1)}",
                level,
            )
        if item.operation == "neg":
            return Expression(f"-{self.operand(inputs[0], depth, UNARY)}", UNARY)
        if item.operation == "transpose":
            if inputs[0].operation == "linear_solve" and item["permutation"] == (1, 0):
                return self.solution(inputs[0], depth, True)
            swapped = item["permutation"] == tuple(reversed(range(item.type.rank)))
            end = "T" if swapped else f"transpose{item['permutation']}"
            text = self.operand(inputs[0], depth, ATOM)
            if swapped and text.endswith(".T"):
                return Expression(text[:-2])
            return Expression(f"{text}.{end}")
        if item.operation == "reduce_sum":
            axes = item["axes"]
            every = len(axes) == inputs[0].type.rank
            inside = "" if every else str(axes[0] if len(axes) == 1 else axes)
            return Expression(f"{self.operand(inputs[0], depth, ATOM)}.sum({inside})")
        if item.operation == "slice" and item["strides"] is None:
            ranges = [
                ":" if (low, high) == (0, size) else f"{low}:{high}" if high > low + 1 else f"{low}"
                for low, high, size in zip(
                    item["start_indices"], item["limit_indices"], inputs[0].type.shape, strict=True
                )
            ]
            return Expression(f"{self.operand(inputs[0], depth, ATOM)}[{', '.join(ranges)}]")
        if item.operation in ("broadcast_in_dim", "reshape", "convert_element_type"):
            return self.expression(inputs[0], depth)
        if item.operation == "square":
            return Expression(f"{self.operand(inputs[0], depth, ATOM)}**2", UNARY)
        if item.operation == "dot_general":
            return self.product(item, depth)
        if item.operation == "linear_solve":
            return self.solution(item, depth)
        if item.operation in ("assume", "stop_gradient"):
            return self.expression(inputs[0], depth)
        arguments = ", ".join(self.operand(source, depth, COMPARE) for source in inputs)
        return Expression(f"{item.operation}({arguments})")

    def product(self, item: Node, depth: int) -> Expression:
        left, right = item.inputs
        (left_axes, right_axes), (left_batch, _) = item["dimension_numbers"]
        if left_batch or len(left_axes) > 1 or max(left.type.rank, right.type.rank) > 2:
            letters = iter("abcdefghijklmnopqrstuvwxyz")
            labels = einsum_labels(item, letters)
            operands = [self.operand(source, depth, COMPARE) for source in item.inputs]
            return Expression(f"einsum('{labels}', {', '.join(operands)})")
        if not left_axes:
            operands = [self.operand(source, depth, COMPARE) for source in item.inputs]
            return Expression(f"outer({', '.join(operands)})")
        texts = []
        for source, axes, plain, level in (
            (left, left_axes, left.type.rank - 1, MULTIPLY),
            (right, right_axes, 0, MULTIPLY + 1),
        ):
            if axes == (plain,):
                texts.append(self.operand(source, depth, level))
            else:
                texts.append(f"{self.operand(source, depth, ATOM)}.T")
        return Expression(" @ ".join(texts), MULTIPLY)

    def solution(self, item: Node, depth: int, flipped: bool = False) -> Expression:
        system = system_of(item)
        if system is None:
            return Expression(f"solve({self.operand(item.inputs[-1], depth, COMPARE)})")
        matrix = self.operand(system.matrix, depth, ATOM if system.transposed else COMPARE)
        matrix += ".T" if system.transposed else ""
        right = self.operand(transposed(system.right, system.order), depth, COMPARE)
        text = f"inv({matrix})" if is_inverse(system) else f"solve({matrix}, {right})"
        # JAX solves for rows.
        in_rows = item.type.rank == 2 and system.order == (1, 0)
        return Expression(f"{text}.T" if in_rows != flipped else text)


def einsum_labels(item: Node, letters: Iterator[str]) -> str:
    """The subscripts of a dot product in einsum's notation."""
    (left_axes, right_axes), (left_batch, right_batch) = item["dimension_numbers"]
    left = [next(letters) for _ in item.inputs[0].type.shape]
    right: list[str] = [""] * item.inputs[1].type.rank
    for of_left, of_right in zip(
        (*left_batch, *left_axes), (*right_batch, *right_axes), strict=True
    ):
        right[of_right] = left[of_left]
    right = [letter or next(letters) for letter in right]
    result = [left[axis] for axis in left_batch]
    result += [c for axis, c in enumerate(left) if axis not in (*left_axes, *left_batch)]
    result += [c for axis, c in enumerate(right) if axis not in (*right_axes, *right_batch)]
    return f"{''.join(left)},{''.join(right)}->{''.join(result)}"
