"""Configurations of Keras's objects, in the form that ours have."""

from __future__ import annotations

from typing import Any

import numpy as np

# What Keras's configs have and ours don't, with the value that means "not used".
_UNUSED: dict[str, tuple[Any, ...]] = {
    "quantization_config": (None,),
    "lora_rank": (None,),
    "lora_alpha": (None,),
    "renorm": (False,),
    "synchronized": (False,),
    "rms_scaling": (False,),
    "sparse": (False, None),
    "ragged": (False, None),
    "optional": (False,),
    "input_axes": (None,),
    "output_axes": (None,),
}
# What means nothing unless one of the above is used.
_DEPENDENT = {"renorm_clipping", "renorm_momentum"}


def plain(value: Any) -> Any:
    """Return a config of Keras's in the form of ours, with what isn't used left out.

    Args:
        value: what Keras's `get_config` returned, or a part of it.

    Raises:
        ValueError: it uses what there isn't here; the message names it.
    """
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    if not isinstance(value, dict):
        return value
    name = value.get("class_name")
    if name is None or ("config" not in value and name not in ("__tuple__", "__ellipsis__")):
        return {key: plain(item) for key, item in value.items()}
    if name == "__tuple__":
        return tuple(plain(item) for item in value["items"])
    if name == "__ellipsis__":
        return Ellipsis
    config = value["config"]
    if name == "DTypePolicy":
        return config["name"]
    if name == "__slice__":
        return slice(config["start"], config["stop"], config["step"])
    if name in ("__numpy__", "__tensor__"):
        return np.asarray(config["value"], config["dtype"])
    if name == "function":
        return {"class_name": "function", "config": config}
    return {"class_name": name, "config": used(plain(config))}


def used(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config without what Keras has and isn't used.

    Raises:
        ValueError: something that there isn't here is used; the message names it.
    """
    for name, unused in _UNUSED.items():
        if name in config and config[name] not in unused:
            raise ValueError(f"{name}={config[name]!r} is not available here. Leave it out.")
    return {
        name: value
        for name, value in config.items()
        if name not in _UNUSED and name not in _DEPENDENT
    }
