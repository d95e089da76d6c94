"""The two element types of a layer: that of its weights, and that of its computation."""

from typing import Any

import jax.numpy as jnp


class DTypePolicy:
    """What dtype weights have and what dtype a layer computes in.

    Arguments:
        name: an element type for both, or "mixed_bfloat16" / "mixed_float16": float32 weights,
            computation in the shorter type.
    """

    def __init__(self, name: Any = "float32"):
        if isinstance(name, str) and name.startswith("mixed_"):
            self.name = name
            self.variable_dtype, self.compute_dtype = "float32", name.removeprefix("mixed_")
            if self.compute_dtype not in ("bfloat16", "float16"):
                raise ValueError(
                    f"Cannot convert '{name}' to a mixed precision DTypePolicy. Valid policies "
                    "include 'mixed_float16', 'mixed_bfloat16', and the name of any float dtype "
                    "such as 'float32'."
                )
        else:
            self.name = jnp.dtype(name).name
            self.variable_dtype = self.compute_dtype = self.name

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self.name}">'


_default = DTypePolicy()


def get_policy(dtype: Any) -> DTypePolicy:
    """Return the policy that a layer's `dtype` argument stands for."""
    if dtype is None:
        return _default
    if isinstance(dtype, DTypePolicy):
        return dtype
    return DTypePolicy(getattr(dtype, "name", dtype) if not isinstance(dtype, type) else dtype)


def dtype_policy() -> DTypePolicy:
    """Return the policy of layers made now without `dtype`."""
    return _default


def set_dtype_policy(dtype: Any) -> None:
    """Set the policy of layers made from now on without `dtype`."""
    global _default
    _default = get_policy(dtype)
