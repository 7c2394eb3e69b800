"""The interface to the networks: pixels -> bitstream, bitstream -> symbols, symbols -> pictures.

    Codec        the high autoencoder with both heads: one bitstream serves 344x344 and, by the translator, 172x172
    MediumCodec  the medium autoencoder as a codec of its own: 172x172 only

`read` is exact and runs on the CPU, one bitstream at a time, so that a bad one fails alone. `synthesize` takes a batch.
Means and y_hat are in float32; the layers after y_hat may be bf16 (its 8 bits would shift a mean by 0.2 steps).
cpu/ holds the fast decoder of a CPU, device/ the fast decoder of an accelerator.
Any thread may call `read`; all other methods belong to one thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch

from models.bitstream import FLAG_MEDIUM
from models.checkpoint import Checkpoint, CheckpointError, load
from models.config import HIGH_PX, MEDIUM_PX
from models.cpu.decoder import FastDecoder
from models.cpu.kernels import Kernels
from models.device.decoder import DeviceDecoder
from models.head_choice import choose_heads, head_name
from models.latent_codec import LatentCodec, PictureShapeError, QualityError, Symbols
from models.layers import set_precision
from models.perceptual import Original
from models.picture_array import Pixels
from models.pixels import lanczos_half, to_pixels, to_tensor
from models.rate_control import highest_quality, quality_of_score
from models.readers import Readers
from models.refinement import Reader, Refinement, SearchTask
from models.scores import Ssimulacra2

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from models.analysis import Analysis
    from models.cpu.decoder import ReadyPictures
    from models.device.decoder import Ticket

__all__ = ["Codec", "MediumCodec", "PictureShapeError", "QualityError", "Symbols", "head_name"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_MEDIUM_WEIGHT = 0.3
"""Weight of the 172 picture's distortion in a search for a 344 head; without it that picture gets 2 % worse (LOG.md).
"""


class Codec(LatentCodec):
    """344x344 pictures <-> bitstreams; both renditions from one bitstream."""

    def __init__(
        self, checkpoint: Checkpoint, *, device: str, kernels: Kernels, head: str, encoder: str = "auto"
    ) -> None:
        """Use `load`."""
        super().__init__(checkpoint, checkpoint.high, device=device, kernels=kernels)
        self.head = head
        light = checkpoint.light.requires_grad_(requires_grad=False).to(device)
        self._analysis = _analysis(checkpoint, encoder, device)
        heads = choose_heads(checkpoint, head)
        self._head_ids = {HIGH_PX: heads.high_id, MEDIUM_PX: heads.medium_id}
        self._heads = {"high-gpu": self._networks.head, "high-cpu": light.high, "medium": heads.medium}
        self._head, self._translator = heads.high, heads.medium
        self._decoder = self._build_decoder(_DTYPES[kernels.heads])

    def _build_decoder(self, dtype: torch.dtype) -> FastDecoder | DeviceDecoder:
        """Convert the heads to their format, and return the decoder for this device."""
        hyperprior, high, medium = self._networks.hyperprior, self._head, self._translator
        fast = FastDecoder(hyperprior, high=high, medium=medium, dtype=dtype) if self.device == "cpu" else None
        for network in self._heads.values():
            set_precision(network, dtype)
        return fast or DeviceDecoder(hyperprior, {HIGH_PX: high, MEDIUM_PX: medium}, device=self.device)

    @classmethod
    def load(
        cls,
        path: Path | None = None,
        *,
        device: str = "cpu",
        kernels: str = "auto",
        head: str = "auto",
        encoder: str = "auto",
    ) -> Self:
        """Read a weights file, the released one by default. Raises `CheckpointError` or `KernelsError`.

        `kernels` names the number formats of the products, as models/cpu/kernels.py parses them; formats that it does
        not name are measured. Symbols are the same in every format. `head` chooses the heads: "cpu" the light ones
        (`high-cpu` and the translator), "gpu" the better ones (`high-gpu`, and `medium-gpu` where the file has one),
        "auto" the heads for this device. All heads read every latent; only the head ids differ. `encoder` chooses the
        analysis: "light" the cheaper one, "wide" the better one, "auto" the light one on a CPU where the file has one.
        Both write streams with the same id.
        """
        return cls(
            load(path),
            device=device,
            kernels=Kernels.choose(kernels, device=device),
            head=head_name(head, device),
            encoder=encoder,
        )

    def encode(self, pixels: Pixels, *, quality: int, refine: int = 0) -> bytes:
        """Encode (344, 344, 3) sRGB; `refine` steps of search improve the stream, at about 0.1 s each on one core.

        Raises `PictureShapeError` or `QualityError`.
        """
        if not refine:
            return super().encode(pixels, quality=quality)
        search = self.refinement([pixels], qualities=[quality], steps=refine)
        while not search.is_done:
            search.step()
        return search.bitstreams()[0]

    def refinement(
        self, pictures: Sequence[Pixels], *, qualities: Sequence[int], steps: int, readers: Readers | None = None
    ) -> Refinement:
        """Return a search for better latents of several pictures together, to be run in slices.

        Without `readers` it serves the 344 head in use, and the 172 picture a little, so that it does not get worse.
        Raises `PictureShapeError` or `QualityError`.
        """
        for pixels, quality in zip(pictures, qualities, strict=True):
            self._check_input(pixels, quality)
        y = torch.cat([self._analyse(pixels) for pixels in pictures])
        sought = SearchTask(
            y=y,
            start=self._quantise(y, *qualities),
            quality=torch.tensor(qualities, device=self.device),
            hyperprior=self._networks.hyperprior,
            readers=self._readers(pictures, readers or Readers(((self.head, 1.0), ("medium", _MEDIUM_WEIGHT)))),
            rounding=self._rounding,
            picture_px=HIGH_PX**2,
        )
        return Refinement(sought, steps=steps, write=lambda coded, of_one: self._write(coded, quality=of_one))

    def _readers(self, pictures: Sequence[Pixels], readers: Readers) -> tuple[Reader, ...]:
        """Return the heads with the weights in `readers`, each with the pictures that it should decode to."""
        high = Original(torch.cat([to_tensor(pixels, self.device) for pixels in pictures]))
        medium = Original(torch.cat([to_tensor(lanczos_half(pixels), self.device) for pixels in pictures]))
        return tuple(
            Reader(self._heads[name], medium if name == "medium" else high, weight) for name, weight in readers.weights
        )

    def encode_to_bytes(self, pixels: Pixels, *, target_bytes: int) -> bytes:
        """Return the bitstream of the highest quality that takes at most `target_bytes`. Raises `TargetError`."""
        self._check_input(pixels, 0)
        y = self._analyse(pixels)
        written: dict[int, bytes] = {}

        def fits(quality: int) -> bool:
            written[quality] = self._write(self._quantise(y, quality), quality=quality)
            return len(written[quality]) <= target_bytes

        return written[highest_quality(fits)]

    def encode_to_score(self, pixels: Pixels, *, ssimulacra2: float) -> bytes:
        """Return the bitstream of the lowest quality whose 344x344 picture, decoded by the head in use, has this score.

        Where no quality reaches it, the quality is 63.
        """
        self._check_input(pixels, 0)
        y, scorer = self._analyse(pixels), Ssimulacra2(pixels)

        def score(quality: int) -> float:
            y_hat, of_quality = self._quantise(y, quality).y_hat, torch.tensor([quality], device=self.device)
            return scorer.score(self._pictures(y_hat, of_quality, HIGH_PX)[0])

        quality = quality_of_score(score, ssimulacra2)
        return self._write(self._quantise(y, quality), quality=quality)

    def ssimulacra2(self, pixels: Pixels, blob: bytes) -> float:
        """Return the score of the 344 picture that a bitstream decodes to, by the head in use.

        Raises a `BitstreamError` or `ScoreError`.
        """
        (decoded,) = self.synthesize([self.read(blob)], size_px=HIGH_PX)
        return Ssimulacra2(pixels).score(decoded)

    @property
    def saves_by_batches(self) -> bool:
        """Return whether pictures synthesised together cost less than one by one."""
        return not isinstance(self._decoder, FastDecoder)

    def head_id(self, size_px: int) -> bytes:
        """Return the 4 bytes that identify the head of a size; they change whenever its pictures may change."""
        return self._head_ids[size_px]

    def synthesize(self, symbols: Sequence[Symbols], *, size_px: int) -> list[Pixels]:
        """Decode a batch of latents to pictures (size, size, 3) sRGB, size 344 or 172. Raises `DeviceLost`.

        Where an accelerator lacks memory for the batch, it decodes two halves. Raises `torch.OutOfMemoryError` where a
        half does not fit either.
        """
        return self.submit(symbols, size_px=size_px).pictures()

    def submit(self, symbols: Sequence[Symbols], *, size_px: int) -> Ticket | ReadyPictures:
        """Start `synthesize`; `pictures()` of the returned ticket waits for the result. A CPU decodes at once."""
        if size_px not in self._head_ids:
            raise ValueError(f"no head makes {size_px} px")
        return self._decoder.submit(symbols, size_px=size_px)

    @torch.inference_mode()
    def synthesize_plainly(self, symbols: Sequence[Symbols], *, size_px: int) -> list[Pixels]:
        """Decode by the networks' own modules: the reference for the fast decoders of CPU and GPU."""
        return self._pictures(*self._latents(symbols), size_px)

    @torch.inference_mode()
    def _pictures(self, y_hat: Tensor, quality: Tensor, size_px: int) -> list[Pixels]:
        deviation = self._networks.hyperprior.deviation
        if size_px == HIGH_PX:
            x_hat = self._head(y_hat, quality=quality, deviation=deviation)
        else:
            x_hat = self._translator(y_hat, quality=quality, deviation=deviation)
        return to_pixels(x_hat, size_px)


