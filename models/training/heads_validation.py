"""The light heads on a few validation pictures while they are trained, from one set of decoded latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from models.autoencoder import HighAutoencoder, LightNetworks, pad_to_cells
from models.config import HIGH_PX, MEDIUM_PX
from models.pixels import to_pixels, to_tensor
from models.scores import psnr_db
from models.training import rd
from models.training.references import pictures_in, reference, resized

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from models.training.note_translator import NoteTranslator

_PICTURES = 5
_QUALITIES = (16, 30, 44, 63)
_WIDE_RANGE = rd.ScoreRange(low=26.0, high=40.0, shortest=0.5)


@dataclass(frozen=True)
class _Pair:
    high: NDArray[np.uint8]
    medium: NDArray[np.uint8]


@dataclass(frozen=True)
class Ways:
    """What makes pictures of a high latent: the light heads, the head of `high`, the note's translator if any."""

    light: LightNetworks
    high: HighAutoencoder
    note: NoteTranslator | None


@dataclass(frozen=True)
class _Scores:
    """PSNR in dB of each way from one latent."""

    bits: float
    gpu_head: float
    cpu_head: float
    medium: float
    rival: float
    note: float | None


class HeadsValidation:
    """A fixed handful of pictures in both sizes."""

    def __init__(self, folder: Path) -> None:
        """Every n-th picture of the folder."""
        files = pictures_in(folder)
        chosen = files[:: max(1, len(files) // _PICTURES)][:_PICTURES]
        self._pairs = [_Pair(reference(file, HIGH_PX), reference(file, MEDIUM_PX)) for file in chosen]

    @torch.no_grad()
    def score(self, ways: Ways) -> dict[str, float]:
        """gap_db and gap_db_Q: the translator behind decode-344-then-LANCZOS; gap_note_db: the note's MLP behind it;
        bd_cpu_head: per cent of bytes that `high-cpu` needs more than `high-gpu`.
        """
        rows = [[_scores(ways, pair, quality) for quality in _QUALITIES] for pair in self._pairs]
        figures = {
            f"gap_db_{quality}": float(np.mean([row[column].rival - row[column].medium for row in rows]))
            for column, quality in enumerate(_QUALITIES)
        }
        figures["gap_db"] = float(np.mean(list(figures.values())))
        figures["bd_cpu_head"] = rd.percent_or_nan([_head_curves(row) for row in rows], _WIDE_RANGE)
        if ways.note is not None:
            figures["gap_note_db"] = float(np.mean([one.rival - (one.note or 0.0) for row in rows for one in row]))
        return figures


def _head_curves(row: list[_Scores]) -> tuple[rd.Curve, rd.Curve]:
    cpu, gpu = (
        rd.curve(rd.RatePoint(round(one.bits), getattr(one, head)) for one in row) for head in ("cpu_head", "gpu_head")
    )
    return cpu, gpu


def _scores(ways: Ways, pair: _Pair, quality: int) -> _Scores:
    light, high, note = ways.light, ways.high, ways.note
    device = next(light.parameters()).device.type
    x, of_quality = pad_to_cells(to_tensor(pair.high, device), high.config), torch.tensor([quality], device=device)
    deviation = high.hyperprior.deviation
    coded = high.hyperprior.quantise(high.analysis(x, deviation), of_quality)
    y_hat = coded.y_hat

    def psnr(x_hat: Tensor, truth: NDArray[np.uint8]) -> float:
        return psnr_db(truth, to_pixels(x_hat, truth.shape[0])[0])

    x_gpu = high.head(y_hat, quality=of_quality, deviation=deviation)
    x_medium = light.medium(y_hat, quality=of_quality, deviation=deviation)
    return _Scores(
        bits=float(high.hyperprior.coded_bits(coded, of_quality)),
        gpu_head=psnr(x_gpu, pair.high),
        cpu_head=psnr(light.high(y_hat, quality=of_quality, deviation=deviation), pair.high),
        medium=psnr(x_medium, pair.medium),
        rival=psnr_db(pair.medium, resized(to_pixels(x_gpu, HIGH_PX)[0], MEDIUM_PX)),
        note=psnr(note.pictures(y_hat, of_quality), pair.medium) if note else None,
    )
