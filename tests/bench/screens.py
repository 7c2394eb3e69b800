"""The thirty pictures of the screen mode before and after, beside JPEG, WebP and AVIF: a table, and a sheet.

    python -m tests.bench.screens [--sheet docs/screens.png]

Before is the latent at the default quality, decoded by `high-cpu`; after is what EDGE_SCREEN=auto stores. JPEG (4:4:4)
and AVIF (speed 6, 4:4:4) are the best files of at most the latent's bytes, WebP is lossless.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from models.codec import Codec
from models.config import HIGH_PX
from models.picture_array import Pixels
from models.scores import Ssimulacra2, psnr_db
from models.screen import stream
from models.screen.choice import find_candidate
from tests.models.screen_pictures import PICTURES, as_stored

SHOWN = ("text 12", "terminal", "size chart", "QR 20 resized", "dithered desktop", "logo of 1000", "desktop of 1032")
SHOWN_PX = 172
"""The side of the part that the sheet shows, at twice its size."""


@dataclass(frozen=True)
class Row:
    name: str
    original: Pixels
    latent: bytes
    before: Pixels
    screen: bytes | None

    @property
    def after(self) -> Pixels:
        return self.before if self.screen is None else stream.decode(self.screen, size_px=HIGH_PX)


def measure(codec: Codec, name: str) -> Row:
    pixels = as_stored(name)
    latent = codec.encode(pixels, quality=codec.default_quality)
    (before,) = codec.synthesize([codec.read(latent)], size_px=HIGH_PX)
    return Row(name, pixels, latent, before, stream.encode_if_smaller(pixels))


def save(pixels: Pixels, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def best_within(write: Callable[[int], bytes], most_bytes: int) -> bytes:
    """Return the file of the highest quality that takes at most `most_bytes`, or that of quality 1."""
    found, low, high = write(1), 2, 100
    while low <= high:
        middle = (low + high) // 2
        file = write(middle)
        if len(file) <= most_bytes:
            found, low = file, middle + 1
        else:
            high = middle - 1
    return found


def told(row: Row) -> str:
    """Return the row of a Markdown table."""
    scorer, most = Ssimulacra2(row.original), len(row.latent)
    jpeg = best_within(
        lambda quality: save(row.original, "JPEG", quality=quality, subsampling="4:4:4", optimize=True), most
    )
    avif = best_within(lambda quality: save(row.original, "AVIF", quality=quality, subsampling="4:4:4", speed=6), most)
    webp = save(row.original, "WEBP", lossless=True, method=6, exact=True)

    def cells(pixels: Pixels, blob: bytes) -> str:
        score = "exact" if np.array_equal(pixels, row.original) else f"{scorer.score(pixels):.1f}"
        return f"{len(blob):,} | {score}"

    before = f"{len(row.latent):,} | {psnr_db(row.original, row.before):.1f} | {scorer.score(row.before):.1f}"
    after = "stays a latent | " if row.screen is None else cells(row.after, row.screen)
    files = " | ".join(cells(opened(file), file) for file in (jpeg, avif))
    return f"| {row.name} | {before} | {after} | {files} | {len(webp):,} |"


def opened(file: bytes) -> Pixels:
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGB"))


def write_sheet(rows: list[Row], path: Path) -> None:
    """Write one row for each picture: a part of the original, before and after, at twice its size."""
    shown = [row for row in rows if row.name in SHOWN]
    side, head = 2 * SHOWN_PX, 28
    sheet = Image.new("RGB", (3 * (side + 8), len(shown) * (side + head)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(shown):
        top = number * (side + head)
        after = f"screen stream, {len(row.screen):,} bytes" if row.screen else "stays a latent"
        titles = (f"{row.name}, original", f"latent, {len(row.latent):,} bytes", after)
        for column, (title, pixels) in enumerate(zip(titles, (row.original, row.before, row.after), strict=True)):
            left = column * (side + 8)
            draw.text((left + 4, top + 4), title, "black", font_size=17)
            part = Image.fromarray(np.ascontiguousarray(pixels[86 : 86 + SHOWN_PX, 86 : 86 + SHOWN_PX]))
            sheet.paste(part.resize((side, side), Image.Resampling.NEAREST), (left, top + head))
    sheet.quantize(255).save(path, optimize=True)


def times(rows: list[Row]) -> str:
    """Return the CPU times of the choice, an encode and a decode."""

    def median_ms(call: Callable[[Row], object], chosen: list[Row]) -> str:
        found = []
        for row in chosen:
            started = time.process_time()
            call(row)
            found.append(1000 * (time.process_time() - started))
        return f"{np.median(found):.1f} (at most {max(found):.1f}) ms"

    kept = [row for row in rows if row.screen is not None]
    choice = median_ms(lambda row: find_candidate(row.original), rows)
    encode = median_ms(lambda row: stream.encode_if_smaller(row.original), kept)
    decode = median_ms(lambda row: row.after, kept)
    return f"CPU time: candidate test {choice}, encode {encode}, decode {decode}"


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    read.add_argument("--sheet", type=Path)
    given = read.parse_args()
    codec = Codec.load()
    rows = [measure(codec, name) for name in PICTURES]
    for row in rows:
        print(told(row), flush=True)
    print(times(rows))
    if given.sheet:
        write_sheet(rows, given.sheet)


if __name__ == "__main__":
    main()
