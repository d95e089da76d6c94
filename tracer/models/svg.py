"""A drawing in layers, as SVG.

Each box stands a row below all that lead to it; an edge over several rows has a place of its own in
the rows between, so that it goes round the boxes there. Within a row the order follows the mean
place of the neighbours, as in Sugiyama, Tagawa and Toda, "Methods for visual understanding of
hierarchical system structures" (1981).
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

from xlathe.tracer.models.drawing import Box, Drawing

_CHARACTER, _LINE, _MARGIN, _GAP, _ROW_GAP, _SWEEPS = 7.3, 17.0, 10.0, 22.0, 34.0, 4
_STYLE = (
    "text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1b1f24}"
    ".title{font-weight:600}.layer>rect{fill:#f2f6fc;stroke:#4a6fa5}"
    ".nested>rect{fill:#fbfbfb;stroke:#9aa5b1;stroke-dasharray:5 3}"
    ".edge{fill:none;stroke:#57606a;marker-end:url(#tip)}"
)


@dataclass
class _Place:
    """A box, or an edge on its way through a row, and where it stands."""

    row: int
    width: float
    height: float
    box: Box | None = None
    inner: "_Layout | None" = None
    x: float = 0.0
    y: float = 0.0
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)


@dataclass
class _Layout:
    """The places of a drawing, the chains of places that its edges run through, and its size."""

    places: list[_Place]
    chains: list[tuple[tuple[str, str], list[int]]]
    width: float = 0.0
    height: float = 0.0


def svg_of(drawing: Drawing, rankdir: str = "TB") -> str:
    """Return a drawing as the text of an SVG file.

    Arguments:
        drawing: what to draw.
        rankdir: "TB" for rows from top to bottom, "LR" for columns from left to right.
    """
    sideways = rankdir == "LR"
    layout = _lay_out(drawing, sideways)
    size = (layout.height, layout.width) if sideways else (layout.width, layout.height)
    width, height = (f"{side + 2 * _MARGIN:.0f}" for side in size)
    root = ElementTree.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
        role="img",
    )
    ElementTree.SubElement(root, "title").text = drawing.title
    ElementTree.SubElement(root, "style").text = _STYLE
    tip = {"id": "tip", "viewBox": "0 0 8 8", "refX": "8", "refY": "4", "orient": "auto"}
    marker = ElementTree.SubElement(
        ElementTree.SubElement(root, "defs"), "marker", tip, markerWidth="7", markerHeight="7"
    )
    ElementTree.SubElement(marker, "path", d="M0,0L8,4L0,8z", fill="#57606a")
    _draw(root, layout, _MARGIN, _MARGIN, sideways)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _lay_out(drawing: Drawing, sideways: bool) -> _Layout:
    rows = _rows(drawing)
    places: list[_Place] = []
    index: dict[str, int] = {}
    for box in drawing.boxes:
        index[box.key] = len(places)
        places.append(_place_of(box, rows[box.key], sideways))
    chains = []
    for start, end in drawing.edges:
        chain = [index[start]]
        for row in range(rows[start] + 1, rows[end]):
            chain.append(len(places))
            places.append(_Place(row, 0.0, 0.0))
        chain.append(index[end])
        for above, below in itertools.pairwise(chain):
            places[above].below.append(below)
            places[below].above.append(above)
        chains.append(((start, end), chain))
    layout = _Layout(places, chains)
    _arrange(layout)
    if any(rows[start] >= rows[end] for start, end in drawing.edges):
        layout.width += 2 * _GAP  # for curves past the right
    return layout


def _rows(drawing: Drawing) -> dict[str, int]:
    """Return the row of each box: one below the lowest that leads to it.

    An edge back to what came before, of a layer that is called again, counts for nothing.
    """
    order = {box.key: number for number, box in enumerate(drawing.boxes)}
    rows = dict.fromkeys(order, 0)
    onward = [edge for edge in drawing.edges if order[edge[0]] < order[edge[1]]]
    for start, end in sorted(onward, key=lambda edge: order[edge[0]]):
        rows[end] = max(rows[end], rows[start] + 1)
    return rows


def _place_of(box: Box, row: int, sideways: bool) -> _Place:
    inner = None if box.inner is None else _lay_out(box.inner, sideways)
    width = max(len(line) for line in box.lines) * _CHARACTER + 2 * _MARGIN
    height = len(box.lines) * _LINE + _MARGIN
    if inner is not None:
        size = (inner.height, inner.width) if sideways else (inner.width, inner.height)
        width = max(width, size[0] + 2 * _MARGIN)
        height += size[1] + 2 * _MARGIN
    if sideways:
        width, height = height, width
    return _Place(row, width, height, box, inner)


def _arrange(layout: _Layout) -> None:
    """Give every place its order in its row, and then its coordinates."""
    places = layout.places
    rows: list[list[int]] = [[] for _ in range(max(place.row for place in places) + 1)]
    for number, place in enumerate(places):
        rows[place.row].append(number)
    rank = {number: spot for row in rows for spot, number in enumerate(row)}
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):

            def mean(number: int, down: bool = down) -> float:
                near = places[number].above if down else places[number].below
                return sum(rank[other] for other in near) / len(near) if near else rank[number]

            row.sort(key=mean)
            rank.update({number: spot for spot, number in enumerate(row)})
    widths = [sum(places[n].width for n in row) + _GAP * (len(row) - 1) for row in rows]
    layout.width = max(widths)
    top = 0.0
    for row, width in zip(rows, widths, strict=True):
        left = (layout.width - width) / 2
        height = max(places[number].height for number in row)
        for number in row:
            place = places[number]
            place.x, place.y = left, top + (height - place.height) / 2
            left += place.width + _GAP
        top += height + _ROW_GAP
    layout.height = top - _ROW_GAP


def _draw(
    parent: ElementTree.Element, layout: _Layout, left: float, top: float, sideways: bool
) -> None:
    for (start, end), chain in layout.chains:
        places = [layout.places[number] for number in chain]
        onward = places[0].row < places[-1].row
        points = _way_down(places) if onward else _way_back(places[0], places[-1])
        turned = [(y, x) if sideways else (x, y) for x, y in points]
        first, *others = (f"{x + left:.1f},{y + top:.1f}" for x, y in turned)
        path = f"M{first}{'L' if onward else 'C'}{' '.join(others)}"
        attributes = {"class": "edge", "data-from": start, "data-to": end, "d": path}
        ElementTree.SubElement(parent, "path", attributes)
    for place in layout.places:
        if place.box is not None:
            x, y = (place.y, place.x) if sideways else (place.x, place.y)
            _draw_box(parent, place, place.box, left + x, top + y, sideways)


def _way_down(places: list[_Place]) -> list[tuple[float, float]]:
    """Return the corners of an edge from the bottom of a box to the top of one below."""
    first, *between, last = places
    return [
        (first.x + first.width / 2, first.y + first.height),
        *((place.x, place.y) for place in between),
        (last.x + last.width / 2, last.y),
    ]


def _way_back(first: _Place, last: _Place) -> list[tuple[float, float]]:
    """Return the points of a curve to a box that is not below, past the right of both."""
    right, far = first.x + first.width, last.x + last.width
    start, end = first.y + 0.75 * first.height, last.y + 0.25 * last.height
    turn = max(right, far) + _GAP
    return [(right, start), (turn, start), (turn, end), (far, end)]


def _draw_box(
    parent: ElementTree.Element, place: _Place, box: Box, x: float, y: float, sideways: bool
) -> None:
    width, height = (place.height, place.width) if sideways else (place.width, place.height)
    kind = "layer" if place.inner is None else "nested"
    group = ElementTree.SubElement(parent, "g", {"class": kind, "data-key": box.key})
    frame = {"x": x, "y": y, "width": width, "height": height, "rx": 5.0}
    ElementTree.SubElement(group, "rect", _numbers(frame))
    for number, line in enumerate(box.lines):
        at = _numbers({"x": x + _MARGIN, "y": y + (number + 1) * _LINE})
        kinds = {"class": "title"} if number == 0 else {}
        ElementTree.SubElement(group, "text", {**at, **kinds}).text = line
    if place.inner is not None:
        size = place.inner.height if sideways else place.inner.width
        below = y + len(box.lines) * _LINE + 1.5 * _MARGIN
        _draw(group, place.inner, x + (width - size) / 2, below, sideways)


def _numbers(values: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.1f}" for name, value in values.items()}
