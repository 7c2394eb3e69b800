"""Sheets of demoted pictures, each beside its original, the stored high latent and a high latent of the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from models.config import HIGH_PX, MEDIUM_PX
from models.evaluation.demotion_scores import DemotionCodecs, DemotionScore, Way, resized
from models.evaluation.page import Cell, Row, draw_page, scored_cell
from models.evaluation.references import reference

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

QUALITY = 38
"""Quality of the medium latents on the sheets (measured: they take about 0.4 of the high latents' bytes)."""
_ROWS = 6


def write_demotion_sheets(
    paths: Sequence[Path], scores: Sequence[DemotionScore], codecs: DemotionCodecs, folder: Path
) -> None:
    """Write sheet-1.png and so on: all pictures, from the one that the upscaler improves most to the least."""
    gains = _gains(scores)
    order = sorted(paths, key=lambda path: -gains[path.stem])
    for start in range(0, len(order), _ROWS):
        rows = [_row(path, gains[path.stem], codecs) for path in order[start : start + _ROWS]]
        title = f"demoted to a medium latent of quality {QUALITY}: the upscaler's picture, and its rivals"
        draw_page(rows, title).save(folder / f"sheet-{start // _ROWS + 1}.png", optimize=True)


def _gains(scores: Sequence[DemotionScore]) -> dict[str, float]:
    """Return, for each picture, by how much SSIMULACRA2 of the upscaler is above that of LANCZOS, as a mean."""
    gains: dict[str, float] = {}
    for one in scores:
        sign = {Way.UPSCALER: 1, Way.LANCZOS: -1}.get(one.way, 0)
        gains[one.picture] = gains.get(one.picture, 0.0) + sign * one.ssimulacra2
    return gains


def _row(path: Path, gain: float, codecs: DemotionCodecs) -> Row:
    original = reference(path, HIGH_PX)
    high = codecs.codec.encode(original, quality=codecs.codec.default_quality)
    stored = codecs.high_picture(high)
    blob = codecs.demoted.demote(high, quality=QUALITY)
    again = codecs.fitting(stored, len(blob))
    lanczos = resized(codecs.demoted_picture(blob, MEDIUM_PX), Image.Resampling.LANCZOS)
    made = (
        ("high latent as stored", stored, high),
        ("high latent of the same bytes", codecs.high_picture(again), again),
        ("medium latent, LANCZOS", lanczos, blob),
        ("medium latent, upscaler", codecs.demoted_picture(blob, HIGH_PX), blob),
    )
    return Row(
        title=f"{path.stem} (sum of SSIMULACRA2 gained over LANCZOS at all qualities: {gain:+.1f})",
        cells=(
            Cell(original, "original", f"{HIGH_PX} x {HIGH_PX}"),
            *(scored_cell(name, original, picture, size_bytes=len(of)) for name, picture, of in made),
        ),
    )
