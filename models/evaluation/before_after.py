"""A page that compares pictures decoded from plain bitstreams with those of searched bitstreams of the same quality."""

from collections.abc import Sequence
from pathlib import Path

from models.codec import Codec
from models.config import HIGH_PX
from models.evaluation.page import Cell, Row, draw_page, scored_cell
from models.evaluation.references import reference
from models.evaluation.searched import SearchedPicture
from models.evaluation.worst import find_lost_window
from models.picture_array import Pixels

_ROWS = 4


def write_before_after(searched: Sequence[SearchedPicture], codec: Codec, path: Path) -> None:
    """Write a page of the first four searched pictures at the default quality, decoded by the head of `codec`."""
    rows = [_row(one, codec) for one in searched[:_ROWS]]
    title = (
        f"quality {codec.default_quality} by {codec.head}: the plain stream, and the stream after "
        f"{searched[0].steps} steps of search; on the right the window in which the search gains most, enlarged"
    )
    draw_page(rows, title).save(path, optimize=True)


def _row(one: SearchedPicture, codec: Codec) -> Row:
    original, quality = reference(one.path, HIGH_PX), codec.default_quality
    blobs = (codec.encode(original, quality=quality), one.bitstream_at(quality))
    before, after = codec.synthesize([codec.read(blob) for blob in blobs], size_px=HIGH_PX)
    window = find_lost_window(original, before, after)

    def enlarge(picture: Pixels, caption: str) -> Cell:
        return Cell(window.enlarge(picture), caption, window.sentence)

    return Row(
        title=one.path.stem,
        cells=(
            Cell(original, "original", f"{HIGH_PX} x {HIGH_PX}"),
            scored_cell("plain", original, before, size_bytes=len(blobs[0])),
            scored_cell("searched", original, after, size_bytes=len(blobs[1])),
            enlarge(original, "original"),
            enlarge(before, "plain"),
            enlarge(after, "searched"),
        ),
    )
