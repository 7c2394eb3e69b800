"""The one door to the networks: pixels -> bitstream, bitstream -> symbols, symbols -> pictures.

    Codec        the high autoencoder with both heads: one bitstream serves 344x344 and, by the translator, 172x172
    MediumCodec  the medium autoencoder as a codec of its own: 172x172 only

`read` is exact and runs on the CPU, one bitstream at a time, so that a bad one fails alone. `synthesize` takes a batch;
means and y_hat are in float32, only what follows y_hat may be bf16 (its 8 bits would misplace a mean by 0.2 steps).
cpu/ holds the quick decoder of a processor, device/ the one of an accelerator.
Any thread may `read`; everything else belongs to one thread.
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
from models.pixels import Pixels, lanczos_half, to_pixels, to_tensor
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
"""Of the 172 picture's distortion in a search for a 344 head; without it that picture gets 2 % worse (LOG.md)."""


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
        """Bring the heads into their format, and return what decodes by them on this device."""
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
        """Read a weights file, the released one by default; raises `CheckpointError` or `KernelsError`.

        `kernels` names the number formats that products are computed in, as models/cpu/kernels.py reads them; what it
        leaves open is measured. Symbols are read the same in all of them. `head` chooses the heads: "cpu" the light
        ones (`high-cpu` and the translator), "gpu" the better ones (`high-gpu`, and `medium-gpu` where the file has
        one), "auto" those of the device. All of them read every latent; only the head ids differ. `encoder` chooses
        the analysis: "light" the cheaper one, "wide" the better one, "auto" the light one on a CPU where the file has
        one. The stream id is the same.
        """
        return cls(
            load(path),
            device=device,
            kernels=Kernels.choose(kernels, device=device),
            head=head_name(head, device),
            encoder=encoder,
        )

    def encode(self, pixels: Pixels, *, quality: int, refine: int = 0) -> bytes:
        """(344, 344, 3) sRGB -> bitstream; `refine` steps of search make it better, at about 0.1 s each on one core.

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
        """Return the same search of several pictures together, in slices.

        Without `readers` it serves the 344 head in use, and the 172 picture a little, so that it gets no worse.
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
        """Heads by name, each with the pictures that it should give."""
        high = Original(torch.cat([to_tensor(pixels, self.device) for pixels in pictures]))
        medium = Original(torch.cat([to_tensor(lanczos_half(pixels), self.device) for pixels in pictures]))
        return tuple(
            Reader(self._heads[name], medium if name == "medium" else high, weight) for name, weight in readers.weights
        )

    def encode_to_bytes(self, pixels: Pixels, *, target_bytes: int) -> bytes:
        """The bitstream of the highest quality that takes at most `target_bytes`; raises `TargetError`."""
        self._check_input(pixels, 0)
        y = self._analyse(pixels)
        written: dict[int, bytes] = {}

        def fits(quality: int) -> bool:
            written[quality] = self._write(self._quantise(y, quality), quality=quality)
            return len(written[quality]) <= target_bytes

        return written[highest_quality(fits)]

    def encode_to_score(self, pixels: Pixels, *, ssimulacra2: float) -> bytes:
        """The bitstream of the lowest quality whose 344 picture, by the head in use, scores at least that much.

        Of quality 63 if none does.
        """
        self._check_input(pixels, 0)
        y, scorer = self._analyse(pixels), Ssimulacra2(pixels)

        def score(quality: int) -> float:
            y_hat, of_quality = self._quantise(y, quality).y_hat, torch.tensor([quality], device=self.device)
            return scorer.score(self._pictures(y_hat, of_quality, HIGH_PX)[0])

        quality = quality_of_score(score, ssimulacra2)
        return self._write(self._quantise(y, quality), quality=quality)

    def ssimulacra2(self, pixels: Pixels, blob: bytes) -> float:
        """Score of the 344 picture that a bitstream decodes to, by the head in use, against its original.

        Raises a `BitstreamError` or `ScoreError`.
        """
        (decoded,) = self.synthesize([self.read(blob)], size_px=HIGH_PX)
        return Ssimulacra2(pixels).score(decoded)

    @property
    def saves_by_batches(self) -> bool:
        """Whether pictures that are synthesised together cost less than one by one."""
        return not isinstance(self._decoder, FastDecoder)

    def head_id(self, size_px: int) -> bytes:
        """4 bytes that name the head of a size: they change when its pictures may."""
        return self._head_ids[size_px]

    def synthesize(self, symbols: Sequence[Symbols], *, size_px: int) -> list[Pixels]:
        """A batch of latents -> pictures (size, size, 3) sRGB, size 344 or 172; raises `DeviceLost`.

        A batch that an accelerator has no memory for is made in halves; `torch.OutOfMemoryError` where that fails too.
        """
        return self.submit(symbols, size_px=size_px).pictures()

    def submit(self, symbols: Sequence[Symbols], *, size_px: int) -> Ticket | ReadyPictures:
        """Start `synthesize`; the ticket's `pictures()` wait for it. A processor makes the pictures at once."""
        if size_px not in self._head_ids:
            raise ValueError(f"no head makes {size_px} px")
        return self._decoder.submit(symbols, size_px=size_px)

    @torch.inference_mode()
    def synthesize_plainly(self, symbols: Sequence[Symbols], *, size_px: int) -> list[Pixels]:
        """The same by the networks' own modules: the reference of the fast ways on a processor and on a GPU."""
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
        """Read a weights file, the released one by default; raises `CheckpointError` or `KernelsError`."""
        return cls(load(path), device=device, kernels=Kernels.choose(kernels, device=device))

    @torch.inference_mode()
    def synthesize(self, symbols: Sequence[Symbols]) -> list[Pixels]:
        """A batch of latents -> pictures (172, 172, 3) sRGB."""
        y_hat, quality = self._latents(symbols)
        return to_pixels(self._head(y_hat, quality=quality, deviation=self._networks.hyperprior.deviation), MEDIUM_PX)


def _analysis(checkpoint: Checkpoint, name: str, device: str) -> Analysis:
    """The analysis of that name; `auto` is the light one on a CPU, where the file has one."""
    if name not in {"auto", "light", "wide"}:
        raise ValueError(f"an encoder is auto, light or wide, not {name!r}")
    wide, light = checkpoint.high.networks.analysis, checkpoint.light.analysis
    if name == "light" and light is None:
        raise CheckpointError("these weights have no light encoder")
    if light is None or name == "wide" or (name == "auto" and device != "cpu"):
        return wide
    return light
