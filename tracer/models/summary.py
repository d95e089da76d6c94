"""The table that `model.summary()` prints, with Keras's columns."""

import re
import textwrap
from typing import TYPE_CHECKING, Any

from xlathe.tracer.layers import symbolic
from xlathe.tracer.layers.layer import Layer

if TYPE_CHECKING:
    from xlathe.tracer.layers.variable import Variable
    from xlathe.tracer.models.model import Model


def print_summary(
    model: "Model",
    line_length: int | None = None,
    positions: list[float] | None = None,
    print_fn: Any = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Any = None,
) -> None:
    """Print a table of a model's layers: name, output shape, weights, and what feeds them."""
    branched = _is_branched(model)
    header = ["Layer (type)", "Output Shape", "Param #"]
    if branched:
        header.append("Connected to")
        widths = positions or [0.28, 0.54, 0.70, 1.0]
    else:
        widths = positions or [0.45, 0.78, 1.0]
    if show_trainable:
        header.append("Trainable")
        widths = [0.88 * width for width in widths] + [1.0]
    length = line_length or (98 if branched else 78)
    rows = _rows(
        model, _chosen(model.operations, layer_range), branched, expand_nested, show_trainable
    )
    lines = [f'Model: "{model.name}"', *_table(header, rows, widths, length), *_totals(model)]
    (print_fn or print)("\n".join(lines))


def _chosen(layers: list[Layer], layer_range: Any) -> list[Layer]:
    """Return the layers from the first that matches the range's start to the last of its end."""
    if layer_range is None:
        return layers
    start, end = layer_range
    first = [i for i, layer in enumerate(layers) if re.match(start, layer.name)]
    last = [i for i, layer in enumerate(layers) if re.match(end, layer.name)]
    if not first or not last:
        raise ValueError(
            "Passed layer_names do not match the layer names in the model. Received: "
            f"{list(layer_range)}"
        )
    return layers[first[0] : last[-1] + 1]


def _rows(
    model: "Model",
    layers: list[Layer],
    branched: bool,
    expand_nested: bool,
    show_trainable: bool,
    indent: str = "",
) -> list[list[str]]:
    rows = []
    for layer in layers:
        count = sum(weight.size for weight in layer.weights)
        row = [
            f"{indent}{layer.name} ({getattr(layer, 'type_name', type(layer).__name__)})",
            _output_shape(model, layer),
            f"{count:,}" if layer.built else f"{count:,} (unbuilt)",
        ]
        if branched:
            row.append(_sources(model, layer))
        if show_trainable:
            row.append(("Y" if layer.trainable_weights else "N") if layer.weights else "-")
        rows.append(row)
        inner = getattr(layer, "layers", None)
        if expand_nested and isinstance(inner, list):
            rows += _rows(layer, inner, branched, True, show_trainable, indent + "└ ")  # type: ignore[arg-type]
    return rows


def _calls(model: "Model", layer: Layer) -> list[symbolic.Node]:
    graph = getattr(model, "_graph", None)
    if graph is None:
        return list(layer._inbound_nodes)
    return [node for node in graph.nodes if node.layer is layer] or list(layer._inbound_nodes)


def _output_shape(model: "Model", layer: Layer) -> str:
    calls = _calls(model, layer)
    if not calls:
        seen = layer._seen_shape
        return str((None, *seen[1:])) if seen else "?"
    shapes = [str(tensor.shape) for tensor in symbolic.symbolic_leaves(calls[0].outputs)]
    return shapes[0] if len(shapes) == 1 else f"[{', '.join(shapes)}]"


def _sources(model: "Model", layer: Layer) -> str:
    names = [
        f"{tensor.node.layer.name}[{_number(model, tensor.node)}][{tensor.index}]"
        for node in _calls(model, layer)
        for tensor in node.inputs
        if tensor.node is not None
    ]
    return ", ".join(names) or "-"


def _number(model: "Model", node: symbolic.Node) -> int:
    calls = _calls(model, node.layer)
    return calls.index(node) if node in calls else node.index


def _is_branched(model: "Model") -> bool:
    """Say whether any layer is called twice, takes several tensors, or shares its input."""
    graph = getattr(model, "_graph", None)
    if graph is None:
        return False
    used = [id(tensor) for node in graph.nodes for tensor in node.inputs]
    called = [id(node.layer) for node in graph.nodes]
    several = any(len(node.inputs) != 1 for node in graph.nodes)
    return several or len(set(used)) < len(used) or len(set(called)) < len(called)


def _table(
    header: list[str], rows: list[list[str]], positions: list[float], length: int
) -> list[str]:
    ends = [int(position * (length - 1)) for position in positions]
    widths = [end - start - 3 for start, end in zip([0, *ends], ends, strict=False)]
    widths = [max(width, 5) for width in widths]

    def rule(left: str, line: str, cross: str, right: str) -> str:
        return left + cross.join(line * (width + 2) for width in widths) + right

    def cells(row: list[str], bar: str) -> list[str]:
        columns = [textwrap.wrap(c, w) or [""] for c, w in zip(row, widths, strict=True)]
        height = max(map(len, columns))
        lines = []
        for i in range(height):
            parts = [column[i] if i < len(column) else "" for column in columns]
            aligned = [
                part.rjust(width) if place == 2 else part.ljust(width)
                for place, (part, width) in enumerate(zip(parts, widths, strict=True))
            ]
            lines.append(f"{bar} " + f" {bar} ".join(aligned) + f" {bar}")
        return lines

    lines = [rule("┏", "━", "┳", "┓"), *cells(header, "┃"), rule("┡", "━", "╇", "┩")]
    for number, row in enumerate(rows):
        if number:
            lines.append(rule("├", "─", "┼", "┤"))
        lines += cells(row, "│")
    return [*lines, rule("└", "─", "┴", "┘")]


def _totals(model: "Model") -> list[str]:
    optimizer: Any = getattr(model, "optimizer", None)
    state = optimizer.variables if getattr(optimizer, "built", False) else []
    groups = {
        "Total": [*model.weights, *state],
        "Trainable": model.trainable_weights,
        "Non-trainable": model.non_trainable_weights,
    }
    if state:
        groups["Optimizer"] = state
    return [
        f" {name} params: {sum(weight.size for weight in weights):,} ({_memory(weights)})"
        for name, weights in groups.items()
    ]


def _memory(weights: list["Variable"]) -> str:
    size = float(sum(weight.size * weight.dtype.itemsize for weight in weights))
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} TB"
