"""The codec of demoted pictures: their high latent is replaced by a medium latent, which takes fewer bytes.

    high latent --translator--> 172x172 --medium encoder--> medium latent --medium head--> 172x172, decoded
                                                                                 +--upscaler--> 344x344, generated

The 172 picture is decoded from the bitstream. The 344 picture is **generated**: the upscaler adds detail that the
bitstream does not hold. Every codec process of an edge loads these weights at its start, because another edge of the
same store may demote: 31 ms of CPU time and 2 MB of memory beyond the codec of high latents (EPYC Zen 4, 2026-11-28).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Self

import torch

from models import upscaler
from models.checkpoint import load_medium
from models.config import HIGH_PX, MEDIUM_PX
from models.device_errors import halve_once, watching
from models.layers import set_precision
from models.medium_codec import MediumCodec
from models.pixels import as_pictures, to_levels
from models.weights_file import HEAD_ID_BYTES, CheckpointError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from models.codec import Codec
    from models.latent_codec import Symbols
    from models.picture_array import Pixels
    from models.upscaler import TrainedUpscaler


class DemotedCodec:
    """Makes medium latents from high latents, and decodes them to 172x172 and, by the upscaler, to 344x344.

    Any thread may call `read`; only one thread at a time may call the other methods, and none of them at the same time
    as a method of the codec that `load` was given.
    """

    def __init__(self, codec: Codec, medium: MediumCodec, trained: TrainedUpscaler) -> None:
        """Build a codec from weights that have been read; callers use `load`.

        Raises `CheckpointError` where the upscaler was trained for another medium autoencoder.
        """
        if trained.notes.stream_id != medium.stream_id.hex():
            raise CheckpointError(
                f"the upscaler belongs to the medium autoencoder {trained.notes.stream_id}, "
                f"but the weights hold {medium.stream_id.hex()}"
            )
        self._codec, self._medium = codec, medium
        self._upscaler = trained.network.to(medium.device).requires_grad_(requires_grad=False)
        set_precision(self._upscaler, torch.bfloat16 if medium.kernels.heads == "bfloat16" else torch.float32)
        both = hashlib.sha256(trained.weights_id + medium.head_id).digest()  # medium.head_id includes the pixel rule
        self._head_ids = {HIGH_PX: both[:HEAD_ID_BYTES], MEDIUM_PX: medium.head_id}

    @classmethod
    def load(cls, codec: Codec, weights: Path | None = None, *, upscaler_weights: Path | None = None) -> Self:
        """Read the medium autoencoder of `weights` and an upscaler, by default the released ones.

        `codec` is the codec of the same weights file. It reads and decodes the high latents, so that their networks are
        not held twice, and gives the device and the number formats. Raises `CheckpointError`.
        """
        medium = MediumCodec(load_medium(weights), device=codec.device, kernels=codec.kernels)
        return cls(codec, medium, upscaler.load(upscaler_weights))

    @classmethod
    def untrained(cls, codec: Codec, weights: Path | None = None) -> Self:
        """Return a codec as `load` does, but with an upscaler that returns the LANCZOS picture, to train one."""
        medium = MediumCodec(load_medium(weights), device=codec.device, kernels=codec.kernels)
        return cls(codec, medium, upscaler.untrained(medium.stream_id))

    @property
    def stream_id(self) -> bytes:
        """Return the stream id of the medium latents."""
        return self._medium.stream_id

    def symbol_channels(self, quality: int) -> tuple[int, int]:
        """Return the numbers of channels of h1 and of q in the `Symbols` of a medium latent of this quality."""
        return self._medium.symbol_channels(quality)

    def head_id(self, size_px: int) -> bytes:
        """Return a 4-byte digest of the weights that make the picture of `size_px` (344 or 172) from a medium latent.

        That of 344 px is a digest of the upscaler and of the medium head, whose picture the upscaler reads.
        """
        return self._head_ids[size_px]

    def demote(self, high: bytes | Symbols, *, quality: int) -> bytes:
        """Return the medium bitstream, at `quality` (0..63), that replaces a high latent.

        The latent, a bitstream or its symbols, is decoded to 172 px and encoded anew. Raises a `BitstreamError`, or
        `QualityError`.
        """
        symbols = self._codec.read(high) if isinstance(high, bytes) else high
        (decoded,) = self._codec.synthesize([symbols], size_px=MEDIUM_PX)
        return self._medium.encode(decoded, quality=quality)

    def read(self, blob: bytes) -> Symbols:
        """Entropy-decode one medium bitstream to its symbols. Any number of threads may call this at once.

        Raises a `BitstreamError`, also for a bitstream of a high latent.
        """
        return self._medium.read(blob)

    def synthesize(self, symbols: Sequence[Symbols], *, size_px: int) -> list[Pixels]:
        """Decode medium latents to 172x172, or generate 344x344 from them; `size_px` is 172 or 344.

        An accelerator without memory for the whole batch computes it in two halves. Raises `torch.OutOfMemoryError`
        where a half does not fit either, `DeviceLost`, and `ValueError` for another size.
        """
        if size_px not in self._head_ids:
            raise ValueError(f"cannot decode to {size_px} px: the sizes are {HIGH_PX} and {MEDIUM_PX}")
        with watching(self._medium.device):
            batches = halve_once(lambda part: self._pictures(part, size_px), symbols)
        return [picture for batch in batches for picture in batch]

    @torch.inference_mode()
    def _pictures(self, symbols: Sequence[Symbols], size_px: int) -> list[Pixels]:
        levels = self._medium.decode(symbols)
        if size_px == HIGH_PX:
            # The upscaler was trained on pictures of 8 bits, as they are served.
            quality = torch.tensor([one.quality for one in symbols], device=levels.device)
            x = self._upscaler((levels / 255).permute(0, 3, 1, 2), quality=quality)
            levels = self._medium.settle(to_levels(x, HIGH_PX), quality)
        return as_pictures(levels)
