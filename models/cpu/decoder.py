"""From symbols to pixels on a CPU, one picture at a time; the tests compare with the networks' own modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from models.config import HIGH_PX, MEDIUM_PX
from models.cpu.heads import FastHighHead, FastTranslator
from models.cpu.latent import FastLatent
from models.cpu.matrices import CELLS
from models.dct import DctSynthesis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.cpu.latent import Decoded
    from models.cpu.number_formats import I8, I16, U8
    from models.hyperprior import Hyperprior
    from models.latent_codec import Symbols
    from models.synthesis import HighHead
    from models.translator import Translator


class _Fast(Protocol):
    def run(self, decoded: Decoded, quality: int) -> U8: ...


class ReadyPictures:
    """Pictures that are decoded already: a CPU returns this where a device returns a ticket."""

    def __init__(self, pictures: list[U8]) -> None:
        self._pictures = pictures

    def pictures(self) -> list[U8]:
        return self._pictures


class FastDecoder:
    """Decodes both sizes of a picture. Not for two threads at once, because steps reuse their output memory."""

    def __init__(self, hyperprior: Hyperprior, *, high: HighHead, medium: Translator, dtype: torch.dtype) -> None:
        """Take the networks in float32; `dtype`, which may be bfloat16, is the format of all layers after y_hat."""
        by_matrix = not all(isinstance(one, DctSynthesis) for one in (high.linear, medium.linear))
        reads_quiet = by_matrix and dtype != torch.float32
        self._latent = FastLatent(hyperprior, dtype=dtype, with_quiet=reads_quiet)
        deviation = hyperprior.deviation
        self._heads: dict[int, _Fast] = {
            HIGH_PX: FastHighHead(high, deviation, dtype=dtype),
            MEDIUM_PX: FastTranslator(medium, deviation, dtype=dtype),
        }
        self._compile(hyperprior.means.read.weight.shape[1], int(hyperprior.coded[0].sum()))

    def _compile(self, hyper_channels: int, channels: int) -> None:
        """Compile the loops now, not within the first request: some seconds on a machine without a cache."""
        h1, q = np.zeros((CELLS, hyper_channels), np.int8), np.zeros((CELLS, channels), np.int16)
        for size_px in self._heads:
            self.picture(h1, q, quality=0, size_px=size_px)

    @torch.inference_mode()
    def submit(self, symbols: Sequence[Symbols], *, size_px: int) -> ReadyPictures:
        """Decode the pictures now, one after the other."""
        return ReadyPictures([self.picture(one.h1, one.q, quality=one.quality, size_px=size_px) for one in symbols])

    def picture(self, h1: I8, q: I16, *, quality: int, size_px: int) -> U8:
        """Decode h1 (P, C) and q (P, n) to (size, size, 3) sRGB, size 344 or 172."""
        return self._heads[size_px].run(self._latent.decode(h1, q, quality), quality)
