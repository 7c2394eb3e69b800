"""Fetches from the origin, and the files that it sends."""

from __future__ import annotations

from pydantic import BaseModel

from service.settings.background import Background
from service.settings.setting_field import setting


class FetchSettings(BaseModel):
    """Settings of fetches from the origin."""

    origin_timeout_s: float = setting(
        10.0,
        "s",
        "Timeout of a whole fetch from the origin, with redirects. Beyond it, the answer is 504 or a stale picture.",
        gt=0,
        le=600,
    )
    origin_connect_timeout_s: float = setting(
        3.0, "s", "Timeout of connecting to the origin, and to the parent.", gt=0, le=600
    )
    origin_fetches: int = setting(
        64,
        "fetches",
        "Maximum number of fetches at a time that send a request to the origin or have its file in memory. "
        "Requests to the parent have a limit of their own, of the same size.",
        ge=1,
        le=65_536,
    )
    origin_slow_fetches: int = setting(
        512,
        "fetches",
        "Maximum number of further fetches that have waited for more than 0.25 s, for a response or a file of at most "
        "256 KiB. Beyond it, such a fetch is refused with 503 as soon as others wait for its place. The limit of open "
        "files can lower it. 0: a fetch keeps its place while it waits.",
        ge=0,
        le=65_536,
    )
    origin_queue_items: int = setting(
        1024,
        "fetches",
        "Maximum number of fetches that wait for one of the EDGE_ORIGIN_FETCHES. Further ones get 503.",
        ge=0,
        le=2**20,
    )
    source_bytes: int = setting(
        20_000_000, "bytes", "Maximum size of a file from the origin. Larger ones get 413.", ge=1, le=2**31
    )
    source_pixels: int = setting(
        64_000_000,
        "pixels",
        "Maximum width times height of a picture from the origin. Larger ones get 413.",
        ge=1,
        le=2**31,
    )
    source_s: int = setting(
        10,
        "s",
        "Maximum CPU time to decode a large or unusual file of the origin. A file that takes longer is answered with "
        "413.",
        ge=1,
        le=600,
    )
    background: Background = setting(
        "ffffff",
        "colour",
        "Colour behind transparent pictures, and around a first frame that does not cover its canvas: red, green and "
        "blue as hexadecimal digits. A change applies to pictures that are fetched after it.",
    )
