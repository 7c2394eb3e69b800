"""Rate-distortion of an autoencoder on validation pictures during training: BD-rates against JPEG, and scores."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from models.autoencoder import HighAutoencoder, MediumAutoencoder, pad_to_cells
from models.evaluation import rd
from models.evaluation.references import pictures_in, reference
from models.pixels import to_pixels, to_tensor
from models.scores import Ssimulacra2, psnr_db
from models.training.picture_file import training_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from models.evaluation.references import PictureFile
    from models.training.options import TrainOptions

PICTURES = 12
QUALITIES = (4, 16, 28, 40, 52, 63)
_JPEG_QUALITIES = (8, 14, 22, 32, 45, 60, 75, 85, 92, 96)
_WIDE_RANGE = rd.ScoreRange(low=28.0, high=38.0, shortest=0.5)


@dataclass(frozen=True)
class Scored:
    """The bytes of one file or bitstream, and the PSNR in dB and the SSIMULACRA2 of its picture."""

    size_bytes: int
    psnr: float
    ssimulacra2: float


@dataclass(frozen=True)
class _Picture:
    pixels: NDArray[np.uint8]
    seen: Ssimulacra2
    jpeg: list[Scored]

    def score(self, size_bytes: int, decoded: NDArray[np.uint8]) -> Scored:
        return Scored(size_bytes, psnr_db(self.pixels, decoded), self.seen.score(decoded))


class Watch:
    """Scores an autoencoder on 12 validation and 12 training pictures; the difference shows overfitting."""

    def __init__(self, options: TrainOptions, *, size_px: int) -> None:
        """Read the pictures, evenly spread over those in `options.valid` and over those in the training folders."""
        assert options.valid is not None, "there is nothing to watch without validation pictures"
        trained = [file for folder in options.data for file in training_files(folder)][: options.limit]
        self._valid = CodecValidation(pictures_in(options.valid), size_px=size_px)
        self._trained = CodecValidation(tuple(trained), size_px=size_px)

    def score(self, model: HighAutoencoder | MediumAutoencoder) -> dict[str, float]:
        """Return the figures of `CodecValidation` on the validation pictures, and two more.

        `bd_jpeg_trained` is the BD-rate on the training pictures. `bd_jpeg_gap` is the BD-rate on the validation
        pictures minus that on the training pictures.
        """
        figures, trained = self._valid.score(model), self._trained.score(model)
        figures["bd_jpeg_trained"] = trained["bd_jpeg"]
        figures["bd_jpeg_gap"] = figures["bd_jpeg"] - trained["bd_jpeg"]
        return figures


class CodecValidation:
    """Scores an autoencoder against JPEG on up to 12 fixed pictures."""

    def __init__(self, files: tuple[PictureFile, ...], *, size_px: int) -> None:
        """Read 12 pictures evenly spread over `files`, or all where there are fewer, and measure their JPEG curves."""
        chosen = files[:: max(1, len(files) // PICTURES)][:PICTURES]
        self._pictures = [_picture(reference(file, size_px)) for file in chosen]

    @torch.no_grad()
    def score(self, model: HighAutoencoder | MediumAutoencoder) -> dict[str, float]:
        """Return median BD-rates against JPEG in per cent, and the mean bpp, PSNR and SSIMULACRA2 at `QUALITIES`."""
        rows = [[_point(model, picture, quality) for quality in QUALITIES] for picture in self._pictures]
        figures = {
            "bd_jpeg": self._bd_rate(rows, "psnr", _WIDE_RANGE),
            "bd_jpeg_ssimulacra2": self._bd_rate(rows, "ssimulacra2", rd.SSIMULACRA2_RANGE),
        }
        size = self._pictures[0].pixels.shape[0]
        for column, quality in enumerate(QUALITIES):
            figures[f"bpp_{quality}"] = float(np.mean([8 * row[column].size_bytes / size**2 for row in rows]))
            figures[f"psnr_{quality}"] = float(np.mean([row[column].psnr for row in rows]))
            figures[f"ssimulacra2_{quality}"] = float(np.mean([row[column].ssimulacra2 for row in rows]))
        return figures

    def _bd_rate(self, rows: list[list[Scored]], score: str, within: rd.ScoreRange) -> float:
        pairs = [
            (_curve(row, score), _curve(picture.jpeg, score)) for row, picture in zip(rows, self._pictures, strict=True)
        ]
        return rd.percent_or_nan(pairs, within)


def _curve(points: list[Scored], score: str) -> rd.Curve:
    return rd.curve(rd.RatePoint(point.size_bytes, getattr(point, score)) for point in points)


def _point(model: HighAutoencoder | MediumAutoencoder, picture: _Picture, quality: int) -> Scored:
    deviation = model.hyperprior.deviation
    x, of_quality = to_tensor(picture.pixels, str(deviation.device)), torch.tensor([quality], device=deviation.device)
    coded = model.hyperprior.quantise(model.analysis(pad_to_cells(x, model.config), deviation), of_quality)
    bits = float(model.hyperprior.coded_bits(coded, of_quality))
    x_hat = model.head(coded.y_hat, quality=of_quality, deviation=deviation)
    return picture.score(round(bits / 8) + 20, to_pixels(x_hat, picture.pixels.shape[0])[0])


def _picture(pixels: NDArray[np.uint8]) -> _Picture:
    picture = _Picture(pixels, Ssimulacra2(pixels), [])
    picture.jpeg.extend(picture.score(size_bytes, decoded) for size_bytes, decoded in _jpegs(pixels))
    return picture


def jpeg_curve(pixels: NDArray[np.uint8]) -> rd.Curve:
    """Return the rate-distortion curve (bytes, PSNR) of the picture as optimised, progressive JPEGs."""
    return rd.curve(rd.RatePoint(size_bytes, psnr_db(pixels, decoded)) for size_bytes, decoded in _jpegs(pixels))


def _jpegs(pixels: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    for quality in _JPEG_QUALITIES:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="JPEG", quality=quality, optimize=True, progressive=True)
        yield file.tell(), np.asarray(Image.open(file).convert("RGB"))
