"""`plot_model` and `model_to_dot`: a model as a picture."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlathe.tracer.models.drawing import Drawing, Show, drawing_of
from xlathe.tracer.models.svg import svg_of

if TYPE_CHECKING:
    from xlathe.tracer.models.model import Model

_DIRECTIONS = ("TB", "LR")


class Picture:
    """A picture of a model; a notebook shows it.

    Attributes:
        svg: the text of an SVG file.
    """

    def __init__(self, svg: str):
        self.svg = svg

    def _repr_svg_(self) -> str:
        return self.svg


def plot_model(
    model: "Model",
    to_file: str | os.PathLike[str] | None = "model.svg",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
) -> Picture:
    """Draw a model: a box for each layer, and an edge for each tensor between two.

    Arguments:
        model: a built model.
        to_file: the file, ending in `.svg`, in `.dot`, or in what Graphviz's `dot`, if there is
            one, can write, such as `.png`; None for no file.
        show_shapes: whether boxes say the shapes of inputs and outputs.
        show_dtype: whether boxes say the element type.
        show_layer_names: whether boxes say the layer's name beside its class.
        rankdir: "TB" to draw from top to bottom, "LR" from left to right.
        expand_nested: whether what is inside inner models is drawn.
        dpi: dots per inch of what Graphviz writes.
        show_layer_activations: whether boxes say the activation.
        show_trainable: whether boxes say if the layer is trained.

    Returns:
        The picture, which a notebook shows.

    Raises:
        ValueError: the model isn't built, or `rankdir` is not known.
        ImportError: a format needs Graphviz, and there is none.
    """
    show = Show(
        show_shapes,
        show_dtype,
        show_layer_names,
        expand_nested,
        show_layer_activations,
        show_trainable,
    )
    drawing = drawing_of(model, show)
    _check_direction(rankdir)
    svg = svg_of(drawing, rankdir)
    if to_file is not None:
        _write(Path(to_file), drawing, svg, rankdir, dpi)
    return Picture(svg)


def model_to_dot(
    model: "Model",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
) -> str:
    """Return a model as text in Graphviz's DOT language; the arguments are `plot_model`'s."""
    _check_direction(rankdir)
    show = Show(
        show_shapes,
        show_dtype,
        show_layer_names,
        expand_nested,
        show_layer_activations,
        show_trainable,
    )
    return _dot_of(drawing_of(model, show), rankdir)


def _check_direction(rankdir: str) -> None:
    if rankdir not in _DIRECTIONS:
        raise ValueError(f"`rankdir` must be 'TB' or 'LR'. Received: rankdir={rankdir!r}")


def _write(path: Path, drawing: Drawing, svg: str, rankdir: str, dpi: int) -> None:
    if path.suffix == ".svg":
        path.write_text(svg, encoding="utf-8")
        return
    text = _dot_of(drawing, rankdir)
    if path.suffix in (".dot", ".gv"):
        path.write_text(text, encoding="utf-8")
        return
    program = shutil.which("dot")
    if program is None:
        raise ImportError(
            f"To write {path.name!r}, plot_model needs Graphviz's `dot`, which is not installed "
            "(see https://graphviz.org/download). Without it, give a file that ends in `.svg` or "
            "`.dot`."
        )
    command = [program, f"-T{path.suffix[1:] or 'png'}", f"-Gdpi={dpi}", "-o", str(path)]
    subprocess.run(command, input=text, text=True, check=True)


def _dot_of(drawing: Drawing, rankdir: str) -> str:
    lines = [
        f"digraph {_quoted(drawing.title)} {{",
        f"  rankdir={rankdir};",
        "  compound=true;",
        '  node [shape=box, fontname="monospace"];',
    ]
    ends: dict[str, tuple[str, str]] = {}
    _write_boxes(drawing, lines, ends, "  ")
    return "\n".join([*lines, "}", ""])


def _write_boxes(
    drawing: Drawing, lines: list[str], ends: dict[str, tuple[str, str]], indent: str
) -> None:
    """Write boxes and edges; an edge of an inner model ends at its first or starts at its last."""
    for box in drawing.boxes:
        label = _quoted("\n".join(box.lines))
        if box.inner is None:
            ends[box.key] = (box.key, box.key)
            lines.append(f"{indent}{_quoted(box.key)} [label={label}];")
            continue
        lines.append(f"{indent}subgraph {_quoted(f'cluster_{box.key}')} {{")
        lines.append(f"{indent}  label={label};")
        _write_boxes(box.inner, lines, ends, indent + "  ")
        lines.append(f"{indent}}}")
        first, last = box.inner.boxes[0].key, box.inner.boxes[-1].key
        ends[box.key] = (ends[first][0], ends[last][1])
    for start, end in drawing.edges:
        lines.append(f"{indent}{_quoted(ends[start][1])} -> {_quoted(ends[end][0])};")


def _quoted(text: Any) -> str:
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
