"""`Layer`: what every layer and model is.

A layer owns variables and inner layers, found through its attributes. It has three faces:

* **stateful**: `layer(x)` reads the variables it holds and writes new statistics to them;
* **pure**: `params = layer.init(key, x)`, `y, state = layer.apply(params, x)`, in `pure.py`;
* **symbolic**: `layer(Input(shape))` records the call as a node of a model.

The first is the same code as the second: a call inside a `StatelessScope` reads and writes there.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.tracer.layers import (
    initializers,
    masking,
    naming,
    regularizers,
    scope,
    specs,
    symbolic,
)
from xlathe.tracer.layers.dtypes import get_policy
from xlathe.tracer.layers.pure import Pure
from xlathe.tracer.layers.random import SeedGenerator
from xlathe.tracer.layers.serialization import Configurable, suggestion
from xlathe.tracer.layers.tracking import CONTAINERS, PLAIN, STATE, held, unique
from xlathe.tracer.layers.variable import Variable

_COMMON = {"name", "trainable", "dtype"}


class Layer(Pure, Configurable):
    """A callable with weights, as Keras's `Layer`.

    Subclasses make what does not depend on shapes in `__init__`, weights in `build`, and compute
    in `call`, which may take `training` and `mask`.

    Arguments:
        activity_regularizer: a penalty on the output, added to the loss.
        trainable: whether the weights are trained.
        dtype: element type of weights and computation, or "mixed_bfloat16" / "mixed_float16".
        autocast: whether floating-point inputs are cast to the compute dtype.
        name: its name; from the class's unless given.
    """

    is_function: ClassVar[bool] = False
    """Whether it stands for a function of tensors, such as `x + y`, in a functional model."""
    # Attributes that reach layers which are not parts of this one.
    _untracked: ClassVar[frozenset[str]] = frozenset({"_arguments", "_inbound_nodes"})

    _own_weights: list[Variable]
    _inbound_nodes: list[symbolic.Node]
    _losses: list[Any]
    _seen_shape: Any
    _initialized: bool

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = _building(cls.__dict__["build"])

    def __new__(cls, *args: Any, **kwargs: Any):
        layer = super().__new__(cls, *args, **kwargs)
        layer._own_weights = []
        layer._inbound_nodes = []
        layer._losses = []
        layer._seen_shape = None
        layer._initialized = False
        return layer

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ):
        size = kwargs.pop("input_dim", None)
        shape = kwargs.pop("input_shape", None)
        self.input_shape_argument = (size,) if size is not None else shape
        if kwargs:
            known = {**self._signature.parameters, **inspect.signature(Layer.__init__).parameters}
            hint = suggestion(next(iter(kwargs)), known)
            raise ValueError(
                f"Unrecognized keyword arguments passed to {type(self).__name__}: {kwargs}{hint}"
            )
        if not isinstance(trainable, bool):
            raise ValueError(
                "Expected `trainable` to be a boolean. Received: "
                f"trainable={trainable} (of type {type(trainable)})"
            )
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(
                "Argument `name` must be a string and cannot contain character `/`. "
                f"Received: name={name} (of type {type(name)})"
            )
        self.name = name or naming.unique_name(self.default_name())
        self.path: str | None = None
        self.dtype_policy = get_policy(dtype)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.autocast = autocast
        self.built = False
        self.supports_masking = type(self).compute_mask is not Layer.compute_mask
        self.input_spec: Any = None
        self._trainable = trainable
        self._call_signature = inspect.signature(self.call)
        self._initialized = True

    def default_name(self) -> str:
        """Return the name of a layer that is given none, before it is made unique."""
        return naming.snake_case(type(self).__name__)

    def build(self, input_shape: Any) -> None:
        """Make the weights, given the shape of the input; the batch size may be None."""
        self.built = True

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; a subclass says how."""
        raise NotImplementedError(
            f"Layer {type(self).__name__} does not have a `call()` method implemented."
        )

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the mask of the output, given the input and its mask."""
        return previous_mask

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Return the shape of the output for a shape (or structure of shapes) of the input."""
        named = {
            name.removesuffix("_shape"): symbolic.tensors_of(shape, self.compute_dtype)
            for name, shape in kwargs.items()
        }
        inputs = [symbolic.tensors_of(shape, self.compute_dtype) for shape in args]
        if "input" in named:
            inputs.append(named.pop("input"))
        return symbolic.shape_of(self.compute_output_spec(*inputs, **named))

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Return symbolic tensors of the output's shapes, by abstract evaluation of the call."""
        return symbolic.infer(self.__call__, args, kwargs)

    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Variable:
        """Make a variable that belongs to this layer.

        Arguments:
            shape: its shape, scalar unless given.
            initializer: "glorot_uniform" for floats and "zeros" for others, unless given.
            dtype: the layer's variable dtype unless given.
            trainable: whether it is trained.
            autocast: whether it is read in the compute dtype.
            regularizer: a penalty on it, added to the loss.
            constraint: a function applied to it after each update.
            name: its name.

        Returns:
            The variable.
        """
        self._check_initialized()
        dtype = dtype or self.variable_dtype
        if initializer is None:
            initializer = (
                "glorot_uniform" if jnp.issubdtype(jnp.dtype(dtype), jnp.floating) else "zeros"
            )
        variable = Variable(
            initializers.get(initializer),
            () if shape is None else (shape,) if isinstance(shape, int) else tuple(shape),
            dtype,
            trainable,
            autocast,
            name,
            path=f"{self.path or self.name}/{name or 'variable'}",
            regularizer=regularizers.get(regularizer),
            constraint=constraint,
        )
        self._own_weights.append(variable)
        return variable

    def add_loss(self, loss: Any) -> None:
        """Add a scalar, or several, to what training minimises, for the call under way."""
        current = scope.current_scope()
        (self._losses if current is None else current.losses).extend(jax.tree.leaves(loss))

    @property
    def losses(self) -> list[Any]:
        """The losses added in the last call, and the penalties on weights."""
        current = scope.current_scope()
        if current is not None:
            added = list(current.losses)
        else:
            added = [loss for layer in self._flatten_layers() for loss in layer._losses]
        penalties = [
            variable.regularizer(variable.value)
            for variable in self.trainable_weights
            if variable.regularizer is not None
        ]
        return added + penalties

    @property
    def dtype(self) -> str:
        return self.dtype_policy.variable_dtype

    @property
    def variable_dtype(self) -> str:
        return self.dtype_policy.variable_dtype

    @property
    def compute_dtype(self) -> str:
        return self.dtype_policy.compute_dtype

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, trainable: bool) -> None:
        for layer in self._flatten_layers():
            layer._trainable = bool(trainable)

    def _held(self, kinds: tuple[type, ...]) -> list[Any]:
        looked_into = (*kinds, *CONTAINERS)
        attributes = (
            value
            for name, value in vars(self).items()
            if type(value) not in PLAIN
            and isinstance(value, looked_into)
            and name not in self._untracked
        )
        return unique(item for value in attributes for item in held(value, kinds))

    def _sublayers(self) -> list["Layer"]:
        """Return the layers that this one holds directly, in the order of its attributes."""
        return [layer for layer in self._held((Layer,)) if layer is not self]

    def _flatten_layers(self) -> list["Layer"]:
        """Return this layer and all that it reaches, each once, parents first."""
        found: dict[int, Layer] = {}
        pending: list[Layer] = [self]
        while pending:
            layer = pending.pop(0)
            if id(layer) not in found:
                found[id(layer)] = layer
                pending[:0] = layer._sublayers()
        return list(found.values())

    def _own_variables(self) -> list[Variable]:
        """Return the variables of this layer itself: trainable ones first, seeds last."""
        state = unique([*self._own_weights, *self._held(STATE)])
        variables = [v.state if isinstance(v, SeedGenerator) else v for v in state]
        return sorted(variables, key=lambda v: (v.kind != "weight", not v.trainable, v.number))

    @property
    def variables(self) -> list[Variable]:
        """Every variable, the states of seed generators too."""
        return unique(v for layer in self._flatten_layers() for v in layer._own_variables())

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables that gradients are taken with respect to."""
        layers = self._flatten_layers()
        tops = [layer for layer in layers if not layer._trainable]
        inside = unique(layer for top in tops for layer in top._flatten_layers())
        frozen = {id(v) for layer in inside for v in layer._own_variables()}
        variables = unique(v for layer in layers for v in layer._own_variables())
        return [v for v in variables if v.trainable and id(v) not in frozen]

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The other variables: statistics, seeds, frozen weights."""
        trainable = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in trainable]

    @property
    def weights(self) -> list[Variable]:
        """Every variable but the states of seed generators and of stateful layers."""
        return [v for v in self.variables if v.kind == "weight"]

    @property
    def trainable_weights(self) -> list[Variable]:
        return [v for v in self.trainable_variables if v.kind == "weight"]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        return [v for v in self.non_trainable_variables if v.kind == "weight"]

    def get_weights(self) -> list[np.ndarray]:
        """Return the values of `weights` as NumPy arrays."""
        return [weight.numpy() for weight in self.weights]

    def set_weights(self, weights: Any) -> None:
        """Assign values to `weights`, in their order; all are checked before any is assigned."""
        mine = self.weights
        if len(mine) != len(weights):
            raise ValueError(
                f"You called `set_weights(weights)` on layer '{self.name}' with a weight list of "
                f"length {len(weights)}, but the layer was expecting {len(mine)} weights."
            )
        for variable, value in zip(mine, weights, strict=True):
            if tuple(np.shape(value)) != variable.shape:
                raise ValueError(
                    f"Layer '{self.name}' weight '{variable.path}' has shape {variable.shape}, "
                    f"but the value given for it has shape {tuple(np.shape(value))}."
                )
        for variable, value in zip(mine, weights, strict=True):
            variable.assign(value)

    def count_params(self) -> int:
        """Return the number of scalars in the weights."""
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on layer '{self.name}', but the layer isn't "
                "built. You can build it manually via: `layer.build(input_shape)`."
            )
        return sum(math.prod(weight.shape) for weight in self.weights)

    def get_config(self) -> dict[str, Any]:
        config = {
            "name": self.name,
            "trainable": self._trainable,
            "dtype": self.dtype_policy.name,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        parameters = inspect.signature(cls.__init__).parameters
        kinds = {parameter.kind for parameter in parameters.values()}
        common = set() if inspect.Parameter.VAR_KEYWORD in kinds else _COMMON - set(parameters)
        passed = {name: value for name, value in config.items() if name not in common}
        layer = super().from_config(passed, custom_objects)
        # What an `__init__` of the user's doesn't take is set all the same.
        for name in common & set(config):
            if name == "dtype":
                layer.dtype_policy = get_policy(config[name])
            else:
                setattr(layer, "_trainable" if name == "trainable" else name, config[name])
        return layer

    @property
    def input(self) -> Any:
        """The symbolic tensors of the first call on symbolic tensors."""
        node = self._first_node("input")
        return node.args[0] if len(node.args) == 1 else list(node.args)

    @property
    def output(self) -> Any:
        """What the first call on symbolic tensors gave."""
        return self._first_node("output").outputs

    def _first_node(self, what: str) -> symbolic.Node:
        if not self._inbound_nodes:
            raise AttributeError(
                f"The layer {self.name} has never been called and thus has no defined {what}."
            )
        return self._inbound_nodes[0]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._check_initialized()
        if not symbolic.symbolic_leaves((args, kwargs)):
            return self._call(args, kwargs)
        bound = self._bind(args, kwargs)
        self._prepare(bound)
        outputs = self.compute_output_spec(*args, **kwargs)
        # A layer that hands an input on as it is makes a tensor of its own all the same.
        symbolic.Node(self, args, kwargs, outputs)  # pyright: ignore[reportArgumentType]
        return outputs

    def _call(self, args: Any, kwargs: Any) -> Any:
        """Call on arrays: check, build, fill in `training` and masks, compute, mask the output."""
        training = self._resolve_training(kwargs)
        bound = self._bind(args, kwargs)
        if training is not None and "training" in self._call_signature.parameters:
            bound.arguments["training"] = training
        masks = masking.fill(self._call_signature, bound)
        bound.arguments = {k: self._convert(v) for k, v in bound.arguments.items()}
        mixed = self.autocast and self.compute_dtype != self.variable_dtype
        outer = scope.current_call()
        if outer is None and scope.current_scope() is None:
            for layer in self._flatten_layers():
                layer._losses.clear()
        with (
            scope.calling(training),
            scope.inside(self),  # pyright: ignore[reportArgumentType]
            scope.computing_in(self.compute_dtype if mixed else None),
            jax.named_scope(self.name),
        ):
            self._prepare(bound)
            outputs = self.call(*bound.args, **bound.kwargs)
            self.built = True
            self._seen_shape = getattr(outputs, "shape", None)
            self._penalise(outputs)
        masking.attach(self, bound, masks, outputs)  # pyright: ignore[reportArgumentType]
        return outputs

    def _resolve_training(self, kwargs: dict[str, Any]) -> Any:
        """Return `training`: as passed, else as the outer layer has it, else the default."""
        parameter = self._call_signature.parameters.get("training")
        given = kwargs.get("training") if parameter else kwargs.pop("training", None)
        if given is not None:
            return given
        outer = scope.current_call()
        if outer is not None and outer.training is not None:
            return outer.training
        default = None if parameter is None else parameter.default
        default = None if default is inspect.Parameter.empty else default
        return False if default is None and outer is None else default

    def _bind(self, args: Any, kwargs: Any) -> inspect.BoundArguments:
        kwargs = dict(kwargs)
        if "training" not in self._call_signature.parameters:
            kwargs.pop("training", None)
        return self._call_signature.bind(*args, **kwargs)

    def _convert(self, value: Any) -> Any:
        """Return the arrays of an argument as JAX arrays, floating-point ones in compute dtype."""
        return jax.tree.map(self._convert_leaf, value)

    def _convert_leaf(self, value: Any) -> Any:
        if isinstance(value, Variable):
            value = value.value
        if not isinstance(value, np.ndarray | jax.Array):
            return value
        dtype = self.compute_dtype
        floating = jnp.issubdtype(value.dtype, jnp.floating)
        if not (self.autocast and floating and value.dtype != dtype):
            return value if isinstance(value, jax.Array) else jnp.asarray(value)
        converted = jnp.asarray(value, dtype)
        if (mask := scope.get_mask(value)) is not None:
            scope.set_mask(converted, mask)
        return converted

    def _prepare(self, bound: inspect.BoundArguments) -> None:
        """Check the first argument against the spec, and build on the first call."""
        first = next(iter(bound.arguments.values()), None)
        if self.input_spec is not None:
            specs.check_inputs(self.input_spec, first, self.name)
        if self.built:
            return
        self.build(**self._shapes(bound, first))
        if self.input_spec is not None:
            specs.check_inputs(self.input_spec, first, self.name)

    def _shapes(self, bound: inspect.BoundArguments, first: Any) -> dict[str, Any]:
        """Return the shapes that `build` takes: of the first argument, or of each by its name."""
        parameters = inspect.signature(self.build).parameters
        if len(parameters) == 1:
            return {next(iter(parameters)): symbolic.shape_of(first)}
        return {
            name: symbolic.shape_of(bound.arguments[argument])
            for name in parameters
            if (argument := name.removesuffix("_shape")) in bound.arguments
            and bound.arguments[argument] is not None
        }

    def _penalise(self, outputs: Any) -> None:
        if self.activity_regularizer is None:
            return
        for output in jax.tree.leaves(outputs):
            self.add_loss(self.activity_regularizer(output) / max(output.shape[0], 1))

    def _check_initialized(self) -> None:
        if not self._initialized:
            raise RuntimeError(
                f"In layer '{type(self).__name__}', you forgot to call `super().__init__()` as the "
                "first statement in the `__init__()` method. Go add it!"
            )

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            found = getattr(type(self), name, None)
            if isinstance(found, property) and found.fget is not None:
                return found.fget(self)  # it raised an AttributeError of its own: raise it again
            if not name.startswith("_") and not self.__dict__.get("built", True):
                raise AttributeError(
                    f"'{type(self).__name__}' object has no attribute '{name}'. If its `build` "
                    f"makes it: you must build the layer before accessing `{name}`, by "
                    "`layer.build(input_shape)` or by a call."
                )
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _building(build: Callable) -> Callable:
    """Return a `build` method that also sets the layer's path and marks it as built."""

    @functools.wraps(build)
    def wrapped(self: Layer, *args: Any, **kwargs: Any) -> None:
        with scope.inside(self) as layers, scope.computing_in(None):  # pyright: ignore[reportArgumentType]
            self.path = "/".join(layer.name for layer in layers)
            build(self, *args, **kwargs)
        self.built = True

    return wrapped


Layer.build = _building(Layer.build)
