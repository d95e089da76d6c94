"""What Keras's `config` and `backend` say, and how it is here."""

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
