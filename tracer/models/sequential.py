"""`Sequential`: layers one after another."""

from typing import Any, ClassVar

from xlathe.tracer.layers import scope, serialization, symbolic
from xlathe.tracer.layers.core import InputLayer
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.models.functional import LayerGraph
from xlathe.tracer.models.model import Model


class Sequential(Model):
    """A stack of layers, as Keras's `Sequential`.

    It is built at once if it starts with an `Input`, and on the first call otherwise.

    Arguments:
        layers: the layers, in order; more are added by `add`.
        trainable: whether it is trained.
        name: its name.
    """

    _untracked: ClassVar[frozenset[str]] = Model._untracked | {"_graph_layers", "_input_layer"}

    def __init__(self, layers: Any = None, trainable: bool = True, name: str | None = None):
        super().__init__(trainable=trainable, name=name)
        self._input_layer: InputLayer | None = None
        self._built_from_data = False
        self._stack: list[Layer] = []
        for layer in layers or []:
            self._append(layer)
        self._rebuild()

    def default_name(self) -> str:
        return "sequential"

    def add(self, layer: Any) -> None:
        """Put a layer, or an `Input`, at the end."""
        self._append(layer)
        if self._graph is None or self._built_from_data:
            self._rebuild()
            return
        with scope.inside(self):  # pyright: ignore[reportArgumentType]
            end = self._stack[-1](self._graph.outputs)
        self._use_graph(LayerGraph(self._graph.inputs, end))

    def pop(self, rebuild: bool = True) -> Layer:
        """Take the last layer off and return it."""
        layer = self._stack.pop()
        if rebuild:
            self._rebuild()
        return layer

    def _append(self, layer: Any) -> None:
        if isinstance(layer, symbolic.SymbolicTensor) and layer.node is not None:
            layer = layer.node.layer
        if isinstance(layer, InputLayer):
            if self._stack or self._input_layer is not None:
                raise ValueError(
                    f"Sequential model '{self.name}' has already been configured to use an input "
                    "shape, or has layers: an Input can only be the first. "
                    f"Received: {layer.name}"
                )
            self._input_layer = layer
            return
        if not isinstance(layer, Layer):
            raise ValueError(
                "Only instances of `Layer` can be added to a Sequential model. Received: "
                f"{layer} (of type {type(layer)}). A function can be wrapped in `layers.Lambda`."
            )
        if any(layer is not other and layer.name == other.name for other in self._stack):
            raise ValueError(
                "All layers added to a Sequential model should have unique names. Name "
                f"'{layer.name}' is already the name of a layer in this model. Update the `name` "
                "argument to pass a unique name."
            )
        shape = layer.input_shape_argument
        if not self._stack and self._input_layer is None and shape is not None:
            self._input_layer = InputLayer(shape=shape)
        self._stack.append(layer)

    def _rebuild(self) -> None:
        self.built, self._graph, self._built_from_data = False, None, False
        if self._input_layer is not None and self._stack:
            self._connect(self._input_layer.output)

    def _connect(self, start: symbolic.SymbolicTensor) -> None:
        """Call the layers one after another from `start`, and become their graph."""
        with scope.inside(self):
            end = start
            for layer in self._stack:
                end = layer(end)
        self._use_graph(LayerGraph(start, end))

    def build(self, input_shape: Any = None) -> None:
        if not self._stack:
            raise ValueError(
                f"Sequential model '{self.name}' cannot be built because it has no layers. Call "
                "`model.add(layer)`."
            )
        if self._graph is None:
            start = self._input_layer = InputLayer(batch_shape=(None, *tuple(input_shape)[1:]))
            self._connect(start.output)

    def _prepare(self, bound: Any) -> None:
        if self._graph is None:
            first = next(iter(bound.arguments.values()))
            if not hasattr(first, "shape") or not self._stack:
                return
            batch_shape = (None, *first.shape[1:]) if len(first.shape) else ()
            self._built_from_data = True
            self._connect(InputLayer(batch_shape=batch_shape, dtype=first.dtype).output)

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        # The shape of the first data is no promise about the next: layers check what they need.
        if self._graph is not None and not self._built_from_data:
            return self._graph.run(inputs, mask)
        for layer in self._stack:
            inputs = layer(inputs)
        return inputs

    @property
    def layers(self) -> list[Layer]:
        return list(self._stack)

    def get_config(self) -> dict[str, Any]:
        layers = [self._input_layer] if self._input_layer is not None else []
        return {
            "name": self.name,
            "trainable": self._trainable,
            "layers": [serialization.serialize(layer) for layer in layers + self._stack],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        layers = serialization.deserialize(config["layers"], custom_objects)
        model = cls(layers, name=config["name"])
        model._trainable = config.get("trainable", True)
        return model
