"""The rivals that have no server of their own, in one that is ours: plain ASGI under uvicorn, as the edge is.

Needs neither the edge nor its packages, so that it runs where the rivals are installed. RIVAL names the way, FOLDER
holds the files: `vips` takes the source and shrinks it while it is read, `pillow` does the same by Pillow, `avif` takes
one AVIF of 344 px a picture, as an edge would keep it.
"""

import asyncio
import io
import os
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

QUALITY = 85  # the edge's own
Message = MutableMapping[str, Any]
Make = Callable[[bytes, int], bytes]


def by_vips() -> Make:
    import pyvips

    pyvips.cache_set_max(0)  # else the second request for a picture would do nothing

    def make(source: bytes, size_px: int) -> bytes:
        picture = pyvips.Image.thumbnail_buffer(source, size_px, height=size_px, crop="centre")
        return bytes(picture.jpegsave_buffer(Q=QUALITY))

    return make


def by_pillow() -> Make:
    from PIL import Image, ImageOps

    def make(source: bytes, size_px: int) -> bytes:
        with Image.open(io.BytesIO(source)) as picture:
            picture.draft("RGB", (2 * size_px, 2 * size_px))  # as the JPEG is read, in steps of two
            square = ImageOps.fit(picture.convert("RGB"), (size_px, size_px), Image.Resampling.LANCZOS)
        return _jpeg(square)

    return make


def by_avif() -> Make:
    from PIL import Image

    def make(kept: bytes, size_px: int) -> bytes:
        with Image.open(io.BytesIO(kept)) as picture:
            square = picture.convert("RGB")
        if square.size != (size_px, size_px):
            square = square.resize((size_px, size_px), Image.Resampling.LANCZOS)
        return _jpeg(square)

    return make


def _jpeg(picture: Any) -> bytes:  # noqa: ANN401  (Pillow is imported where it is used)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


WAYS = {"vips": by_vips, "pillow": by_pillow, "avif": by_avif}


class RivalApp:
    def __init__(self) -> None:
        self._make = WAYS[os.environ["RIVAL"]]()
        self._folder = Path(os.environ["FOLDER"])
        self._thread = ThreadPoolExecutor(1)

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],  # noqa: ARG002  (ASGI's signature)
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        size_px = int(parse_qs(scope["query_string"].decode())["res"][0])
        path = self._folder / Path(scope["path"]).name
        body = await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: self._make(path.read_bytes(), size_px)
        )
        headers = [(b"content-type", b"image/jpeg"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
