"""Convert a part of a decoded picture to sRGB, on the background where its first frame does not cover it. No I/O."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.render.opened_picture import OpenedPicture, drop_empty_alpha, load_lower_bytes
from service.render.png_file import Box
from service.render.sample_depth import find_depth, is_wide
from service.render.srgb import ToSrgb

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""
WHITE = (255, 255, 255)

STRIP_PX = 2**22
"""The maximum number of pixels that are converted to sRGB at a time, so that a large picture is in memory at most
twice."""
WIDE_CAP_PX = 2**24
"""The maximum number of pixels of 16 bits for each colour whose lower bytes count. They are decoded to a second
picture."""


def crop_to_srgb(opened: OpenedPicture, box: Box, background: Colour) -> Image.Image:
    """Return the part of a picture inside `box` in sRGB. What the first frame does not cover shows the background."""
    frame = opened.frame
    if frame is None:
        return _convert(opened, box, background)
    left, top, *_ = box
    covered = _intersect(box, frame.box)
    canvas = Image.new("RGB", (box[2] - left, box[3] - top), background)
    if covered is not None:
        rgb = _convert(opened, _move(covered, frame.origin), background)
        canvas.paste(rgb, (covered[0] - left, covered[1] - top))
    return canvas


def _intersect(one: Box, other: Box) -> Box | None:
    left, top, right, bottom = (*map(max, one[:2], other[:2]), *map(min, one[2:], other[2:]))
    return (left, top, right, bottom) if left < right and top < bottom else None


def _move(box: Box, origin: tuple[int, int]) -> Box:
    (left, top, right, bottom), (x, y) = box, origin
    return left - x, top - y, right - x, bottom - y


def _convert(opened: OpenedPicture, box: Box, background: Colour) -> Image.Image:
    """Return the part of the decoded pixels inside `box` in sRGB, converted in strips to save memory in between."""
    left, top, right, bottom = box
    convert = _choose_conversion(opened, background)
    rows = max(1, STRIP_PX // (right - left))
    if rows >= bottom - top:
        return convert(box)
    rgb = Image.new("RGB", (right - left, bottom - top))
    for y in range(top, bottom, rows):
        rgb.paste(convert((left, y, right, min(y + rows, bottom))), (0, y - top))
    return rgb


def _choose_conversion(opened: OpenedPicture, background: Colour) -> Callable[[Box], Image.Image]:
    """Return a function that converts a part of the decoded pixels to sRGB."""
    image = drop_empty_alpha(opened.image)
    mode = "L" if is_wide(image) else image.mode
    to_srgb = ToSrgb.of(mode, opened.profile, is_grey=opened.is_grey, background=background)
    if is_wide(image):
        return _convert_wide_grey(image, to_srgb)
    if opened.wide_png is None or not to_srgb.needs_wide_values or image.width * image.height > WIDE_CAP_PX:
        return lambda box: to_srgb.flatten(image.crop(box))
    lower = load_lower_bytes(opened.wide_png)
    return lambda box: to_srgb.flatten_wide(_join_bytes(image.crop(box), lower.crop(box)), _find_alpha(image.crop(box)))


def _convert_wide_grey(image: Image.Image, to_srgb: ToSrgb) -> Callable[[Box], Image.Image]:
    depth = find_depth(image)
    if to_srgb.needs_wide_values and "transparency" not in image.info:
        return lambda box: to_srgb.flatten_wide(depth.widen(image.crop(box)))
    return lambda box: to_srgb.flatten(depth.reduce(image.crop(box)))


def _join_bytes(upper: Image.Image, lower: Image.Image) -> NDArray[np.uint16]:
    """Return the values (height, width, 3) of two pictures that hold their upper and lower bytes."""
    high, low = (np.asarray(image)[..., :3] for image in (upper, lower))
    values: NDArray[np.uint16] = high * np.uint16(256) + low
    return values


def _find_alpha(image: Image.Image) -> Image.Image | None:
    return image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
