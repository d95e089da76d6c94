"""Preprocessing of images: sizes, and random changes in training."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from xlathe.tracer.layers import formats
from xlathe.tracer.layers.layer import Layer
from xlathe.tracer.layers.random import SeedGenerator


class _Images(Layer):
    """A layer that takes one image, or a batch of them."""

    def __init__(self, data_format: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.data_format = formats.data_format(data_format)
        self.built = True

    @property
    def _axes(self) -> tuple[int, int]:
        """The axes of height and width, counted from the end."""
        return (-3, -2) if self.data_format == "channels_last" else (-2, -1)

    def _check_rank(self, images: Any) -> None:
        if images.ndim not in (3, 4):
            raise ValueError(
                "Invalid images rank: expected rank 3 (single image) or rank 4 (batch of images). "
                f"Received input with shape: images.shape={images.shape}"
            )

    def _with_size(self, images: Any, size: tuple[int, int]) -> list[int]:
        shape = list(images.shape)
        for axis, value in zip(self._axes, size, strict=True):
            shape[axis] = value
        return shape

    def _cut(self, images: Any, size: tuple[int, int]) -> Any:
        """Return the middle of the images."""
        kept = [slice(None)] * images.ndim
        for axis, value in zip(self._axes, size, strict=True):
            start = (images.shape[axis] - value) // 2
            kept[axis] = slice(start, start + value)
        return images[tuple(kept)]

    def _fit(self, images: Any, height: int, width: int) -> tuple[int, int]:
        """Return the largest size within the images whose sides are as `height` to `width`."""
        high, wide = (images.shape[axis] for axis in self._axes)
        return (
            max(min(high, int(wide * height / width)), 1),
            max(min(wide, int(high * width / height)), 1),
        )


class Resizing(_Images):
    """Images of another size.

    Arguments:
        height, width: the size.
        interpolation: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5".
        crop_to_aspect_ratio: whether images are cut rather than distorted.
        pad_to_aspect_ratio: whether images are padded with `fill_value` rather than distorted.
        antialias: whether images are smoothed before they are made smaller.
        data_format: where the channels are.
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(data_format, **kwargs)
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError(
                "Only one of `pad_to_aspect_ratio` & `crop_to_aspect_ratio` can be `True`."
            )
        if fill_mode != "constant":
            raise ValueError(
                "Invalid value for argument `fill_mode`. Only `'constant'` is supported. "
                f"Received: fill_mode={fill_mode}"
            )
        self.height, self.width = height, width
        self.interpolation = formats.interpolation(interpolation)
        self.crop_to_aspect_ratio, self.pad_to_aspect_ratio = (
            crop_to_aspect_ratio,
            pad_to_aspect_ratio,
        )
        self.fill_value, self.antialias = fill_value, antialias

    def call(self, inputs: Any) -> Any:
        self._check_rank(inputs)
        if self.crop_to_aspect_ratio:
            inputs = self._cut(inputs, self._fit(inputs, self.height, self.width))
        elif self.pad_to_aspect_ratio:
            inputs = self._pad(inputs)
        dtype = inputs.dtype
        floating = jnp.issubdtype(dtype, jnp.floating)
        values = inputs if floating else inputs.astype("float32")
        shape = self._with_size(inputs, (self.height, self.width))
        resized = jax.image.resize(values, shape, self.interpolation, antialias=self.antialias)
        if floating:
            return resized
        limits = jnp.iinfo(dtype)
        return jnp.clip(jnp.round(resized), limits.min, limits.max).astype(dtype)

    def _pad(self, images: Any) -> Any:
        high, wide = (images.shape[axis] for axis in self._axes)
        wanted = (
            max(high, int(wide * self.height / self.width)),
            max(wide, int(high * self.width / self.height)),
        )
        widths = [(0, 0)] * images.ndim
        for axis, size in zip(self._axes, wanted, strict=True):
            before = (size - images.shape[axis]) // 2
            widths[axis] = (before, before)
        return jnp.pad(images, widths, constant_values=self.fill_value)


class _RandomImages(_Images):
    """A change of images that is drawn anew in each call in training.

    As Keras's, it acts when it is called by itself, and not in a model's inference.
    """

    def __init__(self, seed: int | None = None, data_format: str | None = None, **kwargs: Any):
        super().__init__(data_format, **kwargs)
        self.seed = seed
        self.generator = SeedGenerator(seed, self.name)

    def call(self, inputs: Any, training: Any = True) -> Any:
        self._check_rank(inputs)
        images = inputs.astype(self.compute_dtype)
        return self._change(images) if training else self._leave(images)

    def _change(self, images: Any) -> Any:
        raise NotImplementedError

    def _leave(self, images: Any) -> Any:
        return images


