"""The renditions of a picture: a table of sizes and a table of file formats.

Routes, error sentences, the command line, metrics and the demo read these tables. CONTRIBUTING.md has the recipes for
another size and for another format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from models.config import HIGH_PX, MEDIUM_PX


@dataclass(frozen=True, slots=True)
class Rendition:
    """A size in which every picture is served: a square of `size_px` pixels."""

    name: str
    """The value of the query argument `res`, and of `res` in the access log and in metrics."""
    size_px: int


RENDITIONS = (Rendition("high", HIGH_PX), Rendition("medium", MEDIUM_PX))
"""All sizes. The first one is the default of the query argument `res`."""

MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "jpeg": "image/jpeg",
        "webp": "image/webp",
        "avif": "image/avif",
        "png": "image/png",
    }
)
"""The media type of each format, by the value of `fmt`. The first one is the default.

If Accept gives several types the same weight, the first type in this order wins: the one that takes the least CPU time
to write (at 344 px, measured on one core: JPEG 0.6 ms, WebP method 0 3.4 ms, AVIF speed 9 8.8 ms).
"""

LOSSLESS_MEDIA_TYPE = MEDIA_TYPES["png"]
"""Accept selects this type only if it allows no other. Browsers that knew only PNG and JPEG list PNG first, although a
photograph takes about ten times the bytes in it (344 px with film grain: 215 kB, as JPEG 20 kB)."""

_BY_RES = {text: one for one in RENDITIONS for text in (one.name, str(one.size_px))}
_BY_SIZE = {one.size_px: one for one in RENDITIONS}
RES_VALUES = (*(one.name for one in RENDITIONS), *(str(one.size_px) for one in RENDITIONS))
"""All valid values of the query argument `res`: the names and the sizes in pixels."""


def find_rendition(res: str) -> Rendition | None:
    """Return the rendition for a value of `res`, or None if the value is not valid."""
    return _BY_RES.get(res)


def rendition_of(size_px: int) -> Rendition:
    """Return the rendition of this size. Raises KeyError if there is none."""
    return _BY_SIZE[size_px]


def describe_sizes() -> str:
    """Return the sizes for a help text: "high (344x344) or medium (172x172)"."""
    return " or ".join(f"{one.name} ({one.size_px}x{one.size_px})" for one in RENDITIONS)
