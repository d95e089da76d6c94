"""Products with values that are zero but for a part: only the part is multiplied.

Zero times NaN is NaN. Under `relaxed` numerics that is kept: one pass over the other factor finds
where the zeros meet NaN or infinity, and what that makes stands in the place of the zeros. Under
`finite` the zeros are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from xlathe.compiler.cost import graph_cost, node_flops
from xlathe.compiler.formula import formula
from xlathe.compiler.ir import Graph, Node, Origin
from xlathe.compiler.ir.rewrite import Replacement, rewrite
from xlathe.compiler.ops.build import make, reshape
from xlathe.compiler.passes.everywhere import nested_first
from xlathe.compiler.passes.narrow import alone, least_saving, node_seconds
from xlathe.compiler.rules import Miss, Rewrite, log_miss, log_rewrite
from xlathe.compiler.rules.placing import (
    Placed,
    again,
    is_zero,
    joined,
    moved,
    nested,
    parts,
    read_piece,
    recognised,
    written,
)
from xlathe.compiler.rules.placing_convolutions import convolved
from xlathe.compiler.rules.shadows import (
    Shadow,
    Shadows,
    product_shadow,
    stretched,
)
from xlathe.compiler.rules.views import Selector, View, is_whole, narrowed_shape, read
from xlathe.compiler.targets import Target, current_target

_NAME = "product with a part among zeros"
_UNSEEN = "each of its zeros may meet NaN: numerics='finite' would leave them out"
_LEAST_SAVING = 0.1
_Entry = TypeVar("_Entry")
_SOURCES = ("pad", "dynamic_update_slice", "scatter_add")


@dataclass(frozen=True)
class Place:
    """Multiply only the part that is not zero of what padding and scattering make.

    Attributes:
        numerics: `strict` does so for integers only, `relaxed` keeps every NaN, `finite` takes
            zero times anything for zero.
        target: the device; by default the one that JAX runs on.
    """

    numerics: str = "relaxed"
    target: Target | None = None

    def __call__(self, graph: Graph) -> Graph:
        """Rewrite the products in the graph and the graphs nested in it."""
        target = self.target or current_target()

        def placed(inner: Graph) -> Graph:
            if inner.operations.isdisjoint(_SOURCES):
                return inner
            return rewrite(inner, _Placer(inner, self.numerics, target))

        return nested_first(graph, placed)


class _Placer:
    def __init__(self, graph: Graph, numerics: str, target: Target) -> None:
        self.origins: dict[Node, Origin] = dict(graph.origins)
        self.numerics = numerics
        self.target = target
        self.placed: dict[Node, Placed] = {}
        self.made: set[Node] = set()
        self.shadows = Shadows()

    def __call__(self, item: Node) -> Replacement:
        if isinstance(item.type, tuple) and item.operation in ("split", "unstack"):
            return self.parts(item) if item.inputs[0] in self.placed else None
        if isinstance(item.type, tuple) or not item.type.is_plain:
            return None
        found = recognised(item)
        if found is None and any(source in self.placed for source in item.inputs):
            if item.operation in ("dot_general", "conv_general_dilated"):
                return self.product(item)
            found = self.after(item)
        if found is None:
            return None
        inner = self.placed.get(found.pieces[0][0]) if len(found.pieces) == 1 else None
        if inner is not None:
            found = nested(found, inner, item.type.shape) or found
        if item.inputs[0] in self.made and len(item.inputs) == 1:
            # To move the part costs less than to move the whole.
            new = written(found, item.type)
            if new is not None and new.type is item.type:
                item = new
                self.made.add(new)
        self.placed[item] = found
        return item

    def parts(self, item: Node) -> tuple[Node, ...] | None:
        """The parts of a value among zeros, each made of what lies in it."""
        found = parts(item, self.placed[item.inputs[0]])
        if found is None:
            return None
        nodes = []
        for placed, type_ in zip(found, item.types, strict=True):
            new = written(placed, type_)
            if new is None or new.type is not type_:
                return None
            nodes.append(new)
        for placed, new in zip(found, nodes, strict=True):
            if not any(is_whole(view) for _, view in placed.pieces):
                self.placed[new] = placed
                self.made.add(new)
        return tuple(nodes)

    def shadow_of(self, other: Node) -> Shadow:
        """What stands where zeros are multiplied by a value; nothing if the user allows that."""
        return () if self.numerics == "finite" else self.shadows(other)

    def after(self, item: Node) -> Placed | None:
        """The value that an operation makes of one among zeros, if it leaves zeros zero."""
        first = self.placed.get(item.inputs[0])
        if len(item.inputs) == 1 and first is not None:
            return moved(item, first)
        if item.operation in ("add", "sub"):
            shapes = {source.type.shape for source in item.inputs}
            both = [self.placed.get(source) for source in item.inputs]
            return joined(item, both) if None not in both and len(shapes) == 1 else None
        if item.operation in ("mul", "div"):
            return self.multiplied(item)
        return self.chosen(item) if item.operation == "select_n" else None

    def multiplied(self, item: Node) -> Placed | None:
        """A value among zeros times, or divided by, what makes no NaN of zeros."""
        left, right = item.inputs
        pairs = [(left, right)] if item.operation == "div" else [(left, right), (right, left)]
        for one, other in pairs:
            placed = self.placed.get(one)
            if placed is None or one.type.shape != item.type.shape:
                continue
            if item.operation == "div" and not (other.is_constant and np.all(other.value != 0)):
                continue
            shadow = self.shadow_of(other)
            if all(part.type.size < item.type.size for part in shadow):
                return self.scaled(item, placed, other, shadow)
            log_miss(Miss(_NAME, _UNSEEN, item))
        return None

    def scaled(self, item: Node, placed: Placed, other: Node, shadow: Shadow) -> Placed | None:
        if self.numerics == "strict" and item.type.dtype.kind not in "iub":
            return None
        rank = item.type.rank
        both = [part if part.type.rank == rank else reshape(part, (1,) * rank) for part in shadow]
        found = placed.map(
            lambda core, view: (
                again(item, [core, read_piece(other, view)], core.type.shape),
                view,
            )
        )
        return Placed(found.pieces, (*placed.shadow, *both))

    def chosen(self, item: Node) -> Placed | None:
        """A choice between a value among zeros and zeros."""
        which, *cases = item.inputs
        for place, case in enumerate(cases):
            placed = self.placed.get(case)
            others = [other for other in cases if other is not case]
            if placed is None or placed.shadow or not all(map(is_zero, others)):
                continue

            def change(core: Node, view: View, place: int = place) -> tuple[Node, View]:
                parts = [
                    core if other == place else read_piece(source, view)
                    for other, source in enumerate(cases)
                ]
                inputs = [read_piece(which, view), *parts]
                return again(item, inputs, core.type.shape), view

            return placed.map(change)
        return None

    def product(self, item: Node) -> Node | None:
        for side in (0, 1):
            placed = self.placed.get(item.inputs[side])
            if placed is None:
                continue
            if item.operation == "dot_general":
                found = _Product(item, side, placed, self).result()
            else:
                found = self.convolution(item, side, placed)
            if isinstance(found, str):
                log_miss(Miss(_NAME, found, item))
                continue
            new, result, flops = found
            self.placed[new] = result
            self.made.add(new)
            before = node_flops(item)
            log_rewrite(
                Rewrite(
                    _NAME,
                    formula(item, self.origins),
                    formula(new, self.origins),
                    before,
                    flops,
                    new,
                    self.numerics_of(item),
                )
            )
            return new
        return None

    def convolution(
        self, item: Node, side: int, placed: Placed
    ) -> tuple[Node, Placed, float] | str:
        """The convolution of a value among zeros, as such a value; or why there is none."""
        if self.numerics == "strict" and item.type.dtype.kind not in "iub":
            return "its sums might be added in another order"
        if placed.shadow or self.shadow_of(item.inputs[1 - side]):
            return _UNSEEN
        made = []
        for core, view in placed.pieces:
            piece = convolved(item, side, core, view)
            if isinstance(piece, str):
                return piece
            if piece is not None:
                made.append(piece)
        result = Placed(tuple(made))
        costs = [node_flops(piece) for piece, _ in made]
        before = node_seconds(item, self.target)
        after = sum(node_seconds(piece, self.target) for piece, _ in made)
        after += self.target.seconds(0, item.type.nbytes)
        if before - after < max(self.target.launch, least_saving(item) * before):
            return "the part costs as much as the whole"
        new = written(result, item.type)
        if new is None or new.type is not item.type:
            return "the type of the convolution would differ"
        return new, result, sum(costs)

    def numerics_of(self, item: Node) -> str:
        if item.type.dtype.kind in "iub":
            return "exact"
        return "finite" if self.numerics == "finite" else "relaxed"


class _Product:
    """A product of a value among zeros with another."""

    def __init__(self, item: Node, side: int, placed: Placed, placer: _Placer) -> None:
        self.item = item
        self.placed = placed
        self.placer = placer
        self.side = side
        self.whole, self.other = item.inputs[side], item.inputs[1 - side]
        contracted, batch = item["dimension_numbers"]
        self.contracted = (contracted[side], contracted[1 - side])
        self.batch = (batch[side], batch[1 - side])
        joint = (*self.contracted[0], *self.batch[0])
        self.free = [axis for axis in range(self.whole.type.rank) if axis not in joint]
        joint = (*self.contracted[1], *self.batch[1])
        self.other_free = [axis for axis in range(self.other.type.rank) if axis not in joint]
        self.met = placer.shadow_of(self.other)
        self.shadowed = bool(self.met or placed.shadow)

    def result(self) -> tuple[Node, Placed, float] | str:
        """The product as a node and as a value among zeros, with its cost; or why there is none."""
        if self.placer.numerics == "strict" and self.item.type.dtype.kind not in "iub":
            return "its sums might be added in another order"
        made = tuple(self.piece(core, view) for core, view in self.placed.pieces)
        flops, seconds = self.cost(made)
        whole = graph_cost(alone(self.item))
        target = self.placer.target
        before = target.seconds(whole.flops, whole.bytes)
        if before - seconds < max(target.launch, _LEAST_SAVING * before):
            return "the part costs as much as the whole"
        shadow: Shadow = ()
        # Parts that fill the result leave no place for zeros.
        if self.shadowed and not any(is_whole(view) for _, view in made):
            shadow = self.zeros()
        result = Placed(made, shadow)
        new = written(result, self.item.type)
        if new is None or new.type is not self.item.type:
            return "the type of the product would differ"
        return new, result, flops

    def cuts_contracted(self, view: View) -> bool:
        return any(view[axis] is not None for axis in self.contracted[0])

    def laid_out(
        self, of_batch: Sequence[_Entry], of_free: Sequence[_Entry], of_other: Sequence[_Entry]
    ) -> list[_Entry]:
        """What belongs to the axes of the factors, in the order of the result's axes."""
        sides = (of_free, of_other) if self.side == 0 else (of_other, of_free)
        return [*of_batch, *sides[0], *sides[1]]

    def piece(self, core: Node, view: View) -> tuple[Node, View]:
        cut: list[Selector | None] = [None] * self.other.type.rank
        for pair in (self.contracted, self.batch):
            for mine, others in zip(*pair, strict=True):
                cut[others] = view[mine]
        result_view = tuple(
            self.laid_out(
                [view[axis] for axis in self.batch[0]],
                [view[axis] for axis in self.free],
                [None] * len(self.other_free),
            )
        )
        factors = [core, read(self.other, tuple(cut))]
        shape = narrowed_shape(result_view, self.item.type.shape)
        made = again(self.item, factors if self.side == 0 else factors[::-1], shape)
        if self.shadowed and self.cuts_contracted(view):
            batch = tuple(
                part if place < len(self.batch[0]) else None
                for place, part in enumerate(result_view)
            )
            rest = tuple(read_piece(part, batch) for part in self.zeros())
            made = make("add", made, stretched(rest, shape))
        return made, result_view

    def zeros(self) -> Shadow:
        """What zeros in a row make: zero, or NaN where they might meet NaN or infinity.

        They are taken to fill the row. Where a part stands in it, an infinity that only the part
        meets is so made NaN, and the other factor is read once for all rows.
        """
        found = [
            product_shadow(
                self.item, self.side ^ factor, part, self.contracted[factor], self.batch[factor]
            )
            for factor, shadow in ((0, self.placed.shadow), (1, self.met))
            for part in shadow
        ]
        return tuple(dict.fromkeys(found))

    def cost(self, pieces: Sequence[tuple[Node, View]]) -> tuple[float, float]:
        target = self.placer.target
        flops = seconds = 0.0
        for (core, _), (made, _) in zip(self.placed.pieces, pieces, strict=True):
            depth = np.prod([core.type.shape[axis] for axis in self.contracted[0]])
            work = 2.0 * made.type.size * float(depth)
            factor = self.other.type.nbytes * core.type.size / max(1, self.whole.type.size)
            flops += work
            seconds += target.seconds(work, core.type.nbytes + factor + made.type.nbytes)
            seconds += target.seconds(0, 2 * factor)
        if self.shadowed:
            flops += self.other.type.size
            seconds += target.seconds(self.other.type.size, self.other.type.nbytes)
        return flops, seconds + target.seconds(0, self.item.type.nbytes)
