"""The public interface of the codec: pixels -> bitstream, bitstream -> symbols, symbols -> pictures.

    Codec        the high autoencoder with a head for each size: a bitstream decodes to 344x344 and to 172x172
    MediumCodec  the medium autoencoder, a codec for 172x172 only (medium_codec.py)

`read` decodes symbols exactly, on the CPU and one bitstream at a time, so that a damaged bitstream fails alone.
`synthesize` takes a batch. The means and y_hat are computed in float32, because the 8 bits of bf16 would shift a mean
by 0.2 quantisation steps; the layers after y_hat may be bf16. cpu/ holds the fast decoder for a CPU, device/ the one
for an accelerator. Any thread may call `read`; only one thread at a time may call the other methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch

from models.checkpoint import Checkpoint, load
from models.config import HIGH_PX, MEDIUM_PX
from models.cpu.decoder import FastDecoder
from models.cpu.kernels import Kernels
from models.device.decoder import DeviceDecoder
from models.flat_grounds import FlatGrounds, FlatLimits
from models.head_choice import choose_heads, head_name
from models.latent_codec import LatentCodec, PictureShapeError, QualityError, Symbols
from models.layers import HEAD_DTYPES, set_precision
from models.picture_array import Pixels
from models.pixels import as_pictures, lanczos_half, to_levels, to_tensor
from models.rate_control import highest_quality, quality_of_score
from models.readers import Readers
from models.refinement import Reader, Refinement, SearchTask
from models.weights_file import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from models.analysis import Analysis
    from models.cpu.decoder import ReadyPictures
    from models.device.decoder import Ticket

__all__ = ["Codec", "PictureShapeError", "QualityError", "Symbols", "head_name"]

_MEDIUM_WEIGHT = 0.3
"""Weight of the 172 picture's distortion when a latent is searched for a 344 head. With weight 0 the 172 picture needs
2 % more bytes at equal PSNR (LOG.md)."""


class Codec(LatentCodec):
    """The codec of 344x344 pictures: each bitstream decodes to a 344 and to a 172 picture."""

    def __init__(
        self, checkpoint: Checkpoint, *, device: str, kernels: Kernels, head: str, encoder: str = "auto"
    ) -> None:
        """Build a codec from a checkpoint that has been read; callers use `Codec.load`."""
        super().__init__(checkpoint.notes, checkpoint.high, device=device, kernels=kernels)
        self.head = head
        light = checkpoint.light.requires_grad_(requires_grad=False).to(device)
        self._analysis = _analysis(checkpoint, encoder, device)
        heads = choose_heads(checkpoint, head)
        self._head_ids = {HIGH_PX: heads.high_id, MEDIUM_PX: heads.medium_id}
        self._heads = {"high-gpu": self._networks.head, "high-cpu": light.high, "medium": heads.medium}
        self._head, self._translator = heads.high, heads.medium
        self._flat = FlatGrounds(FlatLimits.of_high(), device)
        self._decoder = self._build_decoder(HEAD_DTYPES[kernels.heads])

    def _build_decoder(self, dtype: torch.dtype) -> FastDecoder | DeviceDecoder:
        """Convert all heads to `dtype` in place, and return the decoder for this codec's device."""
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
        """Read a weights file, by default the released one, and return its codec.

        `kernels` names the number formats of the matrix products (see `parse_formats` in models/cpu/kernels.py); the
        fastest format is measured for each group that it does not name. Decoded symbols are equal in every format.

        `head` chooses the decoder networks: "cpu" the light heads (`high-cpu` and the translator), "gpu" the better
        heads (`high-gpu`, and `medium-gpu` where the file has it), "auto" the heads for `device`. Every head decodes
        every latent.

        `encoder` chooses the analysis: "light" or "wide" (better); "auto" is the light one on a CPU where the file has
        it, else the wide one. Both write streams with the same stream id.

        Raises `CheckpointError` or `KernelsError`.
        """
        return cls(
            load(path),
            device=device,
            kernels=Kernels.choose(kernels, device=device),
            head=head_name(head, device),
            encoder=encoder,
        )

    def encode(self, pixels: Pixels, *, quality: int, refine: int = 0) -> bytes:
        """Encode a picture (344, 344, 3) in sRGB, and return its bitstream.

        `refine` is the number of steps of the search for a better latent (refinement.py), at about 0.1 s a step on one
        core; 0 means no search. Raises `PictureShapeError` or `QualityError`.
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
        """Return a search for better latents of several pictures at once; the caller runs it by calling its `step`.

        `readers` says for which heads to search. By default it is the 344 head in use with weight 1, and the 172 head
        with weight 0.3, so that the 172 picture does not get worse. Raises `PictureShapeError` or `QualityError`.
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
        """Return a `Reader` for each head that `readers` names: the head, its reference pictures and its weight."""
        from models.perceptual import Original  # it imports scipy, a tenth of a worker's start

        high = Original(torch.cat([to_tensor(pixels, self.device) for pixels in pictures]))
        medium = Original(torch.cat([to_tensor(lanczos_half(pixels), self.device) for pixels in pictures]))
        return tuple(
            Reader(self._heads[name], medium if name == "medium" else high, weight) for name, weight in readers.weights
        )

    def encode_to_bytes(self, pixels: Pixels, *, target_bytes: int) -> bytes:
        """Encode at the highest quality whose bitstream takes at most `target_bytes`, and return that bitstream.

        Raises `TargetError` where quality 0 takes more, and `PictureShapeError`.
        """
        self._check_input(pixels, 0)
        y = self._analyse(pixels)
        written: dict[int, bytes] = {}

        def fits(quality: int) -> bool:
            written[quality] = self._write(self._quantise(y, quality), quality=quality)
            return len(written[quality]) <= target_bytes

        return written[highest_quality(fits)]

    def encode_to_score(self, pixels: Pixels, *, ssimulacra2: float) -> bytes:
        """Encode at the lowest quality whose 344 picture scores at least `ssimulacra2`, and return the bitstream.

        The picture is decoded by the 344 head in use. If no quality reaches the score, 63 is used. Raises
        `PictureShapeError`.
        """
        from models.scores import Ssimulacra2  # brings parts of scipy, as models.perceptual does

        self._check_input(pixels, 0)
        y, scorer = self._analyse(pixels), Ssimulacra2(pixels)

        def score(quality: int) -> float:
            y_hat, of_quality = self._quantise(y, quality).y_hat, torch.tensor([quality], device=self.device)
            return scorer.score(self._pictures(y_hat, of_quality, HIGH_PX)[0])

        quality = quality_of_score(score, ssimulacra2)
        return self._write(self._quantise(y, quality), quality=quality)

    def ssimulacra2(self, pixels: Pixels, blob: bytes) -> float:
        """Decode `blob` to its 344 picture by the head in use, and return its SSIMULACRA2 score against `pixels`.

        Raises a `BitstreamError`, or `ScoreError` where `pixels` is not (344, 344, 3).
        """
        from models.scores import Ssimulacra2  # as above

        (decoded,) = self.synthesize([self.read(blob)], size_px=HIGH_PX)
        return Ssimulacra2(pixels).score(decoded)

    @property
    def saves_by_batches(self) -> bool:
        """Return whether decoding pictures in a batch costs less than one by one: true except on a CPU."""
        return not isinstance(self._decoder, FastDecoder)

    def head_id(self, size_px: int) -> bytes:
        """Return a 4-byte digest of the weights of the head for `size_px` (344 or 172), and of the rule for its pixels.

        It changes whenever the pictures that the head decodes may change.
        """
        return self._head_ids[size_px]

    def synthesize(self, symbols: Sequence[Symbols], *, size_px: int) -> list[Pixels]:
        """Decode a batch of latents to pictures (size_px, size_px, 3) in sRGB; `size_px` is 344 or 172.

        An accelerator without memory for the whole batch decodes it in two halves. Raises `torch.OutOfMemoryError`
        where a half does not fit either, `DeviceLost`, and `ValueError` for another size.
        """
        return self.submit(symbols, size_px=size_px).pictures()

    def submit(self, symbols: Sequence[Symbols], *, size_px: int) -> Ticket | ReadyPictures:
        """Start to decode as `synthesize` does; `pictures()` of the returned object waits for the result.

        On a CPU, the pictures are decoded before this returns.
        """
        if size_px not in self._head_ids:
            raise ValueError(f"cannot decode to {size_px} px: the sizes are {HIGH_PX} and {MEDIUM_PX}")
        return self._decoder.submit(symbols, size_px=size_px)

    @torch.inference_mode()
    def synthesize_plainly(self, symbols: Sequence[Symbols], *, size_px: int) -> list[Pixels]:
        """Decode as `synthesize` does, but by the plain torch modules: the tests' reference for the fast decoders."""
        return self._pictures(*self._latents(symbols), size_px)

    @torch.inference_mode()
    def _pictures(self, y_hat: Tensor, quality: Tensor, size_px: int) -> list[Pixels]:
        deviation = self._networks.hyperprior.deviation
        if size_px == HIGH_PX:
            x_hat = self._head(y_hat, quality=quality, deviation=deviation)
        else:
            x_hat = self._translator(y_hat, quality=quality, deviation=deviation)
        return as_pictures(self._flat.settle(to_levels(x_hat, size_px), quality))


def _analysis(checkpoint: Checkpoint, name: str, device: str) -> Analysis:
    """Return the analysis transform called `name`: wide, light, or auto.

    auto is the light one on a CPU if the file has it, else the wide one. Raises `CheckpointError` where the file has no
    light one, and `ValueError` for another name.
    """
    if name not in {"auto", "light", "wide"}:
        raise ValueError(f"the encoder must be auto, light or wide, not {name!r}")
    wide, light = checkpoint.high.networks.analysis, checkpoint.light.analysis
    if name == "light" and light is None:
        raise CheckpointError("the weights file has no light encoder: choose the encoder auto or wide")
    if light is None or name == "wide" or (name == "auto" and device != "cpu"):
        return wide
    return light
