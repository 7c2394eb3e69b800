"""Rate-distortion on the validation pictures while training goes on: one figure to watch, BD-rate against JPEG."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from models.autoencoder import HighAutoencoder, MediumAutoencoder, pad_to_cells
from models.training import rd
from models.training.references import pictures_in, reference
from models.training.scores import psnr_db

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

PICTURES = 12
QUALITIES = (4, 16, 28, 40, 52, 63)
_JPEG_QUALITIES = (8, 14, 22, 32, 45, 60, 75, 85, 92, 96)
_WIDE_RANGE = rd.ScoreRange(low=28.0, high=38.0, shortest=0.5)


@dataclass(frozen=True)
class _Picture:
    pixels: NDArray[np.uint8]
    jpeg: rd.Curve


class CodecValidation:
    """A fixed handful of pictures with their JPEG curves."""

    def __init__(self, folder: Path, *, size_px: int) -> None:
        """Every n-th picture of the folder, `PICTURES` in all."""
        files = pictures_in(folder)
        chosen = files[:: max(1, len(files) // PICTURES)][:PICTURES]
        squares = [reference(file, size_px) for file in chosen]
        self._pictures = [_Picture(square, jpeg_curve(square)) for square in squares]

    @torch.no_grad()
    def score(self, model: HighAutoencoder | MediumAutoencoder) -> dict[str, float]:
        """Median BD-rate against JPEG (per cent), mean bits per pixel and PSNR at the watched qualities."""
        rows = [[_point(model, picture.pixels, quality) for quality in QUALITIES] for picture in self._pictures]
        pairs = [(rd.curve(row), picture.jpeg) for row, picture in zip(rows, self._pictures, strict=True)]
        figures = {"bd_jpeg": rd.median_bd_rate(pairs, _WIDE_RANGE).percent}
        for column, quality in enumerate(QUALITIES):
            size = self._pictures[0].pixels.shape[0]
            figures[f"bpp_{quality}"] = float(np.mean([8 * row[column].size_bytes / size**2 for row in rows]))
            figures[f"psnr_{quality}"] = float(np.mean([row[column].score for row in rows]))
        return figures


def _point(model: HighAutoencoder | MediumAutoencoder, pixels: NDArray[np.uint8], quality: int) -> rd.RatePoint:
    x, of_quality = to_tensor(pixels), torch.tensor([quality])
    deviation = model.hyperprior.deviation
    coded = model.hyperprior.quantise(model.analysis(pad_to_cells(x, model.config), deviation), of_quality)
    bits = float(model.hyperprior.coded_bits(coded, of_quality))
    x_hat = model.head(coded.y_hat, quality=of_quality, deviation=deviation)
    size = pixels.shape[0]
    return rd.RatePoint(round(bits / 8) + 20, psnr_db(pixels, to_pixels(x_hat[:, :, :size, :size])))


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) in 0..1."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def to_pixels(x: Tensor) -> NDArray[np.uint8]:
    """(1, 3, H, W) -> (H, W, 3) uint8, rounded and clamped."""
    return (x[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def jpeg_curve(pixels: NDArray[np.uint8]) -> rd.Curve:
    """Bytes and PSNR of the picture as an optimised, progressive JPEG."""
    points = []
    for quality in _JPEG_QUALITIES:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="JPEG", quality=quality, optimize=True, progressive=True)
        points.append(rd.RatePoint(file.tell(), psnr_db(pixels, np.asarray(Image.open(file).convert("RGB")))))
    return rd.curve(points)
