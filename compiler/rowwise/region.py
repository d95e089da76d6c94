"""The part of a program in which each row of a wide array is treated by itself.

It grows from a product: rows are followed to whatever reads them, and back to where they come
from, by which axes run together. What is as wide as the product belongs to it, and so does all that
reads something wide, and all that lies between. What is left is what enters it, and what it gives:
results for each row, and sums over the rows. A loss and its gradient need no patterns for this,
however they are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from xlathe.compiler.ir import Graph, Node
from xlathe.compiler.loops.parts import depending
from xlathe.compiler.rowwise.axes import Place, axes_of, through_reshape

_CHEAP = frozenset(["broadcast_in_dim", "iota"])


class Mixed(Exception):
    """Why a program doesn't treat each row by itself: text of the form `its logits …`."""


def is_as_large(item: Node, seed: Node) -> bool:
    """Whether an array is as large as another, but perhaps for what is cut off."""
    return 2 * item.type.size > seed.type.size


@dataclass
class Region:
    """The nodes around a product that treat each of its rows by themselves.

    Attributes:
        graph: the program.
        readers: who reads each node of the program.
        seed: the product.
        rows: how many rows it has.
        places: where the rows are in each array that has them, of the region or entering it.
        sums: the nodes of the region that are sums over all rows.
        members: the nodes of the region.
        made: what is made of its products, in the region and behind it.
    """

    graph: Graph
    readers: Mapping[Node, Sequence[Node]]
    seed: Node
    rows: int
    places: dict[Node, Place] = field(default_factory=dict)
    sums: set[Node] = field(default_factory=set)
    members: set[Node] = field(default_factory=set)
    made: set[Node] = field(default_factory=set)

    @classmethod
    def around(
        cls, graph: Graph, readers: Mapping[Node, Sequence[Node]], seed: Node, axis: int
    ) -> Region:
        """The region around a product, of which this axis holds the rows.

        Raises:
            Mixed: something in it reads several rows at once.
        """
        region = cls(graph, readers, seed, seed.type.shape[axis])
        region.places[seed] = Place(axis)
        region.made = depending(graph, [seed])
        region._grow([seed])
        while region._close():
            pass
        return region

    @cached_property
    def nodes(self) -> list[Node]:
        """Its nodes, each after its inputs."""
        return [item for item in self.graph.nodes if item in self.members]

    @cached_property
    def entering(self) -> list[Node]:
        """What it reads of the rest of the program."""
        sources = [source for item in self.nodes for source in item.inputs]
        return [item for item in dict.fromkeys(sources) if item not in self.members]

    @cached_property
    def leaving(self) -> list[Node]:
        """What the rest of the program reads of it.

        Raises:
            Mixed: something wide is among it.
        """
        # What is not made of any product is as well computed again, where others read it.
        found = [
            item
            for item in self.nodes
            if item in self.made
            and any(reader is item or reader not in self.members for reader in self.readers[item])
        ]
        for item in found:
            if item.type.weak:
                raise Mixed("its results have the type of a Python number")
            if self.is_wide(item):
                what = "its logits" if item is self.seed else "values as large as its logits"
                raise Mixed(f"{what} are also returned")
        return found

    @property
    def is_forward(self) -> bool:
        """Whether the gradient of its weights, a product that sums over rows, is no part of it."""
        return not any(item.operation == "dot_general" for item in self.sums)

    def is_wide(self, item: Node) -> bool:
        """Whether an array has the rows, and is about as large as the product."""
        return item in self.places and is_as_large(item, self.seed)

    def _grow(self, new: Sequence[Node]) -> None:
        """Take nodes in, and all that follows from where their rows are."""
        self.members.update(new)
        stack = list(new)
        while stack:
            item = stack.pop()
            placed = self._settle(item)
            for source in placed:
                if source not in self.members and self._belongs(source):
                    self.members.add(source)
                    if source.operation == "dot_general":
                        self.made |= depending(self.graph, [source])
                if source in self.members and source is not item:
                    stack.append(source)
                stack += [r for r in self.readers[source] if r in self.members and r is not source]
            if item in self.made and self.is_wide(item):
                fresh = [reader for reader in self.readers[item] if reader not in self.members]
                self.members.update(fresh)
                stack += fresh

    def _belongs(self, item: Node) -> bool:
        """Whether what enters is as well computed inside: wide arrays, and numbers repeated."""
        is_cheap = item.operation in _CHEAP and all(s.type.size == 1 for s in item.inputs)
        if not (is_cheap or self.is_wide(item)):
            return False
        try:
            self._found(item)
        except Mixed:
            return False
        return True

    def _close(self) -> bool:
        """Take in what lies between nodes of the region; whether there was anything."""
        after = depending(self.graph, self.members)
        before: set[Node] = set()
        for item in reversed(self.graph.nodes):
            if item in self.members or item in before:
                before.update(item.inputs)
        between = [
            item
            for item in self.graph.nodes
            if item in after and item in before and item not in self.members
        ]
        for item in self.sums:
            if item in before:
                raise Mixed("its gradient waits for a sum over all rows")
        for item in between:
            if item not in self.members:
                self._grow([item])
        return bool(between)

    def _settle(self, item: Node) -> list[Node]:
        """Note where rows are around a node; the nodes of which that was not known."""
        found, is_sum = self._found(item)
        if is_sum:
            self.sums.add(item)
        self.places.update(found)
        return list(found)

    def _found(self, item: Node) -> tuple[dict[Node, Place], bool]:
        """Where rows are in a node and its inputs, as far as that is news; whether it sums them."""
        if item.operation == "reshape":
            return self._reshaped(item), False
        axes = axes_of(item)
        operands = (*item.inputs, item)
        known = [source for source in operands if source in self.places]
        if axes is None:
            if known:
                raise Mixed(self._refusal(item, "pass through"))
            return {}, False
        all_labels = (*axes.inputs, axes.result)
        found = {
            (labels[self.places[source].axis], self.places[source].inner)
            for source, labels in zip(operands, all_labels, strict=True)
            if source in self.places
        }
        if not found:
            return {}, False
        ((label, inner), *others) = found
        if others or label is None or label in axes.pinned:
            raise Mixed(self._refusal(item, "of different rows meet in"))
        if label not in axes.result and label not in axes.summed:
            raise Mixed(self._refusal(item, "of different rows meet in"))
        new: dict[Node, Place] = {}
        for source, labels in zip(operands, all_labels, strict=True):
            if label not in labels:
                continue
            place = Place(labels.index(label), inner)
            if self.places.get(source, place) != place or new.get(source, place) != place:
                raise Mixed(self._refusal(item, "of different rows meet in"))
            if source not in self.places:
                new[source] = place
        return new, label not in axes.result

    def _reshaped(self, item: Node) -> dict[Node, Place]:
        if item["dimensions"] is not None or not item.type.is_plain or len(item.inputs) != 1:
            raise Mixed(self._refusal(item, "pass through"))
        new: dict[Node, Place] = {}
        (source,) = item.inputs
        for one, other in ((source, item), (item, source)):
            if one not in self.places:
                continue
            place = through_reshape(self.places[one], one.type.shape, other.type.shape, self.rows)
            if place is None or self.places.get(other, place) != place:
                raise Mixed(self._refusal(item, "of different rows meet in"))
            if other not in self.places:
                new[other] = place
        return new

    def _refusal(self, item: Node, what: str) -> str:
        return f"its logits {what} {item.operation}"
