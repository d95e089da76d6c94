"""Functions of `ops` between time and frequency; a complex array is a pair of real ones."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xlathe.tracer.layers.indexing_operations import extract_sequences

Pair = tuple[jax.Array, jax.Array]


def _complex(x: Any) -> jax.Array:
    real, imaginary = x
    return jax.lax.complex(*jnp.broadcast_arrays(jnp.asarray(real), jnp.asarray(imaginary)))


def _pair(x: jax.Array) -> Pair:
    return x.real, x.imag


def fft(x: Any) -> Pair:
    """Return the Fourier transform along the last axis, of a pair as a pair."""
    return _pair(jnp.fft.fft(_complex(x)))


def fft2(x: Any) -> Pair:
    """Return the Fourier transform over the last two axes, of a pair as a pair."""
    return _pair(jnp.fft.fft2(_complex(x)))


def ifft2(x: Any) -> Pair:
    """Return the inverse of `fft2`."""
    return _pair(jnp.fft.ifft2(_complex(x)))


def rfft(x: Any, fft_length: int | None = None) -> Pair:
    """Return the Fourier transform of a real array along the last axis, as a pair."""
    return _pair(jnp.fft.rfft(jnp.asarray(x), fft_length))


def irfft(x: Any, fft_length: int | None = None) -> jax.Array:
    """Return the inverse of `rfft`."""
    return jnp.fft.irfft(_complex(x), fft_length)


def stft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> Pair:
    """Return the Fourier transforms of windows of the last axis, as a pair.

    Arguments:
        x: a real array.
        sequence_length: how long a window is.
        sequence_stride: how far apart windows are.
        fft_length: to what windows are padded.
        window: "hann", "hamming", values for a window, or None.
        center: whether the first window is centred on the first value.
    """
    if fft_length < sequence_length:
        raise ValueError(
            "`fft_length` must equal or be larger than `sequence_length`. Received: "
            f"sequence_length={sequence_length}, fft_length={fft_length}"
        )
    x = jnp.asarray(x)
    if center:
        half = fft_length // 2
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(half, half)], mode="reflect")
    before = (fft_length - sequence_length) // 2
    factors = jnp.pad(
        jnp.asarray(_window(window, sequence_length), x.dtype),
        (before, fft_length - sequence_length - before),
    )
    return rfft(extract_sequences(x, fft_length, sequence_stride) * factors, fft_length)


def _window(window: Any, length: int) -> Any:
    if window is None:
        return np.ones(length)
    if not isinstance(window, str):
        return window
    offsets = {"hann": 0.5, "hamming": 0.54}
    if window not in offsets:
        raise ValueError(
            f"If a string is passed to `window`, it must be one of {list(offsets)}. "
            f"Received: window={window!r}"
        )
    turns = 2 * np.pi * np.arange(length) / length
    return offsets[window] - (1 - offsets[window]) * np.cos(turns)


FUNCTIONS: list[Callable[..., Any]] = [fft, fft2, ifft2, rfft, irfft, stft]
