"""The comparison sheet: originals, our decoded pictures, and AVIF and JPEG files of the same bytes, side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX
from models.evaluation.anchors import YARDSTICK, anchor, file_within
from models.evaluation.page import Cell, Row, draw_page, scored_cell
from models.evaluation.per_picture import PictureRate, rank
from models.evaluation.references import reference

_ROWS = 5


def write_sheet(rates: Sequence[PictureRate], codec: Codec, path: Path) -> None:
    """Write a sheet of up to five pictures, spread evenly from the best BD-rate to the worst."""
    order = rank(rates)
    chosen = np.unique(np.linspace(0, len(order) - 1, min(_ROWS, len(order))).round().astype(int))
    rows = [_row(order[index], f"{index + 1} of {len(order)}", codec) for index in chosen]
    title = (
        f"quality {codec.default_quality}: one stream, two sizes; files of the same bytes beside it "
        f"(AVIF: {anchor(YARDSTICK).settings})"
    )
    draw_page(rows, title).save(path, optimize=True)


def _row(rate: PictureRate, place: str, codec: Codec) -> Row:
    high, medium = reference(rate.path, HIGH_PX), reference(rate.path, MEDIUM_PX)
    blob = codec.encode(high, quality=codec.default_quality)
    symbols = [codec.read(blob)]
    (ours,) = codec.synthesize(symbols, size_px=HIGH_PX)
    (translated,) = codec.synthesize(symbols, size_px=MEDIUM_PX)
    return Row(
        title=f"{rate.path.stem} ({place}; {rate.sentence})",
        cells=(
            Cell(high, "original", f"{HIGH_PX} x {HIGH_PX}"),
            scored_cell("latentedge, high", high, ours, size_bytes=len(blob)),
            *(file_cell(name, high, len(blob)) for name in (YARDSTICK, "JPEG")),
            scored_cell("latentedge, medium", medium, translated, size_bytes=len(blob)),
        ),
    )


def file_cell(name: str, original: NDArray[np.uint8], at_most_bytes: int) -> Cell:
    by = anchor(name)
    blob = file_within(original, by, at_most_bytes)
    return scored_cell(f"{name}, same bytes", original, by.decode(blob), size_bytes=len(blob))
