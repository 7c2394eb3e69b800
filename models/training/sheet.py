"""The comparison sheet: original, ours, and AVIF and JPEG files of the same bytes, side by side at their own pixels."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX
from models.training.anchors import Anchor, anchor, decode_file, encode_file
from models.training.figures import Metric, Ours, PictureScores
from models.training.rd import CurveError, bd_rate
from models.training.references import reference
from models.training.scores import Ssimulacra2, psnr_db

_ROWS = 5
_MARGIN_PX, _GAP_PX, _HEADING_PX, _CAPTION_PX = 24, 12, 34, 46
_LAST_COLUMN_PX = 208  # the medium picture is 172, its caption wider
_INK, _FAINT = (31, 35, 40), (101, 109, 118)
_BEST_QUALITY = 100


@dataclass(frozen=True)
class _Cell:
    pixels: NDArray[np.uint8]
    caption: str
    scores: str


@dataclass(frozen=True)
class _Row:
    title: str
    cells: tuple[_Cell, ...]


def write_sheet(pictures: Sequence[PictureScores], codec: Codec, path: Path) -> None:
    order = _ranked(pictures)
    chosen = np.unique(np.linspace(0, len(order) - 1, min(_ROWS, len(order))).round().astype(int))
    rows = [_row(order[index].picture, _place(order, index), codec) for index in chosen]
    title = f"quality {codec.default_quality}: one stream, two sizes; files of the same bytes beside it"
    _drawn(rows, title).save(path, optimize=True)


@dataclass(frozen=True)
class _Ranked:
    picture: PictureScores
    against_avif_percent: float | None  # None: the curves share too little


def _ranked(pictures: Sequence[PictureScores]) -> tuple[_Ranked, ...]:
    """From the picture that does best against AVIF to the one that does worst."""
    ranked = [_Ranked(picture, _against_avif_percent(picture)) for picture in pictures]
    return tuple(sorted(ranked, key=lambda one: np.inf if (rate := one.against_avif_percent) is None else rate))


def _against_avif_percent(picture: PictureScores) -> float | None:
    ours, files = (Metric.PSNR.curve(picture.files(name, HIGH_PX)) for name in (Ours.HIGH, "AVIF"))
    try:
        return bd_rate(ours, files, Metric.PSNR.range)
    except CurveError:
        return None


def _place(order: Sequence[_Ranked], index: int) -> str:
    rate = order[index].against_avif_percent
    against = "no common range with AVIF" if rate is None else f"{rate:+.0f} % against AVIF"
    return f"{index + 1} of {len(order)}, {against}"


def _row(picture: PictureScores, place: str, codec: Codec) -> _Row:
    high, medium = reference(picture.path, HIGH_PX), reference(picture.path, MEDIUM_PX)
    blob = codec.encode(high, quality=codec.default_quality)
    symbols = [codec.read(blob)]
    (ours,) = codec.synthesize(symbols, size_px=HIGH_PX)
    (translated,) = codec.synthesize(symbols, size_px=MEDIUM_PX)
    return _Row(
        title=f"{picture.path.stem} ({place})",
        cells=(
            _Cell(high, "original", f"{HIGH_PX} x {HIGH_PX}"),
            _cell("latentedge, high", high, ours, len(blob)),
            *(_file_cell(anchor(name), high, len(blob)) for name in ("AVIF", "JPEG")),
            _cell("latentedge, medium", medium, translated, len(blob)),
        ),
    )


def _cell(caption: str, original: NDArray[np.uint8], decoded: NDArray[np.uint8], size_bytes: int) -> _Cell:
    perceptual = Ssimulacra2(original).score(decoded)
    scores = f"{size_bytes:,} B   {psnr_db(original, decoded):.1f} dB   SSIMU2 {perceptual:.0f}"
    return _Cell(decoded, caption, scores)


def _file_cell(by: Anchor, original: NDArray[np.uint8], at_most_bytes: int) -> _Cell:
    """The best file of at most those bytes; the smallest there is where none is small enough."""

    def bytes_of(quality: int) -> int:
        return len(encode_file(original, by, quality))

    quality = max(bisect_right(range(_BEST_QUALITY + 1), at_most_bytes, key=bytes_of) - 1, 0)
    blob = encode_file(original, by, quality)
    return _cell(f"{by.name}, same bytes", original, decode_file(blob), len(blob))


def _drawn(rows: Sequence[_Row], title: str) -> Image.Image:
    columns = len(rows[0].cells)
    row_px = HIGH_PX + _CAPTION_PX + _HEADING_PX
    width_px = 2 * _MARGIN_PX + (columns - 1) * (HIGH_PX + _GAP_PX) + _LAST_COLUMN_PX
    sheet = Image.new("RGB", (width_px, 2 * _MARGIN_PX + _HEADING_PX + len(rows) * row_px), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN_PX, _MARGIN_PX), title, fill=_INK, font=ImageFont.load_default(20))
    for index, row in enumerate(rows):
        _draw_row(sheet, row, _MARGIN_PX + _HEADING_PX + index * row_px)
    return sheet


def _draw_row(sheet: Image.Image, row: _Row, top: int) -> None:
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN_PX, top + 10), row.title, fill=_FAINT, font=ImageFont.load_default(14))
    for column, cell in enumerate(row.cells):
        left = _MARGIN_PX + column * (HIGH_PX + _GAP_PX)
        sheet.paste(Image.fromarray(cell.pixels), (left, top + _HEADING_PX))
        below = top + _HEADING_PX + len(cell.pixels) + 4
        pen.text((left, below), cell.caption, fill=_INK, font=ImageFont.load_default(14))
        pen.text((left, below + 18), cell.scores, fill=_FAINT, font=ImageFont.load_default(14))
