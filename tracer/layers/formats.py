"""Arguments of convolutions, pooling and images: sizes, strides, where the channels are."""

from typing import Any


def sizes(value: Any, rank: int, name: str, *, allow_zero: bool = False) -> tuple[int, ...]:
    """Return an integer, or a sequence of `rank` of them, as a tuple.

    Raises:
        ValueError: for anything else, saying what was received.
    """
    given = (value,) * rank if isinstance(value, int) else value
    try:
        result = tuple(int(size) for size in given)
    except (TypeError, ValueError):
        result = ()
    lowest = 0 if allow_zero else 1
    if len(result) != rank or any(size < lowest for size in result):
        kind = "non-negative" if allow_zero else "positive"
        raise ValueError(
            f"The `{name}` argument must be a tuple of {rank} {kind} integers. "
            f"Received {name}={value}"
        )
    return result


def data_format(value: str | None) -> str:
    """Return where the channels are; "channels_last" unless given."""
    if value is None:
        return "channels_last"
    chosen = value.lower()
    if chosen not in ("channels_last", "channels_first"):
        raise ValueError(
            "The `data_format` argument must be one of 'channels_first', 'channels_last'. "
            f"Received: {value}"
        )
    return chosen


def padding(value: str, *, allow_causal: bool = False) -> str:
    """Return "valid", "same", or "causal" where that is allowed."""
    allowed = {"valid", "same", "causal"} if allow_causal else {"valid", "same"}
    chosen = value.lower() if isinstance(value, str) else value
    if chosen not in allowed:
        raise ValueError(
            f"The `padding` argument must be one of {sorted(allowed)}. Received: {value}"
        )
    return chosen


def channel_axis(chosen: str) -> int:
    """Return the axis of the channels."""
    return -1 if chosen == "channels_last" else 1


def spatial_axes(chosen: str, rank: int) -> tuple[int, ...]:
    """Return the axes of space."""
    first = 1 if chosen == "channels_last" else 2
    return tuple(range(first, first + rank))


def interpolation(value: str) -> str:
    """Return the name of an interpolation that `jax.image.resize` knows.

    Raises:
        ValueError: for any other.
    """
    chosen = value.lower()
    known = ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic")
    if chosen not in known:
        raise ValueError(
            f"Invalid value for argument `interpolation`. Expected one of {known}. "
            f"Received: interpolation={value}"
        )
    return "cubic" if chosen == "bicubic" else chosen