class MediumCodec(LatentCodec):
    """The medium autoencoder alone: 172x172 pictures <-> bitstreams of its own (flag bit 0)."""

    _flags = FLAG_MEDIUM

    def __init__(self, checkpoint: Checkpoint, *, device: str, kernels: Kernels) -> None:
        """Use `load`."""
        super().__init__(checkpoint, checkpoint.medium, device=device, kernels=kernels)
        self._head = checkpoint.medium.networks.head
        set_precision(self._head, _DTYPES[kernels.heads])

    @classmethod
    def load(cls, path: Path | None = None, *, device: str = "cpu", kernels: str = "auto") -> Self:
        """Read a weights file, the released one by default. Raises `CheckpointError` or `KernelsError`."""
        return cls(load(path), device=device, kernels=Kernels.choose(kernels, device=device))

    @torch.inference_mode()
    def synthesize(self, symbols: Sequence[Symbols]) -> list[Pixels]:
        """Decode a batch of latents to pictures (172, 172, 3) sRGB."""
        y_hat, quality = self._latents(symbols)
        return to_pixels(self._head(y_hat, quality=quality, deviation=self._networks.hyperprior.deviation), MEDIUM_PX)


def _analysis(checkpoint: Checkpoint, name: str, device: str) -> Analysis:
    """Return the analysis of that name; `auto` is the light one on a CPU, where the file has one."""
    if name not in {"auto", "light", "wide"}:
        raise ValueError(f"an encoder is auto, light or wide, not {name!r}")
    wide, light = checkpoint.high.networks.analysis, checkpoint.light.analysis
    if name == "light" and light is None:
        raise CheckpointError("these weights have no light encoder")
    if light is None or name == "wide" or (name == "auto" and device != "cpu"):
        return wide
    return light
