"""The photographs of a training, and random crops of them.

Each photograph is read once and held in memory as uint8 at each scale of `Augmentation`, beside a copy of half the side
(a "half", by LANCZOS), from which the 172 px networks learn. picture_file.py reads one photograph at one scale.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import torch
from rich.progress import track

from models.config import QUALITIES
from models.evaluation.references import ReferencePictureError
from models.training.options import Augmentation, batch_of
from models.training.picture_file import Photograph, read_photograph, training_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from models.evaluation.references import PictureFile
    from models.training.options import Recipe
    from models.training.schedule import Phase

_PATCHED_PICTURES, _PAIRS_EACH = 16, 64


@dataclass(frozen=True)
class Crops:
    """A batch of crops in 0..1: (B, 3, S, S), and the same crops of half the side (B, 3, S/2, S/2)."""

    pixels: Tensor
    half: Tensor


def available_cores() -> int:
    """Return the number of CPU cores on which this process may run."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class _PackedPictures:
    """P pictures of different sizes in one uint8 tensor (n,), with the start, height and width of each (P,)."""

    values: Tensor
    starts: Tensor
    heights: Tensor
    widths: Tensor

    @classmethod
    def of(cls, pictures: Sequence[Tensor], device: str) -> _PackedPictures:
        sizes = torch.tensor([picture.numel() for picture in pictures])
        heights, widths = (torch.tensor([picture.shape[side] for picture in pictures]) for side in (1, 2))
        values = torch.cat([picture.flatten() for picture in pictures])
        return cls(*(part.to(device) for part in (values, sizes.cumsum(0) - sizes, heights, widths)))

    def crops(self, places: _CropPositions, *, size_px: int) -> Tensor:
        """Return the square crops (B, 3, S, S) in uint8 at the positions `places`, with S = `size_px`."""
        steps = torch.arange(size_px, device=self.values.device)
        rows = torch.where(places.upside_down[:, None], size_px - 1 - steps, steps) + places.tops[:, None]
        columns = torch.where(places.mirrored[:, None], size_px - 1 - steps, steps) + places.lefts[:, None]
        heights, widths = self.heights[places.pictures], self.widths[places.pictures]
        colours = torch.arange(3, device=self.values.device) * (heights * widths)[:, None]
        inside = rows[:, :, None] * widths[:, None, None] + columns[:, None, :]
        starts = self.starts[places.pictures]
        return self.values[(starts[:, None] + colours)[:, :, None, None] + inside[:, None]]


