"""A model made again with layers of its own."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from xlathe.tracer.layers import symbolic
from xlathe.tracer.layers.core import Input, InputLayer
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.symbolic import SymbolicTensor
from xlathe.tracer.models.model import Model
from xlathe.tracer.models.sequential import Sequential


def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Callable[[Layer], Layer] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
) -> Any:
    """Return a model like another, with new layers and new weights, as Keras's `clone_model`.

    Arguments:
        model: a Sequential or functional model; of a subclassed one `from_config` makes the new.
        input_tensors: symbolic tensors to build on, in the structure of the inputs; new ones
            unless given.
        clone_function: makes a layer of a layer; by default one with the same config.
        call_function: calls a new layer, as `call_function(layer, *args, **kwargs)`; for functional
            models.
        recursive: whether the layers of models inside are cloned by `clone_function` too, instead
            of the inner model as one layer.

    Returns:
        The new model, not compiled.

    Raises:
        ValueError: an argument is given that a model of this kind has no use for.
    """
    if not isinstance(model, Model):
        raise ValueError(
            f"`clone_model` takes a Model. Received: {model!r} (of type {type(model).__name__})"
        )
    made: dict[int, Any] = {}

    def clone(layer: Layer) -> Any:
        if id(layer) not in made:
            if recursive and isinstance(layer, Model):
                made[id(layer)] = clone_model(
                    layer, None, clone_function, call_function, recursive=True
                )
            else:
                made[id(layer)] = (clone_function or _same)(layer)
        return made[id(layer)]

    if isinstance(model, Sequential):
        if call_function is not None:
            raise ValueError(
                "`call_function` argument is not supported with Sequential models. Received: "
                f"call_function={call_function}"
            )
        start = _sequential_start(model, input_tensors)
        cloned = _kind(model)([*start, *map(clone, model.layers)], name=model.name)
    elif model._graph is not None:
        starts = _starts(model, input_tensors)

        def make(layer: Layer) -> Callable[..., Any]:
            new = clone(layer)
            return new if call_function is None else functools.partial(call_function, new)

        inputs = jax.tree.unflatten(jax.tree.structure(model._graph.inputs), starts)
        cloned = _kind(model)(inputs, model._graph.replay(starts, make), name=model.name)
    else:
        _check_subclassed(input_tensors, clone_function, call_function)
        return type(model).from_config(model.get_config())
    cloned._trainable = model._trainable
    return cloned


def _same(layer: Layer) -> Layer:
    return type(layer).from_config(layer.get_config())


def _kind(model: Model) -> Any:
    """Return the class of this project that the model is of: a user's may take other arguments."""
    return next(cls for cls in type(model).__mro__ if cls.__module__.startswith("xlathe."))


def _like(tensor: SymbolicTensor) -> SymbolicTensor:
    layer = tensor.node.layer if tensor.node is not None else None
    name = layer.name if isinstance(layer, InputLayer) else None
    return Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)


def _starts(model: Model, input_tensors: Any) -> list[SymbolicTensor]:
    expected = model.inputs or []
    if input_tensors is None:
        return [_like(tensor) for tensor in expected]
    given = symbolic.symbolic_leaves(input_tensors)
    if len(given) != len(expected):
        raise ValueError(
            f"The model has {len(expected)} inputs. Received: input_tensors={input_tensors}"
        )
    return given


def _sequential_start(model: Sequential, input_tensors: Any) -> list[SymbolicTensor]:
    if input_tensors is not None:
        (given,) = symbolic.symbolic_leaves(input_tensors)
        return [given]
    first = model._input_layer
    return [] if first is None else [_like(first.output)]


def _check_subclassed(*given: Any) -> None:
    if any(item is not None for item in given):
        raise ValueError(
            "Arguments `input_tensors`, `clone_function` and `call_function` are not available "
            "for subclassed models, which are cloned by `from_config` and `get_config`."
        )
