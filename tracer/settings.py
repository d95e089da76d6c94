"""What Keras's `config` and `backend` say, and how it is here."""

from typing import Any

EPSILON = 1e-7


def backend() -> str:
    """Return "jax": there is no other."""
    return "jax"


def floatx() -> str:
    """Return "float32": a layer's `dtype`, or `set_dtype_policy`, says otherwise."""
    return "float32"


def epsilon() -> float:
    """Return the small number that losses and metrics keep away from zero by."""
    return EPSILON


def image_data_format() -> str:
    """Return "channels_last": a layer's `data_format` says otherwise."""
    return "channels_last"


def set_floatx(value: str) -> None:
    """Accept "float32"; for others there is `set_dtype_policy`."""
    if value != floatx():
        raise ValueError(
            f"`floatx` is {floatx()!r} here. For layers that compute in another type call "
            f"`config.set_dtype_policy({value!r})`. Received: {value!r}"
        )


def set_image_data_format(data_format: str) -> None:
    """Accept "channels_last"; for others there is each layer's `data_format`."""
    if data_format != image_data_format():
        raise ValueError(
            f"The data format is {image_data_format()!r} here, unless a layer's `data_format` says "
            f"otherwise. Received: {data_format!r}"
        )


def leave(*args: Any) -> None:
    """Do nothing: tracebacks are never shortened, and logs look the same everywhere."""
