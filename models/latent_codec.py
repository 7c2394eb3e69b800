"""The base class of `Codec` and `MediumCodec`: pixels -> bitstream, bitstream -> symbols, symbols -> y_hat."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch

from models import bitstream
from models.autoencoder import pad_to_cells
from models.bitstream import Bitstream, ForeignBitstream
from models.config import GRID, QUALITIES
from models.cpu.scales import FastScales
from models.device.precision import keep_float32
from models.device_errors import halve_once, watching
from models.pixels import to_tensor
from models.rans import LARGEST, SKIPPED
from models.scale_path import FrozenScaleIndexes

_ENCODED_TOGETHER = 32
"""Pictures that a GPU encodes in one batch (assumed); the activations of such a batch take about 1 GB of its memory."""
_ENTROPY_CODERS = 8

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from models.checkpoint import Autoencoding, ReleaseNotes
    from models.cpu.kernels import Kernels
    from models.hyperprior import Quantised
    from models.picture_array import Pixels


@dataclass(frozen=True)
class Symbols:
    """The entropy-decoded symbols of one latent, opaque to callers.

    h1 (484, C) is the upsampled hyper-latent and q (484, n) the quantised residual in the n coded channels; the 484
    grid positions are in row-major order.
    """

    quality: int
    h1: NDArray[np.int8]
    q: NDArray[np.int16]


class PictureShapeError(ValueError):
    """The picture to encode is not an array (size_px, size_px, 3) of uint8."""


class QualityError(ValueError):
    """The requested quality is not in 0..63."""


class LatentCodec:
    """Encodes pictures and entropy-decodes bitstreams with one autoencoder; subclasses add the decoder networks."""

    _flags = 0

    def __init__(self, notes: ReleaseNotes, autoencoding: Autoencoding, *, device: str, kernels: Kernels) -> None:
        keep_float32(device)
        self.device, self.kernels = device, kernels
        self.default_quality = notes.default_quality
        self.stream_id = autoencoding.stream_id
        self._coder = autoencoding.coder
        self._rounding = autoencoding.rounding.to(device)
        self._coders = ThreadPoolExecutor(min(_ENTROPY_CODERS, os.cpu_count() or 1), thread_name_prefix="entropy")
        indexes = autoencoding.networks.hyperprior.indexes
        assert isinstance(indexes, FrozenScaleIndexes), "a weights file holds integers"
        self._scales = FastScales(indexes.weights, kernel=kernels.exact)
        self._networks = autoencoding.networks.to(device).requires_grad_(requires_grad=False)
        self._analysis = self._networks.analysis

    @property
    def size_px(self) -> int:
        """Return the side in pixels of the square pictures that this codec encodes."""
        return self._networks.config.size_px

    def symbol_channels(self, quality: int) -> tuple[int, int]:
        """Return the numbers of channels of h1 and of q in the `Symbols` of a bitstream of this quality."""
        config = self._networks.config
        return config.hyper_channels, config.coded_channels(quality)

    def encode(self, pixels: Pixels, *, quality: int) -> bytes:
        """Encode a picture (size_px, size_px, 3) in sRGB, and return its bitstream.

        Raises `PictureShapeError` or `QualityError`.
        """
        return self.encode_together([pixels], qualities=[quality])[0]

    def encode_together(self, pictures: Sequence[Pixels], *, qualities: Sequence[int]) -> list[bytes]:
        """Encode pictures with a quality each, and return their bitstreams in the same order.

        An accelerator encodes them in batches, a CPU one by one, because a batch saves nothing there. Raises the errors
        of `encode`, and `DeviceLost`.
        """
        asked = list(zip(pictures, qualities, strict=True))
        for pixels, quality in asked:
            self._check_input(pixels, quality)
        together = 1 if self.device == "cpu" else _ENCODED_TOGETHER
        written: list[list[bytes]] = []
        with watching(self.device):
            for start in range(0, len(asked), together):
                written += halve_once(self._encode_batch, asked[start : start + together])
        return list(chain.from_iterable(written))

    def _encode_batch(self, asked: Sequence[tuple[Pixels, int]]) -> list[bytes]:
        pictures, qualities = zip(*asked, strict=True)
        coded = self._quantise(self._analyse(*pictures), *qualities)
        symbols = zip(_integers(coded.z_hat), _integers(coded.q.permute(0, 2, 3, 1)), qualities, strict=True)
        if len(asked) == 1:
            return [self._entropy_encode(*one) for one in symbols]
        return list(self._coders.map(lambda one: self._entropy_encode(*one), symbols))

    @torch.no_grad()
    def _analyse(self, *pictures: Pixels) -> Tensor:
        x = pad_to_cells(to_tensor(np.stack(pictures), self.device), self._networks.config)
        # The analysis may run in bf16, as in training: this changes y by less than the rounding does, and a decoder
        # never recomputes y.
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.kernels.analysis == "bfloat16"):
            y: Tensor = self._analysis(x, self._networks.hyperprior.deviation)
        return y

    @torch.no_grad()
    def _quantise(self, y: Tensor, *qualities: int) -> Quantised:
        of_quality = torch.tensor(qualities, device=self.device)
        return self._networks.hyperprior.quantise(y, of_quality, rounding=self._rounding)

    def _write(self, coded: Quantised, *, quality: int) -> bytes:
        """Return the bitstream of `coded`, a batch of one picture."""
        (z,), (q,) = _integers(coded.z_hat), _integers(coded.q.permute(0, 2, 3, 1))
        return self._entropy_encode(z, q, quality)

    def _entropy_encode(self, z: NDArray[np.int16], q: NDArray[np.int16], quality: int) -> bytes:
        """Return the bitstream of z (C, 11, 11) and q (22, 22, N), which is coded cell by cell with all channels."""
        side = self.size_px
        blank = Bitstream(self.stream_id, quality, self._flags, width_px=side, height_px=side, words=b"")
        channels = self._networks.config.coded_channels(quality)
        q = q[..., :channels].reshape(-1)
        # The indexes are computed by the same CPU code as in `read`, even if a GPU computed the symbols.
        index = self._scales.indexes(self._scales.upsample(z), quality=quality, channels=channels).reshape(-1)
        q = np.where(index == SKIPPED, np.int16(0), q)
        checksum = bitstream.checksum(blank, *_bytes_of(z, q))
        return bitstream.build(
            replace(blank, words=self._coder.encode(z, q, index, quality=quality, checksum=checksum))
        )

    def round_with(self, strength: float) -> None:
        """Set the strength of the encoder's rate-distortion optimised rounding (rounding.py), not of any decoder."""
        self._rounding = replace(self._rounding, strength=strength)

    @torch.inference_mode()
    def read(self, blob: bytes) -> Symbols:
        """Entropy-decode one bitstream to its symbols. Any number of threads may call this at once.

        Raises a `BitstreamError`.
        """
        parsed = bitstream.parse(blob)
        if parsed.flags != self._flags or parsed.stream_id != self.stream_id:
            raise ForeignBitstream(
                f"the bitstream has stream id {parsed.stream_id.hex()} and flags {parsed.flags}, "
                f"this codec reads {self.stream_id.hex()} and {self._flags}"
            )
        decoding = self._coder.open(parsed.words)
        z = decoding.hyper_latent(GRID // 2, quality=parsed.quality)
        h1, channels = self._scales.upsample(z), self._networks.config.coded_channels(parsed.quality)
        index = self._scales.indexes(h1, quality=parsed.quality, channels=channels)
        q = decoding.symbols(index.reshape(-1))
        decoding.check(checksum=bitstream.checksum(parsed, *_bytes_of(z, q)))
        return Symbols(parsed.quality, h1, q.reshape(-1, channels))

    def _latents(self, symbols: Sequence[Symbols]) -> tuple[Tensor, Tensor]:
        """Return y_hat (B, N, 22, 22) in float32 and the qualities (B,) of a batch of symbols."""
        quality = torch.tensor([one.quality for one in symbols], device=self.device)
        h1 = torch.from_numpy(np.stack([one.h1 for one in symbols])).to(self.device).float()
        grid = h1.view(len(symbols), GRID, GRID, -1).permute(0, 3, 1, 2)
        y_hat = self._networks.hyperprior.dequantise(grid, self._cells(symbols), quality)
        return y_hat, quality

    def _cells(self, symbols: Sequence[Symbols]) -> Tensor:
        """Return q (B, N, 22, 22) of a batch, channels_last, with zeros in the channels that are not coded."""
        cells = np.zeros((len(symbols), GRID * GRID, self._networks.config.latent_channels), np.int16)
        for row, one in zip(cells, symbols, strict=True):
            row[:, : one.q.shape[1]] = one.q
        return torch.from_numpy(cells).to(self.device).float().view(len(symbols), GRID, GRID, -1).permute(0, 3, 1, 2)

    def _check_input(self, pixels: Pixels, quality: int) -> None:
        if pixels.shape != (self.size_px, self.size_px, 3) or pixels.dtype != np.uint8:
            raise PictureShapeError(
                f"the picture is {pixels.shape} {pixels.dtype}, expected ({self.size_px}, {self.size_px}, 3) uint8"
            )
        if not 0 <= quality < QUALITIES:
            raise QualityError(f"the quality must be in 0..{QUALITIES - 1}, not {quality}")


def _bytes_of(*symbols: NDArray[np.int16]) -> Iterator[memoryview]:
    """Return the symbols as little-endian bytes for the checksum, without a copy if they are laid out so already."""
    return (np.ascontiguousarray(part, "<i2").data.cast("B") for part in symbols)


def _integers(tensor: Tensor) -> NDArray[np.int16]:
    """Convert integers held in float32 to int16 on the CPU, clamped to -32767..32767.

    The symbols of photographs stay below 2,000 (measured).
    """
    found: NDArray[np.int16] = tensor.clamp(-LARGEST, LARGEST).to(torch.int16).cpu().numpy()
    return found
