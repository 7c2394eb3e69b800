"""A linear autoencoder without training, as a baseline: principal components of blocks of 16x16 pixels.

This is the Karhunen-Loeve transform. Of all linear maps from single blocks to a given count of numbers, it has the
smallest squared error on the pictures from which it is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np

from models.scores import PEAK
from models.studies.design import STRIDE_PX
from models.studies.negative_elbo import picture_scores

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from models.studies.design import Design
    from models.studies.squares import Squares

_PICTURES = 400
"""The number of pictures from which the components are computed (assumed)."""
_VALUES = 3 * STRIDE_PX**2


@dataclass(frozen=True)
class LinearFigures:
    """The linear map of one code length: its parameters, and the mean PSNR of the scored squares."""

    size_px: int
    code_length: int
    parameters: int
    psnr_db: float


def score_linear(designs: Iterable[Design], *, trained: Squares, scored: Squares) -> list[LinearFigures]:
    """Return the figures of the linear map for each side and code length of `designs`, once each."""
    wanted = sorted({(one.size_px, one.channels, one.code_length) for one in designs})
    bases = {px: _components(trained.by_side[px][:_PICTURES]) for px in {px for px, _, _ in wanted}}
    found = []
    for px, channels, code_length in wanted:
        average, components = bases[px]
        kept = components[:, :channels]
        decoded = _code(scored.by_side[px], average, kept)
        scores = picture_scores(scored.by_side[px], list(decoded))
        found.append(LinearFigures(px, code_length, 2 * kept.size + _VALUES, mean(scores)))
    return found


def _components(pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean block (768,) and the components (768, 768), in order of falling variance."""
    blocks = _blocks(pictures).reshape(-1, _VALUES)
    average = blocks.mean(0)
    _, components = np.linalg.eigh(np.cov(blocks, rowvar=False))
    return average, components[:, ::-1].astype(np.float32)


def _code(pictures: NDArray[np.uint8], average: NDArray[np.float32], kept: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the pictures that the linear map decodes from its codes."""
    count, size_px = pictures.shape[:2]
    cells = -(-size_px // STRIDE_PX)
    coded = (_blocks(pictures) - average) @ kept @ kept.T + average
    rows = coded.reshape(count, cells, cells, STRIDE_PX, STRIDE_PX, 3).swapaxes(2, 3)
    whole = rows.reshape(count, cells * STRIDE_PX, cells * STRIDE_PX, 3)[:, :size_px, :size_px]
    return np.rint(whole * PEAK).clip(0, PEAK).astype(np.uint8)


def _blocks(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the blocks of pictures (n, S, S, 3) as vectors (n, cells, 768) in 0..1; the border is repeated."""
    count, size_px = pictures.shape[:2]
    cells = -(-size_px // STRIDE_PX)
    spare = cells * STRIDE_PX - size_px
    padded = np.pad(pictures, ((0, 0), (0, spare), (0, spare), (0, 0)), mode="edge")
    apart = padded.reshape(count, cells, STRIDE_PX, cells, STRIDE_PX, 3).swapaxes(2, 3)
    return apart.reshape(count, cells * cells, _VALUES).astype(np.float32) / PEAK
