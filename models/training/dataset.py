"""Photographs for training: read once, held as uint8 at the scales of `Augmentation`, with their LANCZOS halves.

picture_file.py reads one photograph at one scale.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import torch
from rich.progress import track

from models.config import QUALITIES
from models.training.options import Augmentation, batch_of
from models.training.picture_file import read_photograph, training_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from models.training.options import Recipe
    from models.training.schedule import Phase

_PATCHED_PICTURES, _PAIRS_EACH = 16, 64


@dataclass(frozen=True)
class Crops:
    """A batch with values in 0..1: pictures (B, 3, S, S), and the same places of their halves (B, 3, S/2, S/2)."""

    pixels: Tensor
    half: Tensor


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class _PackedPictures:
    """Pictures of different sizes end to end: bytes (n,); start, height and width of each picture (P,)."""

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
        """Return the crops at these positions as (B, 3, S, S) uint8."""
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
    """Where the crops of a batch lie, and how each is flipped: five tensors (B,)."""

    pictures: Tensor
    tops: Tensor
    lefts: Tensor
    mirrored: Tensor
    upside_down: Tensor

    def halve(self) -> _CropPositions:
        """Return the same positions in the halves of the pictures."""
        return replace(self, tops=self.tops // 2, lefts=self.lefts // 2)


class PhotographSet:
    """All photographs of the given folders, in the memory of a device."""

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        limit: int | None = None,
        device: str = "cpu",
        augmentation: Augmentation | None = None,
    ) -> None:
        """Read every picture at all scales. Raises `ReferencePictureError` where a folder or a pack has none."""
        augmentation = augmentation or Augmentation()
        sides_px = augmentation.short_sides_px
        files = [file for folder in folders for file in training_files(folder)][:limit]
        with ThreadPoolExecutor(available_cores()) as pool:
            jobs = pool.map(lambda file: [read_photograph(file, short_side_px=px) for px in sides_px], files)
            photographs = [one for scales in track(jobs, total=len(files), description="reading") for one in scales]
        self.files, self.device = len(files), device
        self._augmentation = augmentation
        self._wholes = _PackedPictures.of([one.pixels for one in photographs], device)
        self._halves = _PackedPictures.of([one.half for one in photographs], device)

    def crops(self, batch: int, *, size_px: int, generator: torch.Generator | None) -> Crops:
        """Return random crops, flipped and recoloured at random.

        Offsets are even, so that the halves show the same place. Without a generator the device draws all random
        numbers.
        """
        dice = _RandomNumbers(batch, generator, self.device)
        places = self._places(dice, size_px=size_px)
        wholes = self._wholes.crops(places, size_px=size_px).float() / 255
        halves = self._halves.crops(places.halve(), size_px=size_px // 2).float() / 255
        recolour = _Recolouring.draw(dice, share=self._augmentation.recoloured_share)
        return Crops(recolour(wholes), recolour(halves))

    def qualities(self, batch: int, generator: torch.Generator | None) -> Tensor:
        """Return qualities (B,) int64, a random one from each of B equal ranges, to cover them all."""
        return (self._spread(batch, generator) * QUALITIES).long().clamp_max(QUALITIES - 1)

    def wanted_qualities(self, batch: int, recipe: Recipe, generator: torch.Generator | None) -> Tensor:
        """Return qualities (B,) int64 with the recipe's probabilities, one from each of B equally likely ranges."""
        chances = _quality_chances(recipe, self.device)
        found = torch.searchsorted(chances, self._spread(batch, generator), right=True)
        return found.clamp_max(QUALITIES - 1)

    def _spread(self, batch: int, generator: torch.Generator | None) -> Tensor:
        """Return (B,) in 0..1, a random number from each of B equal ranges."""
        draws = _RandomNumbers(batch, generator, self.device)()
        return (torch.arange(batch, device=self.device) + draws) / batch

    def batch(self, recipe: Recipe, phase: Phase, generator: torch.Generator | None) -> tuple[Crops, Tensor]:
        """Return what a step of a phase trains on: crops or whole pictures, and their qualities (B,)."""
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
        """Return about `count` pairs of adjacent blocks, (count, 2, 3 stride^2) in 0..1, for the start."""
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
    """Return the scales that have room for such crops, and their cumulative probabilities without the last."""
    scales = [scale for scale, side in enumerate(augmentation.short_sides_px) if side >= size_px]
    shares = torch.tensor([augmentation.scale_shares[scale] for scale in scales])
    return torch.tensor(scales, device=device), (shares.cumsum(0) / shares.sum())[:-1].to(device)


@dataclass(frozen=True)
class _RandomNumbers:
    """Random numbers for a batch: from a generator on the CPU, or drawn on the device without one."""

    batch: int
    generator: torch.Generator | None
    device: str

    def __call__(self) -> Tensor:
        """Return (B,) in 0..1."""
        if self.generator is None:
            return torch.rand(self.batch, device=self.device)
        return torch.rand(self.batch, generator=self.generator).to(self.device)

    def below(self, limit: int | Tensor) -> Tensor:
        """Return integers (B,) in 0..limit - 1."""
        drawn = torch.as_tensor(self() * limit).long()
        return drawn.clamp_max(limit - 1) if isinstance(limit, int) else torch.minimum(drawn, limit - 1)


@dataclass(frozen=True)
class _Recolouring:
    """Factors (B, 1, 1, 1) of saturation and contrast; vivid and flat pictures are rare among photographs."""

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
    """Return the blocks of a picture (3, H, W) as (H // stride, W // stride, 3 stride^2).

    Values are in the order of `pixel_unshuffle`.
    """
    height, width = (side // stride_px * stride_px for side in pixels.shape[1:])
    blocks = torch.nn.functional.pixel_unshuffle(pixels[None, :, :height, :width], stride_px)
    return blocks[0].permute(1, 2, 0)
