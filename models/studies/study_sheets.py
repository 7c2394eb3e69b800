"""The sheets of a study: labelled rows of small pictures, enlarged without smoothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from models.config import MEDIUM_PX
from models.medium_codec import MediumCodec
from models.pixels import to_pixels, to_tensor
from models.studies.design import Kind
from models.studies.kinds import decode_all
from models.studies.squares import shown_squares
from models.studies.study_plots import WAYS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from models.picture_array import Pixels
    from models.studies.design import Design, Plan
    from models.studies.results import Results
    from models.studies.three_kinds import Autoencoder

_GAP_PX, _LABEL_PX, _TEXT_PX = 6, 22, 14
_INK = (31, 35, 40)
_BETWEEN = 5
_SAMPLES = 5
_RECONSTRUCTED = 3
"""Pictures in a row of each sheet (assumed: all sheets together then take less than 2 MB)."""


@dataclass(frozen=True)
class Strip:
    """A row of pictures of one size, under a label."""

    label: str
    pictures: tuple[Pixels, ...]


def write_strips(strips: Sequence[Strip], path: Path, *, enlarge: int) -> None:
    """Write the strips below each other as a PNG file; each pixel becomes a square of `enlarge` pixels."""
    rows = [np.concatenate([_framed(one, enlarge) for one in strip.pictures], axis=1) for strip in strips]
    width = max(row.shape[1] for row in rows) + _GAP_PX
    page = Image.new("RGB", (width, sum(len(row) + _LABEL_PX for row in rows) + _GAP_PX), "white")
    top = 0
    for strip, row in zip(strips, rows, strict=True):
        ImageDraw.Draw(page).text((_GAP_PX, top + 4), strip.label, fill=_INK, font=ImageFont.load_default(_TEXT_PX))
        page.paste(Image.fromarray(row), (0, top + _LABEL_PX))
        top += _LABEL_PX + len(row)
    page.save(path, compress_level=9)


def _framed(picture: Pixels, enlarge: int) -> Pixels:
    large = picture.repeat(enlarge, axis=0).repeat(enlarge, axis=1)
    return np.pad(large, ((0, _GAP_PX), (_GAP_PX, 0), (0, 0)), constant_values=255)


@torch.no_grad()
def interpolate(model: Autoencoder, first: Pixels, second: Pixels) -> tuple[Pixels, ...]:
    """Interpolate linearly between the codes of two pictures, and return the decoded pictures."""
    codes = model.encode(to_tensor(np.stack([first, second])))
    places = torch.linspace(0, 1, _BETWEEN)[:, None]
    return tuple(to_pixels(model.decode(codes[:1] + places * (codes[1:] - codes[:1])), first.shape[0]))


def blend(first: Pixels, second: Pixels) -> tuple[Pixels, ...]:
    """Return the linear interpolation between two pictures, pixel by pixel."""
    places = np.linspace(0, 1, _BETWEEN)
    mixed = (np.rint(first + place * (second.astype(np.float64) - first)) for place in places)
    return tuple(one.astype(np.uint8) for one in mixed)


@torch.no_grad()
def sample(model: Autoencoder, code_length: int, size_px: int) -> tuple[Pixels, ...]:
    """Return pictures decoded from codes that are drawn from the prior N(0, 1)."""
    codes = torch.randn(_SAMPLES, code_length, generator=torch.Generator().manual_seed(0))
    return tuple(to_pixels(model.decode(codes), size_px))


def write_sheets(folder: Path, plan: Plan, results: Results, pictures: Path) -> None:
    """Write the four sheets of a study into the folder `pictures`."""
    sheets = _Sheets(folder, plan, results)
    write_strips(sheets.reconstructions(), pictures / "reconstructions.png", enlarge=1)
    write_strips(sheets.interpolations(), pictures / "interpolations.png", enlarge=2)
    write_strips(sheets.samples(), pictures / "samples.png", enlarge=2)
    write_strips(sheets.translated(), pictures / "translated.png", enlarge=4)


class _Sheets:
    """Makes the strips of each sheet from the trained autoencoders."""

    def __init__(self, folder: Path, plan: Plan, results: Results) -> None:
        sides_px = sorted({one.size_px for one in plan.designs()})
        self._shown = shown_squares(folder / "pictures", sides_px)
        self._plan, self._results = plan, results

    def reconstructions(self) -> list[Strip]:
        """Return the originals at 172 px, the decoded pictures of each kind's longest code, and those of the codec."""
        originals = self._shown.by_side[MEDIUM_PX][:_RECONSTRUCTED]
        longest = {one.kind: one for one in self._plan.compared() if one.size_px == MEDIUM_PX}
        strips = [Strip("original", tuple(originals))]
        for kind, design in longest.items():
            label = f"{kind.replace('-', ' ')}, {design.code_length:,} numbers"
            strips.append(Strip(label, tuple(decode_all(self._load(design), originals))))
        codec, quality = MediumCodec.load(kernels="float32"), self._plan.quality
        streams = [codec.encode(one, quality=quality) for one in originals]
        decoded = codec.synthesize([codec.read(one) for one in streams])
        size = mean(len(one) for one in streams)
        return [*strips, Strip(f"released codec, quality {quality}, {size:,.0f} bytes on average", tuple(decoded))]

    def interpolations(self) -> list[Strip]:
        """Return interpolations between two pictures, through the codes of each kind and through the pixels."""
        size_px = self._plan.sweep.size_px
        first, second = self._shown.by_side[size_px][:2]
        strips = [Strip("pixel by pixel", blend(first, second))]
        for kind in Kind:
            design = replace(self._plan.sweep, kind=kind)
            strips.append(Strip(kind.replace("-", " "), interpolate(self._load(design), first, second)))
        last = self._plan.swept()[-1]
        return [*strips, Strip(f"variational, beta {last.beta:g}", interpolate(self._load(last), first, second))]

    def samples(self) -> list[Strip]:
        """Return samples of the variational autoencoder for each beta, and of a convolutional one for comparison."""
        plain = replace(self._plan.sweep, kind=Kind.CONVOLUTIONAL)
        labels = {"convolutional, the same random codes": plain}
        labels |= {f"variational, beta {one.beta:g}": one for one in self._plan.swept()}
        return [Strip(label, sample(self._load(one), one.code_length, one.size_px)) for label, one in labels.items()]

    def translated(self) -> list[Strip]:
        """Return the originals at the medium side, and the picture that each way makes from the high codes."""
        originals = self._shown.by_side[self._plan.chain_px[0]]
        ways = [Strip(label, tuple(self._results.shown(way))) for way, label in WAYS.items()]
        return [Strip("original", tuple(originals)), *ways]

    def _load(self, design: Design) -> Autoencoder:
        return self._results.load(design, most_parameters=self._plan.most_parameters)
