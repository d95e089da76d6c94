"""What a picture of a model shows: boxes for layers, with lines of text, and edges between them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xlathe.tracer.layers import symbolic
from xlathe.tracer.layers.core import InputLayer
from xlathe.tracer.layers.layer import Layer

if TYPE_CHECKING:
    from xlathe.tracer.models.model import Model


@dataclass(frozen=True)
class Show:
    """Which lines a box has.

    Attributes:
        shapes: the shapes of inputs and outputs.
        dtype: the element type.
        layer_names: the layer's name beside its class.
        expand_nested: what is inside of inner models.
        layer_activations: the activation.
        trainable: whether the layer is trained.
    """

    shapes: bool = False
    dtype: bool = False
    layer_names: bool = False
    expand_nested: bool = False
    layer_activations: bool = False
    trainable: bool = False


@dataclass
class Drawing:
    """Boxes and the edges between them, by key."""

    title: str
    boxes: list["Box"] = field(default_factory=list)
    edges: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Box:
    """A layer; an inner model that is expanded has a drawing of its own."""

    key: str
    lines: list[str]
    inner: Drawing | None = None


def drawing_of(model: "Model", show: Show, prefix: str = "") -> Drawing:
    """Return what there is to draw of a model.

    Arguments:
        model: a built model; one that is neither functional nor sequential is a single box.
        show: which lines the boxes have.
        prefix: what the keys start with.

    Raises:
        ValueError: when the model isn't built.
    """
    if not model.built:
        raise ValueError(
            f"The model '{model.name}' has not yet been built: its layers' shapes are not known. "
            "Call `model.build(input_shape)`, or the model on some data, first."
        )
    drawing = Drawing(model.name)
    graph = getattr(model, "_graph", None)
    if graph is None:
        drawing.boxes.append(Box(f"{prefix}{model.name}", _lines(model, [], show)))
        return drawing
    calls: dict[int, list[symbolic.Node]] = {}
    for tensor in graph.input_tensors:
        if isinstance(tensor.node.layer, InputLayer):
            calls.setdefault(id(tensor.node.layer), []).append(tensor.node)
    for node in graph.nodes:
        calls.setdefault(id(node.layer), []).append(node)
    keys: dict[int, str] = {}
    for identity, nodes in calls.items():
        layer: Any = nodes[0].layer
        key = f"{prefix}{layer.name}"
        keys[identity] = key if key not in keys.values() else f"{key}#{len(keys)}"
        nested = show.expand_nested and getattr(layer, "_graph", None) is not None
        inner = drawing_of(layer, show, f"{keys[identity]}/") if nested else None
        drawing.boxes.append(Box(keys[identity], _lines(layer, nodes, show), inner))
    edges = {
        (keys[id(tensor.node.layer)], keys[id(node.layer)]): None
        for node in graph.nodes
        for tensor in node.inputs
        if tensor.node is not None and id(tensor.node.layer) in keys
    }
    drawing.edges = list(edges)
    return drawing


def _lines(layer: Layer, nodes: list[symbolic.Node], show: Show) -> list[str]:
    kind = getattr(layer, "type_name", type(layer).__name__)
    lines = [f"{layer.name} ({kind})" if show.layer_names else kind]
    activation = getattr(layer, "activation", None)
    if show.layer_activations and activation is not None:
        lines.append(f"activation: {getattr(activation, '__name__', type(activation).__name__)}")
    if show.shapes and nodes:
        first = nodes[0]
        if first.inputs:
            lines.append(f"input: {_shapes(list(first.inputs))}")
        lines.append(f"output: {_shapes(symbolic.symbolic_leaves(first.outputs))}")
    if show.dtype:
        lines.append(f"dtype: {layer.dtype}")
    if show.trainable and layer.weights:
        lines.append("trained" if layer.trainable_weights else "not trained")
    return lines


def _shapes(tensors: list[symbolic.SymbolicTensor]) -> str:
    return ", ".join(str(tensor.shape) for tensor in tensors)
