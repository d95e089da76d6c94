"""`Model`: layers made into one, functionally or by subclassing."""

from typing import TYPE_CHECKING, Any, ClassVar

import jax

from xlathe.tracer.layers import symbolic
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.serialization import suggestion
from xlathe.tracer.models import configs
from xlathe.tracer.models.functional import LayerGraph
from xlathe.tracer.models.summary import print_summary


class Model(Layer):
    """Several layers as one, as Keras's `Model`.

    `Model(inputs, outputs)` is what lies between symbolic tensors, also in the `__init__` of a
    subclass, by `super().__init__(inputs, outputs)`; a subclass may define `call` instead.

    Arguments:
        inputs: a symbolic tensor from `Input`, or a list or dict of them.
        outputs: what layers called on the inputs gave; a tensor, a list or a dict.
        name: its name.
    """

    _untracked: ClassVar[frozenset[str]] = Layer._untracked | {"_graph"}
    _graph: LayerGraph | None

    def __init__(self, *args: Any, **kwargs: Any):
        inputs = args[0] if args else kwargs.pop("inputs", None)
        outputs = args[1] if len(args) > 1 else kwargs.pop("outputs", None)
        name = args[2] if len(args) > 2 else kwargs.pop("name", None)
        self._graph = None
        self._seen_inputs: dict[str, Any] | None = None
        super().__init__(name=name, **kwargs)
        if (inputs is None) != (outputs is None):
            raise ValueError(
                "A functional model needs both `inputs` and `outputs`. Received: "
                f"inputs={inputs}, outputs={outputs}"
            )
        if inputs is not None:
            self._use_graph(LayerGraph(inputs, outputs))

    def default_name(self) -> str:
        functional = type(self).__name__ == "Model"
        return "functional" if functional else super().default_name()

    @property
    def type_name(self) -> str:
        """What a summary calls it: the name of Keras's class."""
        name = type(self).__name__
        return "Functional" if name == "Model" and self._graph is not None else name

    def _use_graph(self, graph: LayerGraph) -> None:
        """Become the model of this graph."""
        self._graph = graph
        self._graph_layers = graph.layers
        self.supports_masking = True
        self.built = True

    def build(self, input_shape: Any) -> None:
        """Make the weights, by a call on abstract arrays of this shape (or structure of shapes)."""
        if self._graph is not None:
            return
        tensors = symbolic.tensors_of(input_shape, self.compute_dtype)
        self._seen_inputs = _described({next(iter(self._call_signature.parameters)): tensors})
        symbolic.infer(self.call, (tensors,), {})

    def _prepare(self, bound: Any) -> None:
        # A call builds the layers inside as it reaches them: only a `build` of the user's is run.
        if type(self).build is Model.build and self._graph is None:
            return
        super()._prepare(bound)

    def _call(self, args: Any, kwargs: Any) -> Any:
        if self._seen_inputs is None and self._graph is None:
            self._seen_inputs = _described(self._bind(args, kwargs).arguments)
        return super()._call(args, kwargs)

    def get_build_config(self) -> dict[str, Any] | None:
        """Return what `build_from_config` builds it by: the inputs of its first call, as data."""
        return self._seen_inputs

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Make the weights as the call did that `get_build_config` tells of."""

        def read(value: Any) -> Any:
            if isinstance(value, dict) and set(value) == {"shape", "dtype"}:
                return symbolic.SymbolicTensor(value["shape"], value["dtype"])
            if isinstance(value, dict):
                return {key: read(item) for key, item in value.items()}
            return [read(item) for item in value]

        symbolic.infer(self.__call__, (), {name: read(item) for name, item in config.items()})

    if TYPE_CHECKING:
        # A subclass may take whatever arguments it likes.
        def call(self, *args: Any, **kwargs: Any) -> Any: ...

    else:

        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            """Compute the output; a subclass that isn't functional says how."""
            if self._graph is None:
                raise NotImplementedError(
                    f"Model {type(self).__name__} does not have a `call()` method implemented."
                )
            return self._graph.run(inputs, mask)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return nothing: the layers inside have masked their outputs themselves."""
        return None

    @property
    def layers(self) -> list[Layer]:
        """The layers that this model holds directly; functions of tensors aren't among them."""
        return [layer for layer in self._sublayers() if not layer.is_function]

    @property
    def operations(self) -> list[Layer]:
        """The layers that this model holds directly, and functions of tensors."""
        return self._sublayers()

    @property
    def inputs(self) -> list[symbolic.SymbolicTensor] | None:
        return None if self._graph is None else self._graph.input_tensors

    @property
    def outputs(self) -> list[symbolic.SymbolicTensor] | None:
        return None if self._graph is None else self._graph.output_tensors

    @property
    def input(self) -> Any:
        return super().input if self._graph is None else self._graph.inputs

    @property
    def output(self) -> Any:
        return super().output if self._graph is None else self._graph.outputs

    @property
    def input_shape(self) -> Any:
        return symbolic.shape_of(self.input)

    @property
    def output_shape(self) -> Any:
        return symbolic.shape_of(self.output)

    @property
    def input_names(self) -> list[str]:
        return [tensor.name for tensor in self.inputs or []]

    @property
    def output_names(self) -> list[str]:
        """The names of the layers that made the outputs."""
        nodes = [tensor.node for tensor in self.outputs or []]
        return [node.layer.name for node in nodes if node is not None]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return the layer with this name, or at this place in `layers`.

        Raises:
            ValueError: when there is none.
        """
        if (name is None) == (index is None):
            raise ValueError(
                "Provide either a layer name or a layer index. Received: "
                f"index={index}, name={name}."
            )
        if index is not None:
            if index >= len(self.layers):
                raise ValueError(
                    f"Was asked to retrieve layer at index {index} but model only has "
                    f"{len(self.layers)} layers."
                )
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        raise ValueError(
            f"No such layer: {name}. Existing layers are: {names}.{suggestion(str(name), names)}"
        )

    def summary(
        self,
        line_length: int | None = None,
        positions: list[float] | None = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Print a table of the layers, their output shapes and numbers of weights.

        Arguments:
            line_length: the width in characters.
            positions: where each column ends, as a fraction of the width.
            print_fn: what prints the text; `print` unless given.
            expand_nested: whether the layers of inner models are listed.
            show_trainable: whether a column says which layers are trained.
            layer_range: the first and the last layer to list, as regular expressions.
        """
        options = (line_length, positions, print_fn, expand_nested, show_trainable, layer_range)
        print_summary(self, *options)  # pyright: ignore[reportArgumentType]

    def get_config(self) -> dict[str, Any]:
        made_from_tensors = bool(symbolic.symbolic_leaves(self._arguments))
        if self._graph is None or not made_from_tensors:
            return super().get_config()
        return configs.functional_config(self, self._graph)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        if "input_layers" not in config:
            return super().from_config(config, custom_objects)
        inputs, outputs = configs.rebuild(config, custom_objects)
        model = cls(inputs, outputs, name=config["name"])
        if not config.get("trainable", True):
            model._trainable = False
        return model


def _described(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return shapes and types of the arguments that are arrays, with no size for the batch."""
    arrays = {
        name: value
        for name, value in arguments.items()
        if jax.tree.leaves(value) and all(hasattr(x, "shape") for x in jax.tree.leaves(value))
    }
    return jax.tree.map(
        lambda x: {"shape": [None, *x.shape[1:]] if x.shape else [], "dtype": str(x.dtype)}, arrays
    )
