"""A page of the pictures with the worst BD-rates against AVIF, beside AVIF files of the same bytes, and enlarged."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.codec import Codec
from models.config import HIGH_PX
from models.evaluation.anchors import YARDSTICK, anchor
from models.evaluation.page import Cell, Row, draw_page, scored_cell
from models.evaluation.per_picture import PictureRate, worst
from models.evaluation.references import reference
from models.evaluation.sheet import file_cell

_ROWS = 5
_ENLARGED = 4
WINDOW_PX = HIGH_PX // _ENLARGED


def write_worst(rates: Sequence[PictureRate], codec: Codec, path: Path) -> None:
    """Write the page of the five worst pictures to `path`, or no file where no picture has both BD-rates."""
    rows = [_row(rate, codec) for rate in worst(rates, _ROWS)]
    if not rows:
        return
    title = (
        f"The {len(rows)} pictures with the worst rates against AVIF, quality {codec.default_quality}, beside AVIF "
        f"files ({anchor(YARDSTICK).settings}) of the same bytes; on the right the window in which we lose most, "
        f"enlarged {_ENLARGED} times"
    )
    draw_page(rows, title).save(path, optimize=True)


def _row(rate: PictureRate, codec: Codec) -> Row:
    original = reference(rate.path, HIGH_PX)
    blob = codec.encode(original, quality=codec.default_quality)
    (ours,) = codec.synthesize([codec.read(blob)], size_px=HIGH_PX)
    avif = file_cell(YARDSTICK, original, len(blob))
    window = find_lost_window(original, ours, avif.pixels)
    return Row(
        title=f"{rate.path.stem} ({rate.sentence})",
        cells=(
            Cell(original, "original", f"{HIGH_PX} x {HIGH_PX}"),
            scored_cell("latentedge, high-gpu", original, ours, size_bytes=len(blob)),
            avif,
            Cell(window.enlarge(original), "original", window.sentence),
            Cell(window.enlarge(ours), "latentedge, high-gpu", window.sentence),
            Cell(window.enlarge(avif.pixels), avif.caption, window.sentence),
        ),
    )


@dataclass(frozen=True)
class Window:
    left_px: int
    top_px: int

    @property
    def sentence(self) -> str:
        return f"{WINDOW_PX} x {WINDOW_PX} px from {self.left_px}, {self.top_px}"

    def enlarge(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        cut = picture[self.top_px : self.top_px + WINDOW_PX, self.left_px : self.left_px + WINDOW_PX]
        return cut.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)


def find_lost_window(original: NDArray[np.uint8], ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> Window:
    """Return the 86x86 window in which the squared error of `ours` exceeds that of `theirs` the most."""
    lost = _squared_error(original, ours) - _squared_error(original, theirs)
    sums = ndimage.uniform_filter(lost, WINDOW_PX, mode="constant")
    half = WINDOW_PX // 2
    # The sums of the windows that lie completely within the picture.
    inside = sums[half : HIGH_PX - half + 1, half : HIGH_PX - half + 1]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return Window(left_px=int(left), top_px=int(top))


def _squared_error(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> NDArray[np.float64]:
    difference = original.astype(np.float64) - decoded
    squares: NDArray[np.float64] = np.square(difference).sum(axis=2)
    return squares
