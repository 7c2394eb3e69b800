"""Draw a page of pictures, not scaled, in rows with captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.scores import Ssimulacra2, psnr_db

_MARGIN_PX, _GAP_PX, _HEADING_PX, _CAPTION_PX = 24, 12, 34, 46
_NARROWEST_PX = 208  # least width of a picture's cell on the page, because a caption is wider than 172 px
_TITLE_PX, _TEXT_PX = 20, 14
_INK, _FAINT = (31, 35, 40), (101, 109, 118)


@dataclass(frozen=True)
class Cell:
    pixels: NDArray[np.uint8]
    caption: str
    note: str

    @property
    def width_px(self) -> int:
        return max(int(self.pixels.shape[1]), _NARROWEST_PX)


@dataclass(frozen=True)
class Row:
    title: str
    cells: tuple[Cell, ...]

    @property
    def width_px(self) -> int:
        return sum(cell.width_px for cell in self.cells) + _GAP_PX * (len(self.cells) - 1)

    @property
    def height_px(self) -> int:
        return _HEADING_PX + max(len(cell.pixels) for cell in self.cells) + _CAPTION_PX


def scored_cell(caption: str, original: NDArray[np.uint8], decoded: NDArray[np.uint8], *, size_bytes: int) -> Cell:
    score = Ssimulacra2(original).score(decoded)
    return Cell(decoded, caption, f"{size_bytes:,} B   {psnr_db(original, decoded):.1f} dB   SSIMU2 {score:.0f}")


def draw_page(rows: Sequence[Row], title: str) -> Image.Image:
    """Draw the rows below each other under a title; the page is as wide as the title or the widest row."""
    font = ImageFont.load_default(_TITLE_PX)
    width_px = max(font.getlength(title), *(row.width_px for row in rows)) + 2 * _MARGIN_PX
    height_px = 2 * _MARGIN_PX + _HEADING_PX + sum(row.height_px for row in rows)
    page = Image.new("RGB", (int(width_px), height_px), "white")
    ImageDraw.Draw(page).text((_MARGIN_PX, _MARGIN_PX), title, fill=_INK, font=font)
    top = _MARGIN_PX + _HEADING_PX
    for row in rows:
        _draw_row(page, row, top)
        top += row.height_px
    return page


def _draw_row(page: Image.Image, row: Row, top: int) -> None:
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(_TEXT_PX)
    pen.text((_MARGIN_PX, top + 10), row.title, fill=_FAINT, font=font)
    left = _MARGIN_PX
    for cell in row.cells:
        page.paste(Image.fromarray(cell.pixels), (left, top + _HEADING_PX))
        below = top + _HEADING_PX + len(cell.pixels) + 4
        pen.text((left, below), cell.caption, fill=_INK, font=font)
        pen.text((left, below + 18), cell.note, fill=_FAINT, font=font)
        left += cell.width_px + _GAP_PX
