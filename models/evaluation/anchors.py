"""The anchors: the file formats with which our codec is compared, and their encoder settings. No file I/O.

The settings are those that an operator would choose for a still picture. `YARDSTICK` is the anchor meant by a published
figure that says only "AVIF". Its tune is set explicitly because Pillow's default depends on its version: libavif 1.3
(Pillow 12.0, 12.1) uses tune=ssim, libavif 1.4 (Pillow 12.2, 13.0) tune=iq.

Every encoder runs on one thread, so that the bytes of a file do not depend on the machine.
"""

import io
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np
from PIL import AvifImagePlugin, Image, features

from models.picture_array import Pixels

YARDSTICK = "AVIF"
_BEST_QUALITY = 100


@dataclass(frozen=True)
class Anchor:
    name: str
    settings: str  # the encoder settings as printed in tables; part of the cache key
    library: str  # the encoding library and its version; part of the cache key
    qualities: tuple[int, ...]  # with 11 qualities BD-rates are mostly within 0.5 % of those with 26 (measured)
    encode: Callable[[Pixels, int], bytes]
    decode: Callable[[bytes], Pixels]
    best_quality: int = _BEST_QUALITY
    is_slow: bool = False  # True where a file takes seconds to encode: quick evaluations leave such anchors out


def anchors() -> tuple[Anchor, ...]:
    """Return the anchors that this installation can encode and decode, in the order of the tables."""
    return (_jpeg(), _webp(), *_avifs(), *([_jpeg_xl()] if find_spec("imagecodecs") else []))


def anchor(name: str) -> Anchor:
    return next(anchor for anchor in anchors() if anchor.name == name)


def missing_anchors() -> tuple[str, ...]:
    """Return a sentence for people for each anchor that is left out because its library is not installed."""
    if find_spec("imagecodecs"):
        return ()
    return ("JPEG XL is left out: imagecodecs is not installed (pip install 'latentedge[demo]').",)


def file_within(picture: Pixels, by: Anchor, at_most_bytes: int) -> bytes:
    """Encode at the highest quality whose file takes at most `at_most_bytes`, or at quality 0 where none does."""

    def bytes_of(quality: int) -> int:
        return len(by.encode(picture, quality))

    quality = max(bisect_right(range(by.best_quality + 1), at_most_bytes, key=bytes_of) - 1, 0)
    return by.encode(picture, quality)


def libraries() -> str:
    """Return the names and versions of all libraries that encode the files."""
    return ", ".join(dict.fromkeys([f"Pillow {features.version('pil')}", *(one.library for one in anchors())]))


def _jpeg() -> Anchor:
    turbo = features.version("libjpeg_turbo")
    return Anchor(
        name="JPEG",
        settings="optimised, progressive, 4:2:0",
        library=f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}",
        qualities=(5, 10, 18, 30, 45, 60, 75, 85, 92, 97, 100),
        encode=partial(_encode_by_pillow, file_format="JPEG", optimize=True, progressive=True),
        decode=_decode_by_pillow,
    )


def _webp() -> Anchor:
    return Anchor(
        name="WebP",
        settings="method 6, 4:2:0",
        library=f"libwebp {features.version('webp')}",
        qualities=(0, 8, 20, 40, 60, 75, 83, 90, 95, 98, 100),
        encode=partial(_encode_by_pillow, file_format="WEBP", method=6),
        decode=_decode_by_pillow,
    )


def _avifs() -> tuple[Anchor, ...]:
    """Return the AVIF anchors: tune=iq is stronger by SSIMULACRA2, tune=ssim by PSNR, and speed 2 takes fewer bytes."""
    return (
        _avif(YARDSTICK, speed=6, tune="iq"),
        _avif("AVIF tune=ssim", speed=6, tune="ssim"),
        _avif("AVIF speed 2 tune=ssim", speed=2, tune="ssim", is_slow=True),
    )


def _avif(name: str, *, speed: int, tune: str, is_slow: bool = False) -> Anchor:
    return Anchor(
        name=name,
        settings=f"speed {speed}, 4:4:4, tune={tune}",
        library=f"libavif {features.version('avif')}, libaom {AvifImagePlugin.get_codec_version('aom')}",
        qualities=(0, 12, 24, 35, 45, 54, 62, 70, 78, 87, 96),
        encode=partial(
            _encode_by_pillow,
            file_format="AVIF",
            speed=speed,
            subsampling="4:4:4",
            max_threads=1,
            codec="aom",
            advanced={"tune": tune},
        ),
        decode=_decode_by_pillow,
        best_quality=99,  # quality 100 is lossless, for which libaom rejects a tune
        is_slow=is_slow,
    )


def _jpeg_xl() -> Anchor:
    from imagecodecs import jpegxl_version

    return Anchor(
        name="JPEG XL",
        settings="effort 7",
        library=jpegxl_version(),
        # JPEG XL starts at quality 10: below 5 libjxl halves the picture, and the curve is not monotone (measured).
        qualities=(10, 20, 30, 43, 55, 66, 76, 85, 92, 96, 99),
        encode=_encode_jpeg_xl,
        decode=_decode_jpeg_xl,
    )


def _encode_by_pillow(pixels: Pixels, quality: int, *, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format, quality=quality, **options)
    return file.getvalue()


def _decode_by_pillow(blob: bytes) -> Pixels:
    with Image.open(io.BytesIO(blob)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def _encode_jpeg_xl(pixels: Pixels, quality: int) -> bytes:
    from imagecodecs import jpegxl_encode

    return bytes(jpegxl_encode(pixels, level=quality, effort=7, lossless=False, numthreads=1))


def _decode_jpeg_xl(blob: bytes) -> Pixels:
    from imagecodecs import jpegxl_decode

    return np.asarray(jpegxl_decode(blob, numthreads=1), dtype=np.uint8)