@dataclass(frozen=True)
class _CropPositions:
    """The picture number, the top left corner in pixels and the flips of each crop of a batch: five tensors (B,)."""

    pictures: Tensor
    tops: Tensor
    lefts: Tensor
    mirrored: Tensor
    upside_down: Tensor

    def halve(self) -> _CropPositions:
        """Return the positions of the same crops in the pictures of half the side."""
        return replace(self, tops=self.tops // 2, lefts=self.lefts // 2)


def _read_scales(file: PictureFile, sides_px: Sequence[int]) -> list[Photograph]:
    """Return a photograph at each scale, or none if the file cannot be read, which is reported on stderr."""
    try:
        return [read_photograph(file, short_side_px=px) for px in sides_px]
    except ReferencePictureError as error:
        print(f"{file}: left out: {error}", file=sys.stderr)
        return []


class PhotographSet:
    """The photographs of folders and packs, held in the memory of a device, from which batches are drawn."""

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        limit: int | None = None,
        device: str = "cpu",
        augmentation: Augmentation | None = None,
    ) -> None:
        """Read the first `limit` photographs (None means all) at all scales.

        A file that cannot be read is left out, with a line on stderr. Raises `ReferencePictureError` where a folder or
        a pack has no pictures, or none of them can be read.
        """
        augmentation = augmentation or Augmentation()
        sides_px = augmentation.short_sides_px
        files = [file for folder in folders for file in training_files(folder)][:limit]
        with ThreadPoolExecutor(available_cores()) as pool:
            jobs = pool.map(lambda file: _read_scales(file, sides_px), files)
            read = [scales for scales in track(jobs, total=len(files), description="reading") if scales]
        if not read:
            raise ReferencePictureError("none of the files can be read as a picture")
        photographs = [one for scales in read for one in scales]
        self.files, self.device = len(read), device
        self._augmentation = augmentation
        self._wholes = _PackedPictures.of([one.pixels for one in photographs], device)
        self._halves = _PackedPictures.of([one.half for one in photographs], device)

    def crops(self, batch: int, *, size_px: int, generator: torch.Generator | None) -> Crops:
        """Return `batch` random crops of side `size_px`, randomly flipped and recoloured.

        The corners are at even pixels, so that the crops of half the side match. Without a generator all random numbers
        are drawn on the device.
        """
        dice = _RandomNumbers(batch, generator, self.device)
        places = self._places(dice, size_px=size_px)
        wholes = self._wholes.crops(places, size_px=size_px).float() / 255
        halves = self._halves.crops(places.halve(), size_px=size_px // 2).float() / 255
        recolour = _Recolouring.draw(dice, share=self._augmentation.recoloured_share)
        return Crops(recolour(wholes), recolour(halves))

    def qualities(self, batch: int, generator: torch.Generator | None) -> Tensor:
        """Return random qualities (batch,) int64, one from each of `batch` equal ranges of 0..63 (stratified)."""
        return (self._spread(batch, generator) * QUALITIES).long().clamp_max(QUALITIES - 1)

    def wanted_qualities(self, batch: int, recipe: Recipe, generator: torch.Generator | None) -> Tensor:
        """Return random qualities (batch,) int64, stratified, with the probabilities of `recipe.wanted_qualities`."""
        chances = _quality_chances(recipe, self.device)
        found = torch.searchsorted(chances, self._spread(batch, generator), right=True)
        return found.clamp_max(QUALITIES - 1)

    def _spread(self, batch: int, generator: torch.Generator | None) -> Tensor:
        """Return random numbers (batch,) in 0..1, one from each of `batch` equal ranges."""
        draws = _RandomNumbers(batch, generator, self.device)()
        return (torch.arange(batch, device=self.device) + draws) / batch

    def batch(self, recipe: Recipe, phase: Phase, generator: torch.Generator | None) -> tuple[Crops, Tensor]:
        """Return the crops (or whole pictures, depending on the phase) and qualities (B,) of one training step."""
        size_px, count = batch_of(recipe, whole_pictures=phase.whole_pictures)
        crops = self.crops(count, size_px=size_px, generator=generator)
        return crops, self.wanted_qualities(count, recipe, generator)

    def _places(self, dice: _RandomNumbers, *, size_px: int) -> _CropPositions:
        augmentation = self._augmentation
        scales, chances = _scales(size_px, augmentation, self.device)
        scale = scales[(dice()[:, None] >= chances).sum(1)]
        pictures = dice.below(self.files) * len(augmentation.short_sides_px) + scale
        tops = dice.below((self._wholes.heights[pictures] - size_px) // 2 + 1) * 2
        lefts = dice.below((self._wholes.widths[pictures] - size_px) // 2 + 1) * 2
        mirrored, upside_down = dice() < 0.5, dice() < augmentation.upside_down_share  # noqa: PLR2004  half of the crops
        return _CropPositions(pictures, tops, lefts, mirrored, upside_down)

    def sample_patches(self, count: int, *, stride_px: int, halves: bool, generator: torch.Generator) -> Tensor:
        """Return at least `count` pairs of horizontally adjacent blocks, (n, 2, 3 stride^2) in 0..1.

        The closed-form initialisation takes its statistics from them. `halves` takes blocks of the half-side pictures.
        """
        rows: list[Tensor] = []
        while sum(len(row) for row in rows) < count:
            size_px = self._augmentation.short_sides_px[0] // (2 * stride_px) * 2 * stride_px
            dice = _RandomNumbers(_PATCHED_PICTURES, generator, self.device)
            places = self._places(dice, size_px=size_px)
            if halves:
                pictures = self._halves.crops(places.halve(), size_px=size_px // 2)
            else:
                pictures = self._wholes.crops(places, size_px=size_px)
            for picture in pictures.cpu():
                blocks = block_vectors(picture.float() / 255, stride_px)
                pairs = torch.stack([blocks[:, :-1], blocks[:, 1:]], dim=2).flatten(0, 1)
                rows.append(pairs[torch.randperm(len(pairs), generator=generator)[:_PAIRS_EACH]])
        return torch.cat(rows)


@cache
def _quality_chances(recipe: Recipe, device: str) -> Tensor:
    """Return the cumulative probabilities of the qualities, (QUALITIES,)."""
    first, last = recipe.wanted_qualities
    chances = torch.full((QUALITIES,), (1 - recipe.wanted_share) / QUALITIES)
    chances[first : last + 1] += recipe.wanted_share / (last + 1 - first)
    return chances.cumsum(0).to(device)


@cache
def _scales(size_px: int, augmentation: Augmentation, device: str) -> tuple[Tensor, Tensor]:
    """Return the numbers of the scales with a short side of at least `size_px`, and their cumulative probabilities.

    The last probability, which is 1, is left out.
    """
    scales = [scale for scale, side in enumerate(augmentation.short_sides_px) if side >= size_px]
    shares = torch.tensor([augmentation.scale_shares[scale] for scale in scales])
    return torch.tensor(scales, device=device), (shares.cumsum(0) / shares.sum())[:-1].to(device)


@dataclass(frozen=True)
class _RandomNumbers:
    """Draws random numbers for a batch: by `generator` on the CPU, or on the device where it is None."""

    batch: int
    generator: torch.Generator | None
    device: str

    def __call__(self) -> Tensor:
        """Return random numbers (batch,) in 0..1, on the device."""
        if self.generator is None:
            return torch.rand(self.batch, device=self.device)
        return torch.rand(self.batch, generator=self.generator).to(self.device)

    def below(self, limit: int | Tensor) -> Tensor:
        """Return random integers (batch,) in 0..limit - 1, on the device."""
        drawn = torch.as_tensor(self() * limit).long()
        return drawn.clamp_max(limit - 1) if isinstance(limit, int) else torch.minimum(drawn, limit - 1)


@dataclass(frozen=True)
class _Recolouring:
    """Random changes of saturation and contrast, as factors (B, 1, 1, 1); most are 1, which changes nothing."""

    saturation: Tensor
    contrast: Tensor

    @classmethod
    def draw(cls, dice: _RandomNumbers, *, share: float) -> _Recolouring:
        ones = torch.ones(dice.batch, device=dice.device)
        saturation = torch.where(dice() < share, 0.4 + 1.4 * dice(), ones)
        contrast = torch.where(dice() < share, 0.6 + 0.6 * dice(), ones)
        return cls(saturation[:, None, None, None], contrast[:, None, None, None])

    def __call__(self, x: Tensor) -> Tensor:
        grey = x.mean(1, keepdim=True)
        x = (grey + self.saturation * (x - grey)).clamp(0, 1)
        return (0.5 + self.contrast * (x - 0.5)).clamp(0, 1)


def block_vectors(pixels: Tensor, stride_px: int) -> Tensor:
    """Return the blocks of a picture (3, H, W) as vectors (H // stride, W // stride, 3 stride^2).

    The values of a block are in the order of `F.pixel_unshuffle`: colour, row, column.
    """
    height, width = (side // stride_px * stride_px for side in pixels.shape[1:])
    blocks = torch.nn.functional.pixel_unshuffle(pixels[None, :, :height, :width], stride_px)
    return blocks[0].permute(1, 2, 0)
