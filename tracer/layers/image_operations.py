"""Functions of `ops.image`: sizes, patches, colours of images."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from xlathe.tracer.layers import formats, images
from xlathe.tracer.layers.convolution import dimension_numbers

_LUMINANCE = (0.2989, 0.5870, 0.1140)


def resize(
    images_: Any,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> jax.Array:
    """Return images of another size, given as (height, width)."""
    height, width = (size, size) if isinstance(size, int) else size
    layer = images.Resizing(
        height,
        width,
        interpolation,
        crop_to_aspect_ratio,
        pad_to_aspect_ratio,
        fill_mode,
        fill_value,
        antialias,
        data_format,
        name="resize",
    )
    return layer.call(jnp.asarray(images_))


def extract_patches(
    images: Any,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> jax.Array:
    """Return the patches of images, the values of each along the axis of the channels."""
    images = jnp.asarray(images)
    where = formats.data_format(data_format)
    batch = images if images.ndim == 4 else images[None]
    high, wide = formats.sizes(size, 2, "size")
    channels = batch.shape[formats.channel_axis(where)]
    count = high * wide * channels
    kernel = jnp.eye(count, dtype=images.dtype).reshape(high, wide, channels, count)
    patches = lax.conv_general_dilated(
        batch,
        kernel,
        formats.sizes(size if strides is None else strides, 2, "strides"),
        formats.padding(padding).upper(),
        rhs_dilation=formats.sizes(dilation_rate, 2, "dilation_rate"),
        dimension_numbers=dimension_numbers(2, where),
    )
    return patches if images.ndim == 4 else patches[0]


def rgb_to_grayscale(images: Any, data_format: str | None = None) -> jax.Array:
    """Return the brightness of coloured images, with one channel."""
    images = jnp.asarray(images)
    axis = -1 if formats.data_format(data_format) == "channels_last" else -3
    weights = jnp.asarray(_LUMINANCE, jnp.result_type(images.dtype, "float32"))
    gray = jnp.tensordot(images, weights, axes=((axis,), (0,)))
    return jnp.expand_dims(gray, axis).astype(images.dtype)


def pad_images(
    images: Any,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> jax.Array:
    """Return images with zeros around them; of three sizes an axis, two are given."""
    images = jnp.asarray(images)
    widths = [(0, 0)] * images.ndim
    rows, columns = _axes(images, data_format)
    widths[rows] = _margins(
        "pad", images.shape[rows], top_padding, bottom_padding, target_height, 1
    )
    widths[columns] = _margins(
        "pad", images.shape[columns], left_padding, right_padding, target_width, 1
    )
    return jnp.pad(images, widths)


def crop_images(
    images: Any,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> jax.Array:
    """Return images without their margins; of three sizes an axis, two are given."""
    images = jnp.asarray(images)
    kept = [slice(None)] * images.ndim
    rows, columns = _axes(images, data_format)
    for axis, before, after, target in (
        (rows, top_cropping, bottom_cropping, target_height),
        (columns, left_cropping, right_cropping, target_width),
    ):
        size = images.shape[axis]
        first, last = _margins("crop", size, before, after, target, -1)
        kept[axis] = slice(first, size - last)
    return images[tuple(kept)]


def _axes(images: Any, data_format: str | None) -> tuple[int, int]:
    first = images.ndim - 3 + (formats.data_format(data_format) == "channels_first")
    return first, first + 1


def _margins(
    what: str, size: int, before: int | None, after: int | None, target: int | None, sign: int
) -> tuple[int, int]:
    """Return the margins at both ends of an axis, which make up `sign` times what it grows by."""
    if [before, after, target].count(None) != 1:
        raise ValueError(
            f"`{what}_images` takes exactly two of the margin before, the margin after and the "
            f"target size of an axis. Received: {before}, {after} and {target}"
        )
    if target is not None:
        both = (target - size) * sign
        before = both - after if before is None else before  # pyright: ignore
        after = both - before if after is None else after
    if before < 0 or after < 0:  # pyright: ignore[reportOptionalOperand]
        raise ValueError(
            f"The margins of `{what}_images` must not be negative. Received: {before} and {after} "
            f"for an axis of size {size}"
        )
    return before, after  # pyright: ignore[reportReturnType]


def map_coordinates(
    inputs: Any, coordinates: Any, order: int, fill_mode: str = "constant", fill_value: float = 0
) -> jax.Array:
    """Return the values of an array at coordinates between its elements."""
    coordinates = list(jnp.asarray(coordinates))
    return jax.scipy.ndimage.map_coordinates(
        jnp.asarray(inputs), coordinates, order, fill_mode, fill_value
    )


FUNCTIONS: list[Callable[..., Any]] = [
    *(resize, extract_patches, rgb_to_grayscale, pad_images, crop_images, map_coordinates),
]
