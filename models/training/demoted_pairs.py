"""Pairs for the upscaler's training: a photograph at 344 px, and the medium pictures that are left of it once demoted.

Each photograph is encoded as an edge encodes it, its high latent is demoted at several qualities, and the medium
latents are decoded (demoted_codec.py). The pairs are made once for a training and kept in a file of its folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file

from models.config import HIGH_PX, MEDIUM_PX
from models.pixels import to_pixels
from models.training.dataset import PhotographSet
from models.training.options import batch_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from models.codec import Codec
    from models.demoted_codec import DemotedCodec
    from models.picture_array import Pixels
    from models.training.options import Recipe, TrainOptions
    from models.training.schedule import Phase

VERSIONS = 3
"""Medium latents of different qualities made of each high latent (assumed)."""
_HIGH_QUALITIES = (22, 48)
"""First and last quality of the high latents (assumed: around the default quality of 31)."""
_ALIGNED_PX = 16
"""Crops begin at multiples of a block of the high latent, which is two blocks of the medium latent."""


@dataclass(frozen=True)
class Batch:
    """Medium pictures x (B, 3, S/2, S/2), their latents' qualities (B,), and the photographs' crops (B, 3, S, S)."""

    medium: Tensor
    quality: Tensor
    truth: Tensor


@dataclass(frozen=True)
class DemotedPairs:
    """P photographs (P, 3, 344, 344) in uint8, V medium pictures of each (P, V, 3, 172, 172), and qualities (P, V)."""

    truths: Tensor
    mediums: Tensor
    qualities: Tensor

    @classmethod
    def of(cls, path: Path, options: TrainOptions, codecs: tuple[Codec, DemotedCodec]) -> DemotedPairs:
        """Read the pairs in the file `path`, or make one pair of each photograph and write them there.

        Raises `ReferencePictureError` where there are no photographs.
        """
        if path.exists():
            return cls(**load_file(path))
        photographs = PhotographSet(options.data, limit=options.limit)
        draw = torch.Generator().manual_seed(options.seed)
        made = [_pair(photographs, codecs, draw) for _ in track(range(photographs.files), description="demoting")]
        truths, mediums, qualities = (torch.stack(parts) for parts in zip(*made, strict=True))
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        save_file({"truths": truths, "mediums": mediums, "qualities": qualities}, fresh)
        fresh.replace(path)
        return cls(truths, mediums, qualities)

    def batch(self, recipe: Recipe, phase: Phase, generator: torch.Generator | None) -> Batch:
        """Return random crops (or whole pictures, depending on the phase), mirrored or transposed at random."""
        size_px, count = batch_of(recipe, whole_pictures=phase.whole_pictures)
        dice = torch.rand(count, 6, generator=generator)
        drawn = [self._crop(size_px, one.tolist()) for one in dice]
        medium, truth, quality = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        return Batch(medium.float() / 255, quality, truth.float() / 255)

    def _crop(self, size_px: int, dice: list[float]) -> tuple[Tensor, Tensor, Tensor]:
        picture, version = int(dice[0] * len(self.truths)), int(dice[1] * self.mediums.shape[1])
        spare = (HIGH_PX - size_px) // _ALIGNED_PX + 1
        top, left = (int(one * spare) * _ALIGNED_PX for one in dice[2:4])
        half, half_px = (top // 2, left // 2), size_px // 2
        truth = self.truths[picture][:, top : top + size_px, left : left + size_px]
        medium = self.mediums[picture, version][:, half[0] : half[0] + half_px, half[1] : half[1] + half_px]
        turned = (_turn(one, mirror=dice[4] < 0.5, transpose=dice[5] < 0.5) for one in (medium, truth))  # noqa: PLR2004  half of them
        return *turned, self.qualities[picture, version]  # type: ignore[return-value]  # two of them


def _turn(picture: Tensor, *, mirror: bool, transpose: bool) -> Tensor:
    picture = picture.flip(2) if mirror else picture
    return picture.mT if transpose else picture


def _pair(
    photographs: PhotographSet, codecs: tuple[Codec, DemotedCodec], draw: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    (truth,) = to_pixels(photographs.crops(1, size_px=HIGH_PX, generator=draw).pixels, HIGH_PX)
    qualities = photographs.qualities(VERSIONS, draw)
    mediums = demoted_mediums(codecs, truth, quality=_high_quality(draw), mediums=qualities.tolist())
    return _planes(truth), torch.stack([_planes(one) for one in mediums]), qualities


def _high_quality(draw: torch.Generator) -> int:
    first, last = _HIGH_QUALITIES
    return int(torch.randint(first, last + 1, (), generator=draw))


def demoted_mediums(
    codecs: tuple[Codec, DemotedCodec], truth: Pixels, *, quality: int, mediums: list[int]
) -> list[Pixels]:
    """Encode `truth` at `quality`, demote the latent at each quality in `mediums`, and return the medium pictures."""
    codec, demoted = codecs
    symbols = codec.read(codec.encode(truth, quality=quality))
    made = [demoted.read(demoted.demote(symbols, quality=one)) for one in mediums]
    return demoted.synthesize(made, size_px=MEDIUM_PX)


def _planes(pixels: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
