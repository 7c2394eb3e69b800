"""The one door to the networks: pixels -> bitstream, bitstream -> symbols, symbols -> pictures.

    Codec        the high autoencoder with both heads: one bitstream serves 344x344 and, by the translator, 172x172
    MediumCodec  the medium autoencoder as a codec of its own: 172x172 only

`read` is exact and runs on the CPU, one bitstream at a time, so that a bad one fails alone. `synthesize` takes a batch;
means and y_hat are in float32, only what follows y_hat may be bf16 (its 8 bits would misplace a mean by 0.2 steps).
Nothing here is shared between threads: one thread owns a codec.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from models import bitstream
from models.autoencoder import pad_to_cells
from models.bitstream import FLAG_MEDIUM, Bitstream, ForeignBitstream
from models.checkpoint import Autoencoding, Checkpoint, load
from models.config import GRID, HIGH_PX, MEDIUM_PX, QUALITIES
from models.layers import set_precision
from models.rate_control import highest_quality, quality_of_score
from models.refinement import Refinement, Sought
from models.scores import Ssimulacra2

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from models.hyperprior import Quantised

    Pixels = NDArray[np.uint8]

_SYMBOL_LIMIT = (1 << 15) - 1
"""Symbols are clamped to 16 bits; photographs stay below 2,000 (measured)."""


@dataclass(frozen=True)
class Symbols:
    """One decoded latent as integers: quality, z (C, 11, 11) and q (22, 22, N) int16. Opaque to callers."""

    quality: int
    z: NDArray[np.int16]
    q: NDArray[np.int16]


class PictureShapeError(ValueError):
    """The picture to encode is not (size, size, 3) uint8."""


class QualityError(ValueError):
    """The quality is not in 0..63."""


class _LatentCodec:
    """Encoding and exact reading with one autoencoder; the heads are the subclasses'."""

    _flags = 0

    def __init__(self, checkpoint: Checkpoint, autoencoding: Autoencoding, *, device: str, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self.default_quality = checkpoint.notes.default_quality
        self.stream_id = autoencoding.stream_id
        self._coder = autoencoding.coder
        self._rounding = autoencoding.rounding
        self._networks = autoencoding.networks.to(device).requires_grad_(requires_grad=False)
        # the exact path stays on the CPU: it was never a registered tensor, so `.to` leaves it there
        self._indexes = autoencoding.networks.hyperprior.indexes

    @property
    def size_px(self) -> int:
        """Side of the pictures that are encoded."""
        return self._networks.config.size_px

    def encode(self, pixels: Pixels, *, quality: int) -> bytes:
        """(size, size, 3) sRGB -> bitstream; raises `PictureShapeError` or `QualityError`."""
        self._check_input(pixels, quality)
        return self._written(self._quantised(self._analysed(pixels), quality), quality=quality)

    @torch.no_grad()
    def _analysed(self, pixels: Pixels) -> Tensor:
        x = pad_to_cells(to_tensor(pixels, self.device), self._networks.config)
        y: Tensor = self._networks.analysis(x, self._networks.hyperprior.deviation)
        return y

    @torch.no_grad()
    def _quantised(self, y: Tensor, quality: int) -> Quantised:
        of_quality = torch.tensor([quality], device=self.device)
        return self._networks.hyperprior.quantise(y, of_quality, rounding=self._rounding)

    def _written(self, coded: Quantised, *, quality: int) -> bytes:
        side = self.size_px
        blank = Bitstream(self.stream_id, quality, self._flags, width_px=side, height_px=side, words=b"")
        z, index = _integers(coded.z_hat[0], np.int16), _integers(_by_cell(coded.index), np.uint16)
        q = _integers(_by_cell(coded.q.clamp(-_SYMBOL_LIMIT, _SYMBOL_LIMIT)), np.int16)
        seal = bitstream.checksum(blank, _sealed(z, q))
        return bitstream.build(replace(blank, words=self._coder.encode(z, q, index, quality=quality, seal=seal)))

    def round_with(self, strength: float) -> None:
        """Encode with another rounding strength than the weights file's own; reading does not depend on it."""
        self._rounding = replace(self._rounding, strength=strength)

    @torch.inference_mode()
    def read(self, blob: bytes) -> Symbols:
        """Entropy-decode one bitstream; raises a `BitstreamError`."""
        parsed = bitstream.parse(blob)
        if parsed.flags != self._flags or parsed.stream_id != self.stream_id:
            raise ForeignBitstream(f"stream id {parsed.stream_id.hex()}, these weights read {self.stream_id.hex()}")
        decoding = self._coder.open(parsed.words)
        z = decoding.hyper_latent(GRID // 2, quality=parsed.quality)
        index = self._indexes(torch.from_numpy(z)[None], torch.tensor([parsed.quality]))
        q = decoding.symbols(_integers(_by_cell(index), np.uint16))
        decoding.check(seal=bitstream.checksum(parsed, _sealed(z, q)))
        return Symbols(parsed.quality, z, q.reshape(GRID, GRID, -1))

    def _latents(self, symbols: Sequence[Symbols]) -> tuple[Tensor, Tensor]:
        """A batch's y_hat (B, N, 22, 22) in float32 and its qualities (B,)."""
        quality = torch.tensor([one.quality for one in symbols], device=self.device)
        z = torch.from_numpy(np.stack([one.z for one in symbols])).to(self.device, torch.float32)
        cells = torch.from_numpy(np.stack([one.q for one in symbols])).to(self.device, torch.float32)
        y_hat = self._networks.hyperprior.dequantise(z, cells.permute(0, 3, 1, 2), quality)
        return y_hat, quality

    def _check_input(self, pixels: Pixels, quality: int) -> None:
        if pixels.shape != (self.size_px, self.size_px, 3) or pixels.dtype != np.uint8:
            raise PictureShapeError(
                f"a picture of {pixels.shape} {pixels.dtype}, expected ({self.size_px}, {self.size_px}, 3) uint8"
            )
        if not 0 <= quality < QUALITIES:
            raise QualityError(f"quality {quality} is not in 0..{QUALITIES - 1}")


class Codec(_LatentCodec):
    """344x344 pictures <-> bitstreams; both renditions from one bitstream."""

    def __init__(self, checkpoint: Checkpoint, *, device: str, dtype: torch.dtype, head: str) -> None:
        """Use `load`."""
        super().__init__(checkpoint, checkpoint.high, device=device, dtype=dtype)
        self.head = head
        self._perceptual = checkpoint.notes.perceptual
        checkpoint.light.requires_grad_(requires_grad=False)
        light = head == "high-cpu"
        high_id = checkpoint.cpu_head_id if light else checkpoint.gpu_head_id
        self._head_ids = {HIGH_PX: high_id, MEDIUM_PX: checkpoint.medium_head_id}
        self._head = checkpoint.light.high.to(device) if light else self._networks.head
        set_precision(self._head, dtype)
        self._translator = checkpoint.light.medium.to(device)
        set_precision(self._translator, dtype)

    @classmethod
    def load(cls, path: Path | None = None, *, device: str = "cpu", dtype: str = "auto", head: str = "auto") -> Self:
        """Read a weights file, the released one by default; raises `CheckpointError`.

        `head` chooses who makes the 344 picture: "cpu" the light `high-cpu`, "gpu" the better `high-gpu`, "auto" the
        one of the device. Either reads every latent; only `head_id(344)` differs.
        """
        return cls(load(path), device=device, dtype=head_dtype(dtype, device), head=head_name(head, device))

    def encode(self, pixels: Pixels, *, quality: int, refine: int = 0) -> bytes:
        """(344, 344, 3) sRGB -> bitstream; `refine` steps of search make it better, at about 0.1 s each on one core.

        Raises `PictureShapeError` or `QualityError`.
        """
        if not refine:
            return super().encode(pixels, quality=quality)
        search = self.refinement(pixels, quality=quality, steps=refine)
        while not search.done:
            search.step()
        return search.bitstream()

    def refinement(self, pixels: Pixels, *, quality: int, steps: int) -> Refinement:
        """The same search in slices, towards the head in use."""
        self._check_input(pixels, quality)
        y = self._analysed(pixels)
        sought = Sought(
            x=to_tensor(pixels, self.device),
            y=y,
            start=self._quantised(y, quality),
            quality=quality,
            hyperprior=self._networks.hyperprior,
            head=self._head,
            rounding=self._rounding,
            perceptual=self._perceptual,
        )
        return Refinement(sought, steps=steps, write=partial(self._written, quality=quality))

    def encode_to_bytes(self, pixels: Pixels, *, target_bytes: int) -> bytes:
        """The bitstream of the highest quality that takes at most `target_bytes`; raises `TargetError`."""
        self._check_input(pixels, 0)
        y = self._analysed(pixels)
        written: dict[int, bytes] = {}

        def fits(quality: int) -> bool:
            written[quality] = self._written(self._quantised(y, quality), quality=quality)
            return len(written[quality]) <= target_bytes

        return written[highest_quality(fits)]

    def encode_to_score(self, pixels: Pixels, *, ssimulacra2: float) -> bytes:
        """The bitstream of the lowest quality whose 344 picture, by the head in use, scores at least that much.

        Of quality 63 if none does.
        """
        self._check_input(pixels, 0)
        y, scorer = self._analysed(pixels), Ssimulacra2(pixels)

        def score(quality: int) -> float:
            y_hat, of_quality = self._quantised(y, quality).y_hat, torch.tensor([quality], device=self.device)
            return scorer.score(self._pictures(y_hat, of_quality, HIGH_PX)[0])

        quality = quality_of_score(score, ssimulacra2)
        return self._written(self._quantised(y, quality), quality=quality)

    def ssimulacra2(self, pixels: Pixels, blob: bytes) -> float:
        """Score of the 344 picture that a bitstream decodes to, by the head in use, against its original.

        Raises a `BitstreamError` or `ScoreError`.
        """
        (decoded,) = self.synthesize([self.read(blob)], size_px=HIGH_PX)
        return Ssimulacra2(pixels).score(decoded)

    def head_id(self, size_px: int) -> bytes:
        """4 bytes that name the head of a size: they change when its pictures may."""
        return self._head_ids[size_px]

    @torch.inference_mode()
    def synthesize(self, symbols: Sequence[Symbols], *, size_px: int) -> list[Pixels]:
        """A batch of latents -> pictures (size, size, 3) sRGB, size 344 or 172."""
        if size_px not in self._head_ids:
            raise ValueError(f"no head makes {size_px} px")
        return self._pictures(*self._latents(symbols), size_px)

    @torch.inference_mode()
    def _pictures(self, y_hat: Tensor, quality: Tensor, size_px: int) -> list[Pixels]:
        deviation = self._networks.hyperprior.deviation
        if size_px == HIGH_PX:
            x_hat = self._head(y_hat, quality=quality, deviation=deviation)
        else:
            x_hat = self._translator(y_hat, quality=quality, deviation=deviation)
        return to_pixels(x_hat, size_px)


class MediumCodec(_LatentCodec):
    """The medium autoencoder alone: 172x172 pictures <-> bitstreams of its own (flag bit 0)."""

    _flags = FLAG_MEDIUM

    def __init__(self, checkpoint: Checkpoint, *, device: str, dtype: torch.dtype) -> None:
        """Use `load`."""
        super().__init__(checkpoint, checkpoint.medium, device=device, dtype=dtype)
        self._head = checkpoint.medium.networks.head
        set_precision(self._head, dtype)

    @classmethod
    def load(cls, path: Path | None = None, *, device: str = "cpu", dtype: str = "auto") -> Self:
        """Read a weights file, the released one by default; raises `CheckpointError`."""
        return cls(load(path), device=device, dtype=head_dtype(dtype, device))

    @torch.inference_mode()
    def synthesize(self, symbols: Sequence[Symbols]) -> list[Pixels]:
        """A batch of latents -> pictures (172, 172, 3) sRGB."""
        y_hat, quality = self._latents(symbols)
        return to_pixels(self._head(y_hat, quality=quality, deviation=self._networks.hyperprior.deviation), MEDIUM_PX)


def head_dtype(name: str, device: str) -> torch.dtype:
    """Precision of the heads: `auto` is bf16 where the device computes in it."""
    if name == "auto":
        has_bf16 = device != "cpu" or torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001  the only public way is /proc/cpuinfo
        return torch.bfloat16 if has_bf16 else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def head_name(name: str, device: str) -> str:
    """The head that makes the 344 picture: `auto` is the one of the device."""
    names = {"auto": "high-cpu" if device == "cpu" else "high-gpu", "cpu": "high-cpu", "gpu": "high-gpu"}
    if name not in names:
        raise ValueError(f"a head is auto, cpu or gpu, not {name!r}")
    return names[name]


def _by_cell(grid: Tensor) -> Tensor:
    """(1, N, H, W) -> (H W N,), the channels of a cell together: the coding order, which is channels_last's own."""
    return grid[0].permute(1, 2, 0).reshape(-1)


def _sealed(z: NDArray[np.int16], q: NDArray[np.int16]) -> bytes:
    """What the checksum covers beside the header."""
    return z.astype("<i2", copy=False).tobytes() + q.astype("<i2", copy=False).tobytes()


def _integers(tensor: Tensor, kind: type[np.integer[Any]]) -> NDArray[Any]:
    """Integers held in float32, as integers on the CPU."""
    return tensor.cpu().numpy().astype(kind)


def to_tensor(pixels: Pixels, device: str = "cpu") -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) in 0..1, channels_last."""
    writable = np.array(pixels)  # torch warns about read-only arrays, which is what Pillow gives
    x = torch.from_numpy(writable).to(device).permute(2, 0, 1)[None]
    return (x.float() / 255).contiguous(memory_format=torch.channels_last)


def to_pixels(x_hat: Tensor, size_px: int) -> list[Pixels]:
    """(B, 3, H, W) about 0..1 -> pictures (size, size, 3), cropped, rounded and clamped."""
    cropped = x_hat[:, :, :size_px, :size_px].permute(0, 2, 3, 1)
    batch = (cropped * 255).round_().clamp_(0, 255).to(torch.uint8).contiguous().cpu().numpy()
    return list(batch)
