"""Compare the heads and the encoders of one latent on a few validation pictures during training."""

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
    """The networks to compare, which read or write the same latent.

    They are the light heads and the light encoder, the high autoencoder with its heads, and the research note's
    translator (note_translator.py) if it is trained too.
    """

    light: LightNetworks
    high: HighAutoencoder
    note: NoteTranslator | None


@dataclass(frozen=True)
class _Scores:
    """The bits and scores of one picture at one quality; all but `bits` and `light_bits` are PSNR in dB.

    `rival` is the 172 picture by decoding to 344 with `high-gpu` and resizing with LANCZOS. `light_bits` and
    `light_gpu_head` belong to the light encoder's latent, the others to the wide encoder's.
    """

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
    """Scores heads and encoders on five fixed validation pictures, at 344 and at 172 px."""

    def __init__(self, folder: Path) -> None:
        """Read five pictures, evenly spread over those in `folder`, or all where there are fewer."""
        files = pictures_in(folder)
        chosen = files[:: max(1, len(files) // _PICTURES)][:_PICTURES]
        self._pairs = [_Pair(reference(file, HIGH_PX), reference(file, MEDIUM_PX)) for file in chosen]

    @torch.no_grad()
    def score(self, ways: ComparedNetworks) -> dict[str, float]:
        """Return these figures by name, without the ones whose networks do not exist.

        gap_db (mean) and gap_db_Q (at quality Q): by how many dB the translator's 172 picture is worse than decoding to
        344 with `high-gpu` and resizing by LANCZOS. gap_gpu_db: the same for `medium-gpu`. gap_note_db: the same for
        the research note's MLP. bd_cpu_head: BD-rate in per cent of `high-cpu` against `high-gpu`. bd_light_encoder:
        BD-rate in per cent of the light encoder against the wide one.
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
    """Return by how many dB `psnr` is below decoding to 344 and resizing (`rival`), as a mean over all scores."""
    return float(np.mean([one.rival - (psnr(one) or 0.0) for row in rows for one in row]))


def _bd_rate(rows: list[list[_Scores]], point: Callable[[_Scores], rd.RatePoint]) -> float:
    """Return the median BD-rate in per cent of the curves by `point` against the wide encoder with `high-gpu`."""
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
