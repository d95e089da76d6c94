"""How masks go through a call: from the arrays that carry them to arguments, and to outputs."""

import inspect
import warnings
from typing import TYPE_CHECKING, Any

import jax

from xlathe.tracer.layers import scope

if TYPE_CHECKING:
    from xlathe.tracer.layers.layer import Layer


def fill(signature: inspect.Signature, bound: inspect.BoundArguments) -> Any:
    """Fill in the mask arguments of a call that weren't passed.

    The only array's mask goes to `mask`; with several arrays that of `value` goes to `value_mask`.

    Returns:
        The mask of the first array, which is that of the outputs of most layers.
    """
    tensors = {
        name: value
        for name, value in bound.arguments.items()
        if name != "mask"
        and not name.endswith("_mask")
        and any(hasattr(leaf, "shape") for leaf in jax.tree.leaves(value))
    }
    for name, value in tensors.items():
        argument = "mask" if len(tensors) == 1 else f"{name}_mask"
        if argument in signature.parameters and bound.arguments.get(argument) is None:
            mask = _masks(value)
            if jax.tree.leaves(mask):
                bound.arguments[argument] = mask
    if (mask := bound.arguments.get("mask")) is not None:
        return mask
    return _masks(next(iter(tensors.values()))) if tensors else None


def attach(layer: "Layer", bound: inspect.BoundArguments, masks: Any, outputs: Any) -> None:
    """Attach to the outputs the masks that follow from those of the inputs."""
    if not layer.supports_masking:
        current = scope.current_scope()
        if jax.tree.leaves(masks) and not (current is not None and current.abstract):
            warnings.warn(
                f"Layer '{layer.name}' (of type {type(layer).__name__}) was passed an input with a "
                "mask attached to it. However, this layer does not support masking and will "
                "therefore destroy the mask information. Downstream layers will not see the mask.",
                stacklevel=4,
            )
        return
    arrays = [leaf for leaf in jax.tree.leaves(outputs) if isinstance(leaf, jax.Array)]
    if all(scope.get_mask(array) is not None for array in arrays):
        return
    first = next(iter(bound.arguments.values()), None)
    found = layer.compute_mask(first, masks)
    flat = jax.tree.leaves(found, is_leaf=lambda leaf: leaf is None)
    for array, mask in zip(arrays, flat, strict=False):
        if mask is not None and scope.get_mask(array) is None:
            scope.set_mask(array, mask)


def _masks(value: Any) -> Any:
    """Return the masks of an argument's arrays, None where there is none, in its structure."""
    return jax.tree.map(scope.get_mask, value)
