"""Scores of heads and encoders on a few validation pictures during training, from one set of decoded latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from models.autoencoder import HighAutoencoder, LightNetworks, pad_to_cells
from models.config import HIGH_PX, MEDIUM_PX
from models.evaluation import rd
from models.evaluation.references import pictures_in, reference, resize
from models.pixels import to_pixels, to_tensor
from models.scores import psnr_db

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from models.analysis import Analysis
    from models.hyperprior import Quantised
    from models.training.note_translator import NoteTranslator

_PICTURES = 5
_QUALITIES = (16, 30, 44, 63)
_WIDE_RANGE = rd.ScoreRange(low=26.0, high=40.0, shortest=0.5)


@dataclass(frozen=True)
class _Pair:
    high: NDArray[np.uint8]
    medium: NDArray[np.uint8]


@dataclass(frozen=True)
class ComparedNetworks:
    """The networks that read or write one latent: light heads, `high` with its heads, the note's translator if any."""

    light: LightNetworks
    high: HighAutoencoder
    note: NoteTranslator | None


@dataclass(frozen=True)
class _Scores:
    """PSNR in dB of each head on one latent; size and `high-gpu` PSNR of the light encoder's latent."""

    bits: float
    gpu_head: float
    cpu_head: float
    medium: float
    medium_gpu: float | None
    rival: float
    note: float | None
    light_bits: float
    light_gpu_head: float


class HeadsValidation:
    """A fixed handful of pictures in both sizes."""

    def __init__(self, folder: Path) -> None:
        """Take every n-th picture of the folder."""
        files = pictures_in(folder)
        chosen = files[:: max(1, len(files) // _PICTURES)][:_PICTURES]
        self._pairs = [_Pair(reference(file, HIGH_PX), reference(file, MEDIUM_PX)) for file in chosen]

    @torch.no_grad()
    def score(self, ways: ComparedNetworks) -> dict[str, float]:
        """Return the figures for which the networks exist.

        gap_db and gap_db_Q: dB by which the translator is behind decode-344-then-LANCZOS; gap_gpu_db: the same for
        `medium-gpu`; gap_note_db: the same for the note's MLP; bd_cpu_head: per cent more bytes for `high-cpu` than for
        `high-gpu`; bd_light_encoder: per cent more bytes for the light encoder than for the wide one.
        """
        rows = [[_scores(ways, pair, quality) for quality in _QUALITIES] for pair in self._pairs]
        figures = {
            f"gap_db_{quality}": float(np.mean([row[column].rival - row[column].medium for row in rows]))
            for column, quality in enumerate(_QUALITIES)
        }
        figures["gap_db"] = float(np.mean(list(figures.values())))
        figures["bd_cpu_head"] = _bd_rate(rows, lambda one: rd.RatePoint(round(one.bits), one.cpu_head))
        if ways.light.analysis is not None:
            figures["bd_light_encoder"] = _bd_rate(
                rows, lambda one: rd.RatePoint(round(one.light_bits), one.light_gpu_head)
            )
        if ways.high.medium_head is not None:
            figures["gap_gpu_db"] = _mean_gap(rows, lambda one: one.medium_gpu)
        if ways.note is not None:
            figures["gap_note_db"] = _mean_gap(rows, lambda one: one.note)
        return figures


def _mean_gap(rows: list[list[_Scores]], psnr: Callable[[_Scores], float | None]) -> float:
    """Return how many dB a head is behind decode-344-then-LANCZOS, in the mean."""
    return float(np.mean([one.rival - (psnr(one) or 0.0) for row in rows for one in row]))


def _bd_rate(rows: list[list[_Scores]], point: Callable[[_Scores], rd.RatePoint]) -> float:
    """Return by how many per cent the bits exceed those of the wide encoder with `high-gpu`."""
    pairs = [
        (rd.curve(map(point, row)), rd.curve(rd.RatePoint(round(one.bits), one.gpu_head) for one in row))
        for row in rows
    ]
    return rd.percent_or_nan(pairs, _WIDE_RANGE)


def _scores(ways: ComparedNetworks, pair: _Pair, quality: int) -> _Scores:
    light, high, note = ways.light, ways.high, ways.note
    device = next(light.parameters()).device.type
    x, of_quality = pad_to_cells(to_tensor(pair.high, device), high.config), torch.tensor([quality], device=device)
    coded = _code(high, high.analysis, x, of_quality)
    by_light = coded if light.analysis is None else _code(high, light.analysis, x, of_quality)

    def psnr(head: nn.Module, truth: NDArray[np.uint8], y_hat: Tensor = coded.y_hat) -> float:
        x_hat = head(y_hat, quality=of_quality, deviation=high.hyperprior.deviation)
        return psnr_db(truth, to_pixels(x_hat, truth.shape[0])[0])

    x_gpu = high.head(coded.y_hat, quality=of_quality, deviation=high.hyperprior.deviation)
    decoded = to_pixels(x_gpu, HIGH_PX)[0]
    return _Scores(
        bits=float(high.hyperprior.coded_bits(coded, of_quality)),
        gpu_head=psnr_db(pair.high, decoded),
        cpu_head=psnr(light.high, pair.high),
        medium=psnr(light.medium, pair.medium),
        medium_gpu=psnr(high.medium_head, pair.medium) if high.medium_head else None,
        rival=psnr_db(pair.medium, resize(decoded, MEDIUM_PX)),
        note=_psnr_of_note(note, coded.y_hat, of_quality, pair.medium) if note else None,
        light_bits=float(high.hyperprior.coded_bits(by_light, of_quality)),
        light_gpu_head=psnr(high.head, pair.high, by_light.y_hat),
    )


def _code(high: HighAutoencoder, analysis: Analysis, x: Tensor, quality: Tensor) -> Quantised:
    return high.hyperprior.quantise(analysis(x, high.hyperprior.deviation), quality)


def _psnr_of_note(note: NoteTranslator, y_hat: Tensor, quality: Tensor, truth: NDArray[np.uint8]) -> float:
    return psnr_db(truth, to_pixels(note.pictures(y_hat, quality), truth.shape[0])[0])
