"""Photographs for training: read once, kept as uint8 at the scale they are served at, with their LANCZOS halves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from rich.progress import track

from models.config import HIGH_PX
from models.training.references import pictures_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

_LONG_SIDE_PX = 520
_SMALLER = 0.8
"""Every photograph is kept at a second, smaller scale too: a mild down-scale as augmentation."""


@dataclass(frozen=True)
class Photograph:
    """One picture at one scale: (3, H, W) uint8, and its LANCZOS half (3, H/2, W/2)."""

    pixels: Tensor
    half: Tensor


@dataclass(frozen=True)
class Crops:
    """A batch in 0..1: pictures (B, 3, S, S) and the same places of their halves (B, 3, S/2, S/2)."""

    pixels: Tensor
    half: Tensor


def training_files(folder: Path) -> tuple[Path, ...]:
    """The pictures below a folder; of DIV2K's own layout only the training pictures (DIV2K_train_HR/0001.png ...)."""
    div2k = folder / "DIV2K_train_HR"
    return pictures_in(div2k if div2k.is_dir() else folder)


def read_photograph(file: Path, *, short_side_px: int) -> Photograph:
    """The picture with its short side at `short_side_px` (even sides, long side cut at the centre), and its half."""
    with Image.open(file) as image:
        rgb = image.convert("RGB")
    scale = short_side_px / min(rgb.size)
    long_px = min(_LONG_SIDE_PX, round(max(rgb.size) * scale)) // 2 * 2
    size = (short_side_px, long_px) if rgb.width <= rgb.height else (long_px, short_side_px)
    width, height = size[0] / scale, size[1] / scale
    left, top = max(0.0, (rgb.width - width) / 2), max(0.0, (rgb.height - height) / 2)
    box = (left, top, min(rgb.width, left + width), min(rgb.height, top + height))
    whole = rgb.resize(size, Image.Resampling.LANCZOS, box=box)
    half = whole.resize((size[0] // 2, size[1] // 2), Image.Resampling.LANCZOS)
    return Photograph(_tensor(np.asarray(whole)), _tensor(np.asarray(half)))


class PhotographSet:
    """All photographs of the given folders in memory."""

    def __init__(self, folders: Sequence[Path], *, limit: int | None = None, device: str = "cpu") -> None:
        """Read every picture at two scales; raises `ReferencePictureError` when a folder has none."""
        files = [file for folder in folders for file in training_files(folder)][:limit]
        small_px = round(HIGH_PX * _SMALLER) // 2 * 2
        with ThreadPoolExecutor(2) as pool:
            jobs = pool.map(lambda file: [read_photograph(file, short_side_px=px) for px in (HIGH_PX, small_px)], files)
            pairs = list(track(jobs, total=len(files), description="reading photographs"))
        self.files = len(files)
        self._photographs = [Photograph(one.pixels.to(device), one.half.to(device)) for pair in pairs for one in pair]
        # three crops in four come from the scale that is served
        self._weights = torch.tensor([3.0, 1.0]).repeat(len(files))

    def crops(self, batch: int, *, size_px: int, generator: torch.Generator) -> Crops:
        """Random crops with flips, at even offsets so that the halves match."""
        served_only = size_px > round(HIGH_PX * _SMALLER)
        weights = self._weights * torch.tensor([1.0, 0.0 if served_only else 1.0]).repeat(self.files)
        chosen = torch.multinomial(weights, batch, replacement=True, generator=generator)
        pairs = [
            self._crop(self._photographs[index], size_px=size_px, generator=generator) for index in chosen.tolist()
        ]
        pixels, halves = torch.stack([pair.pixels for pair in pairs]), torch.stack([pair.half for pair in pairs])
        return Crops(pixels.float() / 255, halves.float() / 255)

    @staticmethod
    def _crop(photograph: Photograph, *, size_px: int, generator: torch.Generator) -> Photograph:
        height, width = photograph.half.shape[1:]
        side = size_px // 2
        top, left, flip = (
            int(torch.randint(0, limit, (1,), generator=generator))
            for limit in (height - side + 1, width - side + 1, 2)
        )
        whole = photograph.pixels[:, 2 * top : 2 * (top + side), 2 * left : 2 * (left + side)]
        half = photograph.half[:, top : top + side, left : left + side]
        return Photograph(whole.flip(2), half.flip(2)) if flip else Photograph(whole, half)

    def sample_patches(self, count: int, *, stride_px: int, halves: bool, generator: torch.Generator) -> Tensor:
        """About `count` pairs of neighbouring blocks, (count, 2, 3 stride^2) in 0..1, for the closed-form start."""
        rows: list[Tensor] = []
        per_picture = 64
        while sum(len(row) for row in rows) < count:
            source = self._photographs[2 * int(torch.randint(0, self.files, (1,), generator=generator))]
            blocks = block_vectors((source.half if halves else source.pixels).float() / 255, stride_px)
            pairs = torch.stack([blocks[:, :-1], blocks[:, 1:]], dim=2).flatten(0, 1)
            rows.append(pairs[torch.randperm(len(pairs), generator=generator)[:per_picture]])
        return torch.cat(rows)


def block_vectors(pixels: Tensor, stride_px: int) -> Tensor:
    """(3, H, W) -> (H // stride, W // stride, 3 stride^2), values in the order of `pixel_unshuffle`."""
    height, width = (side // stride_px * stride_px for side in pixels.shape[1:])
    blocks = torch.nn.functional.pixel_unshuffle(pixels[None, :, :height, :width], stride_px)
    return blocks[0].permute(1, 2, 0)


def _tensor(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()
