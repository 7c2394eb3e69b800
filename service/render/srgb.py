"""Convert decoded pictures to sRGB, and lay transparent ones on a background. No I/O."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Convert = Callable[[Image.Image], Image.Image]

IDENTITY_TOLERANCE = 3
"""The largest difference, of 255, between sRGB and a colour space that counts as sRGB (assumed).

Published sRGB profiles differ by rounded curves and colorants. A conversion would only add rounding errors of its own.
"""
_GRID = 9
"""The number of values of each channel at which a profile is compared to sRGB."""
_WIDE_STRIP_PX = 2**18
"""The maximum number of pixels of 16 bits that are converted at a time: an array of their colours takes 3 MB."""
_WIDE_STEP = 257
"""The distance in 16 bits of two neighbours in 8 bits."""
_SPACES = {"RGB": {"RGB "}, "L": {"GRAY", "RGB "}, "CMYK": {"CMYK"}}
"""The colour spaces that a profile may have for the pixels of each mode (ICC.1:2022, table 19).

Browsers use a profile for colours on a grey JPEG too.
"""


@dataclass(frozen=True, slots=True)
class ToSrgb:
    """The conversion of one picture to sRGB."""

    mode: str
    """The mode of the picture's colours without alpha: L, RGB, CMYK or LAB."""
    convert: Convert
    """The conversion of the colours to RGB."""
    background: tuple[int, int, int]
    """The colour that shows through transparent pixels."""

    @classmethod
    def of(cls, mode: str, profile: bytes | None, *, is_grey: bool, background: tuple[int, int, int]) -> Self:
        """Return the conversion of pictures of a mode of 8 bits with an ICC profile.

        `is_grey` says that the file holds grey values, although Pillow may decode them to RGB.
        """
        opaque = _find_opaque_mode(mode, is_grey=is_grey)
        return cls(opaque, _find_conversion(opaque, profile), background)

    def flatten(self, image: Image.Image) -> Image.Image:
        """Return a picture in RGB, on the background."""
        opaque, alpha = self._split_alpha(image)
        rgb = self.convert(opaque)
        return rgb if alpha is None else self._lay(rgb, alpha)

    @property
    def needs_wide_values(self) -> bool:
        """Return whether 8 bits of a colour may become several steps of sRGB, as in the shadows of linear light."""
        return self.convert is not _to_rgb and self.mode in {"L", "RGB"}

    def flatten_wide(self, values: NDArray[np.uint16], alpha: Image.Image | None = None) -> Image.Image:
        """Return a picture of 16 bits (height, width, channels) in RGB, on the background.

        LittleCMS gets 8 bits in Pillow, so each channel is interpolated between two neighbours that it converts.
        """
        rows = max(1, _WIDE_STRIP_PX // values.shape[1])
        strips = [self._interpolate(values[y : y + rows]) for y in range(0, len(values), rows)]
        rgb = Image.fromarray(np.concatenate(strips))
        return rgb if alpha is None else self._lay(rgb, alpha)

    def _interpolate(self, values: NDArray[np.uint16]) -> NDArray[np.uint8]:
        whole, part = np.divmod(values, _WIDE_STEP)
        base = self._convert_values(whole)
        rgb = base.copy()
        for channel in range(values.shape[2]):
            following = whole.copy()
            following[..., channel] = np.minimum(following[..., channel] + 1, 255)
            rgb += (self._convert_values(following) - base) * (part[..., channel, None] / np.float32(_WIDE_STEP))
        return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)

    def _convert_values(self, values: NDArray[np.uint16]) -> NDArray[np.float32]:
        narrow = values.astype(np.uint8)
        image = Image.fromarray(narrow[..., 0] if self.mode == "L" else narrow)
        return np.asarray(self.convert(image)).astype(np.float32)

    def _lay(self, rgb: Image.Image, alpha: Image.Image) -> Image.Image:
        rgb.putalpha(alpha)
        ground = Image.new("RGBA", rgb.size, (*self.background, 255))
        return Image.alpha_composite(ground, rgb).convert("RGB")

    def _split_alpha(self, image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
        if not image.has_transparency_data:
            return self._without_alpha(image), None
        with_alpha = image.convert("LA" if image.mode in {"1", "L", "LA", "La"} else "RGBA")
        return self._without_alpha(with_alpha), with_alpha.getchannel("A")

    def _without_alpha(self, image: Image.Image) -> Image.Image:
        if self.mode == "L" and image.mode in {"RGB", "RGBA"}:  # grey with alpha and 16 bits: all channels are equal
            return image.getchannel("R")
        return image if image.mode == self.mode else image.convert(self.mode)


def _find_opaque_mode(mode: str, *, is_grey: bool) -> str:
    if mode in {"CMYK", "LAB"}:
        return mode
    return "L" if is_grey or mode in {"1", "L", "LA", "La"} else "RGB"


def _find_conversion(mode: str, profile: bytes | None) -> Convert:
    """Return the conversion of a mode to sRGB, by the profile if it has one.

    Browsers ignore a profile that is damaged, or made for other channels than those of the picture.
    """
    try:
        if mode == "LAB":
            return _by_transform(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), mode)
        source = _open(profile, _SPACES[mode]) if profile else None
        if source is not None and mode == "L":
            return _by_table(source)
        if source is not None and not (mode == "RGB" and _is_srgb(source)):
            return _by_transform(source, mode)
    except (ImageCms.PyCMSError, OSError, ValueError):
        pass
    return _to_rgb


def _to_rgb(image: Image.Image) -> Image.Image:
    return image.convert("RGB")


def _open(profile: bytes, spaces: set[str]) -> ImageCms.ImageCmsProfile | None:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return source if source.profile.xcolor_space in spaces else None


def _by_transform(source: ImageCms.ImageCmsProfile, mode: str) -> Convert:
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    return partial(_apply, transform)


def _by_table(source: ImageCms.ImageCmsProfile) -> Convert:
    """Return the conversion of grey values. LittleCMS would approximate it by a few points, up to 10 of 255 off."""
    ramp = np.arange(256, dtype=np.uint8)
    image = Image.fromarray(ramp[None]).convert("L" if source.profile.xcolor_space == "GRAY" else "RGB")
    table = _convert_exactly(image, source)[0]
    if np.abs(table.astype(int) - ramp[:, None]).max() <= IDENTITY_TOLERANCE:
        return _to_rgb
    lookup = table.T.ravel().tolist()
    return lambda image: image.convert("RGB").point(lookup)


def _is_srgb(source: ImageCms.ImageCmsProfile) -> bool:
    """Return whether a profile converts colours to what they are. Its description proves nothing."""
    levels, ramp = np.linspace(0, 255, _GRID).astype(np.uint8), np.arange(256, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    colours = np.concatenate([grid, np.stack([ramp] * 3, -1)[None]], 1)
    converted = _convert_exactly(Image.fromarray(colours), source)
    return int(np.abs(converted.astype(int) - colours).max()) <= IDENTITY_TOLERANCE


def _convert_exactly(image: Image.Image, source: ImageCms.ImageCmsProfile) -> NDArray[np.uint8]:
    """Convert few pixels. The transform takes 0.5 instead of 2.4 ms to build (EPYC Zen 4), and longer for a pixel."""
    exact = ImageCms.Flags.NOOPTIMIZE
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), image.mode, "RGB", flags=exact)
    return np.asarray(_apply(transform, image))


def _apply(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None, "applyTransform returns None only if it converts a picture in place"
    return converted