class RandomFlip(_RandomImages):
    """Images flipped with a probability of one half in each direction.

    Arguments:
        mode: "horizontal", "vertical" or "horizontal_and_vertical".
        seed: an integer, to draw the same again.
        data_format: where the channels are.
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed, data_format, **kwargs)
        if mode not in ("horizontal", "vertical", "horizontal_and_vertical"):
            raise ValueError(
                "Unknown `mode`: expected 'horizontal', 'vertical' or 'horizontal_and_vertical'. "
                f"Received: mode={mode}"
            )
        self.mode = mode

    def _change(self, images: Any) -> Any:
        shape = (1, 1, 1) if images.ndim == 3 else (images.shape[0], 1, 1, 1)
        vertical, horizontal = self._axes
        for name, axis in (("horizontal", horizontal), ("vertical", vertical)):
            if name in self.mode:
                flips = jax.random.bernoulli(self.generator.next_key(), 0.5, shape)
                images = jnp.where(flips, jnp.flip(images, axis), images)
        return images


class RandomCrop(_RandomImages):
    """A part of the images at a random place in training; the middle, resized, otherwise.

    Arguments:
        height, width: the size of the part; smaller images are enlarged.
        seed: an integer, to draw the same again.
        data_format: where the channels are.
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed, data_format, **kwargs)
        self.height, self.width = height, width

    def _change(self, images: Any) -> Any:
        size = (self.height, self.width)
        room = [images.shape[a] - s for a, s in zip(self._axes, size, strict=True)]
        if min(room) < 0:
            return self._leave(images)
        key = self.generator.next_key()
        starts = jax.random.randint(key, (2,), 0, jnp.array(room) + 1)
        for axis, start, value in zip(self._axes, starts, size, strict=True):
            axis %= images.ndim
            images = jax.lax.dynamic_slice_in_dim(images, start, value, axis)
        return images

    def _leave(self, images: Any) -> Any:
        cut = self._cut(images, self._fit(images, self.height, self.width))
        shape = self._with_size(images, (self.height, self.width))
        return jax.image.resize(cut, shape, "bilinear", antialias=False)


class RandomRotation(_RandomImages):
    """Images turned by a random angle in training.

    Arguments:
        factor: the smallest and largest angle as fractions of a full turn, counter-clockwise; one
            number for minus and plus it.
        fill_mode: what lies outside: "constant", "nearest", "reflect" or "wrap".
        interpolation: "bilinear" or "nearest".
        seed: an integer, to draw the same again.
        fill_value: what lies outside with "constant".
        data_format: where the channels are.
    """

    def __init__(
        self,
        factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed, data_format, **kwargs)
        if fill_mode not in ("constant", "nearest", "reflect", "wrap"):
            raise NotImplementedError(
                f"Unknown `fill_mode` {fill_mode}. Expected constant, nearest, reflect or wrap."
            )
        if interpolation not in ("nearest", "bilinear"):
            raise NotImplementedError(
                f"Unknown `interpolation` {interpolation}. Expected one of nearest, bilinear."
            )
        self.factor = (-abs(factor), abs(factor)) if isinstance(factor, int | float) else factor
        if len(self.factor) != 2 or self.factor[0] > self.factor[1]:
            raise ValueError(
                "The `factor` argument should be a number, or a pair of them in ascending order. "
                f"Received: factor={factor}"
            )
        self.fill_mode, self.interpolation, self.fill_value = fill_mode, interpolation, fill_value

    def _change(self, images: Any) -> Any:
        batch = images if images.ndim == 4 else images[None]
        if self.data_format == "channels_first":
            batch = jnp.moveaxis(batch, 1, -1)
        lower, upper = (2 * math.pi * part for part in self.factor)
        key = self.generator.next_key()
        angles = jax.random.uniform(key, batch.shape[:1], jnp.float32, lower, upper)
        turned = jax.vmap(self._turn)(batch, angles)
        if self.data_format == "channels_first":
            turned = jnp.moveaxis(turned, -1, 1)
        return turned if images.ndim == 4 else turned[0]

    def _turn(self, image: Any, angle: Any) -> Any:
        """Return one image, turned about its middle."""
        height, width, _ = image.shape
        middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
        y, x = jnp.meshgrid(
            jnp.arange(height) - middle_y, jnp.arange(width) - middle_x, indexing="ij"
        )
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        places = [cosine * y + sine * x + middle_y, cosine * x - sine * y + middle_x]

        def turn(channel: Any) -> Any:
            return jax.scipy.ndimage.map_coordinates(
                channel,
                places,
                order=1 if self.interpolation == "bilinear" else 0,
                mode=self.fill_mode,
                cval=self.fill_value,
            )

        return jax.vmap(turn, in_axes=-1, out_axes=-1)(image)


__all__ = ["RandomCrop", "RandomFlip", "RandomRotation", "Resizing"]
