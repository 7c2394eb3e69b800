"""Decode symbols to pixels on a CPU, one picture at a time. The tests compare the result with the torch modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from models.config import HIGH_PX, MEDIUM_PX
from models.cpu.flat_loops import settle
from models.cpu.heads import FastHighHead, FastTranslator
from models.cpu.latent import FastLatent
from models.cpu.matrices import CELLS
from models.dct import DctSynthesis
from models.flat_grounds import FlatLimits
from models.machine_code import compile_loop

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
    """Decoded pictures, with the interface of the `Ticket` that an accelerator's decoder returns."""

    def __init__(self, pictures: list[U8]) -> None:
        self._pictures = pictures

    def pictures(self) -> list[U8]:
        return self._pictures


class FastDecoder:
    """Decodes symbols to the 344 or the 172 picture on a CPU.

    Two threads must not use it at once, because its steps reuse their output memory.
    """

    def __init__(self, hyperprior: Hyperprior, *, high: HighHead, medium: Translator, dtype: torch.dtype) -> None:
        """Prepare the networks, which are in float32, and compile the loops.

        `dtype`, float32 or bfloat16, is the number format of the layers after y_hat.
        """
        by_matrix = not all(isinstance(one, DctSynthesis) for one in (high.linear, medium.linear))
        reads_quiet = by_matrix and dtype != torch.float32
        self._latent = FastLatent(hyperprior, dtype=dtype, with_quiet=reads_quiet)
        self._flat = FlatLimits.of_high()
        deviation = hyperprior.deviation
        self._heads: dict[int, _Fast] = {
            HIGH_PX: FastHighHead(high, deviation, dtype=dtype),
            MEDIUM_PX: FastTranslator(medium, deviation, dtype=dtype),
        }
        self._compile(hyperprior.means.read.weight.shape[1], int(hyperprior.coded[0].sum()))

    def _compile(self, hyper_channels: int, channels: int) -> None:
        """Compile the loops now, so that the first request does not wait: some seconds without numba's cache."""
        h1, q = np.zeros((CELLS, hyper_channels), np.int8), np.zeros((CELLS, channels), np.int16)
        for size_px in self._heads:
            self.picture(h1, q, quality=0, size_px=size_px)

    @torch.inference_mode()
    def submit(self, symbols: Sequence[Symbols], *, size_px: int) -> ReadyPictures:
        """Decode the pictures one after the other before returning; `size_px` is 344 or 172."""
        return ReadyPictures([self.picture(one.h1, one.q, quality=one.quality, size_px=size_px) for one in symbols])

    def picture(self, h1: I8, q: I16, *, quality: int, size_px: int) -> U8:
        """Decode h1 (484, C) and q (484, n) to a picture (size_px, size_px, 3) in sRGB; `size_px` is 344 or 172."""
        pixels = self._heads[size_px].run(self._latent.decode(h1, q, quality), quality)
        reach, total = int(self._flat.reach[quality]), int(self._flat.total[quality])
        compile_loop(settle)(pixels.reshape(size_px, 3 * size_px), reach, total)
        return pixels
